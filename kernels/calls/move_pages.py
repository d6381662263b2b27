"""Move pages to a node: move_pages and migrate_pages (mm/migrate.c)."""

from ..counters import Refusal
from ..frames.account import refuse
from ..frames.folio import folio_nid, huge_mapcount, page_mapcount
from ..frames.page_alloc import node_of
from ..frames.page_table import next_block
from ..frames.rmap import mapcount
from ..jit.compile import inlined, kernel
from ..state import Info, Task
from ..words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_ZERO,
)
from .mbind import (
    EACCES,
    EBUSY,
    EFAULT,
    ENOENT,
    ENOMEM,
    MOVED_WHOLE,
    Moves,
    count_move,
    end_batch,
    folio_of,
    move_folio_to_node,
    move_page_to_node,
)


@inlined
def _move_to_node(m, task, pfn, nid, move_all):
    """Move one page to a node; return the node it is on then, or -errno."""
    if node_of(m, pfn) == nid:
        return nid
    if not move_all and mapcount(m.frame[pfn]) > 1:
        refuse(m, Refusal.SHARED)
        return -EACCES
    return nid if move_page_to_node(m, task, pfn, nid) else -ENOMEM


@inlined
def _move_folio(m, task, b, pfn, pages, nid, move_all, moves):
    """Move a folio to a node; return the node, -EACCES, or NONE: it was split.

    pfn    the page that is asked for, of the ``pages`` that the entry maps
    """
    if folio_nid(m, b) == nid:
        return nid
    count = huge_mapcount(m, b) if pages > 1 else page_mapcount(m, pfn)
    if not move_all and count > 1:
        m.refused[m.info[Info.SHARDS], Refusal.SHARED] += pages
        return -EACCES
    became = move_folio_to_node(m, task, b, nid, moves)
    if became != MOVED_WHOLE:
        end_batch(moves)  # its pages are another list (split_folios)
        return NONE
    count_move(m, moves, HPAGE_PMD_NR)
    return nid


@inlined
def _is_hidden(m, entry):
    """Tell whether move_pages does not see a page (gup_can_follow_protnone, 6.1)."""
    return entry & PTE_PROTNONE != 0 and m.info[Info.FOLLOW_PROTNONE] == 0


@inlined
def _move_page(m, task, at, nid, move_all, moves):
    """Move the page of a PTE; return the node it is on then, or -errno."""
    pte = m.pte[at]
    if pte & PTE_ZERO:
        return -EFAULT
    if not pte & PTE_PRESENT:
        return -ENOENT
    before = node_of(m, pte & PTE_PAYLOAD)
    after = _move_to_node(m, task, pte & PTE_PAYLOAD, nid, move_all)
    if after == nid and before != nid:
        count_move(m, moves, 1)
    return after


@kernel
def move_pages(m, task, first, nid, move_all, status, moves):
    """Move pages to a node (move_pages(2)).

    status  int64[pages]  set to the page's node or -errno, page by page
    moves   int64[len(Moves)], added to

    A page that has nowhere to go ends the list of those before it, and so their batch
    (do_pages_move).  So does another page of a folio that waits in the list: it is
    -EBUSY (isolate_lru_page).
    """
    i, waits = 0, NONE
    while i < status.size:
        at = first + i + m.task[task, Task.DELTA]
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        step = min(status.size - i, next_block(at) - at) if pmd & PMD_LEAF else 1
        b, before = folio_of(m, at), moves[Moves.PAGES]
        if _is_hidden(m, pmd if pmd & PMD_LEAF else m.pte[at]):
            status[i : i + step] = -EFAULT if pmd & PMD_LEAF else -ENOENT
        elif b != NONE and b == waits:
            step = 1
            status[i] = -EBUSY
        elif b != NONE:
            pfn = (b << HPAGE_PMD_ORDER) + at % HPAGE_PMD_NR
            mapped = HPAGE_PMD_NR if pmd & PMD_LEAF else 1
            got = _move_folio(m, task, b, pfn, mapped, nid, move_all, moves)
            if got == NONE:
                continue
            if moves[Moves.PAGES] > before:
                waits, step = folio_of(m, at), 1
            status[i : i + step] = got
        elif pmd & PMD_LEAF:
            status[i : i + step] = -EFAULT
        else:
            status[i] = _move_page(m, task, at, nid, move_all, moves)
        if moves[Moves.PAGES] == before:
            end_batch(moves)
            waits = NONE
        i += step


@kernel
def migrate_to_node(m, task, first, pages, source, nid, move_all, moves):
    """Move the pages of a range that are on ``source`` to ``nid`` (migrate_pages(2)).

    moves  int64[len(Moves)], added to
    """
    delta = m.task[task, Task.DELTA]
    at, end = first + delta, first + pages + delta
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        step = min(end, next_block(at)) - at if pmd & PMD_LEAF else 1
        b = folio_of(m, at)
        entry = pmd if pmd & PMD_LEAF else m.pte[at]
        if not entry & PTE_PRESENT or node_of(m, entry & PTE_PAYLOAD) != source:
            at += step
            continue
        if b != NONE:
            pfn = (b << HPAGE_PMD_ORDER) + at % HPAGE_PMD_NR
            got = _move_folio(m, task, b, pfn, step, nid, move_all, moves)
            if got == NONE:
                continue
            moves[Moves.FAILED] += 0 if got == nid else step
        elif _move_page(m, task, at, nid, move_all, moves) != nid:
            moves[Moves.FAILED] += 1
        at += step
