"""New pages: map one, map a copy, and a row of faults that each map a new one."""

from typing import Final

from ..access_run import HitCount, task_of
from ..counters import Cause, Op, Vm
from ..doors import Door
from ..frames.account import add_rss, charge, count_op
from ..frames.allotment import close_row, has_frame, open_row, take_next
from ..frames.folio import count_lru, subpage_unmapped
from ..frames.look_ahead import look_ahead_new
from ..frames.lru_batch import folio_add_lru
from ..frames.page_alloc import node_of
from ..frames.zero_filled import copy_page
from ..jit.compile import called, inlined
from ..lazy.lazy_row import is_of, private_vma
from ..placement.asked import forget_answer, touched_base
from ..placement.mempolicy import (
    count_allocations,
    is_interleave,
    node_above_low,
    policy_of,
    preferred_node,
    zonelist_of,
)
from ..placement.migrate import lru_add
from ..state import Cost, Task, Vma
from ..words import (
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

#: What the word of a new page has besides its vpn, and its PTE besides the frame.
NEW_FRAME: Final = FRAME_MAPCOUNT_ONE | FRAME_IN_USE
NEW_PTE: Final = PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY


@inlined
def _set_new_page(m, at, vpn, pfn):
    m.frame[pfn] = vpn | NEW_FRAME
    m.pte[at] = pfn | NEW_PTE


@inlined
def map_page(m, s, task, at, vpn, pfn):
    """Map a frame that nobody had, without counting a fault."""
    _set_new_page(m, at, vpn, pfn)
    lru_add(m, s, pfn, 1)
    folio_add_lru(m, m.task[task, Task.NID], pfn)


@inlined
def count_new_pages(m, s, task, pages):
    """Count pages that were not there before, or the zero page; a fault for each."""
    add_rss(m, s, task, pages, 0)
    charge(m, s, task, Cause.MINOR_FAULT, pages * m.cost[Cost.MINOR_FAULT])
    count_op(m, s, task, Op.FAULT, pages)


@inlined
def map_new_page(m, s, task, at, vpn, pfn):
    """Map a new page in place of none, or of the zero page."""
    map_page(m, s, task, at, vpn, pfn)
    count_new_pages(m, s, task, 1)


@inlined
def map_copied_page(m, s, task, at, vpn, old, pfn):
    """Map a copy in place of a page that others may still need (wp_page_copy)."""
    m.frame[old] -= FRAME_MAPCOUNT_ONE
    map_page(m, s, task, at, vpn, pfn)
    copy_page(m, old, pfn)
    m.vm[s, m.task[task, Task.NID], Vm.COW_FAULTS] += 1
    ns = m.cost[Cost.MINOR_FAULT] + m.copy_ns[node_of(m, old), node_of(m, pfn)]
    charge(m, s, task, Cause.COW, ns)
    count_op(m, s, task, Op.FAULT, 1)
    if m.frame[old] & FRAME_COMPOUND:
        subpage_unmapped(m, s, old)


# --- a row of new pages ---------------------------------------------------------------


@inlined
def _zonelist_of_row(m, task, v):
    """Return (base, mask) of the zonelist for all pages of a VMA; (NONE, 0): none."""
    mode, mask, row = policy_of(m, task, v)
    if is_interleave(mode):
        return NONE, 0
    return zonelist_of(m, task, v, 0, 0, mode, mask, row)


@inlined
def _count_row(m, s, task, v, nid, preferred, pages):
    cpu_nid = m.task[task, Task.NID]
    mode, _, _ = policy_of(m, task, v)
    count_allocations(m, s, nid, preferred, cpu_nid, mode, pages)
    count_lru(m, s, nid, 0, pages)
    count_new_pages(m, s, task, pages)
    m.vm[s, cpu_nid, Vm.PGFAULT] += pages


@called
def new_pages(m, s, k, run):
    """Serve a row of writes to pages that are not there, from access ``k`` on.

    Return the first that is not served.
    """
    task, first = task_of(run), k
    v = private_vma(m, task, run.queued[k] & ACCESS_VPN)
    if v == NONE or not m.vma[v, Vma.WRITE]:
        return k
    base, mask = _zonelist_of_row(m, task, v)
    low, high, delta = m.vma[v, Vma.START], m.vma[v, Vma.END], m.task[task, Task.DELTA]
    asks, usual = m.door[Door.FIRST_TOUCH] != 0 and base != NONE, base
    if asks:
        at = (run.queued[k] & ACCESS_VPN) + delta
        base = touched_base(m, s, task, at, v, v, 1, usual, mask)
    nid = NONE if base == NONE else node_above_low(m, base, mask)
    if nid == NONE:
        return k
    frames = open_row(m, s, nid)
    while k < run.end and has_frame(frames):
        word = run.queued[k]
        look_ahead_new(m, run.queued, k, run.last)
        at = (word & ACCESS_VPN) + delta
        if not is_of(word, run, low, high) or not word & ACCESS_WRITE:
            break
        if m.pte[at] != 0 or m.pmd[at >> HPAGE_PMD_ORDER] == 0:
            break
        if asks:
            if touched_base(m, s, task, at, v, v, 1, usual, mask) != base:
                break
            forget_answer(m, s)
        pfn, frames = take_next(m, s, nid, frames)
        _set_new_page(m, at, word & ACCESS_VPN, pfn)
        k += 1
    close_row(m, s, nid, frames)
    _count_row(m, s, task, v, nid, preferred_node(m, base, mask, nid), k - first)
    run.counts[HitCount.NODES + nid] += k - first
    return k
