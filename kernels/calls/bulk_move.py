"""Move many pages at once, for a daemon: to a node, to a faster tier, to a slower one.

``docs/model/daemons.md`` 8 to 10.  A huge page moves whole.  Nobody's clock is charged:
the daemon works beside the tasks.
"""

from enum import IntEnum

from ..counters import Refusal, Vm
from ..frames.account import refuse
from ..frames.folio import folio_nid, split_huge_page
from ..frames.lru_batch import in_batch
from ..frames.page_alloc import node_of
from ..frames.page_table import entry_of
from ..jit.compile import called, inlined, kernel
from ..placement.mempolicy import alloc_on_node
from ..placement.migrate import migrate_folio_move
from ..placement.migrate_huge import move_folio, split_to_migrate
from ..placement.moves import moved_from, note_move, note_move_huge
from ..placement.vma_alloc_folio import alloc_huge_on_node
from ..reclaim.demotion import lower_node, takes
from ..state import Cost, Info, Node
from ..words import HPAGE_PMD_NR, NONE, PTE_PAYLOAD, PTE_PRESENT
from .mbind import Moves, count_move, end_batch, folio_of


class Aim(IntEnum):
    """Which way pages are to go, and down to which watermark the target is filled."""

    #: Down to low, as move_pages does.
    MOVE = 0
    #: To a faster tier; the node stays above high, as after a hint fault.
    PROMOTE = 1
    #: To a slower tier, down to min, as reclaim does.
    DEMOTE = 2
    #: The same, to a copy that is there already: nothing is copied.
    DEMOTE_TO_COPY = 3


_MOVE, _PROMOTE, _DEMOTE = int(Aim.MOVE), int(Aim.PROMOTE), int(Aim.DEMOTE)
_TO_COPY = int(Aim.DEMOTE_TO_COPY)


@inlined
def _faster_node(m, n, huge):
    """Return the nearest node of a faster tier that has room, or else the nearest one.

    NONE if there is no faster tier.
    """
    nearest = NONE
    for j in range(m.node.shape[0]):
        other = m.zonelist[n, j]
        if m.node[other, Node.TIER] >= m.node[n, Node.TIER]:
            continue
        if not m.node[other, Node.ONLINE]:
            continue
        if takes(m, other, Node.HIGH, huge):
            return other
        nearest = other if nearest == NONE else nearest
    return nearest


@inlined
def _target(m, n, nid, aim, huge):
    """Return the node that a page or folio of node ``n`` goes to, NONE: it stays.

    nid  what was asked for, or NONE
    """
    if nid == n:
        return NONE
    if nid != NONE:
        return nid
    if aim == _PROMOTE:
        return _faster_node(m, n, huge)
    return lower_node(m, n, huge)


@inlined
def _mark_of(aim):
    """Return (watermark above which the target stays, whether pages count there)."""
    if aim == _PROMOTE:
        return Node.HIGH, 1
    return (Node.LOW, 0) if aim == _MOVE else (Node.MIN, 0)


@inlined
def _ns_of(m, n, target, pages, aim):
    """Return what the move of a page or of a folio takes, ns."""
    copied = 0 if aim == _TO_COPY else pages * m.copy_ns[n, target]
    return m.cost[Cost.MIGRATE_PAGE] + copied


@inlined
def _refuse(m, n, target, pages):
    """Count pages that found no room, whose node's kswapd is to make some."""
    s = m.info[Info.SHARDS]
    m.refused[s, Refusal.TARGET_FULL] += pages
    m.vm[s, n, Vm.PGMIGRATE_FAIL] += pages
    m.vm[s, n, Vm.THP_MIGRATION_FAIL] += pages > 1
    m.node[target, Node.KSWAPD_WOKEN] = 1
    return 0


@inlined
def _count(m, source, target, pages):
    """Count a move between tiers; return whether it was to a slower one."""
    s, before, after = m.info[Info.SHARDS], m.node[source], m.node[target]
    if after[Node.TIER] < before[Node.TIER]:
        m.vm[s, target, Vm.PGPROMOTE_SUCCESS] += pages
    if after[Node.TIER] <= before[Node.TIER]:
        return False
    m.vm[s, source, Vm.PGDEMOTE_PROACTIVE] += pages
    return True


@called
def _move_page(m, user, pfn, target, aim):
    """Move a page; return the ns that it took, 0 if it stays.

    user  task whose use of the page says when the move has paid
    """
    s, n = m.info[Info.SHARDS], node_of(m, pfn)
    if in_batch(m, pfn):
        return refuse(m, Refusal.BUSY)
    mark, margin = _mark_of(aim)
    new = alloc_on_node(m, s, target, n, mark, margin)
    if new < 0:
        return _refuse(m, n, target, 1)
    migrate_folio_move(m, s, pfn, new)
    ns = _ns_of(m, n, target, 1, aim)
    if _count(m, n, target, 1):
        m.frame[new] = moved_from(m.frame[new], n)
    else:
        note_move(m, s, user, NONE, n, new, ns)
    return ns


@called
def _move_folio(m, user, b, target, aim):
    """Move a folio as a whole; return the ns that it took, 0 if it stays."""
    s, n = m.info[Info.SHARDS], folio_nid(m, b)
    mark, margin = _mark_of(aim)
    new = alloc_huge_on_node(m, s, target, n, mark, margin * HPAGE_PMD_NR)
    if new < 0:
        return _refuse(m, n, target, HPAGE_PMD_NR)
    move_folio(m, s, b, new)
    ns = _ns_of(m, n, target, HPAGE_PMD_NR, aim)
    if _count(m, n, target, HPAGE_PMD_NR):
        m.block_huge[new] = moved_from(m.block_huge[new], n)
        m.block_owes[new] = m.block_owes[b]
    else:
        note_move_huge(m, s, user, NONE, n, new, ns)
    return ns


@called
def _split_first(m, b, moves):
    """Split a folio that cannot move whole; return whether it was."""
    s = m.info[Info.SHARDS]
    if m.info[Info.UNIT_MIGRATION]:
        split = split_to_migrate(m, s, b)
    else:
        split_huge_page(m, s, b, 0)
        split = True
    if split:
        end_batch(moves)
    return split


@inlined
def _is_on(m, at, n):
    """Tell whether an entry maps a page of node ``n``."""
    entry = entry_of(m, at)
    return entry & PTE_PRESENT != 0 and node_of(m, entry & PTE_PAYLOAD) == n


@inlined
def _move(m, user, at, target, aim, moves):
    """Move what maps a page, and count it; return the ns that it took."""
    b = folio_of(m, at)
    if b != NONE:
        ns = _move_folio(m, user, b, target, aim)
    else:
        ns = _move_page(m, user, m.pte[at] & PTE_PAYLOAD, target, aim)
    pages = HPAGE_PMD_NR if b != NONE else 1
    if ns:
        count_move(m, moves, pages)
        moves[Moves.HUGE] += b != NONE
    else:
        moves[Moves.FAILED] += pages
    return ns


@kernel
def move_pages_of(m, user, first, pages, sources, nid, aim, moves):
    """Move pages of a region; return the ns that it took, without flushes.

    first    index of the PTE of the region's first page
    pages    int64[n] offsets from it
    sources  int8[n]: where each is (``nodes_at``); who has moved meanwhile stays
    nid      target, or NONE: a node of the next tier
    aim      Aim
    moves    int64[len(Moves)], added to
    """
    ns = 0
    for i in range(pages.size):
        at, n = first + pages[i], int(sources[i])
        if n == NONE or not _is_on(m, at, n):
            continue
        b = folio_of(m, at)
        target = _target(m, n, nid, aim, b != NONE)
        if target == NONE:
            continue
        if b != NONE and _split_first(m, b, moves):
            if not _is_on(m, at, n):
                continue
            target = _target(m, n, nid, aim, False)
        ns += _move(m, user, at, target, aim, moves)
    return ns
