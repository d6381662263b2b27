"""A hint fault of NUMA: decide, move, account, for a page or for a whole folio.

do_numa_page (mm/memory.c) and do_huge_pmd_numa_page (mm/huge_memory.c) differ in the
entry that maps the pages and in how many these are.
"""

from typing import Final, NamedTuple

from ..balancing.numa_scan_period import note_period
from ..balancing.should_numa_migrate_memory import (
    MIGRATE,
    note_filter,
    note_migration,
    numa_misplaced,
    numamigrate_update_ratelimit,
)
from ..balancing.task_numa_fault import task_numa_fault, vma_set_access_pid_bit
from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import charge, charge_walk_flushes, count_op
from ..frames.folio import huge_mapcount, page_mapcount
from ..frames.last_cpupid import folio_last_cpupid, uses_access_time
from ..frames.lru_batch import folio_putback_lru
from ..frames.page_alloc import node_of
from ..frames.rmap import mapcount
from ..jit.compile import called, inlined
from ..knobs import Balancing, GroupIf, WriteBit
from ..placement.mempolicy import alloc_on_node, mpol_misplaced
from ..placement.migrate import migrate_folio_move, migrate_page_of, migration_cost
from ..placement.migrate_huge import migrate_huge
from ..placement.moves import note_move, note_move_huge, note_move_of
from ..placement.vma_alloc_folio import alloc_huge_on_node
from ..state import NO_MEMORY, PUT_ASIDE, SERVED, Cost, Info, Node, Task, Vma
from ..words import (
    FOLIO_COMPOUND,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
)

_TIERING: Final = int(Balancing.TIERING)


class HintFault(NamedTuple):
    """A hint fault on a page, or on a folio that one PMD entry maps."""

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
    task, v, vpn, pfn = fault.task, fault.v, fault.vpn, fault.pfn
    if m.info[Info.BALANCING]:
        target, answer, asked = numa_misplaced(
            m, s, task, v, vpn, pfn, fault.nid, fault.pages
        )
    else:
        answer, asked = MIGRATE, False
        target = mpol_misplaced(m, task, v, vpn, pfn)
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
    if pages == 1:
        return alloc_on_node(m, s, decision.target, cpu_nid, Node.HIGH, 1)
    b = alloc_huge_on_node(m, s, decision.target, cpu_nid, Node.HIGH, pages)
    return b if b < 0 else b << HPAGE_PMD_ORDER


@inlined
def _maps_alone(m, fault):
    """Tell whether nobody else maps the pages of a fault."""
    if fault.pages == 1:
        return page_mapcount(m, fault.pfn) == 1
    b = fault.pfn >> HPAGE_PMD_ORDER
    return huge_mapcount(m, b) + (m.block_huge[b] & FOLIO_COMPOUND != 0) == 1


@inlined
def _may_group(m, fault):
    """Tell whether a fault says something about who shares the page (no NO_GROUP)."""
    rule, writes = m.info[Info.GROUP_IF], m.vma[fault.v, Vma.WRITE] == 1
    if rule == GroupIf.VM_WRITE:
        return writes
    small = fault.pages == 1
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
def _refuse_move(m, s, fault, decision):
    """Count pages that should have moved; kswapd makes room on a machine of tiers."""
    if decision.limited:
        m.refused[s, Refusal.RATE_LIMIT] += fault.pages
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
    kept = m.info[Info.WRITE_BIT] == WriteBit.KEPT
    return not kept and m.vma[fault.v, Vma.SHARED] == 0


@inlined
def _made_anew(m, fault, entry, moved):
    """Return an entry after its hint fault; ``moved``: it maps other frames now."""
    entry = unmarked(entry)
    if not _loses_write_bit(m, fault):
        return entry
    # migrate_misplaced_transhuge_page: maybe_pmd_mkwrite, of a page with one mapping.
    if moved and fault.pages > 1 and m.vma[fault.v, Vma.WRITE] == 1:
        b = (entry & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
        if huge_mapcount(m, b) == 1 and m.block_huge[b] & FOLIO_COMPOUND == 0:
            return entry | PTE_WRITE
    return entry & ~PTE_WRITE


@inlined
def end_hint_fault(m, s, fault, moved):
    """Take the mark off the entry, and count and charge the fault."""
    if fault.pages == 1:
        m.pte[fault.at] = _made_anew(m, fault, m.pte[fault.at], moved)
        count_hint_faults(m, s, fault.task, fault.nid, 1, fault.traps, Op.HINT_FAULT)
    else:
        block = fault.at >> HPAGE_PMD_ORDER
        m.pmd[block] = _made_anew(m, fault, m.pmd[block], moved)
        count_hint_faults(m, s, fault.task, fault.nid, 1, 1, Op.HUGE_HINT_FAULT)


@called
def serve_hint_fault(m, s, fault, decision):
    """Serve a hint fault that is decided: SERVED or PUT_ASIDE."""
    new = _alloc_misplaced_dst_folio(m, s, fault, decision)
    if new == PUT_ASIDE:
        return PUT_ASIDE
    last, may_group = _note_decision(m, s, fault, decision)
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
        task_numa_fault(m, s, task, last, local, nid, fault.pages, may_group, failed)
    return SERVED
