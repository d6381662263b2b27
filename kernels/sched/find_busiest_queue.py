"""From which CPU the load balancer takes a task, and how much is too much.

``docs/model/sched.md`` 3.  Each task, and what disturbs a CPU, has the same load.  A
group is a CPU in the domain of a node, otherwise a node.
"""

from typing import Final

from ..balancing.task_numa_migrate import is_running
from ..jit.compile import called, inlined
from ..state import Cpu, Info, Node, Task
from ..words import NONE

#: Load of a task (NICE_0_LOAD).
LOAD: Final = 1024
#: imbalance_pct of CPUs that share a cache (SD_SHARE_PKG_RESOURCES).
_PCT_OF_NODE: Final = 117


@inlined
def is_disturbed(m, cpu, at):
    """Tell whether something else than a task runs on a CPU."""
    return m.cpu[cpu, Cpu.UNTIL] > at


@inlined
def running_on(m, cpu, at):
    """Return what a CPU has to run: nr_running."""
    return m.cpu[cpu, Cpu.RUNNING] + (1 if is_disturbed(m, cpu, at) else 0)


@inlined
def span_weight(m, node, level):
    """Return the CPUs of a domain."""
    cpus = 0
    for n in range(m.node.shape[0]):
        if m.distance[node, n] <= m.reach[level] or n == node:
            cpus += m.node[n, Node.CPUS]
    return cpus


@inlined
def _node_running(m, node, at):
    """Return (what its CPUs have to run, how many of them have nothing)."""
    running, idle = 0, 0
    for cpu in range(m.cpu_node.size):
        if m.cpu_node[cpu] == node:
            here = running_on(m, cpu, at)
            running += here
            idle += 1 if here == 0 else 0
    return running, idle


@inlined
def _group(m, level, g, at):
    """Return (what a group has to run, its CPUs that have nothing, its CPUs)."""
    if level == 0:
        running = running_on(m, g, at)
        return running, 1 if running == 0 else 0, 1
    running, idle = _node_running(m, g, at)
    return running, idle, m.node[g, Node.CPUS]


@inlined
def _is_in_domain(m, node, level, g):
    """Tell whether a group belongs to the domain of a node's CPUs."""
    if level == 0:
        return m.cpu_node[g] == node
    return m.node[g, Node.CPUS] > 0 and m.distance[node, g] <= m.reach[level]


@inlined
def _idle_imbalance(level, here, there):
    """Return what a CPU with nothing to do may take; groups as of ``_group``."""
    if there[0] > there[2]:
        return LOAD
    if level > 0 and here[1] > there[1] + 1:
        return LOAD
    return 0


@inlined
def _busy_imbalance(m, level, here, there, mean):
    """Return the load to move to a busy group (calculate_imbalance)."""
    pct = m.info[Info.IMBALANCE_PCT] if level > 0 else _PCT_OF_NODE
    if 100 * there[0] * here[2] <= pct * here[0] * there[2]:
        return 0
    ours, theirs = LOAD * here[0] // here[2], LOAD * there[0] // there[2]
    if ours >= mean:
        return 0
    imbalance = min((theirs - mean) * there[2], (mean - ours) * here[2])
    if m.info[Info.SMALL_IMBALANCE] and imbalance < LOAD:
        # fix_small_imbalance: the busier group stays at least as busy as the other.
        task = LOAD // there[2]
        if theirs + task >= ours + 2 * task:
            return LOAD
    return imbalance


@inlined
def find_busiest_group(m, cpu, level, at):
    """Return (the busiest group, load to take from it), or (NONE, 0)."""
    node = m.cpu_node[cpu]
    own = cpu if level == 0 else node
    here = _group(m, level, own, at)
    best, there = NONE, here
    running, cpus = here[0], here[2]
    for g in range(m.cpu_node.size if level == 0 else m.node.shape[0]):
        if g == own or not _is_in_domain(m, node, level, g):
            continue
        found = _group(m, level, g, at)
        running, cpus = running + found[0], cpus + found[2]
        if found[0] * there[2] > there[0] * found[2]:
            best, there = g, found
    if best == NONE:
        return NONE, 0
    if running_on(m, cpu, at) == 0:
        return best, _idle_imbalance(level, here, there)
    return best, _busy_imbalance(m, level, here, there, LOAD * running // cpus)


@inlined
def _has_movable(m, cpu):
    """Tell whether a task of a CPU is not pinned to it."""
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] == cpu and m.task[t, Task.PINNED] == 0:
            if is_running(m, t):
                return True
    return False


@called
def find_busiest_queue(m, cpu, level, at):
    """Return (the CPU to take a task from, load to take), or (NONE, 0)."""
    group, imbalance = find_busiest_group(m, cpu, level, at)
    if imbalance == 0:
        return NONE, 0
    best, most = NONE, 0
    for other in range(m.cpu_node.size):
        mine = other if level == 0 else m.cpu_node[other]
        if mine != group:
            continue
        running = running_on(m, other, at)
        if running > most and _has_movable(m, other):
            best, most = other, running
    return best, imbalance
