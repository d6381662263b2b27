"""Arrays that take host memory when touched, and give it back."""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kernels import state as st
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from ..errors import BadInput

#: Fewest wholly free blocks in a row whose words go back to the host: 64 KiB.
FEWEST_GIVEN_BACK = 16


def sparse(items: int, dtype: npt.DTypeLike, huge: bool) -> np.ndarray:
    """Return zeroed memory that the host backs page by page as it is written.

    items  length; ``huge``: ask for huge pages of the host (dense use) or forbid them
    Raises BadInput if the host refuses the address space.
    """
    nbytes = max(1, items) * np.dtype(dtype).itemsize
    flags = (
        mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    )
    try:
        area = mmap.mmap(-1, nbytes, flags=flags)
    except OSError as error:
        raise BadInput(
            f"the host must grant {nbytes} bytes of address space, got {error}"
        ) from None
    try:
        area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    except OSError:
        # A host kernel without transparent huge pages has nothing to advise.
        pass
    return np.frombuffer(area, dtype=dtype, count=max(1, items))


def give_back(array: np.ndarray, first: int, items: int) -> None:
    """Return the whole host pages of ``array[first:first + items]`` to the host."""
    area, size = _area_of(array), array.itemsize
    start = -(-first * size // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (first + items) * size // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        area.madvise(mmap.MADV_DONTNEED, start, end - start)


def wipe(array: np.ndarray, first: int, items: int) -> None:
    """Set ``array[first:first + items]`` to zero; whole host pages go to the host."""
    page = mmap.PAGESIZE // array.itemsize
    start, end = -(-first // page) * page, (first + items) // page * page
    if start >= end:
        array[first : first + items] = 0
        return
    array[first:start] = 0
    array[end : first + items] = 0
    give_back(array, start, end - start)


def returned_blocks(memory: st.Memory) -> int:
    """Return how many blocks are wholly free that were in use once."""
    node = memory.node
    virgin = np.maximum(node[:, st.Node.END_BLOCK] - node[:, st.Node.VIRGIN], 0)
    return int((node[:, st.Node.WHOLE] - virgin).sum())


def give_back_free(memory: st.Memory) -> None:
    """Return the words of the frames of wholly free blocks to the host.

    A block's words fill one host page.  Short rows of them are left: they will be used
    again.
    """
    arrays = memory.frame, memory.frame_entry, memory.frame_cpupid
    for nid, row in enumerate(memory.node):
        first = nid << int(memory.info[st.Info.NODE_SHIFT]) >> HPAGE_PMD_ORDER
        lists = memory.block_list[first : int(row[st.Node.VIRGIN])]
        edges = np.diff(
            np.concatenate([[0], lists == st.BlockList.RETURNED, [0]]).astype(np.int8)
        )
        starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if end - start < FEWEST_GIVEN_BACK:
                continue
            for array in arrays:
                at, blocks = first + start, end - start
                give_back(array, at * HPAGE_PMD_NR, blocks * HPAGE_PMD_NR)


def _area_of(array: np.ndarray) -> mmap.mmap:
    base: Any = array.base
    return base if isinstance(base, mmap.mmap) else base.obj
