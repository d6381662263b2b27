"""A fourth design of lazy migration, written outside of the package.

A parked PTE holds the number of a row of a small table, and the row the page's frame.
Nobody counts references: who still holds a row is read in the family's page tables.
What comes out must be what comes out of the migration cache, which counts them.
"""

from lazynuma.engine import LazyDesign
from lazynuma.kernels.counters import Refusal, Vm
from lazynuma.kernels.frames.account import refuse
from lazynuma.kernels.frames.page_alloc import node_of
from lazynuma.kernels.frames.rmap import (
    first_mm,
    mapcount,
    maps_frame,
    replace_parked,
)
from lazynuma.kernels.frames.swap_state import (
    add_to_cache,
    add_to_swap,
    cached_by,
    free_id,
    get_id,
    leave_cache,
)
from lazynuma.kernels.jit.compile import inlined
from lazynuma.kernels.lazy.migcache import loses_race
from lazynuma.kernels.lazy.parked import (
    check_migrate_misplaced_page,
    free_page,
    map_parked,
)
from lazynuma.kernels.placement.migrate import lru_add
from lazynuma.kernels.state import SERVED, Change, Info, Mm
from lazynuma.kernels.words import (
    FRAME_ACTIVE,
    FRAME_DIRTY,
    FRAME_KIND,
    FRAME_MAPCOUNT_ONE,
    FRAME_VPN,
    FRAME_WEDGED,
    NONE,
    PTE_DIRTY,
    PTE_KIND_ONE,
    PTE_PAYLOAD,
    PTE_SWAP,
    Kind,
)

OWN = int(Kind.OWN)
PARKED = OWN * PTE_KIND_ONE


@inlined
def holders(m, vpn, parked):
    """Return how many PTEs of a page are ``parked``."""
    found, mm = 0, first_mm(m, vpn)
    while mm != NONE:
        found += m.pte[vpn + m.mm[mm, Mm.DELTA]] == parked
        mm = m.mm[mm, Mm.NEXT]
    return found


@inlined
def unmap(m, s, pfn, parked):
    """Let every PTE of a frame be ``parked``."""
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        pte = m.pte[at]
        if maps_frame(pte, pfn):
            m.pte[at] = parked
            m.frame[pfn] -= FRAME_MAPCOUNT_ONE
            m.frame[pfn] |= FRAME_DIRTY if pte & PTE_DIRTY else 0
            m.mm_change[s, mm, Change.RSS] -= 1
            m.mm_change[s, mm, Change.SWAPENTS] += 1
        mm = m.mm[mm, Mm.NEXT]


def mark(m, pfn):
    kind = cached_by(m.frame[pfn])
    if kind == 0:
        add_to_cache(m, pfn, OWN, get_id(m, OWN), 0)
    elif kind != OWN:
        return refuse(m, Refusal.BUSY)
    s = m.info[Info.SHARDS]
    unmap(m, s, pfn, PARKED | int(m.frame_entry[pfn]))
    m.vm[s, node_of(m, pfn), Vm.LAZY_PAGES_MARKED] += 1
    return 1


def fault(m, s, task, at, v, vpn, write):
    parked = m.pte[at]
    cached = m.own_frame[parked & PTE_PAYLOAD]
    pfn = check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    left = holders(m, vpn, parked) - 1
    map_parked(m, s, task, at, left, cached, pfn, write != 0)
    if left == 0:
        leave_cache(m, s, pfn, OWN)
    return SERVED


def fork(m, s, pte):
    pass


def zap(m, s, pte, vpn, exiting):
    if holders(m, vpn, pte) > 0:
        return 0
    row = pte & PTE_PAYLOAD
    pfn = m.own_frame[row]
    if mapcount(m.frame[pfn]) > 0:
        leave_cache(m, s, pfn, OWN)
        return 0
    if exiting and loses_race(m, vpn):
        lru_add(m, s, pfn, -1)
        m.frame[pfn] = (m.frame[pfn] | FRAME_WEDGED) & ~FRAME_ACTIVE
        return 1
    free_id(m, s, OWN, row)
    free_page(m, s, pfn)
    return 0


def reclaim(m, n, pfn):
    s = m.info[Info.SHARDS]
    slot = get_id(m, Kind.SWAP)
    if slot == NONE:
        m.refused[s, Refusal.MIGCACHE_NO_SWAP_SLOT] += 1
        return 0
    row = int(m.frame_entry[pfn])
    vpn = m.frame[pfn] & FRAME_VPN
    m.slot_count[slot] = replace_parked(m, vpn, PARKED | row, PTE_SWAP | slot)
    free_id(m, s, OWN, row)
    m.frame[pfn] &= ~FRAME_KIND
    m.vm[s, n, Vm.MIGCACHE_TO_SWAP] += 1
    add_to_swap(m, pfn, slot)
    return 1


BY_TABLES = LazyDesign("by page tables", mark, fault, fork, zap, reclaim)
