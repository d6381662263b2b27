"""Which pages were written: the dirty bits of entries, read and then cleared.

``docs/model/daemons.md``.  ``first`` is the index of the PTE of a region's first page,
``pages`` int64[n] offsets from it, in any order and more than once.
"""

from ..jit.compile import inlined, kernel
from ..words import (
    FOLIO_LAZYFREE,
    FRAME_DIRTY,
    FRAME_KIND,
    FRAME_LAZYFREE,
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .bulk_look import entry_at


@kernel
def read_written(m, first, pages, written):
    """Write to ``written``, bool[n], whether the entry of each page is dirty."""
    for i in range(pages.size):
        entry = entry_at(m, first + pages[i])
        written[i] = entry & PTE_PRESENT != 0 and entry & PTE_DIRTY != 0


@inlined
def _clear_huge(m, block):
    """Clear the bit of a huge entry; return whether it went."""
    pmd = m.pmd[block]
    if m.block_huge[(pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER] & FOLIO_LAZYFREE:
        return False
    m.pmd[block] = pmd & ~PTE_DIRTY
    return True


@inlined
def _clear_small(m, at):
    """Move the bit of a PTE to its frame; return whether it went."""
    pfn = m.pte[at] & PTE_PAYLOAD
    word = m.frame[pfn]
    if word & FRAME_KIND == 0 and word & FRAME_LAZYFREE:
        return False
    m.frame[pfn] = word | FRAME_DIRTY
    m.pte[at] &= ~PTE_DIRTY
    return True


@kernel
def clear_written(m, first, pages, written):
    """Clear the dirty bits that ``read_written`` has found; return how many."""
    cleared = 0
    for i in range(pages.size):
        at = first + pages[i]
        if not written[i] or not entry_at(m, at) & PTE_DIRTY:
            continue
        block = at >> HPAGE_PMD_ORDER
        leaf = m.pmd[block] & PMD_LEAF != 0
        cleared += _clear_huge(m, block) if leaf else _clear_small(m, at)
    return cleared
