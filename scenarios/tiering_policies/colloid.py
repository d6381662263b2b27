"""Colloid: move accesses, not hot pages, until both tiers take equally long.

Vuppalapati and Agarwal, "Tiered Memory Management: Access Latency is the Key!", SOSP
2024, on HeMem.  Each period the loaded latencies of the two tiers are compared.  If
they differ by more than 5 %, a binary search between two watermarks says which share of
all accesses should be in the fast tier (algorithm 2), and pages whose sampled accesses
add up to the difference move there, or away from it, within a limit (algorithm 1).

Left out: the latencies are those of the model, means of a quantum, in place of counters
of the memory controllers and their moving average; the share of accesses is that of
HeMem's counts, which fade.  Pages are taken hottest first in place of five bins.
Scaled: as HeMem.
"""

from functools import partial

import numpy as np

from ...engine.machines.machine import Machine
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.words import CACHE_LINE
from . import Rival, Scale
from .hemem import SAMPLED, UNIT, HeMem, settings
from .tiers import Sampled

#: Latencies that differ less are equal; watermarks this close are one (section 3.2).
DELTA, EPSILON = 0.05, 0.01


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("colloid", partial(settings, scale), start=partial(_start, scale))


def _start(
    scale: Scale, simulation: Simulation, _process: Process, region: Region
) -> None:
    simulation.start_daemon(Colloid(region, simulation.machine, scale))


class Colloid(HeMem):
    """HeMem, but for which pages move."""

    def __init__(self, region: Region, machine: Machine, scale: Scale) -> None:
        super().__init__(region, machine, scale)
        #: The share of accesses that the fast tier should have is between these.
        self.low, self.high = 0.0, 1.0

    def shift(self, fast_ns: float, slow_ns: float, share: float) -> float:
        """Return by how much the fast tier's share of accesses should change.

        Positive towards the fast tier.  Both latencies are loaded ones; ``share`` is
        what the fast tier has (algorithm 2).
        """
        if abs(fast_ns - slow_ns) < DELTA * fast_ns:
            return 0.0
        if fast_ns < slow_ns:
            self.low = share
        else:
            self.high = share
        if self.high < self.low + EPSILON:
            # The balance has moved: open the side on which it must be.
            if fast_ns < slow_ns:
                self.high = 1.0
            else:
                self.low = 0.0
        wanted = abs((self.low + self.high) / 2 - share)
        return wanted if fast_ns < slow_ns else -wanted

    def move(self, simulation: Simulation, sampled: Sampled, budget: int) -> int:
        """Move units with the accesses to shift; return the units moved."""
        fast = self.tiers.of(sampled.node).fast
        if not len(fast):
            return 0
        placed, count = self.placed(simulation), self.loads + self.stores
        share = count[placed.fast].sum() / max(1, count.sum())
        shift = self.shift(*self._latencies(simulation, sampled, fast), float(share))
        limit = self._limit(shift, len(fast))
        if shift >= 0:
            wanted = _adding_up(count, placed.slow, shift)[:limit]
            return self.exchange(simulation, wanted, placed.fast & ~self.hot, budget)
        leaving = _adding_up(count, placed.fast, -shift)[: min(limit, budget)]
        self.send(simulation, leaving)
        return len(leaving)

    def _limit(self, shift: float, samples: int) -> int:
        """Return the units that may move: no more bytes than accesses that shift."""
        return int(abs(shift) * samples * SAMPLED * CACHE_LINE) // UNIT + 1

    def _latencies(
        self, simulation: Simulation, sampled: Sampled, fast: np.ndarray
    ) -> tuple[float, float]:
        """Return the mean loaded latency of each tier, ns, over what was sampled.

        A tier that was not used has that of the CPUs' nearest node of it.
        """
        loaded = np.asarray(simulation.loaded_latency(), float)
        seen = loaded[sampled.cpu_node, sampled.node]
        cpus = np.unique(sampled.cpu_node)
        found = []
        for mine, nodes in ((fast, self.tiers.fast), (~fast, self.tiers.slow)):
            idle = loaded[np.ix_(cpus, np.array(nodes))].min(axis=1).mean()
            found.append(float(seen[mine].mean() if mine.any() else idle))
        return found[0], found[1]


def _adding_up(count: np.ndarray, which: np.ndarray, share: float) -> np.ndarray:
    """Return the hottest units of some whose samples are a share of all, at most.

    A unit that would be too much is left out, so that smaller ones follow it.
    """
    units = np.flatnonzero(which & (count > 0))
    units = units[np.argsort(-count[units], kind="stable")]
    total = count.sum()
    taken, left = [], share * total
    for unit in units:
        if left <= 0:
            break
        if count[unit] <= left:
            taken.append(unit)
            left -= count[unit]
    return np.array(taken, np.int64)
