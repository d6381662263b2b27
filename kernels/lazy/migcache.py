"""Lazy migration through the migration cache (Tosatti 2004)."""

from typing import Final

import numpy as np

from ..counters import Refusal, Vm
from ..draws import draw, stream_key
from ..frames.account import refuse
from ..frames.rmap import mapcount, replace_parked
from ..frames.swap_state import (
    add_to_cache,
    add_to_swap,
    cache_of,
    cached_by,
    free_id,
    get_id,
    leave_cache,
)
from ..jit.compile import inlined
from ..placement.migrate import lru_add
from ..state import SERVED, Info
from ..words import (
    FRAME_ACTIVE,
    FRAME_KIND,
    FRAME_VPN,
    FRAME_WEDGED,
    NONE,
    PTE_KIND_ONE,
    PTE_PAYLOAD,
    PTE_SWAP,
    Kind,
)
from .parked import (
    check_migrate_misplaced_page,
    free_page,
    lazy_faults,
    map_cached,
    park,
)

KIND: Final = Kind.MIGCACHE
#: Stream of the draws that decide whether an exit loses the race for an entry.
WEDGE_STREAM = np.uint64(1 << 63)


@inlined
def mark(m, pfn):
    """Park one page in the migration cache; return 1, or 0 if it is refused."""
    kind = cached_by(m.frame[pfn])
    if kind == 0:
        entry = get_id(m, KIND)
        m.entry_count[entry] = 0
        add_to_cache(m, pfn, KIND, entry, 0)
    elif kind != KIND:
        return refuse(m, Refusal.BUSY)
    park(m, pfn, cache_of(m, KIND), int(m.frame_entry[pfn]))
    return 1


@inlined
def faults(m, s, k, run):
    """Serve a row of faults on pages in the migration cache (``lazy_faults``)."""
    return lazy_faults(m, s, k, run, cache_of(m, KIND))


@inlined
def fault(m, s, task, at, v, vpn, write):
    """Serve a fault on a page in the migration cache."""
    cached = m.entry_frame[m.pte[at] & PTE_PAYLOAD]
    pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    left, _ = map_cached(m, s, task, at, cache_of(m, KIND), cached, pfn, write)
    if left == 0:
        leave_cache(m, s, pfn, KIND)
    return SERVED


@inlined
def fork(m, s, pte):
    """Note that a child's PTE holds an entry, too."""
    m.entry_count[pte & PTE_PAYLOAD] += 1


@inlined
def loses_race(m, vpn):
    """Tell whether an exit leaves the entry of a page behind."""
    if m.info[Info.WEDGE_PPM] == 0:
        return False
    key = stream_key(m.info[Info.SEED], WEDGE_STREAM)
    return draw(key, vpn) % np.uint64(1_000_000) < np.uint64(m.info[Info.WEDGE_PPM])


@inlined
def zap(m, s, pte, vpn, exiting):
    """Release an entry; return 1 if it and its page are left wedged."""
    entry = pte & PTE_PAYLOAD
    m.entry_count[entry] -= 1
    if m.entry_count[entry] > 0:
        return 0
    pfn = m.entry_frame[entry]
    if mapcount(m.frame[pfn]) > 0:
        leave_cache(m, s, pfn, KIND)
        return 0
    if exiting and loses_race(m, vpn):
        lru_add(m, s, pfn, -1)
        m.frame[pfn] = (m.frame[pfn] | FRAME_WEDGED) & ~FRAME_ACTIVE
        return 1
    free_id(m, s, KIND, entry)
    free_page(m, s, pfn)
    return 0


@inlined
def reclaim(m, n, pfn):
    """Move a page to swap: every PTE gets the slot; return 0 if there is none."""
    s = m.info[Info.SHARDS]
    slot = get_id(m, Kind.SWAP)
    if slot == NONE:
        m.refused[s, Refusal.MIGCACHE_NO_SWAP_SLOT] += 1
        return 0
    entry = int(m.frame_entry[pfn])
    parked = KIND * PTE_KIND_ONE | entry
    replace_parked(m, m.frame[pfn] & FRAME_VPN, parked, PTE_SWAP | slot)
    m.slot_count[slot] = m.entry_count[entry]
    m.entry_count[entry] = 0
    free_id(m, s, KIND, entry)
    m.frame[pfn] &= ~FRAME_KIND
    m.vm[s, n, Vm.MIGCACHE_TO_SWAP] += 1
    add_to_swap(m, pfn, slot)
    return 1
