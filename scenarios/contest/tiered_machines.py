"""The machines of the league: two tiers each, with figures that were measured.

cxl-1to1  one socket, half of the memory behind CXL
cxl-1to4  the same with a fifth of the memory in DRAM
2s-cxl    two sockets with a quarter of the memory each, half of it behind CXL
hbm-dram  one socket with HBM (MCDRAM) for a seventh of the memory, in flat mode

Latencies of DRAM: 108.2 ns, and 195.7 ns from the other socket (two sockets of the
kind of Sapphire Rapids, stevescargall.com).  CXL by an ASIC has 2.18 times the latency
of local DRAM; from the other socket it has what the link adds, too.  Bandwidth of DRAM
and of one CXL device: 208.5 and 24.5 GB/s, the Stream triad of 64 threads (weighted
interleave, cover letter, 6.9); of the link 34.4 in 69.3 of a socket's, as on another
two-socket Xeon (Intel MLC).  HBM: Knights Landing in flat mode, 154 ns against 130 ns
of DDR4 (McCalpin, 2016), Stream 480 against 90 GB/s, 16 against 96 GB.  The distances
of 2s-cxl are those of the pghot host (10, 32, 50, 60).
"""

from collections.abc import Callable

import numpy as np

from ...engine.machines.machine import Machine, default_system, split_cpus

_DRAM_NS, _FAR_NS = 108, 196
_CXL_NS = 236
_FAR_CXL_NS = _CXL_NS + _FAR_NS - _DRAM_NS
_DRAM_GBPS, _CXL_GBPS = 208.5, 24.5
_LINK_GBPS = _DRAM_GBPS * 34.4 / 69.3
_HBM_NS, _DDR_NS = 154, 130
_HBM_GBPS, _DDR_GBPS = 480.0, 90.0


def _machine(
    name: str,
    memory: int,
    shares: tuple[int, ...],
    cpus: tuple[int, ...],
    distance: list[list[int]],
    latency: list[list[int]],
    gbps: list[list[float]],
    tier: tuple[int, ...],
) -> Machine:
    sizes = split_cpus(memory, shares, name)
    return Machine(
        name,
        sizes,
        default_system(sizes),
        cpus,
        np.array(distance),
        np.array(latency),
        np.round(np.array(gbps) * 1e9).astype(np.int64),
        tier,
    )


def _one_socket(name: str, memory: int, tasks: int, shares: tuple[int, int]) -> Machine:
    """Return a socket with a CXL device."""
    near, far = _DRAM_NS, _CXL_NS
    dram, cxl = _DRAM_GBPS, _CXL_GBPS
    return _machine(
        *(name, memory, shares, (tasks, 0), [[10, 50], [50, 10]]),
        [[near, far], [far, far]],
        [[dram, cxl], [cxl, cxl]],
        (0, 1),
    )


def _cxl_1to1(memory: int, tasks: int) -> Machine:
    return _one_socket("cxl-1to1", memory, tasks, (1, 1))


def _cxl_1to4(memory: int, tasks: int) -> Machine:
    return _one_socket("cxl-1to4", memory, tasks, (1, 4))


def _two_sockets(memory: int, tasks: int) -> Machine:
    near, far, cxl, beyond = _DRAM_NS, _FAR_NS, _CXL_NS, _FAR_CXL_NS
    dram, link, card = _DRAM_GBPS, _LINK_GBPS, _CXL_GBPS
    return _machine(
        *("2s-cxl", memory, (1, 1, 2), (-(-tasks // 2), tasks // 2, 0)),
        [[10, 32, 50], [32, 10, 60], [50, 60, 10]],
        [[near, far, cxl], [far, near, beyond], [cxl, beyond, cxl]],
        [[dram, link, card], [link, dram, card], [card, card, card]],
        (0, 0, 1),
    )


def _hbm(memory: int, tasks: int) -> Machine:
    ddr, hbm = _DDR_GBPS, _HBM_GBPS
    return _machine(
        *("hbm-dram", memory, (6, 1), (tasks, 0), [[10, 31], [31, 10]]),
        [[_DDR_NS, _HBM_NS], [_DDR_NS, _HBM_NS]],
        [[ddr, hbm], [ddr, hbm]],
        (1, 0),
    )


#: Makes a machine of so many bytes, and CPUs for so many tasks, by its name.
MACHINES: dict[str, Callable[[int, int], Machine]] = {
    "cxl-1to1": _cxl_1to1,
    "cxl-1to4": _cxl_1to4,
    "2s-cxl": _two_sockets,
    "hbm-dram": _hbm,
}


def fast_nodes(machine: Machine) -> list[int]:
    """Return the nodes of the fastest tier."""
    return [node for node, tier in enumerate(machine.tier) if tier == 0]


def fast_pages(machine: Machine) -> int:
    """Return the frames of the fastest tier that processes may have."""
    nodes = fast_nodes(machine)
    return sum((machine.memory[n] - machine.system[n]) >> 12 for n in nodes)
