"""Machines by name: sockets, rings, cubes, boards, DRAM with CXL."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import BadInput, did_you_mean
from ..settings.sizes import parse_size
from .machine import (
    CXL_BANDWIDTH,
    GIB,
    LOCAL_DISTANCE,
    MAX_NODES,
    Machine,
    from_slit,
    split_cpus,
)


def uniform(
    nodes: int,
    memory_per_node: str | int,
    cpus_per_node: int = 1,
    distance: int = 20,
    system_bytes: int = 0,
    name: str = "uniform",
) -> Machine:
    """Return a machine of equal nodes, each ``distance`` from every other.

    ``memory_per_node`` is a size, of which the system takes ``system_bytes``.  Raises
    BadInput as ``Machine`` does.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise BadInput(f"nodes must be 1 to {MAX_NODES}, got {nodes}")
    slit = np.full((nodes, nodes), distance)
    np.fill_diagonal(slit, LOCAL_DISTANCE)
    memory = parse_size(memory_per_node, "memory_per_node")
    return from_slit(
        name, (memory,) * nodes, (cpus_per_node,) * nodes, slit, (system_bytes,) * nodes
    )


def _all_to_all(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a != b


def _ring(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.minimum((a - b) % 4, (b - a) % 4)


def _cube(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    difference = a ^ b
    return (difference & 1) + (difference >> 1 & 1) + (difference >> 2)


def _boards(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(a // 4 == b // 4, a != b, 3)


#: Number of nodes, and hops between two of them (``_boards``: socket, controller,
#: controller, socket).
_SOCKETS: dict[str, tuple[int, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "2s": (2, _all_to_all),
    "4s": (4, _all_to_all),
    "4s-ring": (4, _ring),
    "8s": (8, _cube),
    "16-node": (16, _boards),
}
_DRAM_CXL = "dram-cxl"
PRESETS = (*_SOCKETS, _DRAM_CXL)

#: SLIT by hops, as the firmware of such machines has it.
_HOP_DISTANCE = np.array([10, 21, 31, 41])
_PRESET_CPUS = 32
_PRESET_NODE = 256 * GIB


def preset(name: str, memory: str | int | None = None) -> Machine:
    """Return a machine by name; ``memory`` is the RAM of all its nodes (a size).

    2s        2 sockets
    4s        4 sockets, each linked to each
    4s-ring   4 sockets, each linked to two neighbours
    8s        8 sockets at the corners of a cube, up to 3 hops
    16-node   4 boards of 4 sockets, 3 hops between boards
    dram-cxl  2 sockets with a quarter of the memory each, and a CXL node without CPUs
              with half of it on the first socket, in tier 1, of 64 GB/s, at 210 ns
              (the middle of the published range) from there and 250 ns (its end) from
              the other

    Nodes are equal except for dram-cxl, have 32 CPUs and 256 GiB (dram-cxl: 512 GiB in
    all) unless ``memory`` is given, and are whole pageblocks of 2 MiB.  SLIT distances
    are 21, 31 and 41 for 1, 2 and 3 hops; the rest is estimated as in ``from_slit``.

    Raises BadInput for an unknown name, a bad size, and less than 4 MiB for a node.
    """
    if name == _DRAM_CXL:
        return _dram_cxl(memory)
    if name not in _SOCKETS:
        raise BadInput(
            f"preset must be one of {', '.join(PRESETS)}, "
            f"got {name!r}{did_you_mean(str(name), PRESETS)}"
        )
    nodes, hops = _SOCKETS[name]
    total = nodes * _PRESET_NODE if memory is None else parse_size(memory, "memory")
    at = np.arange(nodes)
    distance = _HOP_DISTANCE[hops(at[:, None], at[None, :]).astype(np.int64)]
    sizes = split_cpus(total, (1,) * nodes, name)
    return from_slit(name, sizes, (_PRESET_CPUS,) * nodes, distance)


def _dram_cxl(memory: str | int | None) -> Machine:
    total = 2 * _PRESET_NODE if memory is None else parse_size(memory, "memory")
    estimate = from_slit(
        _DRAM_CXL,
        memory=split_cpus(total, (1, 1, 2), _DRAM_CXL),
        cpus=(_PRESET_CPUS, _PRESET_CPUS, 0),
        distance=[[10, 32, 50], [32, 10, 60], [50, 60, 10]],
    )
    # The estimate is for sockets; a CXL device's latency is not that of its SLIT.
    latency = np.array([[108, 196, 210], [196, 108, 250], [210, 250, 210]])
    bandwidth = estimate.bandwidth.copy()
    bandwidth[:, 2] = np.minimum(bandwidth[:, 2], CXL_BANDWIDTH)
    return replace(estimate, latency_ns=latency, bandwidth=bandwidth, tier=(0, 0, 1))
