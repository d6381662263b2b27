"""PROT_NONE hinting: mark pages, and serve the hint faults (do_numa_page)."""

from ..balancing.should_numa_migrate_memory import (
    note_filter,
    note_migration,
    numamigrate_update_ratelimit,
)
from ..balancing.task_numa_fault import task_numa_fault, vma_set_access_pid_bit
from ..counters import Cause, Refusal, Vm
from ..frames.allotment import close_row, has_frame, open_row, take_next
from ..frames.folio import page_mapcount
from ..frames.look_ahead import look_ahead_mapped
from ..frames.page_alloc import free_later, node_of
from ..frames.page_table import bits_of, change_bits, next_block
from ..frames.rmap import mapcount
from ..jit.compile import called, inlined, kernel
from ..placement.mempolicy import alloc_hinted, mpol_misplaced
from ..placement.migrate import migrate_folio_move, migrate_page_of, migration_cost
from ..placement.moves import note_move, note_move_of
from ..state import NO_MEMORY, PUT_ASIDE, SERVED, Cost, Info, Node, Task, Vma
from ..words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_MAPCOUNT_ONE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_DIRTY,
    PTE_OWES,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
)
from .lazy_row import (
    HELD,
    count_moves,
    goes_to_task,
    has_room,
    is_of,
    moved,
    owed_of,
    private_vma,
)
from .misplaced import (
    count_hint_fault,
    count_numa_migration,
    last_cpupid,
    mapping_is_writable,
    misplaced,
    wake_demotion,
)


@inlined
def _count_hint_faults(m, s, task, nid, pages):
    m.vm[s, nid, Vm.NUMA_PAGES_MIGRATED] += pages
    m.vm[s, nid, Vm.NUMA_HINT_FAULTS] += pages
    m.cause[s, task, Cause.HINT_FAULT] += pages * m.cost[Cost.HINT_FAULT]


@called
def hint_faults(m, s, queued, k, end, last, run, counts):
    """Serve hint faults that move pages of one node to the task's; as above."""
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = private_vma(m, task, queued[k] & ACCESS_VPN)
    if m.info[Info.BALANCING] or m.info[Info.MIGRATE_LIMIT] or v == NONE:
        return k
    nid, delta = m.task[task, Task.NID], m.task[task, Task.DELTA]
    if not goes_to_task(m, task, v) or not m.vma[v, Vma.READ]:
        return k
    old_nid = node_of(m, m.pte[(queued[k] & ACCESS_VPN) + delta] & PTE_PAYLOAD)
    if old_nid == nid or not has_room(m, nid, Node.HIGH, 1):
        return k
    low, high, owed = (
        m.vma[v, Vma.START],
        m.vma[v, Vma.END],
        owed_of(m, task, old_nid, nid),
    )
    active, back = 0, 0
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead_mapped(m, queued, k, last)
        if not is_of(word, run, low, high):
            break
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need, pte = PTE_PRESENT | PTE_PROTNONE | write * PTE_WRITE, m.pte[at]
        old = pte & PTE_PAYLOAD
        if pte & need != need or node_of(m, old) != old_nid:
            break
        page = m.frame[old]
        if page & HELD != FRAME_MAPCOUNT_ONE:
            break
        new, row = take_next(m, s, nid, row)
        m.frame[new] = moved(page, pte, old_nid)
        active += page & FRAME_ACTIVE != 0
        back += (page & FRAME_FROM) >> FRAME_FROM_SHIFT == nid + 1
        m.frame[old] = 0
        free_later(m, s, old)
        pte = pte & ~(PTE_PAYLOAD | PTE_PROTNONE | PTE_OWES) | new | owed
        m.pte[at] = pte | PTE_YOUNG | write * PTE_DIRTY
        k += 1
    close_row(m, s, nid, row)
    pages = k - first
    count_moves(m, s, task, old_nid, nid, pages, active, back)
    _count_hint_faults(m, s, task, nid, pages)
    counts[nid] += pages
    counts[counts.size - 1] += pages if owed == 0 else 0
    return k


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
def _migrate_misplaced_page(m, s, task, at, old, new):
    """Move a page by a hint fault to the frame ``new``, and judge that."""
    page_nid, target = node_of(m, old), node_of(m, new)
    ns = migration_cost(m, s, task, old, new)
    if mapcount(m.frame[old]) == 1:
        migrate_page_of(m, s, at, old, new)
        note_move_of(m, s, task, at, page_nid, new, ns)
    else:
        migrate_folio_move(m, s, old, new)
        note_move(m, s, task, at, page_nid, new, ns)
    count_numa_migration(m, s, page_nid, target, 1)


@inlined
def _do_numa_page_of_folio(m, s, task, v, vpn, pfn):
    """Serve a hint fault on a part of a folio, which never moves (before 6.10)."""
    if mpol_misplaced(m, task, v, vpn, pfn) != NONE:
        m.refused[s, Refusal.PTE_MAPPED_THP] += 1
    return SERVED


@inlined
def _do_numa_page_alone(m, s, task, at, v, vpn, old):
    """Serve a hint fault on a page of its own: SERVED or PUT_ASIDE."""
    page_nid = node_of(m, old)
    target, answer, asked = misplaced(m, s, task, v, vpn, old, page_nid, 1)
    new = NO_MEMORY
    limited = target != NONE and numamigrate_update_ratelimit(m, s, target)
    if target != NONE and not limited:
        new = alloc_hinted(m, s, target, m.task[task, Task.NID])
        if new == PUT_ASIDE:
            return PUT_ASIDE
    last, writable = 0, False
    if m.info[Info.BALANCING]:
        last = last_cpupid(m, old, page_nid)
        writable = mapping_is_writable(m, v, m.pte[at], page_mapcount(m, old))
        if asked:
            note_filter(m, s, task, old, page_nid, 1, answer)
        if target != NONE and not limited:
            note_migration(m, s, target, 1)
    if new >= 0:
        _migrate_misplaced_page(m, s, task, at, old, new)
    elif limited:
        m.refused[s, Refusal.RATE_LIMIT] += 1
    elif target != NONE:
        m.refused[s, Refusal.TARGET_FULL] += 1
        wake_demotion(m, target)
    if m.info[Info.BALANCING]:
        local = page_nid == m.task[task, Task.NID]
        nid = target if new >= 0 else page_nid
        failed = target != NONE and new < 0
        vma_set_access_pid_bit(m, s, v, task)
        task_numa_fault(m, s, task, last, local, nid, 1, writable, failed)
    return SERVED


@called
def do_numa_page(m, s, task, at, v, vpn):
    old = m.pte[at] & PTE_PAYLOAD
    page_nid = node_of(m, old)
    if m.frame[old] & FRAME_COMPOUND:
        status = _do_numa_page_of_folio(m, s, task, v, vpn, old)
    else:
        status = _do_numa_page_alone(m, s, task, at, v, vpn, old)
    if status == SERVED:
        count_hint_fault(m, s, task, page_nid)
        m.pte[at] = (m.pte[at] & ~PTE_PROTNONE) | PTE_YOUNG
    return status
