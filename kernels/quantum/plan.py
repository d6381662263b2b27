"""How many accesses each task contributes to a quantum.

``docs/model/quantum.md`` 1.
"""

from typing import Final

from ..jit.compile import inlined, kernel
from ..state import Task
from ..words import NONE

#: Accesses that a task may contribute to its first quantum of a run.
FIRST_ACCESSES: Final = 4


@inlined
def _left(task, t):
    if not task[t, Task.ALIVE]:
        return 0
    return task[t, Task.COUNT] - task[t, Task.NUMBER]


@inlined
def _assign(task, now, end):
    """Set every task's quota of a quantum; return their sum."""
    total = 0
    for t in range(task.shape[0]):
        task[t, Task.QUOTA] = 0
        task[t, Task.RAN] = 0
        left = _left(task, t)
        if left <= 0:
            continue
        clock = max(task[t, Task.CLOCK], now)
        task[t, Task.CLOCK] = clock
        until = end if task[t, Task.UNTIL] == 0 else min(end, task[t, Task.UNTIL])
        if clock < until:
            quota = min(left, max(1, (until - clock) // task[t, Task.MEAN]))
            task[t, Task.QUOTA] = quota
            total += quota
    return total


@inlined
def _cut(task, most):
    """Let the last tasks do less, so that all together do no more than ``most``.

    Only when a quantum of 1 ns is too long.
    """
    for t in range(task.shape[0]):
        task[t, Task.QUOTA] = min(task[t, Task.QUOTA], most)
        most -= task[t, Task.QUOTA]


@inlined
def _pace(task, now, end):
    """Return the end of a quantum in which no task more than doubles what it has done.

    Of a phase, if its workload has phases.

    The cost of faults is not known in advance.  A task that has taken none would
    otherwise get enough accesses to take them all.
    """
    for t in range(task.shape[0]):
        if _left(task, t) <= 0:
            continue
        clock = max(task[t, Task.CLOCK], now)
        if clock < end:
            allowed = max(FIRST_ACCESSES, task[t, Task.NUMBER] - task[t, Task.BEGUN])
            end = min(end, clock + allowed * task[t, Task.MEAN])
    return end


@inlined
def _earliest(task):
    found = NONE
    for t in range(task.shape[0]):
        if _left(task, t) > 0:
            clock = task[t, Task.CLOCK]
            if found == NONE or clock < found:
                found = clock
    return found


@kernel
def plan(task, now, quantum, most):
    """Fix how many accesses each task contributes to the next quantum.

    task     int64[tasks, len(Task)]; CLOCK, QUOTA and RAN are set
    quantum  its length, ns
    most     accesses of all tasks together
    Return (start, end) of the quantum in ns, or (now, NONE) if no accesses are left.
    """
    end = _pace(task, now, now + quantum)
    total = _assign(task, now, end)
    if total == 0:
        now = _earliest(task)
        if now == NONE:
            return now, NONE
        end = _pace(task, now, now + quantum)
        total = _assign(task, now, end)
    # Once is not always enough: a task with little left, or late, stays as it is.
    while total > most and end - now > 1:
        end = now + max(1, (end - now) * most // total)
        total = _assign(task, now, end)
    if total > most:
        _cut(task, most)
    return now, end
