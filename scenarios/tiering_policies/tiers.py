"""What the policies that are daemons share: tiers, room, samples of a region, moves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...engine.daemons.user_daemon import EACH_QUANTUM
from ...engine.machines.machine import Machine
from ...engine.state.process import Region
from ...kernels.state import Node
from ...kernels.words import HPAGE_PMD_NR
from ..common.fast_tier import fast_nodes

if TYPE_CHECKING:
    from ...engine.simulation import Simulation


class Placed(NamedTuple):
    """Which pages are in which tier: bool arrays; pages that are not there in none."""

    fast: np.ndarray
    slow: np.ndarray


class Tiers:
    """The two tiers of a machine, as a daemon uses them."""

    def __init__(self, machine: Machine) -> None:
        self.fast = fast_nodes(machine)
        self.slow = [
            node
            for node, size in enumerate(machine.memory)
            if size and node not in self.fast
        ]
        #: bool[nodes + 1]: the last is that of pages that are nowhere (node -1).
        self._is_fast = np.zeros(machine.nodes + 1, bool)
        self._is_fast[self.fast] = True

    def of(self, nodes: np.ndarray) -> Placed:
        """Return the tier of pages whose nodes ``Simulation.where`` gave."""
        fast = self._is_fast[nodes]
        return Placed(fast, (nodes >= 0) & ~fast)

    def size(self, simulation: "Simulation") -> int:
        """Return the pages of the fast tier that processes can have."""
        return sum(simulation.node_size(node) for node in self.fast)

    def room(self, simulation: "Simulation", kept: int = 0) -> int:
        """Return how many pages of the fast tier are free beyond ``kept``.

        It is negative if fewer are free.
        """
        return sum(simulation.node_free(node) for node in self.fast) - kept

    @staticmethod
    def above_high(simulation: "Simulation", node: int) -> int:
        """Return how many pages a node has free above its high watermark, or less."""
        high = int(simulation.memory.node[node, Node.HIGH])
        return simulation.node_free(node) - high

    def promote(
        self, simulation: "Simulation", region: Region, pages: np.ndarray, kept: int = 0
    ) -> int:
        """Move pages to the fast nodes, the roomiest first; return how many moved.

        ``kept`` pages of the whole tier stay free, an equal part of each node.
        """
        free = {node: simulation.node_free(node) for node in self.fast}
        moved = at = 0
        for node in sorted(free, key=lambda node: (-free[node], node)):
            fits = max(0, free[node] - kept // len(self.fast))
            some = pages[at : at + fits]
            if len(some) == 0:
                break
            moved += int(simulation.promote(region, some, node=node))
            at += len(some)
        return moved


class Sampled(NamedTuple):
    """Samples of a region, in order: page, node of it, node of the CPU, write."""

    page: np.ndarray
    node: np.ndarray
    cpu_node: np.ndarray
    write: np.ndarray


def take_sampled(simulation: "Simulation", region: Region) -> Sampled:
    """Take all samples, and return those of a region; pages count from its first."""
    samples = simulation.take_samples()
    page = samples["page"] - region.first
    inside = (page >= 0) & (page < region.pages)
    inside &= samples["process"] == region.process.id
    mine = samples[inside]
    return Sampled(page[inside], mine["node"], mine["cpu_node"], mine["write"] != 0)


def pages_of(units: Sequence[int] | np.ndarray, region: Region) -> np.ndarray:
    """Return the pages of units of 2 MiB, in the order of the units: int64."""
    first = np.asarray(units, np.int64)[:, None] * HPAGE_PMD_NR
    pages = (first + np.arange(HPAGE_PMD_NR)).ravel()
    return pages[pages < region.pages]


def next_wake(simulation: "Simulation", period_ns: int) -> int:
    """Return when a thread wakes again: never more often than a quantum ends."""
    if period_ns <= simulation.settings.quantum_ns:
        return EACH_QUANTUM
    return simulation.now + period_ns


class Budget:
    """Bytes that a thread may move, at a rate; what is not used does not add up."""

    def __init__(self, rate: int, period_ns: int) -> None:
        self.rate, self.period_ns = rate, period_ns
        self.left = 0.0
        self.last_ns = 0

    def refill(self, now: int, least: int) -> int:
        """Return the bytes for now: of the time since the last call, and what is left.

        So little as does not move ``least`` bytes is saved for the next time.
        """
        passed = max(self.period_ns, now - self.last_ns)
        self.last_ns = now
        self.left = min(self.left, least) + self.rate * passed / 1e9
        return int(self.left)
