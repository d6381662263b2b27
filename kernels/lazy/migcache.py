"""Lazy migration through the migration cache."""

from ..counters import Refusal
from ..frames.account import refuse
from ..frames.swap_state import drop_entry, get_id
from ..jit.compile import called, inlined
from ..state import SERVED, Info, Shard
from ..words import (
    FRAME_LAZYFREE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    PTE_PARKED,
    PTE_PAYLOAD,
)
from .parked import check_migrate_misplaced_page, judge, lazy_faults, map_cached, park


@called
def migcache_faults(m, s, queued, k, end, last, run, counts):
    parked = PTE_PARKED, m.entry_count, m.entry_frame, Shard.FREED_ENTRIES
    return lazy_faults(m, s, queued, k, end, last, run, counts, parked)


@inlined
def migcache_park(m, pfn):
    """Park one page in the migration cache; return 1, or 0 where it is refused."""
    word = m.frame[pfn]
    if word & FRAME_SWAPCACHE:
        return refuse(m, Refusal.BUSY)
    if not word & FRAME_MIGCACHE:
        entry = get_id(m.info, Info.ENTRIES, m.entry_frame)
        m.entry_count[entry] = 0
        m.entry_frame[entry] = pfn
        m.frame_entry[pfn] = entry
        m.frame[pfn] = word & ~FRAME_LAZYFREE | FRAME_MIGCACHE
    park(m, pfn, PTE_PARKED, int(m.frame_entry[pfn]), m.entry_count)
    return 1


@inlined
def do_parked_page(m, s, task, at, v, vpn, write):
    entry = m.pte[at] & PTE_PAYLOAD
    cached = m.entry_frame[entry]
    pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    m.entry_count[entry] -= 1
    left = m.entry_count[entry]
    map_cached(m, s, task, at, pfn, left, write)
    judge(m, s, task, at, cached, pfn)
    if left == 0:
        drop_entry(m, s, pfn)
    return SERVED
