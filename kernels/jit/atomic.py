"""Words that threads change together, one atomic instruction at a time.

Without the JIT there is one thread, and the plain operations do.
"""

import ctypes

import numba
from numba import types
from numba.extending import intrinsic

from .switch import PUBLIC

_ORDER = "seq_cst"


def _pointer(context, builder, signature, args):
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.gep(
        data, [context.cast(builder, args[1], signature.args[1], types.intp)]
    )


@intrinsic
def _load(context, array, i):
    def generate(context, builder, signature, args):
        return builder.load_atomic(
            _pointer(context, builder, signature, args), _ORDER, 8
        )

    return types.int64(array, i), generate


@intrinsic
def _store(context, array, i, value):
    def generate(context, builder, signature, args):
        at = _pointer(context, builder, signature, args)
        builder.store_atomic(args[2], at, _ORDER, 8)
        return context.get_dummy_value()

    return types.void(array, i, types.int64), generate


@intrinsic
def _add(context, array, i, value):
    def generate(context, builder, signature, args):
        at = _pointer(context, builder, signature, args)
        return builder.atomic_rmw("add", at, args[2], _ORDER)

    return types.int64(array, i, types.int64), generate


@intrinsic
def _swap(context, array, i, old, new):
    def generate(context, builder, signature, args):
        at = _pointer(context, builder, signature, args)
        pair = builder.cmpxchg(at, args[2], args[3], _ORDER, _ORDER)
        return builder.extract_value(pair, 1)

    return types.boolean(array, i, types.int64, types.int64), generate


def _plain_load(array, i):
    return array[i]


def _plain_store(array, i, value):
    array[i] = value


def _plain_add(array, i, value):
    array[i] += value
    return array[i] - value


def _plain_swap(array, i, old, new):
    same = array[i] == old
    if same:
        array[i] = new
    return same


def _plain_yield():
    return 0


#: Of an int64 array: ``load(array, i)``, ``store(array, i, value)``, ``add(array, i,
#: value)``, which returns what was there, and ``swap(array, i, old, new)``, which tells
#: whether ``old`` was there and ``new`` is now.  ``sched_yield()`` lets others run.
if numba.config.DISABLE_JIT:
    load, store, add, swap = _plain_load, _plain_store, _plain_add, _plain_swap
    sched_yield = _plain_yield
else:
    load, store, add, swap = _load, _store, _add, _swap
    if PUBLIC:
        sched_yield = ctypes.CDLL(None).sched_yield
        sched_yield.argtypes, sched_yield.restype = (), ctypes.c_int
    else:
        sched_yield = types.ExternalFunction("sched_yield", types.int32())
