"""Where every page of a range is: what move_pages(2), pagemap and smaps would say."""

from typing import NamedTuple

import numpy as np

from ...kernels import state as st
from ...kernels.words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_ZERO,
)
from .process import Process, Region
from .ranges import RANGE_LIMIT
from .world import World

STATES = ("none", "present", "marked", "swap", "zero")
_NONE, _PRESENT, _MARKED, _SWAP, _ZERO = range(len(STATES))


class Observation(NamedTuple):
    """What the pages of a region are.

    runs  (pages, state, node, huge) of equal pages in address order; node: None if it
          cannot be seen; huge: part of a huge page, whatever maps it
    huge_pages, present, swapped  pages mapped by PMD entries, mapped, in swap

    Pages behind PROT_NONE are "present" if the kernel follows their entries.  If not,
    a huge entry is one that smaps cannot follow: its pages are in no size, and are
    present on no node that could be seen.
    """

    runs: list[tuple[int, str, int | None, bool]]
    huge_pages: int
    present: int
    swapped: int


def observe(memory: st.Memory, region: Region) -> Observation:
    """Return what a region's pages are; ``memory`` must fit the processes."""
    runs: list[tuple[int, str, int | None, bool]] = []
    sizes = np.zeros(3, np.int64)
    for first in range(0, region.pages, RANGE_LIMIT):
        count = min(RANGE_LIMIT, region.pages - first)
        part = region._replace(first=region.first + first, pages=count)
        seen = _observe_part(memory, part)
        if runs and runs[-1][1:] == seen.runs[0][1:]:
            pages, state, node, huge = seen.runs.pop(0)
            runs[-1] = runs[-1][0] + pages, state, node, huge
        runs += seen.runs
        sizes += seen[1:]
    return Observation(runs, *sizes.tolist())


def _observe_part(memory: st.Memory, region: Region) -> Observation:
    first = region.first + region.process.delta
    entry, leaf = _entries(memory, np.arange(first, first + region.pages))
    mapped = entry & PTE_PRESENT != 0
    pfn = np.where(mapped, entry & PTE_PAYLOAD, 0)
    huge = mapped & (memory.block_huge[pfn >> HPAGE_PMD_ORDER] != 0)
    state = _states(entry)
    if memory.info[st.Info.FOLLOW_PROTNONE]:
        state[state == _MARKED] = _PRESENT
    hidden = leaf & (state == _MARKED)
    state[hidden] = _PRESENT
    seen = (state == _PRESENT) & ~hidden
    node = np.where(seen, pfn >> int(memory.info[st.Info.NODE_SHIFT]), -1)
    return Observation(
        _runs(state, node, huge),
        int((leaf & mapped & ~hidden).sum()),
        int((mapped & ~hidden).sum()),
        int((state == _SWAP).sum()) + _swapped_shmem(memory, region),
    )


def _entries(memory: st.Memory, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries of virtual pages, and whether a PMD entry maps each."""
    pmd = memory.pmd[at >> HPAGE_PMD_ORDER]
    leaf = pmd & PMD_LEAF != 0
    entry = np.where(leaf, pmd + at % HPAGE_PMD_NR, memory.pte[at])
    entry[(pmd == 0)] = 0
    return entry, leaf


def look(world: World, region: Region) -> Observation:
    """Return what the pages of a region are."""
    return observe(world.memory, region)


def nodes_of(world: World, process: Process, vpn: np.ndarray) -> np.ndarray:
    """Return int64[n]: the node of each virtual page, -1 if it has no frame."""
    return nodes(world.memory, process, vpn)


def nodes(memory: st.Memory, process: Process, vpn: np.ndarray) -> np.ndarray:
    """Return int64[n]: the node of each virtual page, -1 if it has no frame."""
    entry, _ = _entries(memory, vpn + process.delta)
    mapped = entry & PTE_PRESENT != 0
    node = (entry & PTE_PAYLOAD) >> int(memory.info[st.Info.NODE_SHIFT])
    return np.where(mapped, node, -1)


def _swapped_shmem(memory: st.Memory, region: Region) -> int:
    """Return the pages in swap of a region's objects (shmem_swap_usage)."""
    swapped, end = 0, region.first + region.pages
    for vma in region.process.vmas:
        if vma.shmem and vma.start < end and vma.end > region.first:
            cache = int(memory.family[region.process.family, st.Family.CACHE])
            first = max(vma.start, region.first) + cache
            entries = memory.pte[first : min(vma.end, end) + cache]
            swapped += int(np.count_nonzero(entries & PTE_KIND))
    return swapped


def _states(entry: np.ndarray) -> np.ndarray:
    state = np.zeros(entry.size, np.int64)
    state[entry & PTE_ZERO != 0] = _ZERO
    state[entry & PTE_KIND != 0] = _SWAP
    state[entry & PTE_PRESENT != 0] = _PRESENT
    hidden = PTE_PRESENT | PTE_PROTNONE
    state[entry & hidden == hidden] = _MARKED
    return state


def _runs(state: np.ndarray, node: np.ndarray, huge: np.ndarray) -> list:
    """Return the runs of pages that are alike."""
    key = (state << 8 | node + 1) << 1 | huge
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    lengths = np.diff(np.append(starts, key.size))
    return [
        (
            int(pages),
            STATES[state[i]],
            int(node[i]) if node[i] >= 0 else None,
            bool(huge[i]),
        )
        for i, pages in zip(starts, lengths, strict=True)
    ]
