"""What an access costs from node to node, as the traffic of the last quantum has it."""

import numpy as np

from ...kernels import state as st
from ...kernels.quantum import price
from ...kernels.words import CACHE_LINE
from ..machines.machine import Machine
from ..settings.costs import Costs
from ..settings.settings import Settings
from ..state.allocate import copy_costs


class Prices:
    """The latencies of a machine, and how the use of its links raises them."""

    def __init__(self, machine: Machine) -> None:
        nodes = len(machine.memory)
        self._bandwidth = np.ascontiguousarray(machine.bandwidth, np.int64)
        self._latency = np.ascontiguousarray(machine.latency_ns, np.int64)
        self._utilisation = np.zeros((nodes, nodes), np.int64)
        self._factor = np.full((nodes, nodes), price.STREAM_FACTOR_ONE, np.int64)
        #: Bytes that accesses moved so far, int64[N, N], row: node of the CPU.
        self.bytes = np.zeros((nodes, nodes), np.int64)

    def set(self, memory: st.Memory, settings: Settings, costs: Costs) -> None:
        """Write what accesses and page walks cost each task into the state."""
        price.price(
            memory,
            self._latency,
            self._bandwidth,
            self._utilisation,
            self._factor,
            costs.queueing_permille,
            costs.core_bandwidth,
        )
        if settings.loaded_copies:
            price.price_copies(
                memory,
                self._latency,
                self._bandwidth,
                self._factor,
                copy_costs(self._bandwidth, costs),
                costs.core_bandwidth,
            )
        if settings.tlb.enabled:
            price.price_walks(
                memory,
                self._latency,
                self._utilisation,
                costs.queueing_permille,
                settings.tlb.walk_cache_bytes,
            )

    def expect(self, memory: st.Memory) -> None:
        """Let tasks that never ran expect to find everything on the nearest node."""
        task = memory.task
        new = (task[:, st.Task.MEAN] == 0) & (task[:, st.Task.COUNT] > 0)
        nid = task[new, st.Task.NID]
        local = self._latency[nid, memory.zonelist[nid, 0]]
        task[new, st.Task.MEAN] = np.maximum(1, task[new, st.Task.REFS] * local)

    def learn(self, memory: st.Memory, length: int) -> None:
        """Take the traffic of a quantum of ``length`` ns; the next one pays for it."""
        self.bytes += memory.traffic.sum(axis=0) * CACHE_LINE
        price.utilise(memory, self._bandwidth, self._utilisation, self._factor, length)

    def loaded(self, costs: Costs) -> np.ndarray:
        """Return float64[N, N] ns: an access now, row: node of the CPU."""
        used = self._utilisation
        grown = 1000 + costs.queueing_permille * used // (1000 - used)
        return (self._latency * grown / 1000).astype(np.float64)

    def used(self) -> np.ndarray:
        """Return float64[N]: the share of each node's bandwidth, 0.95 at most."""
        return self._utilisation.diagonal() / 1000

    def shares(self, moved: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which share of the bandwidth ``moved`` bytes took in ``length`` ns.

        Of the memory of each node, float64[N], and of each link, float64[N, N]: NaN on
        the diagonal, and everywhere if no time has passed.
        """
        if length <= 0:
            return np.full(len(moved), np.nan), np.full(moved.shape, np.nan)
        share = moved * (1e9 / length) / self._bandwidth
        np.fill_diagonal(share, np.nan)
        into = moved.sum(axis=0) * (1e9 / length)
        return into / self._bandwidth.diagonal(), share
