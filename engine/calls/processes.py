"""Processes and tasks: how they begin, move and end."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.balancing import end_quantum
from ...kernels.calls import fork as kernel
from ...kernels.counters import Event, Op, Worker
from ...kernels.words import (
    ACCESS_TASK,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    MAPCOUNT_MAX,
    NONE,
    NUMA_PTE_SCAN_INIT,
    PAGE_SIZE,
)
from ..errors import BadInput
from ..machines.cpu_numbers import ranges
from ..state.anon_vma import fork_vmas, prepare
from ..state.first_sample import set_first_sample
from ..state.host_memory import give_back, wipe
from ..state.process import Process, Task
from ..state.ranges import pieces
from ..state.world import MS, flush_tlbs, lru_add_drain, worked
from .swapoff import join_at_fork
from .unmap import evict_unmapped, zap

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Tasks that a word of an access can tell apart, but for a recording's places.
MOST_TASKS = ACCESS_TASK - 1023


def spawn(
    simulation: "Simulation", name: str = "main", nbytes: int | None = None
) -> Process:
    """Return a new process with ``nbytes`` of address space (default 4 x RAM)."""
    wanted = 4 * sum(simulation.machine.memory) if nbytes is None else nbytes
    span = -(-wanted // (PAGE_SIZE * HPAGE_PMD_NR)) * HPAGE_PMD_NR
    first = simulation.reserve(span)
    everybody = simulation.processes
    family = 1 + max((one.family for one in everybody), default=-1)
    process = Process(
        len(everybody), name, family, first, span, 0, first, tables=simulation.tables
    )
    everybody.append(process)
    return process


def start_task(
    simulation: "Simulation", process: Process, cpu: int, pinned: bool = False
) -> Task:
    """Return a new task of a process on a CPU.

    pinned  whether neither the load balancer nor NUMA balancing may move it
    """
    process.check_alive()
    cpu = _checked_cpu(simulation, cpu)
    others = [one for one in simulation.tasks if one.process is process]
    if len(simulation.tasks) >= MOST_TASKS:
        raise BadInput(f"tasks must be at most {MOST_TASKS}, got one more")
    number, policy = len(simulation.tasks), simulation.policy
    task = Task(number, process, cpu, policy, tables=simulation.tables)
    simulation.tasks.append(task)
    memory, machine = simulation.memory, simulation.machine
    row = memory.task[task.id]
    row[st.Task.OWNER] = task.id
    row[st.Task.MM], row[st.Task.DELTA] = process.id, process.delta
    row[st.Task.ALIVE], row[st.Task.REFS], row[st.Task.CLOCK] = 1, 1, simulation.now
    row[st.Task.NID], row[st.Task.CPU] = machine.cpu_node[cpu], cpu
    row[st.Task.PINNED] = pinned
    set_first_sample(simulation, task.id)
    if simulation.balances:
        parent = others[0].id if others else NONE
        end_quantum.init_numa_balancing(memory, task.id, parent, simulation.now // MS)
    memory.mm[process.id, st.Mm.USERS] += 1
    if not others:
        memory.mm[process.id, st.Mm.PGD_NID] = memory.zonelist[row[st.Task.NID], 0]
    return task


def move_task(simulation: "Simulation", task: Task, cpu: int) -> None:
    """Move a task to another CPU."""
    task.cpu = _checked_cpu(simulation, cpu)
    end_quantum.move_task(simulation.memory, task.id, cpu)


def _checked_cpu(simulation: "Simulation", cpu: int) -> int:
    there = np.flatnonzero(simulation.machine.cpu_node >= 0)
    if cpu not in there:
        raise BadInput(
            f"cpu must be one of the machine's {len(there)} ({ranges(there)}),"
            f" got {cpu}"
        )
    return cpu


def fork(simulation: "Simulation", process: Process, name: str = "child") -> Process:
    """Return a copy-on-write copy of a process, without tasks."""
    process.check_alive()
    prepare(simulation, process)
    if sum(one.alive for one in _family(simulation, process)) >= MAPCOUNT_MAX:
        raise BadInput(f"a fork family must have at most {MAPCOUNT_MAX} processes")
    base = simulation.reserve(process.span)
    child = Process(
        len(simulation.processes),
        name,
        process.family,
        process.first_vpn,
        process.span,
        base - process.first_vpn,
        process.next_vpn,
        vmas=fork_vmas(simulation, process),
        tables=simulation.tables,
    )
    simulation.processes.append(child)
    memory = simulation.memory
    memory.mm[child.id, st.Mm.FIRST_NID] = NUMA_PTE_SCAN_INIT
    if simulation.placement is not None:
        for vma in child.vmas:
            first = vma.start + child.delta
            simulation.placement.own.forget(first, vma.end - vma.start)
    copied = 0
    for vma in process.vmas:
        if vma.anon_vma == NONE:
            # The child faults its pages in again, zero pages too (vma_needs_copy).
            continue
        for first, pages in pieces(vma.start, vma.end):
            copied += kernel.copy_page_range(
                memory, first + process.delta, first + child.delta, pages, child.id
            )
    _count_fork(simulation, process, int(copied))
    flush_tlbs(simulation, process)
    simulation.fold()
    if memory.mm[child.id, st.Mm.SWAPENTS]:
        join_at_fork(simulation, process, child)
    simulation.event(Event.FORK, -1, child, process.id)
    return child


def _count_fork(simulation: "Simulation", process: Process, copied: int) -> None:
    """Count that a process held its map alone while so many entries were copied."""
    ns = copied * simulation.costs.fork_pte_ns + simulation.costs.syscall_ns
    ops = {Op.WRITE_CALL: 1, Op.WRITE_CALL_NS: ns, Op.FORK: copied, Op.WORK_NS: ns}
    worked(simulation, Worker.FORK, process.id, ops)


def _family(simulation: "Simulation", process: Process) -> list[Process]:
    return [one for one in simulation.processes if one.family == process.family]


def exit(simulation: "Simulation", process: Process) -> None:
    """End a process and its tasks; every frame, slot and entry goes back."""
    process.check_alive()
    leave(simulation, process)
    simulation.fold()


def leave(simulation: "Simulation", process: Process) -> None:
    """End a process, without folding what it and others were charged."""
    tasks = [task for task in simulation.tasks if task.process is process]
    for task in tasks:
        lru_add_drain(simulation, task)
    wedged = np.zeros(1, np.int64)
    for vma in process.vmas:
        zap(simulation, process, vma.start, vma.end, None, wedged)
    memory = simulation.memory
    for task in tasks:
        memory.task[task.id, st.Task.ALIVE] = 0
        if simulation.balances:
            end_quantum.leave(memory, task.id)
    memory.mm[process.id, st.Mm.USERS] = 0
    process.end()
    evict_unmapped(simulation)
    first = process.first_vpn + process.delta
    give_back(memory.pte, first, process.span)
    wipe(memory.pmd, first >> HPAGE_PMD_ORDER, process.span >> HPAGE_PMD_ORDER)
    _release(simulation, process)
    simulation.give_back_memory()
    simulation.event(Event.EXIT, -1, process, 0)
    if wedged[0]:
        simulation.event(Event.WEDGED, -1, process, int(wedged[0]))


def _release(simulation: "Simulation", process: Process) -> None:
    """Let others use the page tables of a process that is gone.

    A founder's range names its family's pages, so it waits for the last relative.
    """
    if process.delta:
        simulation.holes.append((process.first_vpn + process.delta, process.span))
    if not any(one.alive for one in _family(simulation, process)):
        simulation.holes.append((process.first_vpn, process.span))
        if process.family in simulation.caches:
            cache = simulation.caches.pop(process.family)
            simulation.holes.append((process.first_vpn + cache, process.span))


def synchronize(simulation: "Simulation") -> None:
    """Let every live task wait for the slowest."""
    simulation.locks.settle(simulation)
    task = simulation.memory.task
    alive = task[:, st.Task.ALIVE] == 1
    if alive.any():
        task[alive, st.Task.CLOCK] = task[alive, st.Task.CLOCK].max()
