"""Which nodes threads are on: where they start, and where they move to."""

from collections.abc import Sequence

from ...engine.errors import BadInput
from ...engine.machines import spec
from ...engine.machines.choice import MachineChoice
from ...engine.machines.machine import Machine, cpus_of
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Task


def nodes_with_cpus(machine: Machine) -> list[int]:
    """Return the nodes that have CPUs, in order."""
    return [node for node, cpus in enumerate(machine.cpus) if cpus]


def memory_of(machine: Machine, node: int) -> int:
    """Return a node if it has memory, otherwise the nearest one that has."""
    if machine.memory[node]:
        return node
    full = [other for other, size in enumerate(machine.memory) if size]
    return min(full, key=lambda other: int(machine.distance[node, other]))


def ends(machine: Machine) -> tuple[int, int]:
    """Return (home, away): where threads begin, and the farthest node from there.

    Home is the first node with CPUs and memory.  Away has both, too; of nodes that are
    equally far it is the one in the middle, so that it is node 2 of four sockets.
    Raises BadInput if there is only one such node.
    """
    whole = [node for node in nodes_with_cpus(machine) if machine.memory[node]]
    if len(whole) < 2:
        raise BadInput(
            "machine must have CPUs and memory on two nodes, as threads move from one"
            f" to another, got {machine.name} with {len(whole)} such node"
        )
    home, others = whole[0], whole[1:]
    far = max(machine.distance[node, home] for node in others)
    farthest = [node for node in others if machine.distance[node, home] == far]
    return home, farthest[len(farthest) // 2]


def machine_with(choice: MachineChoice, each: int) -> Machine:
    """Return the machine that a user chose, with ``each`` bytes or more at both ends.

    Raises BadInput as ``ends`` does.
    """
    machine = spec.machine(choice, 2 * each)
    least = min(machine.memory[node] for node in ends(machine))
    if least >= each:
        return machine
    return spec.machine(choice, 2 * each * -(-each // least))


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


def accesses(simulation: Simulation) -> tuple[int, int]:
    """Return the accesses to local and to remote memory so far."""
    return simulation.total("accesses_local"), simulation.total("accesses_remote")


def local_share(before: tuple[int, int], now: tuple[int, int]) -> float:
    """Return which share of the accesses between two ``accesses`` was local.

    For runs that a daemon ends: it is not known before which tenth is the last.
    """
    local, remote = (a - b for a, b in zip(now, before, strict=True))
    return local / max(1, local + remote)
