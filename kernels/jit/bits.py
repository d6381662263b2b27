"""Sets of 64 things in an int64, as the JIT and the interpreter both see them.

The highest bit is the sign: NumPy's scalars overflow where the machine's words do not.
"""

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compile import inlined


@intrinsic
def _trailing_zeros(context, word):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


def _as_signed(word: int) -> int:
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


if numba.config.DISABLE_JIT:

    def bit(i):
        """Return the set of ``i`` alone."""
        return _as_signed(1 << int(i))

    def lowest(word):
        """Return the lowest member of a set that is not empty."""
        return (int(word) & -int(word)).bit_length() - 1

    def without_lowest(word):
        """Return a set without its lowest member."""
        return _as_signed(int(word) & (int(word) - 1))

else:

    @inlined
    def bit(i):
        """Return the set of ``i`` alone."""
        return 1 << i

    @inlined
    def lowest(word):
        """Return the lowest member of a set that is not empty."""
        return _trailing_zeros(word)

    @inlined
    def without_lowest(word):
        """Return a set without its lowest member."""
        return word & (word - 1)
