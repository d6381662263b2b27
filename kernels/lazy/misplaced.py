"""A hint fault of NUMA: decide, move, account, for a page or for a whole folio.

do_numa_page (mm/memory.c) and do_huge_pmd_numa_page (mm/huge_memory.c) differ in the
entry that maps the pages and in how many these are.
"""

from typing import Final, NamedTuple

from ..balancing.numa_scan_period import note_period
from ..balancing.should_numa_migrate_memory import (
    misplaced_when_off,
    note_filter,
    note_migration,
    note_refusal,
    numa_misplaced,
    numamigrate_update_ratelimit,
)
from ..balancing.task_numa_fault import task_numa_fault, vma_set_access_pid_bit
from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import charge, charge_walk_flushes, count_op
from ..frames.folio import huge_mapcount, page_mapcount
from ..frames.last_cpupid import folio_last_cpupid, uses_access_time
from ..frames.lru_batch import folio_putback_lru, in_batch
from ..frames.page_alloc import node_of
from ..frames.rmap import mapcount, read_only
from ..jit.compile import called, inlined
from ..knobs import Balancing, GroupIf, WriteBit
from ..placement.asked import forget_answer
from ..placement.mempolicy import alloc_on_node
from ..placement.migrate import migrate_folio_move, migrate_page_of, migration_cost
from ..placement.migrate_huge import migrate_huge, split_to_migrate
from ..placement.moves import note_move, note_move_huge, note_move_of
from ..placement.vma_alloc_folio import alloc_huge_on_node
from ..state import NO_MEMORY, PUT_ASIDE, SERVED, Cost, Info, Node, Task, Vma
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_EXCLUSIVE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
)

_TIERING: Final = int(Balancing.TIERING)


class HintFault(NamedTuple):
    """A hint fault on a page, or on a folio."""

    task: int
    #: Index of the PTE of the page that was touched, and the row of its VMA.
    at: int
    v: int
    vpn: int
    #: First frame, its node, and how many frames there are: 1 or 512.
    pfn: int
    nid: int
    pages: int
    #: How many traps it took: 0 if it is served with the others of its table.
    traps: int
    #: Whether a PTE maps what was touched: a page, or a part of a folio.
    small: bool
    #: Whether the access writes.
    write: bool


class Decision(NamedTuple):
    """Whether the pages of a hint fault should move."""

    #: The node that they should be on, NONE: where they are.
    target: int
    #: What the filter of NUMA balancing said, and whether it was asked.
    answer: int
    asked: bool
    #: Whether the target's migrations of this window are used up.
    limited: bool


@inlined
def decide(m, s, fault):
    """Return the Decision on a hint fault; nothing changes."""
    if m.info[Info.BALANCING]:
        target, answer, asked = numa_misplaced(m, s, fault)
    else:
        asked = False
        target, answer = misplaced_when_off(m, s, fault)
    limited = target != NONE and numamigrate_update_ratelimit(m, s, target)
    return Decision(target, answer, asked, limited)


@inlined
def _alloc_misplaced_dst_folio(m, s, fault, decision):
    """Return the first frame that the pages may move to, NO_MEMORY or PUT_ASIDE.

    migrate_balanced_pgdat: the node stays above high plus the pages that come.
    """
    if decision.target == NONE or decision.limited:
        return NO_MEMORY
    cpu_nid, pages = m.task[fault.task, Task.NID], fault.pages
    if pages == 1 and in_batch(m, fault.pfn):
        # It is not on the LRU: folio_isolate_lru fails.
        return NO_MEMORY
    if pages == 1:
        return alloc_on_node(m, s, decision.target, cpu_nid, Node.HIGH, 1)
    b = alloc_huge_on_node(m, s, decision.target, cpu_nid, Node.HIGH, pages)
    return b if b < 0 else b << HPAGE_PMD_ORDER


@inlined
def _maps_alone(m, fault):
    """Tell whether nobody else maps the pages of a fault."""
    if fault.pages == 1:
        return page_mapcount(m, fault.pfn) == 1
    if fault.small:
        return m.pte[fault.at] & PTE_EXCLUSIVE != 0
    b = fault.pfn >> HPAGE_PMD_ORDER
    return huge_mapcount(m, b) + (m.block_huge[b] & FOLIO_COMPOUND != 0) == 1


@inlined
def _may_group(m, fault):
    """Tell whether a fault says something about who shares the page (no NO_GROUP)."""
    rule, writes = m.info[Info.GROUP_IF], m.vma[fault.v, Vma.WRITE] == 1
    if rule == GroupIf.VM_WRITE:
        return writes
    small = fault.small
    entry = m.pte[fault.at] if small else m.pmd[fault.at >> HPAGE_PMD_ORDER]
    if rule == GroupIf.DIRTY:
        return entry & PTE_DIRTY != 0
    bit = entry & PTE_WRITE != 0
    if rule == GroupIf.WRITE_BIT:
        # do_numa_page asks the entry that it has made anew, the huge one the old one.
        return bit and not (small and _loses_write_bit(m, fault))
    return writes and (bit or _maps_alone(m, fault))


@inlined
def _note_decision(m, s, fault, decision):
    """Do what the filter and the limit do, now that the fault will be served.

    Return (who took the last fault, 0 for nobody known, whether the tasks may form a
    group), as they were before.
    """
    if not m.info[Info.BALANCING]:
        if decision.answer >= 0:
            remote = fault.nid != m.task[fault.task, Task.NID]
            note_refusal(m, s, decision.answer, remote, fault.pages)
        return 0, False
    last = 0 if uses_access_time(m, fault.nid) else folio_last_cpupid(m, fault.pfn)
    may_group = _may_group(m, fault)
    if decision.asked:
        note_asked(m, s, fault, decision)
    if decision.target != NONE and not decision.limited:
        note_migration(m, s, decision.target, fault.pages)
    return last, may_group


@inlined
def note_asked(m, s, fault, decision):
    """Do what the filter does to the pages and their node."""
    pages = fault.pages
    note_filter(m, s, fault.task, fault.pfn, fault.nid, pages, decision.answer)


@inlined
def _migrate_page(m, s, fault, new):
    task, at, old = fault.task, fault.at, fault.pfn
    ns = migration_cost(m, s, task, old, new)
    if mapcount(m.frame[old]) == 1:
        migrate_page_of(m, s, at, old, new)
        note_move_of(m, s, task, at, fault.nid, new, ns)
    else:
        migrate_folio_move(m, s, old, new)
        note_move(m, s, task, at, fault.nid, new, ns)
    folio_putback_lru(m, m.task[task, Task.NID], new)
    charge_hint_flushes(m, s, task, 1)


@inlined
def charge_hint_flushes(m, s, task, pages):
    """Charge the TLB flushes of small pages that hint faults mapped, then moved."""
    if m.info[Info.HINT_FLUSH]:
        charge_walk_flushes(m, s, task, pages)


@inlined
def _migrate_folio(m, s, fault, new):
    task, block = fault.task, fault.at >> HPAGE_PMD_ORDER
    b = new >> HPAGE_PMD_ORDER
    ns = migrate_huge(m, s, task, fault.pfn >> HPAGE_PMD_ORDER, b)
    # Without a PMD entry nothing counts how often a folio is used.
    block = NONE if fault.small else block
    note_move_huge(m, s, task, block, fault.nid, b, ns)


@inlined
def _migrate_misplaced_folio(m, s, fault, new):
    """Move the pages of a hint fault to the frames from ``new`` on; judge the move."""
    if fault.pages == 1:
        _migrate_page(m, s, fault, new)
    else:
        _migrate_folio(m, s, fault, new)
    count_numa_migrations(m, s, fault.nid, node_of(m, new), fault.pages)


@inlined
def _move_page_of_split(m, s, fault, pfn, target):
    """Move a page of a folio that a hint fault has split; return whether it moved."""
    task, nid = fault.task, m.task[fault.task, Task.NID]
    new = alloc_on_node(m, s, target, nid, Node.LOW, 0)
    if new < 0:
        m.refused[s, Refusal.TARGET_FULL] += 1
        return False
    ns = migration_cost(m, s, task, pfn, new)
    migrate_folio_move(m, s, pfn, new)
    note_move(m, s, task, NONE, fault.nid, new, ns)
    return True


@called
def _move_split(m, s, fault, target):
    """Move the pages of a folio that a hint fault has split; return if all moved."""
    moved, stay = 0, 0
    for pfn in range(fault.pfn, fault.pfn + HPAGE_PMD_NR):
        if mapcount(m.frame[pfn]) == 0:
            moved += 1
        elif _move_page_of_split(m, s, fault, pfn, target):
            moved += 1
        else:
            stay += 1
    count_numa_migrations(m, s, fault.nid, target, moved)
    return stay == 0


@inlined
def _refuse_move(m, s, fault, decision):
    """Count pages that should have moved; kswapd makes room on a machine of tiers."""
    if decision.limited:
        m.refused[s, Refusal.RATE_LIMIT] += fault.pages
        return
    if fault.pages == 1 and in_batch(m, fault.pfn):
        m.refused[s, Refusal.BUSY] += 1
        return
    m.refused[s, Refusal.TARGET_FULL] += fault.pages
    if m.info[Info.BALANCING] & _TIERING:
        m.node[decision.target, Node.KSWAPD_WOKEN] = 1


@inlined
def count_numa_migrations(m, s, source, target, pages):
    """Count pages that hint faults have moved."""
    m.vm[s, target, Vm.NUMA_PAGES_MIGRATED] += pages
    if uses_access_time(m, source):
        m.vm[s, target, Vm.PGPROMOTE_SUCCESS] += pages


@inlined
def count_hint_faults(m, s, task, page_nid, faults, traps, op):
    """Count hint faults on pages of a node, and charge the traps that they took.

    op  HINT_FAULT or HUGE_HINT_FAULT
    """
    cpu_nid = m.task[task, Task.NID]
    m.vm[s, cpu_nid, Vm.NUMA_HINT_FAULTS] += faults
    if page_nid == cpu_nid:
        m.vm[s, cpu_nid, Vm.NUMA_HINT_FAULTS_LOCAL] += faults
    charge(m, s, task, Cause.HINT_FAULT, traps * m.cost[Cost.HINT_FAULT])
    count_op(m, s, task, op, faults)


@inlined
def unmarked(entry):
    """Return an entry after its hint fault."""
    return entry & ~PTE_PROTNONE | PTE_YOUNG


@inlined
def _loses_write_bit(m, fault):
    """Tell whether an entry is made anew, of what a private mapping begins with."""
    rule = m.info[Info.WRITE_BIT]
    lost = rule == WriteBit.LOST_AT_MARK or rule == WriteBit.LOST_AT_FAULT
    return lost and m.vma[fault.v, Vma.SHARED] == 0


@inlined
def _upgraded(m, fault, entry, moved, exclusive):
    """Return an entry with the WRITE that it has since 6.2 (can_change_pte_writable).

    exclusive  PTE_EXCLUSIVE or PMD_EXCLUSIVE
    """
    if m.info[Info.WRITE_BIT] != WriteBit.LOST_AT_MOVE or m.vma[fault.v, Vma.SHARED]:
        return entry
    if moved:
        return read_only(entry, exclusive)
    if entry & exclusive and m.vma[fault.v, Vma.WRITE]:
        return entry & ~exclusive | PTE_WRITE
    return entry


@inlined
def _made_anew(m, fault, entry, moved):
    """Return an entry after its hint fault; ``moved``: it maps other frames now."""
    exclusive = PTE_EXCLUSIVE if fault.small else PMD_EXCLUSIVE
    entry = _upgraded(m, fault, unmarked(entry), moved, exclusive)
    if not _loses_write_bit(m, fault):
        return entry
    # migrate_misplaced_transhuge_page: maybe_pmd_mkwrite, of a page with one mapping.
    if moved and fault.pages > 1 and m.vma[fault.v, Vma.WRITE] == 1:
        b = (entry & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
        if huge_mapcount(m, b) == 1 and m.block_huge[b] & FOLIO_COMPOUND == 0:
            return entry | PTE_WRITE
    return entry & ~PTE_WRITE


@inlined
def _numa_rebuild_large_mapping(m, fault):
    """Take the marks off all PTEs of a folio that stays, within VMA and page table."""
    start = max(fault.vpn & ~(HPAGE_PMD_NR - 1), m.vma[fault.v, Vma.START])
    end = min((fault.vpn | HPAGE_PMD_NR - 1) + 1, m.vma[fault.v, Vma.END])
    for vpn in range(start, end):
        at = fault.at + vpn - fault.vpn
        marked = m.pte[at] & (PTE_PRESENT | PTE_PROTNONE) == PTE_PRESENT | PTE_PROTNONE
        if (
            marked
            and (m.pte[at] & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
            == fault.pfn >> HPAGE_PMD_ORDER
        ):
            m.pte[at] = _made_anew(m, fault, m.pte[at], False)


@inlined
def end_hint_fault(m, s, fault, moved):
    """Take the mark off the entry, and count and charge the fault."""
    if fault.small:
        if fault.pages > 1 and not moved:
            _numa_rebuild_large_mapping(m, fault)
        m.pte[fault.at] = _made_anew(m, fault, m.pte[fault.at], moved)
        count_hint_faults(m, s, fault.task, fault.nid, 1, fault.traps, Op.HINT_FAULT)
    else:
        block = fault.at >> HPAGE_PMD_ORDER
        m.pmd[block] = _made_anew(m, fault, m.pmd[block], moved)
        count_hint_faults(m, s, fault.task, fault.nid, 1, 1, Op.HUGE_HINT_FAULT)


@inlined
def _is_shared(m, fault):
    """Return 1 if several processes map a page of a shared mapping (TNF_SHARED)."""
    return 1 if m.vma[fault.v, Vma.SHARED] and mapcount(m.frame[fault.pfn]) > 1 else 0


@inlined
def _waits_for_split(m, fault, decision):
    """Tell whether a folio will be split, and its pages move (split_to_migrate)."""
    if fault.pages == 1 or not fault.small or decision.target == NONE:
        return False
    if not m.info[Info.SPLIT_TO_MIGRATE] or decision.limited:
        return False
    if m.block_huge[fault.pfn >> HPAGE_PMD_ORDER] & FOLIO_DEFERRED == 0:
        return False
    node = m.node[decision.target]
    return node[Node.ONLINE] == 1 and node[Node.FREE] > node[Node.HIGH] + fault.pages


@called
def _serve_split(m, s, fault, last, may_group, target):
    """Serve a hint fault whose folio was split: its pages move one by one.

    If one of them stays, Linux finds another entry than the one that faulted, and
    accounts nothing.
    """
    all_moved = _move_split(m, s, fault, target)
    m.pte[fault.at] = m.pte[fault.at] & ~PTE_PROTNONE | PTE_YOUNG
    count_hint_faults(m, s, fault.task, fault.nid, 1, fault.traps, Op.HINT_FAULT)
    if m.info[Info.BALANCING]:
        vma_set_access_pid_bit(m, s, fault.v, fault.task)
        if all_moved:
            local, pages = fault.nid == m.task[fault.task, Task.NID], fault.pages
            note_period(m, s, fault.task, pages, True)
            task_numa_fault(
                m, s, fault.task, last, local, target, pages, may_group, 0, False
            )
    return SERVED


@called
def serve_hint_fault(m, s, fault, decision):
    """Serve a hint fault that is decided: SERVED or PUT_ASIDE."""
    if _waits_for_split(m, fault, decision):
        forget_answer(m, s)
        last, may_group = _note_decision(m, s, fault, decision)
        split_to_migrate(m, s, fault.pfn >> HPAGE_PMD_ORDER)
        return _serve_split(m, s, fault, last, may_group, decision.target)
    new = _alloc_misplaced_dst_folio(m, s, fault, decision)
    if new == PUT_ASIDE:
        return PUT_ASIDE
    forget_answer(m, s)
    last, may_group = _note_decision(m, s, fault, decision)
    shared = _is_shared(m, fault)
    misplaced, moved = decision.target != NONE, new >= 0
    if moved:
        _migrate_misplaced_folio(m, s, fault, new)
    elif misplaced:
        _refuse_move(m, s, fault, decision)
    end_hint_fault(m, s, fault, moved)
    if m.info[Info.BALANCING]:
        task, nid = fault.task, decision.target if moved else fault.nid
        local, failed = fault.nid == m.task[task, Task.NID], misplaced and not moved
        vma_set_access_pid_bit(m, s, fault.v, task)
        if fault.traps or misplaced:
            # do_pmd_numa_page does not account pages that are not misplaced (3.8).
            note_period(m, s, task, fault.pages, moved)
        task_numa_fault(
            m, s, task, last, local, nid, fault.pages, may_group, shared, failed
        )
    return SERVED
