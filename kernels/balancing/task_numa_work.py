"""The scanner of NUMA balancing (task_tick_numa, task_numa_work; fair.c, 6.12).

``docs/model/balancing.md`` 16 to 18, and 20 for older kernels.  It marks a part of a
process's memory, so that the next touch faults and tells which task uses it.  Times are
in ms unless they say ns.
"""

from enum import auto
from typing import Final

from ..counters import Cause, Op, ScanSkip, Vm
from ..frames.folio import split_huge_pmd
from ..frames.last_cpupid import TIME_MASK, set_last_cpupid, uses_access_time
from ..frames.mapped_shared import others_have_folio, others_have_page
from ..frames.page_alloc import node_of
from ..jit.compile import called, inlined
from ..knobs import Balancing, ScanCounts, WriteBit
from ..state import Columns, Cost, Info, Mm, Node, Numa, Numab, Task, Vma
from ..words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    NUMA_PTE_SCAN_ACTIVE,
    NUMA_PTE_SCAN_INIT,
    PMD_LEAF,
    PMD_NUMA,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
)
from .numa_scan_period import scan_size, task_scan_max, task_scan_start
from .should_numa_migrate_memory import vma_policy_mof
from .task_numa_fault import pid_bit

_NORMAL: Final = int(Balancing.NORMAL)
_UNSUITABLE, _INACCESSIBLE = int(ScanSkip.UNSUITABLE), int(ScanSkip.INACCESSIBLE)
_SCAN_DELAY, _SEQ_COMPLETED = int(ScanSkip.SCAN_DELAY), int(ScanSkip.SEQ_COMPLETED)
_PID_INACTIVE: Final = int(ScanSkip.PID_INACTIVE)
_SMALL: Final = int(ScanSkip.SMALL)
_SCANNED: Final = -1
#: Virtual pages that a scan may pass for each that it may mark.
_VIRTUAL: Final = 8
#: A VMA forgets which tasks used it after this many scan delays.
_PID_RESETS: Final = 4
#: A scan of 1 ms holds the next one off for 32 ms.
_OVERHEAD: Final = 32


class Left(Columns):
    """Columns of what is left of a scan."""

    PAGES = auto()  # that it may mark
    VIRTUAL = auto()  # pages that it may pass
    STOPPED = auto()  # 1: it ended within the list of VMAs


@inlined
def _exempt(m, n):
    """Tell whether pages of a node are never marked: fast nodes, with tiering alone."""
    return m.info[Info.BALANCING] & _NORMAL == 0 and m.node[n, Node.SLOW] == 0


@inlined
def mark_entry(m, entries, at, pages, n, now):
    """Set PROTNONE on an entry that maps ``pages`` pages of node ``n``; return 1."""
    s = m.info[Info.SHARDS]
    pfn = entries[at] & PTE_PAYLOAD
    if uses_access_time(m, n):
        set_last_cpupid(m, pfn, (now & TIME_MASK) + 1)
    if m.info[Info.WRITE_BIT] == WriteBit.LOST_AT_MARK:
        entries[at] &= ~PTE_WRITE
    entries[at] |= PTE_PROTNONE
    m.vm[s, n, Vm.NUMA_PTE_UPDATES] += pages
    return 1


@inlined
def _change_ptes(m, at, end, local, shared, now):
    """Mark the PTEs of a part of a block; return how many.

    local   node whose pages are left alone, or NONE
    shared  whether the mapping is a shared one
    """
    marked = 0
    for i in range(at, end):
        pte = m.pte[i]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
            continue
        pfn = pte & PTE_PAYLOAD
        n = node_of(m, pfn)
        if n == local or _exempt(m, n) or not shared and others_have_page(m, pfn):
            continue
        marked += mark_entry(m, m.pte, i, 1, n, now)
    return marked


@inlined
def _stays(m, block):
    """Tell whether a scan leaves an entry that maps 2 MiB as it is."""
    if m.pmd[block] & PTE_PROTNONE:
        return True
    if m.info[Info.SCAN_SHARED_HUGE]:
        return False
    return others_have_folio(m, (m.pmd[block] & PTE_PAYLOAD) >> HPAGE_PMD_ORDER)


@inlined
def _change_huge_pmd(m, block, local, now):
    """Mark an entry that maps 2 MiB; return 1 if it counts as an update."""
    if m.pmd[block] & PTE_PRESENT == 0:
        return 0
    n = node_of(m, m.pmd[block] & PTE_PAYLOAD)
    if n == local and not m.info[Info.SCAN_LOCAL_HUGE]:
        return 0
    stays = _stays(m, block)
    if _exempt(m, n) or stays and not m.info[Info.COUNT_MARKED]:
        return 0
    s = m.info[Info.SHARDS]
    m.vm[s, n, Vm.NUMA_HUGE_PTE_UPDATES] += 1
    if stays:
        m.vm[s, n, Vm.NUMA_PTE_UPDATES] += HPAGE_PMD_NR
        return 1
    return mark_entry(m, m.pmd, block, HPAGE_PMD_NR, n, now)


@inlined
def _all_same_node(m, at, end):
    """Tell whether the pages that PTEs map are all on one node."""
    found = NONE
    for i in range(at, end):
        if m.pte[i] & PTE_PRESENT == 0:
            continue
        n = node_of(m, m.pte[i] & PTE_PAYLOAD)
        if found != NONE and n != found:
            return False
        found = n
    return True


@inlined
def _change_table(m, at, end, local, shared, now):
    """Mark the PTEs of a part of a block, and the table, if it is of one node."""
    marked = _change_ptes(m, at, end, local, shared, now)
    if m.info[Info.PMD_NUMA] and _all_same_node(m, at, end):
        m.pmd[at >> HPAGE_PMD_ORDER] |= PMD_NUMA
    return marked


@inlined
def _left_alone(m, task, mm, shared):
    """Return the node whose pages are not marked, or NONE."""
    if shared or m.info[Info.SCAN_LOCAL] or m.mm[mm, Mm.USERS] != 1:
        return NONE
    return m.task[task, Task.NID]


@called
def change_prot_numa(m, task, v, start, end, now):
    """Mark the entries of a range of vpns of VMA ``v`` for hint faults.

    The rules are those of change_pte_range and change_huge_pmd (6.12).  Return
    (entries marked, pages that they map).
    """
    mm = m.task[task, Task.MM]
    delta = m.mm[mm, Mm.DELTA]
    shared = m.vma[v, Vma.SHARED] == 1
    local = _left_alone(m, task, mm, shared)
    small, huge = 0, 0
    at, end = start + delta, end + delta
    while at < end:
        block = at >> HPAGE_PMD_ORDER
        stop = min(end, (block + 1) << HPAGE_PMD_ORDER)
        if m.pmd[block] & PMD_LEAF and stop - at < HPAGE_PMD_NR:
            split_huge_pmd(m, m.info[Info.SHARDS], mm, block)
            m.info[Info.SPLITS] = 0
        if m.pmd[block] & PMD_LEAF:
            huge += _change_huge_pmd(m, block, local, now)
        elif m.pmd[block]:
            small += _change_table(m, at, stop, local, shared, now)
        at = stop
    return small + huge, small + huge * HPAGE_PMD_NR


@inlined
def _flush_tlb(m, mm):
    if m.info[Info.TLB_SETS_4K]:
        for t in range(m.info[Info.TASKS]):
            if m.task[t, Task.MM] == mm:
                m.tlb[t, :] = 0


@called
def _scan_chunk(m, task, v, start, end, now):
    """Mark one chunk and charge it; return what counts against the scan's size."""
    marked, pages = change_prot_numa(m, task, v, start, end, now)
    if marked == 0:
        return 0
    mm = m.task[task, Task.MM]
    others = m.mm[mm, Mm.USERS] - 1
    ns = marked * m.cost[Cost.MARK_PTE] + m.cost[Cost.TLB_FLUSH]
    ns += m.cost[Cost.TLB_FLUSH_CPU] * others
    s = m.info[Info.SHARDS]
    m.cause[s, task, Cause.SCAN] += ns
    nid = m.task[task, Task.NID]
    m.vm[s, nid, Vm.TLB_FLUSHES] += 1
    m.vm[s, nid, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED] += others
    m.ops[s, task, Op.SCAN] += 1
    m.ops[s, task, Op.MARK] += marked
    m.ops[s, task, Op.FLUSH] += 1
    if m.info[Info.SCAN_COST_CAP]:
        m.numa[task, Numa.STAMP] += _OVERHEAD * ns
    _flush_tlb(m, mm)
    return pages if m.info[Info.SCAN_COUNTS] == ScanCounts.ENTRIES else end - start


@inlined
def _meet_vma(m, mm, state, now):
    """Begin a VMA's state at its first scan."""
    seq = m.mm[mm, Mm.SCAN_SEQ]
    state[Numab.MET] = 1
    state[Numab.START_SEQ] = seq
    state[Numab.NEXT_SCAN] = now + m.info[Info.SCAN_DELAY]
    state[Numab.RESET] = state[Numab.NEXT_SCAN] + _PID_RESETS * m.info[Info.SCAN_DELAY]
    state[Numab.PREV_SEQ] = seq - 1
    # Faults before it was met are not remembered (vma_set_access_pid_bit).
    state[Numab.OLD_PIDS] = 0
    state[Numab.PIDS] = 0


@inlined
def _vma_is_accessed(m, mm, v, state, task):
    """Tell whether a task with this one's pid bit used a VMA recently."""
    seq = m.mm[mm, Mm.SCAN_SEQ]
    if seq - state[Numab.START_SEQ] < 2:
        return True
    if (state[Numab.OLD_PIDS] | state[Numab.PIDS]) & pid_bit(task):
        return True
    if m.mm[mm, Mm.SCAN_OFFSET] > m.vma[v, Vma.START]:
        return True
    return seq > state[Numab.PREV_SEQ] + m.mm[mm, Mm.USERS]


@inlined
def _skips_state(m, mm, v, task, now, forced):
    """Return why the state of a VMA makes the scan skip it, or _SCANNED."""
    state = m.numab[m.vma[v, Vma.NUMAB]]
    if state[Numab.MET] == 0:
        _meet_vma(m, mm, state, now)
    seq = m.mm[mm, Mm.SCAN_SEQ]
    if seq != 0 and now < state[Numab.NEXT_SCAN]:
        return _SCAN_DELAY
    if seq != 0 and now > state[Numab.RESET]:
        state[Numab.RESET] += _PID_RESETS * m.info[Info.SCAN_DELAY]
        state[Numab.OLD_PIDS] = state[Numab.PIDS]
        state[Numab.PIDS] = 0
    if state[Numab.PREV_SEQ] == seq:
        m.mm[mm, Mm.SCAN_OFFSET] = m.vma[v, Vma.END]
        return _SEQ_COMPLETED
    if not forced and not _vma_is_accessed(m, mm, v, state, task):
        return _PID_INACTIVE
    return _SCANNED


@inlined
def _skips(m, mm, v, task, now, forced):
    """Return why the scan skips a VMA (numa_vmaskip_reason), or _SCANNED."""
    if not vma_policy_mof(m, task, v, m.vma[v, Vma.START]):
        return _UNSUITABLE
    if not m.vma[v, Vma.READ]:
        return _INACCESSIBLE
    small = m.vma[v, Vma.END] - m.vma[v, Vma.START] < HPAGE_PMD_NR
    if small and not m.info[Info.SCAN_SMALL_VMAS]:
        return _SMALL
    if not m.info[Info.VMA_PIDS]:
        return _SCANNED
    return _skips_state(m, mm, v, task, now, forced)


@inlined
def _next_seq(m, mm):
    """Begin the next pass over a process (reset_ptenuma_scan)."""
    m.mm[mm, Mm.SCAN_SEQ] += 1
    m.mm[mm, Mm.SCAN_OFFSET] = 0


@inlined
def _first_vma(m, mm):
    """Return the VMA in which a scan goes on; the first one begins a new pass."""
    for v in range(m.mm[mm, Mm.FIRST_VMA], m.mm[mm, Mm.END_VMA]):
        if m.vma[v, Vma.END] > m.mm[mm, Mm.SCAN_OFFSET]:
            return v
    _next_seq(m, mm)
    return m.mm[mm, Mm.FIRST_VMA]


@inlined
def _scan_vma(m, task, v, start, now, left):
    """Scan a VMA from ``start`` on, as far as the scan goes; return where it ends."""
    last = m.vma[v, Vma.END]
    limited = m.info[Info.SCAN_COUNTS] == ScanCounts.CHUNKS
    while start < last and left[Left.STOPPED] == 0:
        end = start + left[Left.PAGES] + HPAGE_PMD_NR - 1 & ~(HPAGE_PMD_NR - 1)
        end = min(end, last)
        left[Left.PAGES] -= _scan_chunk(m, task, v, start, end, now)
        left[Left.VIRTUAL] -= end - start if limited else 0
        start = end
        if left[Left.PAGES] <= 0 or left[Left.VIRTUAL] <= 0:
            left[Left.STOPPED] = 1
    return start


@called
def _scan_vmas(m, task, now, left, forced):
    """Scan VMAs in order; return whether one was passed over because of its pids.

    left    int64[len(Left)]
    forced  whether the first VMA is scanned whoever has used it, and no other
    """
    mm = m.task[task, Task.MM]
    inactive = False
    v = _first_vma(m, mm)
    start = m.mm[mm, Mm.SCAN_OFFSET]
    while v < m.mm[mm, Mm.END_VMA]:
        reason = _skips(m, mm, v, task, now, forced)
        if reason != _SCANNED:
            m.scan_skips[reason] += 1
            inactive = inactive or reason == _PID_INACTIVE
            v += 1
            continue
        start = _scan_vma(m, task, v, max(start, m.vma[v, Vma.START]), now, left)
        if left[Left.STOPPED] == 0:
            m.numab[m.vma[v, Vma.NUMAB], Numab.PREV_SEQ] = m.mm[mm, Mm.SCAN_SEQ]
            left[Left.STOPPED] = 1 if forced else 0
        if left[Left.STOPPED]:
            m.mm[mm, Mm.SCAN_OFFSET] = start
            break
        v += 1
    return inactive


@inlined
def _count_scan(m, took):
    """Count a scan that took so many ns."""
    m.info[Info.NUMA_SCANS] += 1
    m.info[Info.LONGEST_SCAN] = max(m.info[Info.LONGEST_SCAN], took)


@inlined
def _waits_for_second_node(m, task, mm):
    """Tell whether a process has run on its first node alone (5bca23035391, 3.8)."""
    if not m.info[Info.FIRST_NID]:
        return False
    nid = m.task[task, Task.NID]
    if m.mm[mm, Mm.FIRST_NID] == NUMA_PTE_SCAN_INIT:
        m.mm[mm, Mm.FIRST_NID] = nid
    if m.mm[mm, Mm.FIRST_NID] == nid:
        return True
    m.mm[mm, Mm.FIRST_NID] = NUMA_PTE_SCAN_ACTIVE
    return False


@inlined
def _reset_period(m, task, mm, now):
    """Let a period begin anew, now and then (numa_next_reset, 3.8 to 3.12)."""
    if m.info[Info.PERIOD_RESET] and now > m.mm[mm, Mm.NEXT_RESET]:
        m.numa[task, Numa.PERIOD] = m.info[Info.SCAN_PERIOD_MIN]
        m.mm[mm, Mm.NEXT_RESET] = now + m.info[Info.PERIOD_RESET]


@inlined
def _migrate_ratelimited(m, task, now):
    """Tell whether the scan would be from a node over its limit (to 3.12)."""
    if m.info[Info.SCAN_LIMITED]:
        return False
    return now < m.node[m.task[task, Task.NID], Node.LIMITED_UNTIL]


@called
def _may_scan(m, task, mm, now):
    """Tell whether a task whose turn it is scans; set when the next one may."""
    if _waits_for_second_node(m, task, mm):
        return False
    _reset_period(m, task, mm, now)
    if m.numa[task, Numa.PERIOD] == 0:
        m.numa[task, Numa.PERIOD_MAX] = task_scan_max(m, task)
        m.numa[task, Numa.PERIOD] = task_scan_start(m, task)
    m.mm[mm, Mm.NEXT_SCAN] = now + m.numa[task, Numa.PERIOD]
    if m.info[Info.SCAN_TURNS]:
        m.numa[task, Numa.STAMP] += 2 * m.info[Info.TICK_NS]
    if _migrate_ratelimited(m, task, now):
        return False
    return m.mm[mm, Mm.FIRST_VMA] != m.mm[mm, Mm.END_VMA]


@called
def task_numa_work(m, task, now, left):
    """Scan a part of a task's process; ``left``: int64[len(Left)], scratch."""
    mm = m.task[task, Task.MM]
    if not _may_scan(m, task, mm, now):
        return
    spent = m.cause[m.info[Info.SHARDS], task, Cause.SCAN]
    left[Left.PAGES] = scan_size(m)
    left[Left.VIRTUAL] = _VIRTUAL * left[Left.PAGES]
    left[Left.STOPPED] = 0
    inactive = _scan_vmas(m, task, now, left, False)
    if left[Left.STOPPED] == 0 and inactive:
        _scan_vmas(m, task, now, left, True)
    if left[Left.STOPPED] == 0:
        _next_seq(m, mm)
    _count_scan(m, m.cause[m.info[Info.SHARDS], task, Cause.SCAN] - spent)


@called
def task_tick_numa(m, task, now, runtime, left):
    """Let a task scan if its period is over.

    runtime  ns that it has run
    """
    period = m.numa[task, Numa.PERIOD] * 1_000_000
    if runtime <= m.numa[task, Numa.STAMP] + period:
        return
    if m.numa[task, Numa.STAMP] == 0:
        m.numa[task, Numa.PERIOD] = task_scan_start(m, task)
    if m.info[Info.SCAN_TURNS]:
        m.numa[task, Numa.STAMP] += period
    else:
        m.numa[task, Numa.STAMP] = runtime
    if now >= m.mm[m.task[task, Task.MM], Mm.NEXT_SCAN]:
        task_numa_work(m, task, now, left)
