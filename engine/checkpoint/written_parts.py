"""Which parts of a sparse array hold anything: found without touching the rest.

The host says which of its pages it has given (/proc/self/pagemap); of those, pages of
zeros are left out.  Where the host does not say, all of the array is looked at.
"""

import mmap
import os
from collections.abc import Iterator

import numpy as np

_PAGEMAP = "/proc/self/pagemap"
#: Bits of a word of pagemap: the page is in memory, or swapped out.
_GIVEN = np.uint64(0b11 << 62)
#: Host pages that are asked about at once: a word of 8 bytes each.
_ASKED = 1 << 17
#: Bytes that are looked at together.
_PIECE = 1 << 24


def written(array: np.ndarray, items: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the parts of ``array[:items]`` that are not all zero.

    In order, at most 16 MiB each; they begin and end with host pages.
    """
    page = mmap.PAGESIZE // array.itemsize
    for first, end in _given(array, items):
        for at in range(first, end, _PIECE // array.itemsize):
            stop = min(at + _PIECE // array.itemsize, end)
            whole = at + (stop - at) // page * page
            pages = array[at:whole].view(np.int64).reshape(-1, mmap.PAGESIZE // 8)
            used = np.bitwise_or.reduce(pages, axis=1) != 0
            for low, high in _rows(used):
                yield at + low * page, at + high * page
            if array[whole:stop].any():
                yield whole, stop


def _rows(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the rows of flags that are set."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _given(array: np.ndarray, items: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of what the host has given memory for."""
    page = mmap.PAGESIZE // array.itemsize
    first_page, pages = array.ctypes.data // mmap.PAGESIZE, -(-items // page)
    try:
        pagemap = os.open(_PAGEMAP, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield 0, items
        return
    try:
        for at in range(0, pages, _ASKED):
            count = min(_ASKED, pages - at)
            raw = os.pread(pagemap, 8 * count, 8 * (first_page + at))
            words = np.frombuffer(raw, np.uint64)
            if words.size < count:  # the host does not say
                yield at * page, min((at + count) * page, items)
                continue
            for low, high in _rows((words & _GIVEN) != 0):
                yield (at + low) * page, min((at + high) * page, items)
    finally:
        os.close(pagemap)
