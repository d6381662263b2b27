"""What a daemon does to many entries at once: mark, split, advise.

``docs/model/daemons.md`` 11 to 13.  ``pages`` as in ``bulk_look``.
"""

from enum import auto

from ..balancing.task_numa_work import mark_entry
from ..counters import Refusal, Vm
from ..frames.folio import split_huge_page
from ..frames.mapped_shared import others_have_folio, others_have_page
from ..frames.page_alloc import node_of
from ..frames.page_table import entry_of
from ..frames.vma import find_vma
from ..jit.compile import called, inlined, kernel
from ..state import Columns, Info, Mm, Vma
from ..words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
)
from .madvise import advise_range


class Marked(Columns):
    """Columns of what marking counts."""

    ENTRIES = auto()
    PAGES = auto()


@inlined
def _others_have(m, pfn, huge):
    """Tell whether other processes map a page, or a folio."""
    if huge:
        return others_have_folio(m, pfn >> HPAGE_PMD_ORDER)
    return others_have_page(m, pfn)


@called
def _mark(m, mm, at, vpn, now, marked):
    """Set PROT_NONE on the entry that maps a page, as the scanner does."""
    block = at >> HPAGE_PMD_ORDER
    entry = entry_of(m, at) if m.pmd[block] else 0
    if entry & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
        return
    v = find_vma(m, mm, vpn)
    if v == NONE or not m.vma[v, Vma.READ]:
        return
    huge, pfn = m.pmd[block] & PMD_LEAF != 0, entry & PTE_PAYLOAD
    pages = HPAGE_PMD_NR if huge else 1
    if not m.vma[v, Vma.SHARED] and _others_have(m, pfn, huge):
        m.refused[m.info[Info.SHARDS], Refusal.SHARED] += pages
        return
    n = node_of(m, pfn)
    if huge:
        mark_entry(m, m.pmd, block, pages, n, now)
        m.vm[m.info[Info.SHARDS], n, Vm.NUMA_HUGE_PTE_UPDATES] += 1
    else:
        mark_entry(m, m.pte, at, pages, n, now)
    marked[Marked.ENTRIES] += 1
    marked[Marked.PAGES] += pages


@kernel
def mark_pages_of(m, mm, first, pages, now, marked):
    """Mark pages of a process for hint faults.

    now     ms
    marked  int64[len(Marked)], added to
    """
    delta = m.mm[mm, Mm.DELTA]
    for i in range(pages.size):
        at = first + pages[i]
        _mark(m, mm, at, at - delta, now, marked)


@kernel
def split_blocks_of(m, first, blocks):
    """Split huge pages into small ones; return how many.

    first   index of the PMD entry of a region's first block
    blocks  int64[n] offsets from it
    """
    split = 0
    for i in range(blocks.size):
        pmd = m.pmd[first + blocks[i]]
        if not pmd & PMD_LEAF or not pmd & PTE_PRESENT:
            continue
        b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
        split_huge_page(m, m.info[Info.SHARDS], b, 0)
        split += 1
    return split


@kernel
def advise_runs(m, mm, first, starts, counts, kind):
    """Apply an advice, a PageAdvice, to runs of pages of a process.

    starts, counts  int64[n]: first page of each, an offset, and how many there are
    """
    delta = m.mm[mm, Mm.DELTA]
    for i in range(starts.size):
        advise_range(m, mm, delta, first + starts[i], counts[i], kind)
