"""Tiers, latencies and bandwidths of a machine's nodes that are better than guesses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import BadInput
from .machine import LINK_BANDWIDTH, LINK_DISTANCE, NS_PER_DISTANCE, Machine

#: Abstract distance of DRAM, and that of a tier (include/linux/memory-tiers.h, 6.12).
_ADISTANCE_DRAM = 576
_ADISTANCE_TIER = 128
#: Of a latency in ns, and of a bandwidth in bytes/s.
MOST = 10**15


def with_latency(machine: Machine, values: Sequence[int | None]) -> Machine:
    """Return the machine with the latencies in ns of each node, or of each pair.

    One for each node: that of an access from the nearest CPUs; from others it is
    longer by what the distances differ by.  None leaves the estimate.
    """
    return replace(machine, latency_ns=_latencies(machine, values))


def _latencies(machine: Machine, values: Sequence[int | None]) -> np.ndarray:
    _check_range(values, "latency_ns")
    nodes, latency = machine.nodes, machine.latency_ns.copy()
    if len(values) == nodes * nodes and nodes > 1:
        return _given(latency, values)
    _check_length(machine, values, "latency_ns")
    for node, value in enumerate(values):
        if value is not None:
            farther = machine.distance[:, node] - _least_distance(machine, node)
            latency[:, node] = np.maximum(1, value + NS_PER_DISTANCE * farther)
            latency[node, node] = value
    return latency


def with_bandwidth(machine: Machine, values: Sequence[int | None]) -> Machine:
    """Return the machine with the bandwidths in bytes/s of each node, or of each pair.

    One for each node: that of its memory, which its nearest CPUs get in full; a link
    from others gives no more.  None leaves the estimate.
    """
    return replace(machine, bandwidth=_bandwidths(machine, values))


def _bandwidths(machine: Machine, values: Sequence[int | None]) -> np.ndarray:
    _check_range(values, "bandwidth")
    nodes, bandwidth = machine.nodes, machine.bandwidth.copy()
    if len(values) == nodes * nodes and nodes > 1:
        return _given(bandwidth, values)
    _check_length(machine, values, "bandwidth")
    for node, value in enumerate(values):
        if value is not None:
            distance = machine.distance[:, node]
            link = LINK_BANDWIDTH * LINK_DISTANCE // distance
            near = distance <= _least_distance(machine, node)
            bandwidth[:, node] = np.where(near, value, np.minimum(link, value))
            bandwidth[node, node] = value
    return bandwidth


def _least_distance(machine: Machine, node: int) -> int:
    """Return the distance of a node to the nearest CPUs."""
    return int(machine.distance[np.array(machine.cpus) > 0, node].min())


def _given(matrix: np.ndarray, values: Sequence[int | None]) -> np.ndarray:
    """Return a matrix with the values that are known, row by row."""
    known = [
        old if v is None else v for v, old in zip(values, matrix.flat, strict=True)
    ]
    return np.array(known, np.int64).reshape(matrix.shape)


def _check_range(values: Sequence[int | None], name: str) -> None:
    for value in values:
        if value is not None and not 0 < value <= MOST:
            raise BadInput(f"{name} must be from 1 to {MOST}, got {value}")


def _check_length(machine: Machine, values: Sequence[int | None], name: str) -> None:
    if len(values) != machine.nodes:
        raise BadInput(
            f"{name} must have {machine.nodes} or {machine.nodes**2} numbers, of the"
            f" nodes or the pairs of nodes of {machine.name}, got {len(values)}"
        )


def with_measured_tiers(machine: Machine) -> Machine:
    """Return the machine with the tiers that Linux gives to what was measured.

    ``mt_perf_to_adistance`` (mm/memory-tiers.c, 6.12): against the first node with
    CPUs and memory, a node is farther in proportion to its latency, and nearer in
    proportion to its bandwidth.  Nodes with CPUs are DRAM.
    """
    home = [n for n in range(machine.nodes) if machine.cpus[n] and machine.memory[n]]
    if not home:
        return machine
    latency, bandwidth = _best(machine, home[0])
    ranks = []
    for node in range(machine.nodes):
        distance = _ADISTANCE_DRAM
        if not machine.cpus[node]:
            own_latency, own_bandwidth = _best(machine, node)
            distance = distance * own_latency * bandwidth // latency // own_bandwidth
        ranks.append(distance // _ADISTANCE_TIER)
    order = sorted(set(ranks))
    return replace(machine, tier=tuple(order.index(rank) for rank in ranks))


def _best(machine: Machine, node: int) -> tuple[int, int]:
    """Return latency and bandwidth of a node from the CPUs nearest to it."""
    cpus = np.flatnonzero(np.array(machine.cpus) > 0)
    nearest = cpus[np.argmin(machine.distance[cpus, node])]
    return (
        int(machine.latency_ns[nearest, node]),
        int(machine.bandwidth[nearest, node]),
    )
