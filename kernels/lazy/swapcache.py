"""Lazy migration through the swap cache (do_swap_page; Schermerhorn 2006)."""

from typing import Final

from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import charge, count_op, refuse
from ..frames.lru_batch import folio_add_lru
from ..frames.page_alloc import node_of
from ..frames.rmap import mapcount
from ..frames.swap_state import (
    add_to_swap,
    cache_of,
    cached_by,
    drop_slot,
    get_id,
    swap_free_slot,
)
from ..frames.zero_filled import swap_read_folio
from ..jit.compile import inlined
from ..placement.mempolicy import alloc_page_vma
from ..placement.migrate import lru_add
from ..state import SERVED, Cost, Ids, Info, Task, Vma
from ..words import FRAME_IN_USE, FRAME_SWAPCACHE, NONE, PTE_PAYLOAD, PTE_WRITE, Kind
from .parked import (
    check_migrate_misplaced_page,
    free_page,
    lazy_faults,
    map_cached,
    park,
)

KIND: Final = Kind.SWAP


@inlined
def mark(m, pfn):
    """Park one page in the swap cache; return 1, or 0 if it is refused."""
    kind = cached_by(m.frame[pfn])
    if kind == 0:
        slot = get_id(m, KIND)
        if slot == NONE:
            return refuse(m, Refusal.NO_SWAP_SLOT)
        m.slot_count[slot] = 0
        add_to_swap(m, pfn, slot)
    elif kind != KIND:
        return refuse(m, Refusal.BUSY)
    park(m, pfn, cache_of(m, KIND), int(m.frame_entry[pfn]))
    return 1


@inlined
def faults(m, s, k, run):
    """Serve a row of faults on pages in the swap cache (``lazy_faults``)."""
    return lazy_faults(m, s, k, run, cache_of(m, KIND))


@inlined
def _swapin_page(m, s, task, v, vpn, slot):
    """Read a page that is only on disk; return its frame."""
    pfn = alloc_page_vma(m, s, task, v, vpn, True)
    if pfn < 0:
        return pfn
    m.frame[pfn] = vpn | FRAME_IN_USE | FRAME_SWAPCACHE
    m.frame_entry[pfn] = slot
    m.slot_frame[slot] = pfn
    lru_add(m, s, pfn, 1)
    folio_add_lru(m, m.task[task, Task.NID], pfn)
    m.vm[s, m.task[task, Task.NID], Vm.PGMAJFAULT] += 1
    read = swap_read_folio(m, pfn, slot)
    m.vm[s, node_of(m, pfn), Vm.PSWPIN] += read
    cost = Cost.SWAP_IN if read else Cost.MINOR_FAULT
    charge(m, s, task, Cause.SWAP_IN, m.cost[cost])
    count_op(m, s, task, Op.SWAP_IN, 1)
    return pfn


@inlined
def _vm_swap_full(m, s):
    """Tell whether more than half of the slots are in use."""
    column = Ids.IN_USE if s == m.info[Info.SHARDS] else Ids.IN_USE_AT_START
    return 2 * m.info[Info.SLOTS + column] > m.info[Info.SLOTS + Ids.TOTAL]


@inlined
def fault(m, s, task, at, v, vpn, write):
    """Serve a fault on a page that is in the swap cache, or only on disk."""
    slot = m.pte[at] & PTE_PAYLOAD
    cached = m.slot_frame[slot]
    if cached == NONE:
        pfn = _swapin_page(m, s, task, v, vpn, slot)
    else:
        pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    cache = cache_of(m, KIND)
    left, exclusive = map_cached(m, s, task, at, cache, cached, pfn, write)
    fresh = exclusive and cached == NONE
    if fresh and m.info[Info.SWAP_IN_WRITABLE] and m.vma[v, Vma.WRITE]:
        m.pte[at] |= PTE_WRITE
    if left == 0 and (exclusive or _vm_swap_full(m, s)):
        drop_slot(m, s, pfn)
    return SERVED


@inlined
def fork(m, s, pte):
    """Note that a child's PTE holds a slot, too."""
    m.slot_count[pte & PTE_PAYLOAD] += 1


@inlined
def zap(m, s, pte, vpn, exiting):
    """Release a slot that a PTE held; its page goes with the last one."""
    slot = pte & PTE_PAYLOAD
    m.slot_count[slot] -= 1
    if m.slot_count[slot] > 0:
        return 0
    pfn = m.slot_frame[slot]
    if pfn != NONE:
        if mapcount(m.frame[pfn]) > 0:
            return 0
        free_page(m, s, pfn)
    swap_free_slot(m, s, slot)
    return 0


@inlined
def reclaim(m, n, pfn):
    """Do nothing: the page has a slot."""
    return 1
