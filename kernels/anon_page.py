"""What faults of small and of huge pages share: map a new page, copy one, charge."""

from ._jit import inlined
from .constants import (
    FRAME_COMPOUND,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_YOUNG,
    Cause,
    Vm,
)
from .folio import subpage_unmapped
from .lru_batch import folio_add_lru
from .migrate import lru_add
from .page_alloc import node_of
from .state import (
    CHANGE_RSS,
    CHANGE_SWAPENTS,
    COST_MINOR_FAULT,
    TASK_MM,
    TASK_NID,
)


@inlined
def charge(m, s, task, cause, ns):
    m.cause[s, task, cause] += ns


@inlined
def add_rss(m, s, task, rss, swapents):
    m.mm_change[s, m.task[task, TASK_MM], CHANGE_RSS] += rss
    m.mm_change[s, m.task[task, TASK_MM], CHANGE_SWAPENTS] += swapents


@inlined
def _map(m, s, task, at, vpn, pfn):
    m.frame[pfn] = vpn | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
    lru_add(m, s, pfn, 1)
    folio_add_lru(m, m.task[task, TASK_NID], pfn)
    m.pte[at] = pfn | PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY


@inlined
def map_new_page(m, s, task, at, vpn, pfn):
    """Map a new page where there was nothing, or the zero page."""
    _map(m, s, task, at, vpn, pfn)
    add_rss(m, s, task, 1, 0)
    charge(m, s, task, Cause.MINOR_FAULT, m.cost[COST_MINOR_FAULT])


@inlined
def map_copied_page(m, s, task, at, vpn, old, pfn):
    """Map a copy in place of a page that others may still need (wp_page_copy)."""
    m.frame[old] -= FRAME_MAPCOUNT_ONE
    _map(m, s, task, at, vpn, pfn)
    m.vm[s, m.task[task, TASK_NID], Vm.COW_FAULTS] += 1
    ns = m.cost[COST_MINOR_FAULT] + m.copy_ns[node_of(m, old), node_of(m, pfn)]
    charge(m, s, task, Cause.COW, ns)
    if m.frame[old] & FRAME_COMPOUND:
        subpage_unmapped(m, s, old)
