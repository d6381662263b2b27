"""mbind: move the pages of a range to where their policy puts them, at once.

Serial work that the calling task pays for.  ``first`` is a vpn, ``pages`` a count; the
range is mapped by one VMA row, ``v``.
"""

from enum import auto
from typing import NamedTuple

from ..counters import Refusal, Vm
from ..frames.account import refuse
from ..frames.folio import folio_nid, huge_mapcount, split_huge_page
from ..frames.page_alloc import node_of
from ..frames.page_table import next_block
from ..frames.rmap import mapcount
from ..jit.compile import called, inlined, kernel
from ..knobs import Mode
from ..placement.mempolicy import alloc_on_node, alloc_page_vma, in_mask
from ..placement.migrate import migrate_folio_move, migration_cost
from ..placement.migrate_huge import migrate_huge, split_to_migrate
from ..placement.moves import note_move, note_move_huge
from ..placement.vma_alloc_folio import alloc_huge_on_node, alloc_huge_serial
from ..state import Columns, Info, Node, Task, Vma
from ..words import (
    FRAME_COMPOUND,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
)

ENOENT, ENOMEM, EACCES, EFAULT = 2, 12, 13, 14


class Moves(Columns):
    """Columns of what a call that moves pages counts; all 0 at first."""

    PAGES = auto()  # that have moved
    FAILED = auto()  # that could not be moved
    FLUSHES = auto()  # of the TLBs
    WALKS = auto()  # of these, by rmap walks that have the page's locks
    # Where mbind's walk is; the number plus 1, 0 for none:
    QUEUED = auto()  # block of virtual space, a folio of which its PTEs have queued
    SPLIT = auto()  # pageblock of that folio, if it was split
    BATCH = auto()  # pages that share the last flush, 0: the next one needs its own


class Bind(NamedTuple):
    """What mbind is asked for, for one VMA."""

    task: int
    v: int
    #: Added to a page's number to interleave by it.
    interleave: int
    #: MPOL_MF_MOVE_ALL and MPOL_MF_STRICT.
    move_all: bool
    strict: bool


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
def _move_by_policy(m, task, v, vpn, pfn):
    new = alloc_page_vma(m, m.info[Info.SHARDS], task, v, vpn, False)
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


@called
def _move_folio_by_policy(m, task, v, vpn, b, moves):
    """Move a folio to where its policy puts it; return what became of it."""
    if not m.info[Info.UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return MOVED_SPLIT
    if _split_first(m, b, moves):
        first, page = b << HPAGE_PMD_ORDER, vpn & ~(HPAGE_PMD_NR - 1)
        for i in range(HPAGE_PMD_NR):
            mapped = m.frame[first + i] != 0
            if mapped and _move_by_policy(m, task, v, page + i, first + i):
                count_move(m, moves, 1)
        return MOVED_PAGES
    new = alloc_huge_serial(m, task, v, vpn, False, False)
    if new < 0:
        _split_to_move(m, b, True)
        return MOVED_SPLIT
    _move_folio_and_judge(m, task, b, new)
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
    if _split_first(m, b, moves):
        first = b << HPAGE_PMD_ORDER
        for pfn in range(first, first + HPAGE_PMD_NR):
            if m.frame[pfn] != 0 and move_page_to_node(m, task, pfn, nid):
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
def _is_misplaced(m, mode, mask, pfn):
    """Tell whether a page is off the nodes of a policy (mm/mempolicy.c, 6.1).

    The nodemask of default and local is empty: no page is on one of its nodes.
    """
    if mode == Mode.DEFAULT or mode == Mode.LOCAL:
        return True
    return not in_mask(mask, node_of(m, pfn))


@inlined
def _queue_pages_required(m, v, pfn):
    """Tell whether mbind wants a page moved: off its VMA's nodes."""
    return _is_misplaced(m, m.vma[v, Vma.MODE], m.vma[v, Vma.MASK], pfn)


@inlined
def _mbind_folio(m, bind, vpn, b, pages, moves):
    """Move a folio, of which the entry maps ``pages``; return its fate."""
    if not bind.move_all and huge_mapcount(m, b) != 1:
        m.refused[m.info[Info.SHARDS], Refusal.SHARED] += pages
        return NOT_MOVED
    became = _move_folio_by_policy(m, bind.task, bind.v, vpn, b, moves)
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
    if _move_by_policy(m, bind.task, bind.v, vpn + bind.interleave, pfn):
        count_move(m, moves, 1)
        return True
    moves[Moves.FAILED] += 1
    return False


@called
def _mbind_huge_pmd(m, bind, vpn, moves):
    """Move what the huge entry of a block maps, if mbind wants that.

    Return whether the folio was split: then its pages are looked at one by one.
    """
    pmd = m.pmd[(vpn + m.task[bind.task, Task.DELTA]) >> HPAGE_PMD_ORDER]
    pfn = pmd & PTE_PAYLOAD
    if not pmd & PTE_PRESENT or not _queue_pages_required(m, bind.v, pfn):
        return False
    b = pfn >> HPAGE_PMD_ORDER
    return _mbind_folio(m, bind, vpn, b, HPAGE_PMD_NR, moves) >= MOVED_SPLIT


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
    on the LRU any more then, end the walk with the block (migrate_page_add, 6.1).  A
    page that finds no memory ends the moving (migrate_pages).
    """
    delta = m.task[bind.task, Task.DELTA]
    block, stuck = vpn >> HPAGE_PMD_ORDER, False
    for page in range(vpn, end):
        b, pte = folio_of(m, page + delta), m.pte[page + delta]
        pfn = pte & PTE_PAYLOAD
        if not pte & PTE_PRESENT:
            continue
        queued = _is_queued(moves, block, b, pfn)
        stuck = stuck or (queued and bind.strict)
        if (queued and b != NONE) or not _queue_pages_required(m, bind.v, pfn):
            continue
        if b != NONE:
            became = _mbind_folio(m, bind, page, b, 1, moves)
            if became != NOT_MOVED:
                moves[Moves.QUEUED] = block + 1
                moves[Moves.SPLIT] = b + 1 if became == MOVED_SPLIT else 0
            if became != MOVED_SPLIT:
                continue
        # A page of its own, or the one that has queued a folio that was split.
        if not _mbind_pte(m, bind, page, pfn, moves):
            return False
    moves[Moves.FAILED] += stuck
    return not stuck


@kernel
def do_mbind(m, task, v, first, pages, interleave, move_all, strict, moves):
    """Move the pages of a range that are off their policy's nodes to where it says.

    interleave  what is added to a page's number to interleave by it
    moves       int64[len(Moves)], added to
    Return whether the walk reached the end of the range.
    """
    bind = Bind(task, v, interleave, move_all, strict)
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        block = (vpn + delta) >> HPAGE_PMD_ORDER
        stop = next_block(vpn)
        walked = m.pmd[block] != 0
        if m.pmd[block] & PMD_LEAF:
            walked = _mbind_huge_pmd(m, bind, vpn, moves)
        if walked and not _mbind_ptes(m, bind, vpn, min(end, stop), moves):
            return False
        vpn = stop
    return True


@kernel
def count_misplaced(m, task, mode, mask, first, pages):
    """Return how many present pages of a range a policy (mode, mask) has off its nodes.

    The range is of the task's process, and may have more than one VMA.
    """
    found = 0
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        pmd = m.pmd[(vpn + delta) >> HPAGE_PMD_ORDER]
        step = next_block(vpn) - vpn if pmd & PMD_LEAF else 1
        entry = pmd if pmd & PMD_LEAF else m.pte[vpn + delta]
        if entry & PTE_PRESENT and _is_misplaced(m, mode, mask, entry & PTE_PAYLOAD):
            found += step
        vpn += step
    return found
