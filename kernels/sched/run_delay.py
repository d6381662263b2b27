"""Tasks that share a CPU run in turns, and wait for each other (sched_info.run_delay).

``docs/model/sched.md`` 6.
"""

from ..jit.compile import inlined, kernel
from ..state import Cpu, Info, Task


@inlined
def _ran(m, t):
    """Return how long a task has run since it last waited for others' turns, ns."""
    return m.task[t, Task.RUNTIME] - m.task[t, Task.SHARED_AT]


@inlined
def _others_turns(m, task):
    """Return how long a task waited for the other tasks of its CPU, ns."""
    ran, cpu, waited = _ran(m, task), m.task[task, Task.CPU], 0
    for t in range(m.info[Info.TASKS]):
        if t != task and m.task[t, Task.CPU] == cpu:
            waited += min(ran, _ran(m, t))
    return waited


@inlined
def _wait(m, task):
    """Let a task have waited for its CPU.

    Turns make the mean cost of its accesses higher, so that it takes fewer of them in
    the next quantum; what disturbs its CPU now is not taken to do so then, too.
    """
    cpu = m.cpu[m.task[task, Task.CPU]]
    turns = _others_turns(m, task) if cpu[Cpu.SHARED] > 1 else 0
    waited = turns + cpu[Cpu.STOLEN]
    m.task[task, Task.CLOCK] += waited
    m.task[task, Task.RUN_DELAY] += waited
    mean = m.task[task, Task.MEAN]
    m.task[task, Task.MEAN] = mean + mean * turns // _ran(m, task)


@kernel
def share_cpus(m):
    """Let the tasks of each CPU wait for each other's turns of the quantum.

    What disturbed a CPU since the last quantum takes its time first.
    """
    for cpu in range(m.cpu.shape[0]):
        m.cpu[cpu, Cpu.SHARED] = 0
    for t in range(m.info[Info.TASKS]):
        if _ran(m, t) > 0:
            m.cpu[m.task[t, Task.CPU], Cpu.SHARED] += 1
    for t in range(m.info[Info.TASKS]):
        if _ran(m, t) > 0:
            _wait(m, t)
    for t in range(m.info[Info.TASKS]):
        m.task[t, Task.SHARED_AT] = m.task[t, Task.RUNTIME]
    for cpu in range(m.cpu.shape[0]):
        m.cpu[cpu, Cpu.STOLEN] = 0
