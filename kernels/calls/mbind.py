"""mbind: move the pages of a range to where their policy puts them, at once.

Serial work that the calling task pays for.  ``first`` is a vpn, ``pages`` a count; the
range is mapped by one VMA row, ``v``.
"""

from enum import auto
from typing import NamedTuple

from ..counters import Refusal, Vm
from ..frames.account import refuse
from ..frames.folio import (
    folio_likely_mapped_shared,
    folio_nid,
    huge_mapcount,
    split_huge_page,
)
from ..frames.page_alloc import node_of
from ..frames.page_table import next_block
from ..frames.rmap import mapcount
from ..jit.compile import called, inlined, kernel
from ..placement.mempolicy import (
    alloc_on_node,
    alloc_serial,
    in_mask,
    interleave_index,
    is_interleave,
    policy_nodemask,
    policy_of,
)
from ..placement.migrate import migrate_folio_move, migration_cost
from ..placement.migrate_huge import migrate_huge, split_to_migrate
from ..placement.moves import note_move, note_move_huge
from ..placement.vma_alloc_folio import alloc_huge_from, alloc_huge_on_node
from ..state import Columns, Info, Node, Task, Vma
from ..words import (
    FRAME_COMPOUND,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
)

ENOENT, ENOMEM, EACCES, EFAULT, EBUSY = 2, 12, 13, 14, 16


class Moves(Columns):
    """Columns of what a call that moves pages counts; all 0 at first."""

    PAGES = auto()  # that have moved
    FAILED = auto()  # that could not be moved
    FLUSHES = auto()  # of the TLBs
    WALKS = auto()  # of these, by rmap walks that have the page's locks
    # Where mbind's walk is; the number plus 1, 0 for none:
    QUEUED = auto()  # block of virtual space, a folio of which its PTEs have queued
    SPLIT = auto()  # pageblock of that folio, if it was split
    BASED = auto()  # 1: mbind knows BASE
    BASE = auto()  # added to a page's number, or a huge page's, to interleave by it
    BATCH = auto()  # pages that share the last flush, 0: the next one needs its own
    HUGE = auto()  # folios that a daemon has moved


class Bind(NamedTuple):
    """What mbind is asked for, for one VMA."""

    task: int
    v: int
    #: Added to what a page of the VMA is interleaved by.
    interleave: int
    #: Mask of the nodes that were asked for, on which pages stay.
    nodes: int
    #: MPOL_MF_MOVE_ALL and MPOL_MF_STRICT.
    move_all: bool
    strict: bool
    #: Blocks of virtual space at the ends of all of mbind's range that huge entries
    #: mapped before VMAs were cut; NONE: they did not.
    head: int
    tail: int


@inlined
def count_failure(m, pfn):
    s = m.info[Info.SHARDS]
    m.refused[s, Refusal.TARGET_FULL] += 1
    m.vm[s, node_of(m, pfn), Vm.PGMIGRATE_FAIL] += 1
    return False


@inlined
def move_and_judge(m, task, pfn, new):
    """Move a page; a copy on its own node is no move to be judged."""
    s, old = m.info[Info.SHARDS], node_of(m, pfn)
    migrate_folio_move(m, s, pfn, new)
    ns = migration_cost(m, s, task, pfn, new)
    if node_of(m, new) != old:
        note_move(m, s, task, NONE, old, new, ns)


@inlined
def _move_folio_and_judge(m, task, b, new):
    s, old = m.info[Info.SHARDS], folio_nid(m, b)
    ns = migrate_huge(m, s, task, b, new)
    if folio_nid(m, new) != old:
        note_move_huge(m, s, task, NONE, old, new, ns)
    else:
        m.block_owes[new] = m.block_owes[b]


@inlined
def _interleave_index(m, bind, vpn, order, moves):
    """Return what a page, or a huge page, is interleaved by when mbind moves it.

    Since 6.7 (ddc1a5cbc05d) the first that moves says where counting begins, for all;
    before, each goes by its VMA (new_page).
    """
    ilx = interleave_index(m, bind.v, vpn, order) + bind.interleave
    if not m.info[Info.MBIND_INTERLEAVE_BASE]:
        return ilx
    number = (vpn + m.vma[bind.v, Vma.PGOFF]) >> order
    if not moves[Moves.BASED]:
        moves[Moves.BASED] = 1
        moves[Moves.BASE] = ilx - number
    return moves[Moves.BASE] + number


@inlined
def _zonelist_of(m, bind, vpn, order, moves):
    """Return (mode, node whose zonelist is used, mask) for what mbind moves."""
    mode, mask, row = policy_of(m, bind.task, bind.v)
    ilx = 0
    if is_interleave(mode):
        ilx = _interleave_index(m, bind, vpn, order, moves)
    nid = m.task[bind.task, Task.NID]
    base, mask = policy_nodemask(m, nid, ilx, mode, mask, row)
    return mode, base, mask


@inlined
def _move_by_policy(m, bind, vpn, pfn, moves):
    task = bind.task
    mode, base, mask = _zonelist_of(m, bind, vpn, 0, moves)
    new = alloc_serial(m, task, base, mask, mode, False)
    if new < 0:
        return count_failure(m, pfn)
    move_and_judge(m, task, pfn, new)
    return True


@inlined
def folio_of(m, at):
    """Return the block of the folio that maps a page, by PMD or by PTE, or NONE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    if pmd & PMD_LEAF:
        return (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER if pmd & PTE_PRESENT else NONE
    pte = m.pte[at]
    if not pte & PTE_PRESENT or not m.frame[pte & PTE_PAYLOAD] & FRAME_COMPOUND:
        return NONE
    return (pte & PTE_PAYLOAD) >> HPAGE_PMD_ORDER


@inlined
def _split_to_move(m, b, failed):
    """Split a folio whose pages are moved one by one; ``failed``: no block was free.

    try_split_folio (mm/migrate.c): a failure of the folio, then of none of its pages.
    """
    if failed:
        s = m.info[Info.SHARDS]
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_FAIL] += 1
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_SPLIT] += 1
    split_huge_page(m, m.info[Info.SHARDS], b, 0)


@inlined
def count_move(m, moves, pages):
    """Count pages that have moved together, and their TLB flush.

    Since 6.3 a call unmaps up to NR_MAX_BATCHED_MIGRATION pages, flushes once, and
    copies (migrate_pages_batch).  A folio flushes by itself, and fills its batch.  The
    walk that unmaps a page flushes, the one of a batch comes after all its walks.
    """
    moves[Moves.PAGES] += pages
    most = HPAGE_PMD_NR if m.info[Info.MIGRATE_PAGES_BATCH] else 1
    if pages >= most or moves[Moves.BATCH] == 0:
        moves[Moves.FLUSHES] += 1
    moves[Moves.WALKS] += pages >= most
    moves[Moves.BATCH] += pages
    if moves[Moves.BATCH] >= most:
        end_batch(moves)


@inlined
def end_batch(moves):
    """Let the next page that moves need a flush of its own."""
    moves[Moves.BATCH] = 0


@inlined
def _split_first(m, b, moves):
    """Split a folio before its migration, if that is to be; return whether it was."""
    if not split_to_migrate(m, m.info[Info.SHARDS], b):
        return False
    end_batch(moves)  # its pages are another list (split_folios)
    return True


#: What became of a folio that an operation wants to move.
MOVED_WHOLE, NOT_MOVED, MOVED_SPLIT, MOVED_PAGES = 0, 1, 2, 3


@inlined
def _holds(m, pfn, vpn):
    """Tell whether a frame is a page's.

    Those of a folio that were mapped no more are free after its split, and may be given
    to pages that move.
    """
    return m.frame[pfn] != 0 and m.frame[pfn] & FRAME_VPN == vpn


@called
def _move_folio_by_policy(m, bind, vpn, b, moves):
    """Move a folio to where its policy puts it; return what became of it."""
    if not m.info[Info.UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return MOVED_SPLIT
    page = m.block_huge[b] & FRAME_VPN
    if _split_first(m, b, moves):
        first = b << HPAGE_PMD_ORDER
        for i in range(HPAGE_PMD_NR):
            left = _holds(m, first + i, page + i)
            if left and _move_by_policy(m, bind, page + i, first + i, moves):
                count_move(m, moves, 1)
        return MOVED_PAGES
    mode, base, mask = _zonelist_of(m, bind, vpn, HPAGE_PMD_ORDER, moves)
    new = alloc_huge_from(m, bind.task, base, mask, mode, False, False)
    if new < 0:
        _split_to_move(m, b, True)
        return MOVED_SPLIT
    _move_folio_and_judge(m, bind.task, b, new)
    return MOVED_WHOLE


@called
def move_page_to_node(m, task, pfn, nid):
    """Move a page to a node; return whether there was room."""
    new = alloc_on_node(
        m, m.info[Info.SHARDS], nid, m.task[task, Task.NID], Node.LOW, 0
    )
    if new < 0:
        return count_failure(m, pfn)
    move_and_judge(m, task, pfn, new)
    return True


@called
def move_folio_to_node(m, task, b, nid, moves):
    """Move a folio to a node; return what became of it."""
    if not m.info[Info.UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return MOVED_SPLIT
    vpn = m.block_huge[b] & FRAME_VPN
    if _split_first(m, b, moves):
        first = b << HPAGE_PMD_ORDER
        for i in range(HPAGE_PMD_NR):
            left = _holds(m, first + i, vpn + i)
            if left and move_page_to_node(m, task, first + i, nid):
                count_move(m, moves, 1)
        return MOVED_PAGES
    s = m.info[Info.SHARDS]
    new = alloc_huge_on_node(m, s, nid, m.task[task, Task.NID], Node.LOW, 0)
    if new < 0:
        _split_to_move(m, b, True)
        return MOVED_SPLIT
    _move_folio_and_judge(m, task, b, new)
    return MOVED_WHOLE


@inlined
def _queue_pages_required(m, nodes, pfn):
    """Tell whether a page is off the nodes that mbind was asked for (6.1).

    The nodemask of default and local is empty: no page is on one of its nodes.
    """
    return not in_mask(nodes, node_of(m, pfn))


@inlined
def _is_shared(m, b):
    """Tell whether a folio is too shared to be moved (migrate_folio_add)."""
    if m.info[Info.MBIND_LIKELY_SHARED]:
        return folio_likely_mapped_shared(m, b)
    return huge_mapcount(m, b) != 1


@inlined
def _mbind_folio(m, bind, vpn, b, pages, moves):
    """Move a folio, of which the entry maps ``pages``; return its fate."""
    if not bind.move_all and _is_shared(m, b):
        m.refused[m.info[Info.SHARDS], Refusal.SHARED] += pages
        return NOT_MOVED
    became = _move_folio_by_policy(m, bind, vpn, b, moves)
    if became == MOVED_WHOLE:
        count_move(m, moves, HPAGE_PMD_NR)
    if became >= MOVED_SPLIT:  # its pages are another list (split_folios)
        end_batch(moves)
    return became


@inlined
def _mbind_pte(m, bind, vpn, pfn, moves):
    """Move a page of its own; return False if there was no memory for it."""
    if not bind.move_all and mapcount(m.frame[pfn]) > 1:
        refuse(m, Refusal.SHARED)
        return True
    if _move_by_policy(m, bind, vpn, pfn, moves):
        count_move(m, moves, 1)
        return True
    moves[Moves.FAILED] += 1
    return False


@called
def _mbind_huge_pmd(m, bind, vpn, moves):
    """Move what the huge entry of a block maps, or did until VMAs were cut.

    Return whether the folio was split: then its pages are looked at one by one.
    """
    at = vpn + m.task[bind.task, Task.DELTA]
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    entry = pmd if pmd & PMD_LEAF else m.pte[at]
    pfn = entry & PTE_PAYLOAD
    if not entry & PTE_PRESENT or not _queue_pages_required(m, bind.nodes, pfn):
        return False
    b = pfn >> HPAGE_PMD_ORDER
    return _mbind_folio(m, bind, vpn, b, HPAGE_PMD_NR, moves) == MOVED_SPLIT


@inlined
def _is_queued(moves, block, b, pfn):
    """Tell whether a page is one of a folio that PTEs of its block have queued.

    b       pageblock of the folio that the page is part of, or NONE
    """
    if moves[Moves.QUEUED] != block + 1:
        return False
    return b != NONE or (pfn >> HPAGE_PMD_ORDER) + 1 == moves[Moves.SPLIT]


@called
def _mbind_ptes(m, bind, vpn, end, moves):
    """Move the pages of a block that mbind wants; return whether it goes on after it.

    A folio is queued by its first page.  With ``strict`` its other pages, which are not
    on the LRU any more then, count as left (migrate_folio_add, 6.1; since 6.7,
    1cb5d11a370f, they are passed over).  A page that finds no memory ends the moving
    (migrate_pages).
    """
    delta = m.task[bind.task, Task.DELTA]
    block = vpn >> HPAGE_PMD_ORDER
    strict = bind.strict and not m.info[Info.MBIND_QUEUES_ONCE]
    for page in range(vpn, end):
        b, pte = folio_of(m, page + delta), m.pte[page + delta]
        pfn = pte & PTE_PAYLOAD
        if not pte & PTE_PRESENT:
            continue
        queued = _is_queued(moves, block, b, pfn)
        moves[Moves.FAILED] += queued and strict
        if (queued and b != NONE) or not _queue_pages_required(m, bind.nodes, pfn):
            continue
        if b != NONE:
            became = _mbind_folio(m, bind, page, b, 1, moves)
            if became != NOT_MOVED:
                moves[Moves.QUEUED] = block + 1
                moves[Moves.SPLIT] = b + 1 if became == MOVED_SPLIT else 0
            if became != MOVED_SPLIT:
                continue
        # A page of its own, or the one that has queued a folio that was split.
        if not m.pte[page + delta] & PTE_PRESENT:
            continue
        if not _mbind_pte(m, bind, page, pfn, moves):
            return False
    return True


@kernel
def do_mbind(m, task, v, first, pages, interleave, how, moves):
    """Move the pages of a range that are off some nodes to where its policy says.

    interleave  what is added to what the VMA's row says a page is interleaved by
    how         (nodes, move_all, strict, head, tail) of ``Bind``
    moves       int64[len(Moves)], added to
    Return whether the moving reached the end of the range.
    """
    bind = Bind(task, v, interleave, how[0], how[1], how[2], how[3], how[4])
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        block = (vpn + delta) >> HPAGE_PMD_ORDER
        stop = next_block(vpn)
        walked = m.pmd[block] != 0
        number = vpn >> HPAGE_PMD_ORDER
        if m.pmd[block] & PMD_LEAF or number == bind.head or number == bind.tail:
            walked = _mbind_huge_pmd(m, bind, vpn, moves)
        if walked and not _mbind_ptes(m, bind, vpn, min(end, stop), moves):
            return False
        vpn = stop
    return True


@kernel
def huge_entry_at(m, task, vpn):
    """Return the block of virtual space of a page if a huge entry maps it, or NONE."""
    pmd = m.pmd[(vpn + m.task[task, Task.DELTA]) >> HPAGE_PMD_ORDER]
    return vpn >> HPAGE_PMD_ORDER if pmd & PMD_LEAF else NONE


@kernel
def count_misplaced(m, task, nodes, first, pages):
    """Return how many present pages of a range are off the nodes of a mask.

    The range is of the task's process, and may have more than one VMA.
    """
    found = 0
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        pmd = m.pmd[(vpn + delta) >> HPAGE_PMD_ORDER]
        step = next_block(vpn) - vpn if pmd & PMD_LEAF else 1
        entry = pmd if pmd & PMD_LEAF else m.pte[vpn + delta]
        pfn = entry & PTE_PAYLOAD
        if entry & PTE_PRESENT and _queue_pages_required(m, nodes, pfn):
            found += step
        vpn += step
    return found
