"""Demotion to slower nodes in place of swap (mm/memory-tiers.c, mm/vmscan.c, 6.12).

``docs/model/reclaim.md`` 12.
"""

from typing import Final

from ..counters import Op, Refusal, Vm, Worker
from ..doors import Asked, Door
from ..frames.account import node_worker
from ..frames.page_alloc import rmqueue, rmqueue_huge
from ..frames.rmap import first_mm, mapcount
from ..jit.compile import called, inlined
from ..knobs import Mode
from ..placement.asked import DEFAULT, MS, Cold, ask, is_node, may_ask, refusal_of
from ..placement.mempolicy import ALL_NODES, zone_statistics
from ..placement.migrate import migrate_folio_move
from ..placement.migrate_huge import move_folio
from ..placement.vma_alloc_folio import has_room
from ..state import Cost, Info, Mm, Node
from ..words import FRAME_VPN, HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE

#: A user's policy keeps the page on its node: no node, and not NONE.
STAYS: Final = -2
_DEMOTE: Final = int(Door.DEMOTE)


@inlined
def _next_tier(m, n):
    """Return the next slower tier that has nodes online, or NONE."""
    tier = NONE
    for other in range(m.node.shape[0]):
        below = m.node[other, Node.TIER]
        if m.node[other, Node.ONLINE] and below > m.node[n, Node.TIER]:
            if tier == NONE or below < tier:
                tier = below
    return tier


@inlined
def can_demote(m, n):
    """Tell whether reclaim of a node may demote."""
    return m.info[Info.DEMOTION] == 1 and _next_tier(m, n) != NONE


@inlined
def takes(m, n, mark, huge):
    """Tell whether a node has a frame, or a whole block, above a watermark."""
    return has_room(m, n, mark) if huge else m.node[n, Node.FREE] > m.node[n, mark]


@inlined
def _next_demotion_node(m, n):
    """Return the nearest node of the next tier, the lowest of equals."""
    tier = _next_tier(m, n)
    best = NONE
    for other in range(m.node.shape[0]):
        if m.node[other, Node.TIER] != tier or not m.node[other, Node.ONLINE]:
            continue
        if best == NONE or m.distance[n, other] < m.distance[n, best]:
            best = other
    return best


@inlined
def _lower_above(m, n, first, mark, huge):
    """Return the first node of a slower tier with room, in the order of a zonelist."""
    for j in range(m.node.shape[0]):
        other = m.zonelist[first, j]
        if (
            m.node[other, Node.TIER] > m.node[n, Node.TIER]
            and m.node[other, Node.ONLINE]
        ):
            if takes(m, other, mark, huge):
                return other
    return NONE


@inlined
def _wake_lower(m, n):
    for other in range(m.node.shape[0]):
        if (
            m.node[other, Node.TIER] > m.node[n, Node.TIER]
            and m.node[other, Node.ONLINE]
        ):
            m.node[other, Node.KSWAPD_WOKEN] = 1


@inlined
def _target(m, n, huge):
    """Return the node that a page or folio of a node is demoted to, or NONE.

    alloc_demote_folio: exactly the next node, down to min; then any of a slower tier.
    """
    first = _next_demotion_node(m, n)
    if takes(m, first, Node.LOW, huge):
        return first
    m.node[first, Node.KSWAPD_WOKEN] = 1
    if takes(m, first, Node.MIN, huge):
        return first
    other = _lower_above(m, n, first, Node.LOW, huge)
    if other != NONE:
        return other
    _wake_lower(m, n)
    return _lower_above(m, n, first, Node.MIN, huge)


@inlined
def lower_node(m, n, huge):
    """Return where a daemon demotes to; full, if all are; NONE: no tier is slower."""
    if _next_tier(m, n) == NONE:
        return NONE
    target = _target(m, n, huge)
    return target if target != NONE else _next_demotion_node(m, n)


@inlined
def _count(m, n, target, pages, steal):
    """Count a demotion by kswapd or by direct reclaim, as ``steal`` says."""
    s = m.info[Info.SHARDS]
    kswapd = steal == Vm.PGSTEAL_KSWAPD
    zone_statistics(m, s, target, target, n, Mode.DEFAULT)
    m.vm[s, target, Vm.PGALLOC_NORMAL] += pages - 1
    m.vm[s, n, Vm.PGDEMOTE_KSWAPD if kswapd else Vm.PGDEMOTE_DIRECT] += pages
    m.vm[s, n, steal] += pages
    if kswapd:
        row = node_worker(m, Worker.KSWAPD, n)
        m.worker_ops[row, Op.MIGRATE if pages == 1 else Op.MIGRATE_HUGE] += 1
        ns = m.cost[Cost.MIGRATE_PAGE] + m.copy_ns[n, target] * pages
        m.worker_ops[row, Op.WORK_NS] += ns


# --- a user's policy ------------------------------------------------------------------


@inlined
def _describe(m, n, vpn, word, pages, target):
    """Fill in what a user's policy is asked about a page or folio of a node."""
    row, first = m.asked[m.info[Info.SHARDS]], Asked.ARGUMENTS
    mm = first_mm(m, vpn)
    at = NONE if mm == NONE else vpn + m.mm[mm, Mm.DELTA]
    row[Asked.FILLED] = 0
    row[first + Cold.PAGE] = at
    row[first + Cold.BLOCK] = NONE if at == NONE else at >> HPAGE_PMD_ORDER
    row[first + Cold.PROCESS] = mm
    row[first + Cold.NODE] = n
    row[first + Cold.PAGES] = pages
    row[first + Cold.NODE_TIER] = m.node[n, Node.TIER]
    row[first + Cold.TARGET] = target
    row[first + Cold.TARGET_FREE] = 0 if target == NONE else m.node[target, Node.FREE]
    row[first + Cold.MAPCOUNT] = mapcount(word)
    row[first + Cold.NOW_NS] = m.info[Info.NOW_MS] * MS


@called
def _asked_target(m, n, vpn, word, pages, target):
    """Return the node that a user's policy demotes a page to, NONE or STAYS."""
    s = m.info[Info.SHARDS]
    _describe(m, n, vpn, word, pages, target)
    answer = ask(m, s, _DEMOTE)
    if answer == DEFAULT:
        return target
    if answer < 0 or answer == n:
        m.refused[s, refusal_of(answer) if answer < 0 else Refusal.POLICY] += pages
        return STAYS
    if not is_node(m, answer, ALL_NODES):
        m.refused[s, Refusal.POLICY_NODE] += pages
        return target
    huge = pages > 1
    return answer if takes(m, answer, Node.MIN, huge) else target


@called
def demote_page(m, n, pfn, steal):
    """Move a page of a node to a slower tier.

    Return 1, 0 if there is no room, or STAYS: a user's policy keeps it.
    """
    if not can_demote(m, n):
        return 0
    target = _target(m, n, False)
    if may_ask(m, m.info[Info.SHARDS], _DEMOTE):
        word = m.frame[pfn]
        target = _asked_target(m, n, word & FRAME_VPN, word, 1, target)
    if target < 0:
        return STAYS if target == STAYS else 0
    _count(m, n, target, 1, steal)
    migrate_folio_move(m, m.info[Info.SHARDS], pfn, rmqueue(m, target))
    return 1


@called
def demote_folio(m, n, b, steal):
    """Move a huge page of a node to a slower tier; return its pages, 0 or STAYS."""
    if not can_demote(m, n):
        return 0
    target = _target(m, n, True)
    if may_ask(m, m.info[Info.SHARDS], _DEMOTE):
        word = m.block_huge[b]
        target = _asked_target(m, n, word & FRAME_VPN, word, HPAGE_PMD_NR, target)
    if target < 0:
        return STAYS if target == STAYS else 0
    _count(m, n, target, HPAGE_PMD_NR, steal)
    move_folio(m, m.info[Info.SHARDS], b, rmqueue_huge(m, target))
    return HPAGE_PMD_NR
