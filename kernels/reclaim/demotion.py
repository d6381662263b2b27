"""Demotion to slower nodes in place of swap (mm/memory-tiers.c, mm/vmscan.c, 6.12).

``docs/model/reclaim.md`` 12.
"""

from ..counters import Op, Vm, Worker
from ..frames.account import node_worker
from ..frames.page_alloc import rmqueue, rmqueue_huge
from ..jit.compile import called, inlined
from ..knobs import Mode
from ..placement.mempolicy import zone_statistics
from ..placement.migrate import migrate_folio_move
from ..placement.migrate_huge import move_folio
from ..placement.vma_alloc_folio import has_room
from ..state import Cost, Info, Node
from ..words import HPAGE_PMD_NR, NONE


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


@called
def demote_page(m, n, pfn, steal):
    """Move a page of a node to a slower tier; return 1, or 0 if there is no room."""
    if not can_demote(m, n):
        return 0
    target = _target(m, n, False)
    if target == NONE:
        return 0
    _count(m, n, target, 1, steal)
    migrate_folio_move(m, m.info[Info.SHARDS], pfn, rmqueue(m, target))
    return 1


@called
def demote_folio(m, n, b, steal):
    """Move a huge page of a node to a slower tier; return its pages, or 0."""
    if not can_demote(m, n):
        return 0
    target = _target(m, n, True)
    if target == NONE:
        return 0
    _count(m, n, target, HPAGE_PMD_NR, steal)
    move_folio(m, m.info[Info.SHARDS], b, rmqueue_huge(m, target))
    return HPAGE_PMD_NR
