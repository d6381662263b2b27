"""What faults of small and of huge pages share: map a new page, copy one, charge."""

from ..counters import Cause, Vm
from ..frames.account import add_rss, charge
from ..frames.allotment import close_row, has_frame, open_row, take_next
from ..frames.folio import subpage_unmapped
from ..frames.look_ahead import look_ahead_new
from ..frames.lru_batch import folio_add_lru
from ..frames.page_alloc import node_of
from ..jit.compile import called, inlined
from ..lazy.lazy_row import is_of, private_vma
from ..placement.mempolicy import (
    count_allocations,
    is_interleave,
    node_above_low,
    policy_of,
    preferred_node,
    zonelist_of,
)
from ..placement.migrate import lru_add
from ..state import Change, Cost, Task, Vma
from ..words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    FRAME_COMPOUND,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_YOUNG,
)


@inlined
def _map(m, s, task, at, vpn, pfn):
    m.frame[pfn] = vpn | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
    lru_add(m, s, pfn, 1)
    folio_add_lru(m, m.task[task, Task.NID], pfn)
    m.pte[at] = pfn | PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY


@inlined
def map_new_page(m, s, task, at, vpn, pfn):
    """Map a new page where there was nothing, or the zero page."""
    _map(m, s, task, at, vpn, pfn)
    add_rss(m, s, task, 1, 0)
    charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])


@inlined
def map_copied_page(m, s, task, at, vpn, old, pfn):
    """Map a copy in place of a page that others may still need (wp_page_copy)."""
    m.frame[old] -= FRAME_MAPCOUNT_ONE
    _map(m, s, task, at, vpn, pfn)
    m.vm[s, m.task[task, Task.NID], Vm.COW_FAULTS] += 1
    ns = m.cost[Cost.MINOR_FAULT] + m.copy_ns[node_of(m, old), node_of(m, pfn)]
    charge(m, s, task, Cause.COW, ns)
    if m.frame[old] & FRAME_COMPOUND:
        subpage_unmapped(m, s, old)


_NEW_PAGE = PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY


# --- new pages ------------------------------------------------------------------------


@inlined
def _count_new_pages(m, s, task, v, nid, preferred, pages):
    cpu_nid = m.task[task, Task.NID]
    mode, _, _, _ = policy_of(m, task, v)
    count_allocations(m, s, nid, preferred, cpu_nid, mode, pages)
    m.lru_change[s, nid, 0] += pages
    m.mm_change[s, m.task[task, Task.MM], Change.RSS] += pages
    m.cause[s, task, Cause.MINOR_FAULT] += pages * m.cost[Cost.MINOR_FAULT]
    m.vm[s, cpu_nid, Vm.PGFAULT] += pages


@called
def new_pages(m, s, queued, k, end, last, run, counts):
    """Serve writes to pages that are none, from ``k``; return the first that is not."""
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = private_vma(m, task, queued[k] & ACCESS_VPN)
    if v == NONE or not m.vma[v, Vma.WRITE]:
        return k
    mode, mask, row, own = policy_of(m, task, v)
    if is_interleave(mode):
        return k
    base, mask = zonelist_of(m, task, 0, 0, mode, mask, row, own)
    nid = node_above_low(m, base, mask)
    if nid == NONE:
        return k
    low, high, delta = m.vma[v, Vma.START], m.vma[v, Vma.END], m.task[task, Task.DELTA]
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead_new(m, queued, k, last)
        at = (word & ACCESS_VPN) + delta
        if not is_of(word, run, low, high) or not word & ACCESS_WRITE:
            break
        if m.pte[at] != 0 or m.pmd[at >> HPAGE_PMD_ORDER] == 0:
            break
        pfn, row = take_next(m, s, nid, row)
        m.frame[pfn] = word & ACCESS_VPN | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
        m.pte[at] = pfn | _NEW_PAGE
        k += 1
    close_row(m, s, nid, row)
    _count_new_pages(m, s, task, v, nid, preferred_node(m, base, mask, nid), k - first)
    counts[nid] += k - first
    return k
