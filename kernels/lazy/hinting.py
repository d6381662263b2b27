"""PROT_NONE hinting: mark pages, and serve the hint faults (do_numa_page)."""

from ..access_run import task_of
from ..balancing.ask_about_fault import ask_about_fault
from ..counters import Cause, Op, Refusal, Vm
from ..doors import Door
from ..frames.account import charge
from ..frames.allotment import close_row, has_frame, open_row
from ..frames.folio import page_mapcount
from ..frames.look_ahead import look_ahead_mapped
from ..frames.page_alloc import node_of
from ..frames.page_table import bits_of, change_bits, next_block
from ..frames.vma import find_vma
from ..jit.compile import called, inlined, kernel
from ..knobs import WriteBit
from ..placement.asked import DEFAULT, forget_answer
from ..placement.mempolicy import mpol_misplaced
from ..placement.migrate import repointed, written_through
from ..state import SERVED, Cost, Info, Node, Task, Vma
from ..words import (
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    FRAME_COMPOUND,
    FRAME_MAPCOUNT_ONE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_NUMA,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
)
from .lazy_row import (
    HOLDERS,
    Moved,
    count_hits,
    count_moves,
    is_of,
    may_move,
    move_frame,
    private_vma,
    row_to_task,
)
from .misplaced import (
    HintFault,
    charge_hint_flushes,
    count_hint_faults,
    count_numa_migrations,
    decide,
    end_hint_fault,
    serve_hint_fault,
    unmarked,
)


@inlined
def _count_marked(m, s, nid, pages):
    m.vm[s, nid, Vm.NUMA_PTE_UPDATES] += pages
    m.vm[s, nid, Vm.LAZY_PAGES_MARKED] += pages


@inlined
def _are_unmarked(m, ptes):
    """Tell whether all PTEs of a slice are present, unmarked and of one node."""
    every, some = bits_of(ptes)
    if not every & PTE_PRESENT or some & PTE_PROTNONE:
        return False
    return node_of(m, every & PTE_PAYLOAD) == node_of(m, some & PTE_PAYLOAD)


@inlined
def _mark_ptes(m, s, ptes):
    if _are_unmarked(m, ptes):
        change_bits(ptes, 0, PTE_PROTNONE)
        _count_marked(m, s, node_of(m, ptes[0] & PTE_PAYLOAD), ptes.size)
        return ptes.size
    marked = 0
    for i in range(ptes.size):
        pte = ptes[i]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
            continue
        ptes[i] = pte | PTE_PROTNONE
        _count_marked(m, s, node_of(m, pte & PTE_PAYLOAD), 1)
        marked += 1
    return marked


@inlined
def _mark_huge(m, s, block):
    """Set PROT_NONE on a huge entry (change_huge_pmd); return entries marked."""
    pmd = m.pmd[block]
    if pmd & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
        return 0
    m.pmd[block] = pmd | PTE_PROTNONE
    nid = node_of(m, pmd & PTE_PAYLOAD)
    _count_marked(m, s, nid, HPAGE_PMD_NR)
    m.vm[s, nid, Vm.NUMA_HUGE_PTE_UPDATES] += 1
    return 1


@kernel
def change_prot_numa(m, task, first, pages):
    """Set PROT_NONE on the present entries of a range (mm/mempolicy.c, 3.8).

    Return (entries marked, pages that they map).
    """
    s = m.info[Info.SHARDS]
    at = first + m.task[task, Task.DELTA]
    end = at + pages
    small, huge = 0, 0
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        stop = min(end, next_block(at))
        if pmd & PMD_LEAF:
            huge += _mark_huge(m, s, at >> HPAGE_PMD_ORDER)
        elif pmd:
            small += _mark_ptes(m, s, m.pte[at:stop])
        at = stop
    return small + huge, small + huge * HPAGE_PMD_NR


@inlined
def _do_numa_page_of_folio(m, s, fault):
    """Serve a hint fault on a part of a folio, which never moves before 6.10."""
    if m.info[Info.HINT_FOLIOS]:
        task, at, v, vpn, pfn, nid, _, traps, _, write = fault
        first, pages = pfn & ~(HPAGE_PMD_NR - 1), HPAGE_PMD_NR
        whole = HintFault(task, at, v, vpn, first, nid, pages, traps, True, write)
        return serve_hint_fault(m, s, whole, decide(m, s, whole))
    if mpol_misplaced(m, fault.task, fault.v, fault.vpn, fault.pfn) != NONE:
        m.refused[s, Refusal.PTE_MAPPED_THP] += 1
    end_hint_fault(m, s, fault, False)
    return SERVED


@called
def _do_numa_page(m, s, task, at, v, vpn, traps, write):
    """Serve a hint fault on one page: SERVED or PUT_ASIDE."""
    pfn = m.pte[at] & PTE_PAYLOAD
    fault = HintFault(task, at, v, vpn, pfn, node_of(m, pfn), 1, traps, True, write)
    if m.frame[pfn] & FRAME_COMPOUND:
        return _do_numa_page_of_folio(m, s, fault)
    return serve_hint_fault(m, s, fault, decide(m, s, fault))


@called
def _do_pmd_numa_page(m, s, task, at, v, vpn, write):
    """Serve the hint faults of all marked pages of a table as one (3.8 to 3.12).

    If one of them is put aside, those before it are served.
    """
    first = max(vpn >> HPAGE_PMD_ORDER << HPAGE_PMD_ORDER, m.vma[v, Vma.START])
    for one in range(first, next_block(vpn)):
        i = at + one - vpn
        pte = m.pte[i]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT | PTE_PROTNONE:
            continue
        if one >= m.vma[v, Vma.END]:
            v = find_vma(m, m.task[task, Task.MM], one)
        if page_mapcount(m, pte & PTE_PAYLOAD) != 1:
            m.pte[i] = unmarked(pte)
            continue
        status = _do_numa_page(m, s, task, i, v, one, 0, write and one == vpn)
        if status != SERVED:
            return status
    m.pmd[at >> HPAGE_PMD_ORDER] &= ~PMD_NUMA
    charge(m, s, task, Cause.HINT_FAULT, m.cost[Cost.HINT_FAULT])
    return SERVED


@called
def do_numa_page(m, s, task, at, v, vpn, write):
    """Serve a hint fault on a page that a PTE maps: SERVED or PUT_ASIDE."""
    if m.pmd[at >> HPAGE_PMD_ORDER] & PMD_NUMA:
        return _do_pmd_numa_page(m, s, task, at, v, vpn, write)
    return _do_numa_page(m, s, task, at, v, vpn, 1, write)


# A row decides once for all its pages: without NUMA balancing and its limits a page of
# a private VMA goes to its task's node.  Each move is that of ``_migrate_page``, for a
# page that one PTE maps and no cache holds.


@inlined
def _begins_row(m, task, v, source):
    """Tell whether hint faults on pages of node ``source`` move them to the task's."""
    if v == NONE or m.info[Info.MIGRATE_LIMIT] or not m.vma[v, Vma.READ]:
        return False
    if m.info[Info.WRITE_BIT] != WriteBit.KEPT:
        return False
    return may_move(m, task, v, source, Node.HIGH, 1)


@called
def _goes_along(m, s, row, v, at, word, pfn):
    """Tell whether a user's policy moves a page of a row to the row's target.

    If it does not, the answer waits for the fault to be served alone.
    """
    vpn, write = word & ACCESS_VPN, word & ACCESS_WRITE != 0
    source = row.source
    fault = HintFault(row.task, at, v, vpn, pfn, source, 1, 1, True, write)
    answer = ask_about_fault(m, s, fault)
    if answer != row.target and answer != DEFAULT:
        return False
    forget_answer(m, s)
    return True


@called
def hint_faults(m, s, k, run):
    """Serve a row of hint faults from access ``k``; return the first not served."""
    task, first = task_of(run), k
    vpn = run.queued[k] & ACCESS_VPN
    v = private_vma(m, task, vpn)
    source = node_of(m, m.pte[vpn + m.task[task, Task.DELTA]] & PTE_PAYLOAD)
    if not _begins_row(m, task, v, source):
        return k
    row = row_to_task(m, task, v, source)
    moved, asks = Moved(open_row(m, s, row.target), 0, 0), m.door[Door.HINT_FAULT] != 0
    while k < run.end and has_frame(moved.frames):
        word = run.queued[k]
        look_ahead_mapped(m, run.queued, k, run.last)
        if not is_of(word, run, row.low, row.high):
            break
        at = (word & ACCESS_VPN) + row.delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need, pte = PTE_PRESENT | PTE_PROTNONE | write * PTE_WRITE, m.pte[at]
        old = pte & PTE_PAYLOAD
        if pte & need != need or node_of(m, old) != source:
            break
        page = m.frame[old]
        if page & HOLDERS != FRAME_MAPCOUNT_ONE:
            break
        if asks and not _goes_along(m, s, row, v, at, word, old):
            break
        page = written_through(page, pte)
        new, moved = move_frame(m, s, row, moved, old, page)
        m.pte[at] = unmarked(repointed(pte, new)) | row.owed | write * PTE_DIRTY
        k += 1
    close_row(m, s, row.target, moved.frames)
    count_moves(m, s, row, moved, k - first)
    charge_hint_flushes(m, s, task, k - first)
    count_numa_migrations(m, s, source, row.target, k - first)
    count_hint_faults(m, s, task, source, k - first, k - first, Op.HINT_FAULT)
    count_hits(run, row, k - first)
    return k
