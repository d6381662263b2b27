"""What a daemon sees of many pages at once: where they are, which were used.

``docs/model/daemons.md`` 6 and 7.  ``first`` is the index of the PTE of a region's
first page, ``pages`` int64[n] offsets from it, in any order and more than once.
"""

from enum import auto

from ..frames.page_alloc import node_of
from ..frames.page_table import entry_of
from ..jit.compile import inlined, kernel
from ..state import Columns
from ..words import (
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_YOUNG,
    PTE_ZERO,
)


class Looked(Columns):
    """Columns of what a look at entries counts."""

    READ = auto()  # entries; one that maps 2 MiB counts once in a row
    CLEARED = auto()  # of their accessed bits
    BLOCK = auto()  # 1 + the block of the last entry that maps 2 MiB


@inlined
def entry_at(m, at):
    """Return the entry that maps a page; 0 if the block has no page table."""
    return entry_of(m, at) if m.pmd[at >> HPAGE_PMD_ORDER] else 0


@kernel
def nodes_at(m, first, pages, nodes):
    """Write to ``nodes``, int8[n], the node of each page; NONE: no page is there."""
    for i in range(pages.size):
        entry = entry_at(m, first + pages[i])
        there = entry & PTE_PRESENT != 0
        nodes[i] = node_of(m, entry & PTE_PAYLOAD) if there else NONE


@inlined
def _read(m, at, looked):
    """Return an entry; count it, if it is not the huge one that was read last."""
    block = at >> HPAGE_PMD_ORDER
    entry = entry_at(m, at)
    huge = m.pmd[block] & PMD_LEAF != 0
    looked[Looked.READ] += not (huge and looked[Looked.BLOCK] == block + 1)
    looked[Looked.BLOCK] = block + 1 if huge else 0
    return entry


@inlined
def _clear(m, at):
    """Clear the accessed bit of an entry that has it."""
    block = at >> HPAGE_PMD_ORDER
    if m.pmd[block] & PMD_LEAF:
        m.pmd[block] &= ~PTE_YOUNG
    else:
        m.pte[at] &= ~PTE_YOUNG


@kernel
def read_young(m, first, pages, young, looked):
    """Write to ``young``, bool[n], whether the entry of each page was used.

    looked  int64[len(Looked)], added to
    """
    for i in range(pages.size):
        entry = _read(m, first + pages[i], looked)
        there = entry & (PTE_PRESENT | PTE_ZERO) != 0
        young[i] = there and entry & PTE_YOUNG != 0


@kernel
def clear_young(m, first, pages, young, looked):
    """Clear the accessed bits that ``read_young`` has found, once all are read.

    The pages of a huge entry share one.
    """
    for i in range(pages.size):
        at = first + pages[i]
        if young[i] and entry_at(m, at) & PTE_YOUNG:
            _clear(m, at)
            looked[Looked.CLEARED] += 1
