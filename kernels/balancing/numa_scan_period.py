"""How often a task's memory is scanned (task_scan_min and others, fair.c, 6.12).

Times are in milliseconds; ``docs/model/balancing.md`` 12, 13 and 20.  Before 3.13 the
limits were those of the settings, and a fault could only make a period longer.
"""

from typing import Final

from ..jit.compile import called, inlined
from ..knobs import PeriodRule
from ..state import Group, Info, Mm, Numa, NumaFaults, Seen, Task
from ..words import NONE, PAGE_SHIFT

#: MB/s: the memory of a process is scanned no faster than this.
MAX_SCAN_WINDOW: Final = 2560
NUMA_PERIOD_SLOTS: Final = 10
NUMA_PERIOD_THRESHOLD: Final = 7
#: Jiffies that a fault adds, by the rule (task_numa_fault of v4, and of 3.8).
_JIFFIES: Final = (2, 10)
_MS: Final = 1_000_000


@inlined
def scan_size(m):
    """Return the pages that one scan marks."""
    return m.info[Info.SCAN_SIZE_MB] << (20 - PAGE_SHIFT)


@inlined
def _task_nr_scan_windows(m, task):
    rss = m.mm[m.task[task, Task.MM], Mm.RSS]
    return max(1, (rss + scan_size(m) - 1) // scan_size(m))


@inlined
def by_statistics(m):
    """Tell whether periods follow the statistics of faults (3.13)."""
    return m.info[Info.PERIOD_RULE] >= PeriodRule.STATISTICS


@called
def task_scan_min(m, task):
    """Return the shortest period of a task."""
    if not by_statistics(m):
        return m.info[Info.SCAN_PERIOD_MIN]
    floor = 1000 // max(1, MAX_SCAN_WINDOW // m.info[Info.SCAN_SIZE_MB])
    return max(floor, m.info[Info.SCAN_PERIOD_MIN] // _task_nr_scan_windows(m, task))


@inlined
def _by_group(m, task, period):
    """Return a period for a task of a group: the more it shares, the longer."""
    group = m.numa[task, Numa.GROUP]
    if group == NONE or m.info[Info.PERIOD_RULE] == PeriodRule.LOCAL_SHARE:
        return period
    shared = 0
    private = 0
    for n in range(m.node.shape[0]):
        shared += m.group_faults[group, NumaFaults.MEM, n, 0]
        private += m.group_faults[group, NumaFaults.MEM, n, 1]
    period *= m.group[group, Group.TASKS] * (shared + 1)
    return period // (private + shared + 1)


@called
def task_scan_start(m, task):
    """Return the period of a task that starts, or that moves to another node."""
    least = task_scan_min(m, task)
    if not by_statistics(m):
        return least
    return max(least, _by_group(m, task, least))


@called
def task_scan_max(m, task):
    """Return the longest period of a task."""
    if not by_statistics(m):
        return m.info[Info.SCAN_PERIOD_MAX]
    most = m.info[Info.SCAN_PERIOD_MAX] // _task_nr_scan_windows(m, task)
    return max(task_scan_min(m, task), most, _by_group(m, task, most))


@inlined
def note_period(m, s, task, pages, moved):
    """Note that a hint fault makes its task's period longer, if the rule says so.

    Patch 37 of v4 accounts a fault on a huge page only if the page moved; without that
    patch a huge page that does not stay is split, and its fault is not accounted.
    """
    rule = m.info[Info.PERIOD_RULE]
    if rule >= PeriodRule.STATISTICS:
        return
    whole = rule == PeriodRule.EVERY_FAULT and pages > 1 and m.info[Info.UNIT_HINTING]
    if rule == PeriodRule.UNMOVED_FAULT and moved or whole and not moved:
        return
    m.numa_seen[s, task, Seen.LONGER] += 1


@inlined
def lengthen_period(m, task, faults):
    """Make a task's period longer for so many faults (task_numa_fault before 3.13)."""
    if faults == 0:
        return
    numa = m.numa[task]
    jiffies = _JIFFIES[0]
    if m.info[Info.PERIOD_RULE] == PeriodRule.UNMOVED_FAULT:
        jiffies = _JIFFIES[1]
    period = numa[Numa.PERIOD] + faults * (jiffies * m.info[Info.TICK_NS] // _MS)
    numa[Numa.PERIOD] = min(period, m.info[Info.SCAN_PERIOD_MAX])


@inlined
def _ratio(part, rest):
    total = part + rest
    return part * NUMA_PERIOD_SLOTS // total if total > 0 else 0


@inlined
def _change(local_ratio, private_ratio, slot):
    if private_ratio >= NUMA_PERIOD_THRESHOLD:
        return max(1, private_ratio - NUMA_PERIOD_THRESHOLD) * slot
    if local_ratio >= NUMA_PERIOD_THRESHOLD:
        return max(1, local_ratio - NUMA_PERIOD_THRESHOLD) * slot
    return -(NUMA_PERIOD_THRESHOLD - max(local_ratio, private_ratio)) * slot


@inlined
def _local_change(local_ratio, private, shared, slot):
    """Return the change of 3.13 to 4.13: the more is shared, the less is hurried."""
    if local_ratio >= NUMA_PERIOD_THRESHOLD:
        return max(1, local_ratio - NUMA_PERIOD_THRESHOLD) * slot
    slower = (NUMA_PERIOD_THRESHOLD - local_ratio) * slot
    total = private + shared + 1
    ratio = (private * NUMA_PERIOD_SLOTS + total - 1) // total
    return -(slower * ratio // NUMA_PERIOD_SLOTS)


@called
def update_task_scan_period(m, task, shared, private, now_ms):
    """Adapt a task's period to the faults since its last placement.

    shared, private  pages of these faults, by kind
    """
    numa = m.numa[task]
    if not by_statistics(m):
        numa[Numa.REMOTE : Numa.FAILED + 1] = 0
        return
    period = numa[Numa.PERIOD]
    remote, local = numa[Numa.REMOTE], numa[Numa.LOCAL]
    failed = numa[Numa.FAILED] > 0 and m.info[Info.SLOW_ON_FAILURE] == 1
    if local + shared == 0 or failed:
        # The counts stay: Linux returns before it clears them.
        period = min(numa[Numa.PERIOD_MAX], 2 * period)
        numa[Numa.PERIOD] = period
        m.mm[m.task[task, Task.MM], Mm.NEXT_SCAN] = now_ms + period
        return
    slot = (period + NUMA_PERIOD_SLOTS - 1) // NUMA_PERIOD_SLOTS
    if m.info[Info.PERIOD_RULE] == PeriodRule.LOCAL_SHARE:
        period += _local_change(_ratio(local, remote), private, shared, slot)
    else:
        period += _change(_ratio(local, remote), _ratio(private, shared), slot)
    most, least = task_scan_max(m, task), task_scan_min(m, task)
    numa[Numa.PERIOD] = min(max(period, least), most)
    numa[Numa.REMOTE : Numa.FAILED + 1] = 0
