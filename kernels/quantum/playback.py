"""A recording is played: its accesses in the order of the trace, each on its CPU.

``docs/model/quantum.md`` 13.  What a task does on another CPU than its own goes into
the layout as another row of the tasks' table: a *place* of the task.  So kernels that
serve an access find its node where they always do.  Places last for a quantum.
"""

from ..access_run import task_in
from ..balancing.end_quantum import fold_faults
from ..balancing.task_numa_migrate import is_running, set_task_cpu
from ..jit.compile import called, inlined, kernel
from ..state import Info, Task
from ..words import ACCESS_TASK_SHIFT, NONE


@called
def _new_place(m, t, cpu):
    """Take a place for a task on a CPU; return its row, or NONE if none is left."""
    row = m.info[Info.TASKS] + m.info[Info.PLACES]
    if row == m.task.shape[0]:
        return NONE
    m.info[Info.PLACES] += 1
    for k in range(m.task.shape[1]):
        m.task[row, k] = m.task[t, k]
    m.task[row, Task.COUNT] = 0
    m.task[row, Task.NUMBER] = 0
    m.task[row, Task.QUOTA] = 0
    m.task[row, Task.CPU] = cpu
    m.task[row, Task.NID] = m.cpu_node[cpu]
    m.task[t, Task.PLACE] = row
    return row


@inlined
def _row_on(m, t, cpu):
    """Return the row of a task for an access on a CPU, NONE: on its own."""
    if cpu == NONE:
        return t
    row = m.task[t, Task.LAST]
    if m.task[row, Task.CPU] == cpu:
        return row
    if m.task[t, Task.CPU] == cpu:
        return t
    row = m.task[t, Task.PLACE]
    while row != 0:
        if m.task[row, Task.CPU] == cpu:
            return row
        row = m.task[row, Task.PLACE]
    return _new_place(m, t, cpu)


@kernel
def begin_quantum(m):
    """Forget which tasks ran in the last quantum."""
    for t in range(m.info[Info.TASKS]):
        m.task[t, Task.RAN] = 0


@inlined
def _meet(m, t, now):
    """Begin the quantum of a task."""
    m.task[t, Task.CLOCK] = max(m.task[t, Task.CLOCK], now)
    m.task[t, Task.EXPECTED] = m.task[t, Task.CLOCK]
    m.task[t, Task.LAST] = t


@kernel
def take_accesses(m, w, first, now, end, most):
    """Lay out the next accesses of a recording, up to one that begins after ``end``.

    first     the first that was not taken yet
    now, end  of the quantum, ns
    most      accesses that the quantum may have
    Writes ``w.layout``.  Return (accesses, first that is not taken, end of the quantum
    or, if there is no access to take, when the next one begins).  Those of dead
    processes are passed over, and counted.
    """
    count, reached = 0, now
    for i in range(first, w.trace.size):
        word = w.trace[i]
        t = task_in(word)
        if m.task[t, Task.ALIVE] == 0:
            m.info[Info.DROPPED] += 1
            continue
        if m.task[t, Task.QUOTA] == 0:
            _meet(m, t, now)
        begins = max(m.task[t, Task.EXPECTED], w.due[i])
        if begins >= end:
            return count, i, begins if count == 0 else end
        row = _row_on(m, t, w.cpu[i])
        if count == most or row == NONE:
            return count, i, max(now + 1, min(end, reached))
        w.layout[count] = word + ((row - t) << ACCESS_TASK_SHIFT)
        count += 1
        m.task[t, Task.QUOTA] += 1
        m.task[t, Task.LAST] = row
        m.task[t, Task.EXPECTED] = begins + m.task[t, Task.MEAN]
        reached = max(reached, m.task[t, Task.EXPECTED])
    return count, w.trace.size, end


@inlined
def _fold_place(m, row):
    """Give a place's charges to its task, and the place back."""
    task = m.task[row, Task.OWNER]
    m.task[task, Task.PLACE] = 0
    for s in range(m.cause.shape[0]):
        for k in range(m.cause.shape[2]):
            m.cause[s, task, k] += m.cause[s, row, k]
            m.cause[s, row, k] = 0
        for k in range(m.ops.shape[2]):
            m.ops[s, task, k] += m.ops[s, row, k]
            m.ops[s, row, k] = 0


@kernel
def leave_places(m):
    """Give tasks what was noted of their places; each is where it was last."""
    tasks, places = m.info[Info.TASKS], m.info[Info.PLACES]
    if m.numa.shape[0] > 0:
        for row in range(tasks + places):
            fold_faults(m, row)
    for t in range(tasks):
        if m.task[t, Task.QUOTA] == 0 or m.task[t, Task.ALIVE] == 0:
            continue
        m.task[t, Task.EXPECTED] = m.task[t, Task.CLOCK]
        cpu = m.task[m.task[t, Task.LAST], Task.CPU]
        if cpu != m.task[t, Task.CPU]:
            set_task_cpu(m, t, cpu)
    for row in range(tasks, tasks + places):
        _fold_place(m, row)
        for k in range(m.task.shape[1]):
            m.task[row, k] = 0
    m.info[Info.PLACES] = 0


@kernel
def wait_for_due(m, w, first, last):
    """Let tasks wait for the times of the accesses [first, last) that they made.

    Clocks have what the accesses cost, and EXPECTED is where they were before.
    """
    for i in range(first, last):
        t = task_in(w.trace[i])
        if m.task[t, Task.ALIVE] == 0:
            continue
        wait = max(0, w.due[i] - m.task[t, Task.EXPECTED])
        m.task[t, Task.CLOCK] += wait
        m.task[t, Task.RUNTIME] += wait
        m.task[t, Task.EXPECTED] += wait + m.task[t, Task.MEAN]


@kernel
def compute_until(m, time):
    """Let tasks that have begun, and have accesses left, compute until a time, ns."""
    for t in range(m.info[Info.TASKS]):
        if not is_running(m, t) or m.task[t, Task.RUNTIME] == 0:
            continue
        wait = max(0, time - m.task[t, Task.CLOCK])
        m.task[t, Task.CLOCK] += wait
        m.task[t, Task.RUNTIME] += wait
