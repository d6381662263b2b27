"""DAMON: self-tuned tiering, as the sample module ``mtier`` of Linux 6.16 does it.

82a08bde3cf7 (samples/damon/mtier.c, SeongJae Park): one DAMON watches the slow node and
moves hot regions up until 99.7 % of the fast node is used, the other watches the fast
node and moves cold regions down until 0.5 % of it is free; 200 MiB a second each way at
most; the sampling interval tunes itself.  ``engine/daemons/mtier.py`` has the numbers.

Left out: a sampling interval shorter than a quantum is a quantum's (which is where the
sample begins; it may grow to 10 s).  The sample knows one fast node and one slow one;
here each fast node has a pair with the slow node nearest to it.
Scaled: all intervals, and the bytes of a quota.  The goals leave the low watermark out,
which is more than they allow on a node that small.
"""

from functools import partial

from ...engine.daemons.mtier import mtier
from ...engine.machines.machine import Machine
from ...engine.settings.numa_balancing import Balancing
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.state import Node
from . import Rival, Scale
from .tiers import Tiers


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("damon", _settings, start=partial(_start, scale))


def _settings(_machine: Machine) -> Settings:
    return Settings(balancing=Balancing(demotion=False))


def _start(
    scale: Scale, simulation: Simulation, _process: Process, _region: Region
) -> None:
    machine, tiers = simulation.machine, Tiers(simulation.machine)
    shortest = simulation.settings.quantum_ns
    for fast in tiers.fast:
        slow = min(tiers.slow, key=lambda node: int(machine.distance[fast, node]))
        low = int(simulation.memory.node[fast, Node.LOW])
        reserve = -(-low * 10_000 // simulation.node_size(fast))
        for daemon in mtier(
            fast, slow, scale.shrunk, shortest_ns=shortest, reserve_bp=reserve
        ):
            simulation.start_daemon(daemon)
