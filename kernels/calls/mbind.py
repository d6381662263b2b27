"""Operations that walk a range of PTEs to move pages or to make them move later.

mbind, move_pages and migrate_pages move at once; the marks of MPOL_MF_LAZY park pages
in the swap cache or the migration cache, or set PROT_NONE, so that the next touch
faults.  ``docs/model.md`` §5.  All of it is serial work, paid by the calling task.
``first`` is a vpn, ``pages`` a count; the range is mapped by one VMA row, ``v``.
"""

from ..counters import Refusal, Vm
from ..frames.account import refuse
from ..frames.folio import folio_nid, huge_mapcount, split_huge_page
from ..frames.page_alloc import node_of
from ..frames.page_table import next_block
from ..frames.rmap import mapcount
from ..jit.compile import called, inlined, kernel
from ..knobs import Mode
from ..placement.mempolicy import alloc_page_vma, in_mask
from ..placement.migrate import migrate_folio_move, migration_cost
from ..placement.migrate_huge import migrate_huge
from ..placement.moves import note_move, note_move_huge
from ..placement.vma_alloc_folio import alloc_huge_on_node, alloc_huge_serial
from ..state import Info, Node, Task, Vma
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
    """Split a folio whose pages are moved one by one; ``failed``: for want of a block.

    try_split_folio (mm/migrate.c): a failure of the folio, then of none of its pages.
    """
    if failed:
        s = m.info[Info.SHARDS]
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_FAIL] += 1
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_SPLIT] += 1
    split_huge_page(m, m.info[Info.SHARDS], b, 0)


#: What became of a folio that an operation wants to move.
MOVED_WHOLE, NOT_MOVED, MOVED_SPLIT = 0, 1, 2


@called
def _move_folio_by_policy(m, task, v, vpn, b):
    """Move a folio to where its policy puts it: _WHOLE or _SPLIT."""
    if not m.info[Info.UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return MOVED_SPLIT
    new = alloc_huge_serial(m, task, v, vpn, False, False)
    if new < 0:
        _split_to_move(m, b, True)
        return MOVED_SPLIT
    _move_folio_and_judge(m, task, b, new)
    return MOVED_WHOLE


@called
def move_folio_to_node(m, task, b, nid):
    """Move a folio to a node: _WHOLE or _SPLIT."""
    if not m.info[Info.UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return MOVED_SPLIT
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

    The nodemask of default and local is empty: no page is on a node of theirs.
    """
    if mode == Mode.DEFAULT or mode == Mode.LOCAL:
        return True
    return not in_mask(mask, node_of(m, pfn))


@inlined
def _queue_pages_required(m, v, pfn):
    """Tell whether mbind wants a page moved: off its VMA's nodes."""
    return _is_misplaced(m, m.vma[v, Vma.MODE], m.vma[v, Vma.MASK], pfn)


@inlined
def account_move(moved, became):
    """Note a folio's fate in ``moved``: pages moved, flushes."""
    if became == MOVED_WHOLE:
        moved[0] += HPAGE_PMD_NR
        moved[2] += 1


@inlined
def _mbind_folio(m, task, v, vpn, b, pages, move_all, moved):
    """Move a folio, of which the entry maps ``pages``; return its fate."""
    if not move_all and huge_mapcount(m, b) != 1:
        m.refused[m.info[Info.SHARDS], Refusal.SHARED] += pages
        moved[3] += pages
        return NOT_MOVED
    became = _move_folio_by_policy(m, task, v, vpn, b)
    account_move(moved, became)
    return became


@inlined
def _mbind_pte(m, task, v, vpn, pfn, move_all, moved):
    """Move a page of its own; return False where there was no memory for it."""
    if not move_all and mapcount(m.frame[pfn]) > 1:
        refuse(m, Refusal.SHARED)
        moved[3] += 1
        return True
    done = _move_by_policy(m, task, v, vpn, pfn)
    moved[0 if done else 1] += 1
    moved[2] += done
    return done


@called
def _mbind_huge_pmd(m, task, v, vpn, move_all, moved):
    """Move what the huge entry of a block maps, if mbind wants that.

    Return whether the folio was split: its pages are to be gone through.
    """
    pmd = m.pmd[(vpn + m.task[task, Task.DELTA]) >> HPAGE_PMD_ORDER]
    if not pmd & PTE_PRESENT or not _queue_pages_required(m, v, pmd & PTE_PAYLOAD):
        return False
    b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    return (
        _mbind_folio(m, task, v, vpn, b, HPAGE_PMD_NR, move_all, moved) == MOVED_SPLIT
    )


@called
def _mbind_ptes(m, task, v, vpn, end, interleave, move_all, strict, moved):
    """Move the pages of a block that mbind wants; return whether it goes on after it.

    A folio is queued by its first page.  With ``strict`` its other pages, which are not
    on the LRU any more then, end the walk with the block (migrate_page_add, 6.1).  A
    page without memory ends the moving (migrate_pages).
    """
    delta = m.task[task, Task.DELTA]
    block, stuck = vpn >> HPAGE_PMD_ORDER, False
    while vpn < end:
        at = vpn + delta
        b = folio_of(m, at)
        pfn = m.pte[at] & PTE_PAYLOAD
        if not m.pte[at] & PTE_PRESENT:
            vpn += 1
            continue
        queued = moved[4] == block
        if queued and (b != NONE or pfn >> HPAGE_PMD_ORDER == moved[5]):
            stuck = stuck or strict
        if (queued and b != NONE) or not _queue_pages_required(m, v, pfn):
            vpn += 1
        elif b == NONE:
            if not _mbind_pte(m, task, v, vpn + interleave, pfn, move_all, moved):
                return False
            vpn += 1
        else:
            became = _mbind_folio(m, task, v, vpn, b, 1, move_all, moved)
            if became != NOT_MOVED:
                moved[4] = block
                moved[5] = b if became == MOVED_SPLIT else NONE
            if became == MOVED_SPLIT:
                # The page that has queued the folio comes again, as one of its own.
                if not _mbind_pte(m, task, v, vpn + interleave, pfn, move_all, moved):
                    return False
            vpn += 1
    moved[1] += stuck
    return not stuck


@kernel
def do_mbind(m, task, v, first, pages, interleave, move_all, strict, moved):
    """Move the pages of a range that are off their policy's nodes to where it says.

    interleave  a page's number plus this is what is interleaved by
    moved  int64[6]  pages moved, pages that could not be, TLB flushes, pages that were
                     not tried, as others map them; added to; block of virtual space
                     whose folio PTEs have queued, pageblock of that if it was split;
                     NONE at first
    Return whether the walk reached the end of the range.
    """
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        block = (vpn + delta) >> HPAGE_PMD_ORDER
        stop = next_block(vpn)
        walked = m.pmd[block] != 0
        if m.pmd[block] & PMD_LEAF:
            walked = _mbind_huge_pmd(m, task, v, vpn, move_all, moved)
        if walked and not _mbind_ptes(
            m, task, v, vpn, min(end, stop), interleave, move_all, strict, moved
        ):
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
