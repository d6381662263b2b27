"""Which task of a CPU the load balancer moves (detach_tasks, can_migrate_task).

``docs/model/sched.md`` 4.
"""

from typing import Final

from ..balancing.numa_weight import group_weight, task_weight
from ..balancing.task_numa_migrate import is_running, set_task_cpu
from ..counters import Lb
from ..jit.compile import called, inlined
from ..knobs import Locality
from ..state import Cpu, Domain, Info, Numa, Task
from ..words import NONE
from .find_busiest_queue import LOAD, is_disturbed, running_on

#: What NUMA balancing says of a move, beside 1: it is to be refused.
_WANTED: Final = 0
_SILENT: Final = -1
#: Why a task stays.
_FAILED, _HOT, _LOCALITY = int(Lb.FAILED), int(Lb.HOT), int(Lb.LOCALITY)


@inlined
def cache_nice_tries(level):
    """Return after how many failures hot tasks move."""
    return 1 if level == 0 else 2


@inlined
def _nth_task(m, cpu, n):
    """Return the n-th running task of a CPU, or NONE."""
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] == cpu and is_running(m, t):
            if n == 0:
                return t
            n -= 1
    return NONE


@inlined
def current_task(m, cpu, at):
    """Return the task whose turn it is; NONE if there is none, or what disturbs it."""
    running = m.cpu[cpu, Cpu.RUNNING]
    if running == 0 or is_disturbed(m, cpu, at):
        return NONE
    return _nth_task(m, cpu, at // m.info[Info.TICK_NS] % running)


@inlined
def _prefer_other_node(m, cpu, at):
    """Tell whether not all that a CPU has to run are on their preferred node."""
    preferred = 0
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] == cpu and is_running(m, t):
            preferred += 1 if m.numa[t, Numa.PREFERRED] == m.cpu_node[cpu] else 0
    return running_on(m, cpu, at) > preferred


@called
def _degrades_locality(m, task, node, idle, at):
    """Return 1, _WANTED or _SILENT (migrate_degrades_locality, 6.12)."""
    source, preferred = m.task[task, Task.NID], m.numa[task, Numa.PREFERRED]
    if source == preferred:
        other = _prefer_other_node(m, m.task[task, Task.CPU], at)
        return 1 if other else _SILENT
    if node == preferred:
        return _WANTED
    if idle:
        return _SILENT
    limit = m.distance[source, node]
    if m.numa[task, Numa.GROUP] != NONE:
        gain = group_weight(m, task, node, limit) - group_weight(m, task, source, limit)
    else:
        gain = task_weight(m, task, node, limit) - task_weight(m, task, source, limit)
    return 1 if gain < 0 else _WANTED


@called
def _improves_locality(m, task, node):
    """Return _WANTED or _SILENT (migrate_improves_locality, 3.13)."""
    if node == m.numa[task, Numa.PREFERRED]:
        return _WANTED
    source = m.task[task, Task.NID]
    limit = m.distance[source, node]
    if task_weight(m, task, node, limit) <= task_weight(m, task, source, limit):
        return _SILENT
    if group_weight(m, task, node, limit) <= group_weight(m, task, source, limit):
        return _SILENT
    return _WANTED


@inlined
def _says_numa(m, task, node, idle, at):
    rule = m.info[Info.LOCALITY]
    if rule == Locality.NONE or m.info[Info.BALANCING] == 0 or m.numa.shape[0] == 0:
        return _SILENT
    if m.task[task, Task.NID] == node or m.numa[task, Numa.COUNTED] == 0:
        return _SILENT
    if rule == Locality.IMPROVES:
        return _improves_locality(m, task, node)
    return _degrades_locality(m, task, node, idle, at)


@inlined
def _why_stay(m, task, cpu, idle, at):
    """Return _LOCALITY or _HOT (task_hot) if a task would rather stay, or NONE."""
    said = _says_numa(m, task, m.cpu_node[cpu], idle, at)
    if said != _SILENT:
        return _LOCALITY if said == 1 else NONE
    source = m.task[task, Task.CPU]
    # Who waits for another task's slice has waited longer than what makes it hot.
    if not is_disturbed(m, source, at):
        return NONE
    waited = at - m.cpu[source, Cpu.SINCE]
    return _HOT if waited < m.info[Info.MIGRATION_COST] else NONE


@inlined
def is_too_heavy(m, failed, imbalance):
    """Tell whether a task is too much to move for an imbalance."""
    if m.info[Info.SMALL_IMBALANCE]:
        return LOAD // 2 > imbalance
    return LOAD >> min(failed, 10) > imbalance


@called
def move_to(m, task, cpu, how):
    """Move a task to a CPU, and count how."""
    source = m.task[task, Task.CPU]
    m.cpu[source, Cpu.RUNNING] -= 1
    m.cpu[cpu, Cpu.RUNNING] += 1
    m.lb[how] += 1
    if m.cpu_node[source] != m.cpu_node[cpu]:
        m.lb[Lb.MOVED_NODE] += 1
    set_task_cpu(m, task, cpu)


@called
def detach_task(m, source, cpu, level, periodic, at):
    """Return a task of ``source`` that waits and may move to a CPU, or NONE.

    periodic  whether the CPU is idle, and was so at the last tick
    """
    failed = m.domain[cpu, level, Domain.FAILED]
    current = current_task(m, source, at)
    why = _FAILED
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] != source or t == current or m.task[t, Task.PINNED]:
            continue
        if not is_running(m, t):
            continue
        stays = _why_stay(m, t, cpu, periodic, at)
        if stays == NONE:
            return t
        if failed > cache_nice_tries(level):
            m.lb[Lb.MOVED_HOT] += 1
            return t
        why = stays
    m.lb[why] += 1
    return NONE
