"""What calls in bulk share: which pages are meant, and what their work costs."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.counters import Op, Vm, Worker
from ..errors import BadInput
from ..state.process import Process, Region
from ..state.world import flush_tlbs, worked

if TYPE_CHECKING:
    from ..simulation import Simulation

#: What ``pages`` of a call may be.
Pages = np.ndarray | Sequence[int] | None
#: Most pages that one call of a kernel looks at.
CHUNK = 1 << 18


def charge(simulation: "Simulation", ns: int) -> None:
    """Let a daemon work for ``ns``: part of ``daemon_time_ns`` and of System time.

    A daemon that works is not woken before it is done.
    Raises BadInput unless ``ns`` is an integer of at least 0.
    """
    if isinstance(ns, bool) or not isinstance(ns, Integral) or ns < 0:
        raise BadInput(f"ns must be an integer of at least 0, got {ns!r}")
    simulation.daemon_time_ns += int(ns)


def charge_for(
    simulation: "Simulation", process: Process, ns: int, ops: Mapping[Op, int]
) -> None:
    """Charge a daemon for work on a process, and let the locks know of it."""
    charge(simulation, ns)
    worked(simulation, Worker.KHUGEPAGED, process.id, {**ops, Op.WORK_NS: ns})


def first_pte(region: Region) -> int:
    """Return the index of the PTE of a region's first page."""
    return region.first + region.process.delta


def chunks_of(region: Region, pages: Pages) -> Iterator[np.ndarray]:
    """Yield the offsets that ``pages`` stands for, a chunk at a time."""
    region.process.check_alive()
    if pages is None:
        for at in range(0, region.pages, CHUNK):
            yield np.arange(at, min(at + CHUNK, region.pages))
        return
    offsets = offsets_of(region, np.asarray(pages))
    for at in range(0, len(offsets), CHUNK):
        yield offsets[at : at + CHUNK]


def offsets_of(region: Region, pages: np.ndarray) -> np.ndarray:
    """Return int64[n] offsets; raise BadInput unless all are of the region."""
    if pages.ndim == 1 and pages.dtype == np.bool_ and len(pages) == region.pages:
        return np.flatnonzero(pages)
    whole = pages.dtype.kind in "iu" or pages.size == 0
    if pages.ndim != 1 or not whole:
        raise BadInput(
            "pages must be int64[n] offsets, a mask of the region or None, got"
            f" {pages.dtype}{list(pages.shape)}"
        )
    if pages.size and not (0 <= pages.min() and pages.max() < region.pages):
        raise BadInput(
            f"pages must be from 0 to {region.pages - 1}, got"
            f" {pages.min()} to {pages.max()}"
        )
    return np.ascontiguousarray(pages, np.int64)


def flush_from_daemon(simulation: "Simulation", process: Process, flushes: int) -> int:
    """Flush the TLBs of a process from a daemon's CPU; return what it takes, ns."""
    if not flushes:
        return 0
    memory, costs = simulation.memory, simulation.costs
    s, receivers = memory.info[st.Info.SHARDS], int(memory.mm[process.id, st.Mm.USERS])
    node = int(np.flatnonzero(memory.node[:, st.Node.CPUS])[0])
    memory.vm[s, node, Vm.TLB_FLUSHES] += flushes
    memory.vm[s, node, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED] += flushes * receivers
    flush_tlbs(simulation, process)
    return flushes * (costs.tlb_flush_ns + costs.tlb_flush_cpu_ns * receivers)


def check_node(simulation: "Simulation", node: int, with_memory: bool = False) -> None:
    sizes = simulation.machine.memory
    if isinstance(node, bool) or not isinstance(node, Integral):
        raise BadInput(f"node must be an integer, got {node!r}")
    if not 0 <= node < len(sizes):
        raise BadInput(f"node must be from 0 to {len(sizes) - 1}, got {node}")
    if with_memory and not sizes[node]:
        raise BadInput(f"node must have memory, got {node}, which has none")
