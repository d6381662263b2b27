"""Start and move the threads of a process, a node at a time."""

from collections.abc import Sequence

from ...engine.machines.machine import Machine, cpus_of
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Task


def nodes_with_cpus(machine: Machine) -> list[int]:
    """Return the nodes that have CPUs, in order."""
    return [node for node, cpus in enumerate(machine.cpus) if cpus]


def start_tasks(
    simulation: Simulation, process: Process, node: int, count: int
) -> list[Task]:
    """Start ``count`` threads on the CPUs of a node, one CPU after the other."""
    cpus = cpus_of(simulation.machine, node)
    return [simulation.start_task(process, cpus[i % len(cpus)]) for i in range(count)]


def move_tasks(simulation: Simulation, tasks: Sequence[Task], node: int) -> None:
    """Move threads to the CPUs of a node, one CPU after the other."""
    cpus = cpus_of(simulation.machine, node)
    for i, task in enumerate(tasks):
        simulation.move_task(task, cpus[i % len(cpus)])


def wait_for(simulation: Simulation, task: Task) -> None:
    """Let simulated time pass until it has reached the clock of a thread.

    A system call moves only the clock of its caller.  Without this the time of the
    set-up would be counted as part of what is measured next.
    """
    simulation.idle(max(0, simulation.clock(task) - simulation.now))
