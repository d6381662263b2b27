"""Lazy migration through the swap cache (do_swap_page)."""

from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import charge, count_op, refuse
from ..frames.lru_batch import folio_add_lru
from ..frames.page_alloc import node_of
from ..frames.swap_state import add_to_swap, drop_slot, get_id
from ..frames.zero_filled import swap_read_folio
from ..jit.compile import inlined
from ..placement.mempolicy import alloc_page_vma
from ..placement.migrate import lru_add
from ..state import SERVED, Cost, Ids, Info, Shard, Task, Vma
from ..words import (
    FRAME_IN_USE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    NONE,
    PTE_PAYLOAD,
    PTE_SWAP,
    PTE_WRITE,
)
from .parked import (
    Cache,
    check_migrate_misplaced_page,
    lazy_faults,
    map_cached,
    park,
)


@inlined
def _swapcache(m):
    freed = Shard.FREED_SLOTS
    return Cache(PTE_SWAP, FRAME_SWAPCACHE, m.slot_count, m.slot_frame, freed)


@inlined
def swapcache_faults(m, s, k, run):
    """Serve a row of faults on pages in the swap cache (``lazy_faults``)."""
    return lazy_faults(m, s, k, run, _swapcache(m))


@inlined
def swapcache_park(m, pfn):
    """Park one page in the swap cache; return 1, or 0 if it is refused."""
    word = m.frame[pfn]
    if word & FRAME_MIGCACHE:
        return refuse(m, Refusal.BUSY)
    if not word & FRAME_SWAPCACHE:
        slot = get_id(m.info, Info.SLOTS, m.slot_frame)
        if slot == NONE:
            return refuse(m, Refusal.NO_SWAP_SLOT)
        m.slot_count[slot] = 0
        add_to_swap(m, pfn, slot)
    park(m, pfn, _swapcache(m), int(m.frame_entry[pfn]))
    return 1


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
def do_swap_page(m, s, task, at, v, vpn, write):
    """Serve a fault on a page that is in the swap cache, or only on disk."""
    slot = m.pte[at] & PTE_PAYLOAD
    cached = m.slot_frame[slot]
    if cached == NONE:
        pfn = _swapin_page(m, s, task, v, vpn, slot)
    else:
        pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    cache = _swapcache(m)
    left, exclusive = map_cached(m, s, task, at, cache, cached, pfn, write)
    fresh = exclusive and cached == NONE
    if fresh and m.info[Info.SWAP_IN_WRITABLE] and m.vma[v, Vma.WRITE]:
        m.pte[at] |= PTE_WRITE
    if left == 0 and (exclusive or _vm_swap_full(m, s)):
        drop_slot(m, s, pfn)
    return SERVED
