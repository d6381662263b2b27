"""Weighted interleave with weights of its own: Linux 6.16.

Pages are spread over all nodes in proportion to bandwidth, at first touch; none ever
moves.  Source: e341f9c3 ("mm/mempolicy: Weighted Interleave Auto-tuning", Joshua
Hahn), whose rule is in ``weights``: shares of a total of 32, rounded down, at least 1,
divided by what all have in common.  Nothing to scale.
"""

from functools import reduce
from math import gcd

from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.policies import Policy
from ...engine.state.process import Process, Region
from ...kernels.knobs import Mode
from . import Rival, Scale

#: Sum of the weights before they are reduced (``weightiness``, mm/mempolicy.c 6.16).
WEIGHTINESS = 32
#: The kernel's unit of bandwidth, bytes/s.
MB = 1_000_000


def rival(_scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("weighted_interleave", _settings, start=_start)


def _settings(_machine: Machine) -> Settings:
    return Settings()


def weights(machine: Machine) -> dict[int, int]:
    """Return the weight of each node with memory (``reduce_interleave_weights``)."""
    nodes = [node for node, size in enumerate(machine.memory) if size]
    bandwidth = {node: _bandwidth(machine, node) for node in nodes}
    total = sum(bandwidth.values())
    found = {node: max(1, WEIGHTINESS * bandwidth[node] // total) for node in nodes}
    common = reduce(gcd, found.values())
    return {node: weight // common for node, weight in found.items()}


def _bandwidth(machine: Machine, node: int) -> int:
    """Return MB/s of a node from the CPUs that reach it best (access class 0)."""
    from_cpus = [
        int(machine.bandwidth[near, node])
        for near, cpus in enumerate(machine.cpus)
        if cpus
    ]
    return min(max(from_cpus), int(machine.bandwidth[node, node])) // MB


def _start(simulation: Simulation, process: Process, region: Region) -> None:
    found = weights(simulation.machine)
    policy = Policy(Mode.WEIGHTED_INTERLEAVE, tuple(found), tuple(found.values()))
    task = next(task for task in simulation.tasks if task.process is process)
    simulation.mbind(task, region, policy)
