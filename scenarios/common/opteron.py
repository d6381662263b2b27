"""The 4-node Opteron of late 2012, on which the first NUMA balancing was measured."""

from dataclasses import replace

import numpy as np

from ...engine.errors import BadInput
from ...engine.machines import presets
from ...engine.machines.machine import Machine, cpus_of
from ...engine.simulation import Simulation
from .block import BLOCK

NODES = 4


def opteron(cpus: int, memory: int) -> Machine:
    """Return the machine with ``cpus`` CPUs on each node and ``memory`` bytes in all.

    Bandwidths are those of perf bench numa (Molnar, December 2012): two streams of one
    node get 13.177 GB/s from that node, and 7.371 GB/s from another.  Latencies are an
    assumption, except for their ratio, which is that of one local stream to one remote
    stream: 8.436 to 6.717 GB/s.
    """
    share = memory // NODES // BLOCK * BLOCK
    if share < 2 * BLOCK:
        raise BadInput(f"memory must be at least 16 MiB, got {memory} bytes")
    local = np.eye(NODES, dtype=bool)
    estimate = presets.uniform(
        NODES, share, cpus, system_bytes=BLOCK, name="4-node Opteron"
    )
    return replace(
        estimate,
        latency_ns=np.where(local, 121, 152),
        bandwidth=np.where(local, 13_177_000_000, 7_371_000_000),
    )


def spread(simulation: Simulation, threads: int) -> list[int]:
    """Return a CPU for each thread, in random order, the same number on each node."""
    by_node = [cpus_of(simulation.machine, node) for node in range(NODES)]
    cpus = [
        by_node[i % NODES][i // NODES % len(by_node[i % NODES])] for i in range(threads)
    ]
    return np.random.default_rng(simulation.seed).permutation(cpus).tolist()
