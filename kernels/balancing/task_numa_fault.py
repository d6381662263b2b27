"""What a hint fault tells the scheduler (task_numa_fault, kernel/sched/fair.c, 6.12).

Faults only take notes (``docs/model/balancing.md`` 7).  Statistics, groups and the
placement of tasks change at the quantum's end (``end_quantum``).
"""

from typing import Final

from ..frames.last_cpupid import cpupid_cpu, cpupid_pid, pid_of, uses_access_time
from ..jit.compile import called, inlined
from ..state import Group, Info, Node, Numa, Seen, Task, Vma
from ..words import NONE
from .should_numa_migrate_memory import numa_is_active_node

_HASH: Final = 0x61C88647
_LOW_32: Final = (1 << 32) - 1
_SIGN: Final = -(1 << 63)


@inlined
def pid_bit(task):
    """Return the bit of a task's pid in a VMA's bitmaps (hash_32, 6 bits)."""
    index = ((task + 1) * _HASH & _LOW_32) >> 26
    return 1 << index if index < 63 else _SIGN


@inlined
def vma_set_access_pid_bit(m, s, v, task):
    m.numa_pids[s, m.vma[v, Vma.NUMAB]] |= pid_bit(m.task[task, Task.OWNER])


@inlined
def _task_on(m, word):
    """Return the lowest live task that a last cpupid names, or NONE."""
    cpu, pid = cpupid_cpu(word), cpupid_pid(word)
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] == cpu and pid_of(m, t) == pid and m.task[t, Task.ALIVE]:
            return t
    return NONE


@inlined
def group_joins(m, task, other):
    """Tell whether a task would join another's group, because its own is smaller."""
    group = m.numa[other, Numa.GROUP]
    own = m.numa[task, Numa.GROUP]
    if group == NONE or group == own:
        return False
    tasks = 1 if own == NONE else m.group[own, Group.TASKS]
    number = task if own == NONE else own
    if tasks != m.group[group, Group.TASKS]:
        return tasks < m.group[group, Group.TASKS]
    return number < group


@inlined
def _task_numa_group(m, s, task, word, shared):
    """Note that a task makes a group, and the task that it met; return private.

    shared  whether the page is of a shared mapping, and mapped by several processes
    """
    task = m.task[task, Task.OWNER]
    m.numa_met[s, task, task] = 1
    other = _task_on(m, word)
    if other == NONE or other == task:
        return 0
    m.numa_met[s, task, other] |= 1 + shared
    same = m.task[task, Task.MM] == m.task[other, Task.MM] or shared == 1
    return 1 if not same and group_joins(m, task, other) else 0


@inlined
def _shared_is_local(m, task, nid):
    """Tell whether a shared fault is within the active nodes of the task's group."""
    group = m.numa[m.task[task, Task.OWNER], Numa.GROUP]
    if group == NONE or m.group[group, Group.ACTIVE] <= 1:
        return False
    here = m.task[task, Task.NID]
    return numa_is_active_node(m, group, here) and numa_is_active_node(m, group, nid)


@called
def task_numa_fault(m, s, task, last, local, nid, pages, groups, shared, failed):
    """Note a hint fault on a page that is on ``nid`` now.

    last      word of the fault before; 0: unset, or the time of a mark
    local     whether the page was on the task's node
    groups    whether the entry lets the task join a group
    shared    1: that of a task of another process, too (TNF_SHARED), 0: not
    failed    whether a migration failed
    """
    if m.node[nid, Node.SLOW] and (uses_access_time(m, nid) or last == 0):
        return
    private = 1
    if last != 0:
        private = 1 if cpupid_pid(last) == pid_of(m, task) else 0
        if private == 0 and groups and m.info[Info.NUMA_GROUPS]:
            private = _task_numa_group(m, s, task, last, shared)
    if private == 0 and not local:
        local = _shared_is_local(m, task, nid)
    seen = m.numa_seen[s, task]
    if local:
        seen[Seen.LOCAL] += pages
    if failed:
        seen[Seen.FAILED] += pages
    seen[Seen.FAULTS + 2 * nid + private] += pages
