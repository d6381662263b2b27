"""Fault statistics: decay, groups, the preferred node (kernel/sched/fair.c, 6.12).

``docs/model/balancing.md`` 10 and 11.  Serial work at the quantum's end, task by task.
"""

from typing import Final

from ..jit.compile import called, inlined
from ..knobs import Filter
from ..state import Group, Info, Mm, Node, Numa, NumaFaults, Task
from ..words import NONE
from .numa_scan_period import task_scan_max, update_task_scan_period
from .numa_weight import group_faults, node_online, preferred_group_nid
from .should_numa_migrate_memory import numa_is_active_node
from .task_numa_fault import group_joins

#: The scheduler's load of a task that always ran.
_LOAD_AVG_MAX: Final = 47742


@inlined
def _add_to_group(m, group, task, sign):
    """Add a task's statistics to a group (1), or take them away (-1)."""
    m.group[group, Group.TASKS] += sign
    m.group[group, Group.TOTAL] += sign * m.numa[task, Numa.TOTAL]
    for kind in range(2):
        for n in range(m.node.shape[0]):
            for private in range(2):
                faults = m.numa_faults[task, kind, n, private]
                m.group_faults[group, kind, n, private] += sign * faults


@called
def make_numa_group(m, task):
    """Give a task without a group a group of its own, with the task's number."""
    if m.numa[task, Numa.GROUP] != NONE:
        return
    m.group[task, :] = 0
    m.group[task, Group.ACTIVE] = 1
    m.group[task, Group.NODES] = 1 << m.task[task, Task.NID]
    m.group_faults[task, :] = 0
    _add_to_group(m, task, task, 1)
    m.numa[task, Numa.GROUP] = task


@called
def join_numa_group(m, task, other, shared):
    """Let a task join the larger group of another task of its process, or ``shared``.

    shared  whether they met on a page of a shared mapping
    """
    if not shared and m.task[task, Task.MM] != m.task[other, Task.MM]:
        return
    if not group_joins(m, task, other):
        return
    _add_to_group(m, m.numa[task, Numa.GROUP], task, -1)
    group = m.numa[other, Numa.GROUP]
    _add_to_group(m, group, task, 1)
    m.numa[task, Numa.GROUP] = group


@called
def task_numa_free(m, task):
    """Take a task that ends out of its group."""
    group = m.numa[task, Numa.GROUP]
    if group != NONE:
        _add_to_group(m, group, task, -1)
        m.numa[task, Numa.GROUP] = NONE


@inlined
def _halved(value):
    """Return half of a statistic, rounded towards zero as C does."""
    return value // 2 if value >= 0 else -(-value // 2)


@inlined
def _numa_get_avg_runtime(m, task, now):
    """Return (time run, time passed) since the last placement, ns."""
    numa = m.numa[task]
    runtime = m.task[task, Task.RUNTIME]
    ran, period = _LOAD_AVG_MAX, _LOAD_AVG_MAX
    if numa[Numa.LAST_PLACEMENT]:
        ran = runtime - numa[Numa.LAST_RUNTIME]
        period = max(0, now - numa[Numa.LAST_PLACEMENT])
    numa[Numa.LAST_RUNTIME] = runtime
    numa[Numa.LAST_PLACEMENT] = now
    return ran, period


@inlined
def _decay(m, task, n, private, weight, total):
    """Fold the faults of a pass into a node's statistics; return how many."""
    faults = m.numa_faults[task, :, n, private]
    seen = faults[NumaFaults.MEMBUF]
    change = seen - _halved(faults[NumaFaults.MEM])
    used = weight * faults[NumaFaults.CPUBUF] // (total + 1) - _halved(
        faults[NumaFaults.CPU]
    )
    faults[NumaFaults.MEMBUF] = 0
    faults[NumaFaults.CPUBUF] = 0
    faults[NumaFaults.MEM] += change
    faults[NumaFaults.CPU] += used
    m.numa[task, Numa.TOTAL] += change
    group = m.numa[task, Numa.GROUP]
    if group != NONE:
        m.group_faults[group, NumaFaults.MEM, n, private] += change
        m.group_faults[group, NumaFaults.CPU, n, private] += used
        m.group[group, Group.TOTAL] += change
    return seen


@inlined
def _update_numa_active_node_mask(m, group, most):
    """Remember where a group runs: from 6/16 of the most on, until 3/16 (to 4.5)."""
    nodes = m.group[group, Group.NODES]
    for n in range(m.node.shape[0]):
        if not node_online(m, n):
            continue
        used = group_faults(m, group, NumaFaults.CPU, n)
        if used > most * 6 // 16:
            nodes |= 1 << n
        elif used < most * 3 // 16:
            nodes &= ~(1 << n)
    m.group[group, Group.NODES] = nodes


@inlined
def _count_active_nodes(m, group):
    most, active = 0, 0
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS]:
            most = max(most, group_faults(m, group, NumaFaults.CPU, n))
    m.group[group, Group.MAX_CPU] = most
    if m.info[Info.FILTER] == Filter.ACTIVE_NODES:
        _update_numa_active_node_mask(m, group, most)
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS] and numa_is_active_node(m, group, n):
            active += 1
    m.group[group, Group.ACTIVE] = active


@inlined
def _numa_nearest_node(m, nid):
    """Return the nearest node with CPUs."""
    best = nid
    if m.node[nid, Node.CPUS]:
        return best
    found = NONE
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS] and (found == NONE or m.distance[nid, n] < found):
            found = m.distance[nid, n]
            best = n
    return best


@inlined
def _faults_on(m, task, n):
    group = m.numa[task, Numa.GROUP]
    if group != NONE:
        return group_faults(m, group, NumaFaults.MEM, n)
    faults = m.numa_faults[task, NumaFaults.MEM, n]
    return faults[0] + faults[1]


@called
def task_numa_placement(m, task, now):
    """Fold a task's faults, choose its preferred node, adapt its scan period."""
    numa = m.numa[task]
    seq = m.mm[m.task[task, Task.MM], Mm.SCAN_SEQ]
    if numa[Numa.SEQ] == seq:
        return
    numa[Numa.SEQ] = seq
    numa[Numa.PERIOD_MAX] = task_scan_max(m, task)
    total = numa[Numa.REMOTE] + numa[Numa.LOCAL]
    ran, period = _numa_get_avg_runtime(m, task, now)
    weight = (ran << 16) // (period + 1)
    shared, private = 0, 0
    best, best_faults = NONE, 0
    for n in range(m.node.shape[0]):
        if not node_online(m, n):
            continue
        shared += _decay(m, task, n, 0, weight, total)
        private += _decay(m, task, n, 1, weight, total)
        faults = _faults_on(m, task, n)
        if faults > best_faults:
            best, best_faults = n, faults
    if best != NONE:
        best = _numa_nearest_node(m, best)
    group = numa[Numa.GROUP]
    if group != NONE:
        _count_active_nodes(m, group)
        best = preferred_group_nid(m, task, best)
    if best_faults > 0:
        numa[Numa.PREFERRED] = best
    update_task_scan_period(m, task, shared, private, now // 1_000_000)
