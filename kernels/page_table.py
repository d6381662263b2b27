"""Page tables in bulk: what the entries of one have in common, and changing them all.

Most of a terabyte is alike.  Loops over slices without a branch become vector code; the
callers go entry by entry only where a table is not alike.
"""

from ._jit import inlined
from .constants import PTE_PAYLOAD


@inlined
def bits_of(words):
    """Return (the bits that all words of a slice have, the bits that any has)."""
    every, some = -1, 0
    for i in range(words.size):
        every &= words[i]
        some |= words[i]
    return every, some


@inlined
def change_bits(words, cleared, added):
    """Clear bits of all words of a slice, then set others."""
    for i in range(words.size):
        words[i] = words[i] & ~cleared | added


@inlined
def maps_in_order(ptes):
    """Tell whether the payloads of a slice of PTEs follow each other."""
    first = ptes[0] & PTE_PAYLOAD
    wrong = 0
    for i in range(ptes.size):
        wrong |= (ptes[i] & PTE_PAYLOAD) ^ (first + i)
    return wrong == 0
