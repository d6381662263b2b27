"""Reclaim of a node (mm/vmscan.c): kswapd and direct reclaim.

``docs/model/reclaim.md`` 8 to 10.  All of it is serial work.
"""

from math import sqrt
from typing import Final

from ..counters import Vm
from ..frames.lru_batch import lru_add_drain
from ..jit.compile import inlined
from ..knobs import Balancing
from ..placement.mempolicy import first_candidate, in_mask
from ..state import Info, Node
from ..words import NONE
from .deferred_split import deferred_split_scan
from .lru_gen import lru_gen_shrink_node, set_initial_priority
from .vmscan import (
    SWAP_CLUSTER_MAX,
    nowhere_to_go,
    shrink_active_list,
    shrink_inactive_list,
    shrink_lazyfree,
)

DEF_PRIORITY: Final = 12
_TIERING: Final = int(Balancing.TIERING)
MAX_RECLAIM_RETRIES: Final = 16


@inlined
def _isqrt(x):
    root = int(sqrt(float(x)))
    while root * root > x:
        root -= 1
    while (root + 1) * (root + 1) <= x:
        root += 1
    return root


@inlined
def _inactive_is_low(m, n):
    inactive = m.node[n, Node.INACTIVE]
    active = m.node[n, Node.ACTIVE]
    gb = (inactive + active) >> 18
    ratio = _isqrt(10 * gb) if gb else 1
    return inactive * ratio < active


@inlined
def _shrink_lruvec(m, n, priority, target, scan, steal):
    """Scan the two lists of a node at a priority; return how many pages were freed."""
    reclaimed = 0
    active = m.node[n, Node.ACTIVE] >> priority
    inactive = m.node[n, Node.INACTIVE] >> priority
    while active > 0 or inactive > 0:
        if active > 0:
            count = min(SWAP_CLUSTER_MAX, active)
            if _inactive_is_low(m, n):
                shrink_active_list(m, n, count)
            active -= count
        if inactive > 0:
            count = min(SWAP_CLUSTER_MAX, inactive)
            reclaimed += shrink_inactive_list(m, n, count, scan, steal)
            inactive -= count
        if reclaimed >= target or nowhere_to_go(m, n):
            break
    return reclaimed


@inlined
def _shrink_node(m, n, priority, target, scan, steal):
    """Scan a node's lists at a priority; return how many pages were freed."""
    reclaimed = deferred_split_scan(m, n, SWAP_CLUSTER_MAX)
    if m.info[Info.LAZYFREE]:
        reclaimed += shrink_lazyfree(m, n, target, scan, steal)
    if reclaimed > 0:
        m.node[n, Node.KSWAPD_FAILURES] = 0
    if nowhere_to_go(m, n) or (m.info[Info.LAZYFREE] and reclaimed >= target):
        return reclaimed
    if m.info[Info.LRU_GEN]:
        target -= reclaimed
        reclaimed += lru_gen_shrink_node(m, n, priority, target, scan, steal)
    else:
        reclaimed += _shrink_lruvec(m, n, priority, target - reclaimed, scan, steal)
    if reclaimed > 0:
        m.node[n, Node.KSWAPD_FAILURES] = 0
    return reclaimed


@inlined
def balance_pgdat(m, n):
    """Run kswapd of a node until it is above high, or with tiering above promo.

    SCANNED and WRITTEN are then what it did.
    """
    m.info[Info.SCANNED] = 0
    m.info[Info.WRITTEN] = 0
    if m.node[n, Node.KSWAPD_FAILURES] >= MAX_RECLAIM_RETRIES:
        return
    m.vm[m.info[Info.SHARDS], n, Vm.PAGEOUTRUN] += 1
    reclaimed = 0
    mark = Node.PROMO if m.info[Info.BALANCING] & _TIERING else Node.HIGH
    lru_add_drain(m, n)
    target = max(m.node[n, Node.HIGH], SWAP_CLUSTER_MAX)
    priority = set_initial_priority(m, n, target)
    while priority >= 1 and m.node[n, Node.FREE] <= m.node[n, mark]:
        reclaimed += _shrink_node(
            m, n, priority, target, Vm.PGSCAN_KSWAPD, Vm.PGSTEAL_KSWAPD
        )
        priority -= 1
    if reclaimed == 0:
        m.node[n, Node.KSWAPD_FAILURES] += 1


@inlined
def try_to_free_pages(m, base, mask):
    """Reclaim from the candidates of an allocation; return the pages freed."""
    s = m.info[Info.SHARDS]
    first = first_candidate(m, base, mask)
    if first == NONE:
        return 0
    m.vm[s, first, Vm.ALLOCSTALL_NORMAL] += 1
    reclaimed = 0
    priority = DEF_PRIORITY
    while priority >= 0:
        for j in range(m.node.shape[0]):
            n = m.zonelist[base, j]
            if not in_mask(mask, n) or not m.node[n, Node.ONLINE]:
                continue
            reclaimed += _shrink_node(
                m,
                n,
                priority,
                SWAP_CLUSTER_MAX - reclaimed,
                Vm.PGSCAN_DIRECT,
                Vm.PGSTEAL_DIRECT,
            )
            if reclaimed >= SWAP_CLUSTER_MAX:
                return reclaimed
        priority -= 1
    return reclaimed
