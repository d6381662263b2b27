"""Lazy migration through the migration cache."""

from ..counters import Refusal
from ..frames.account import refuse
from ..frames.swap_state import drop_entry, get_id
from ..jit.compile import inlined
from ..state import SERVED, Info, Shard
from ..words import (
    FRAME_LAZYFREE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    PTE_PARKED,
    PTE_PAYLOAD,
)
from .parked import (
    Cache,
    check_migrate_misplaced_page,
    lazy_faults,
    map_cached,
    park,
)


@inlined
def _migcache(m):
    freed = Shard.FREED_ENTRIES
    return Cache(PTE_PARKED, FRAME_MIGCACHE, m.entry_count, m.entry_frame, freed)


@inlined
def migcache_faults(m, s, k, run):
    """Serve a row of faults on pages in the migration cache (``lazy_faults``)."""
    return lazy_faults(m, s, k, run, _migcache(m))


@inlined
def migcache_park(m, pfn):
    """Park one page in the migration cache; return 1, or 0 if it is refused."""
    word = m.frame[pfn]
    if word & FRAME_SWAPCACHE:
        return refuse(m, Refusal.BUSY)
    if not word & FRAME_MIGCACHE:
        entry = get_id(m.info, Info.ENTRIES, m.entry_frame)
        m.entry_count[entry] = 0
        m.entry_frame[entry] = pfn
        m.frame_entry[pfn] = entry
        m.frame[pfn] = word & ~FRAME_LAZYFREE | FRAME_MIGCACHE
    park(m, pfn, _migcache(m), int(m.frame_entry[pfn]))
    return 1


@inlined
def do_parked_page(m, s, task, at, v, vpn, write):
    """Serve a fault on a page in the migration cache."""
    cached = m.entry_frame[m.pte[at] & PTE_PAYLOAD]
    pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    left, _ = map_cached(m, s, task, at, _migcache(m), cached, pfn, write)
    if left == 0:
        drop_entry(m, s, pfn)
    return SERVED
