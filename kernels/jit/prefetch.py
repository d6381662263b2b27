"""Software prefetches that Numba can call and the interpreter skips.

The names are Linux's (include/linux/prefetch.h): ``prefetch(array, index)`` asks for
the cache line of ``array[index]``, ``prefetchw`` for a line that will be changed, and
that no other thread needs.
"""

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .switch import PUBLIC


def _llvm_prefetch(write):
    @intrinsic
    def ask(typingctx, array, index):
        def generate(context, builder, signature, args):
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            at = context.cast(builder, args[1], signature.args[1], types.intp)
            pointer = builder.bitcast(builder.gep(data, [at]), cgutils.voidptr_t)
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
            function = cgutils.get_or_insert_function(
                builder.module, kind, "llvm.prefetch.p0"
            )
            # For reading (0) or writing (1), to be kept in all caches (3), data (1).
            builder.call(function, [pointer, word(write), word(3), word(1)])
            return context.get_dummy_value()

        return types.void(array, index), generate

    return ask


def _no_prefetch(array, index):
    """Do nothing: the interpreter has no use for a prefetch."""


if numba.config.DISABLE_JIT:
    prefetch = prefetchw = _no_prefetch
elif PUBLIC:
    prefetch = prefetchw = numba.njit(_no_prefetch)
else:
    prefetch, prefetchw = _llvm_prefetch(0), _llvm_prefetch(1)
