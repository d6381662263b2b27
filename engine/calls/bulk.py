"""Calls in bulk over arrays of pages, for daemons (``docs/model/daemons.md``).

``pages`` are int64 offsets within a region, in any order; a mask, bool[region.pages];
or None for all.  What the calls cost is the daemon's time, and nobody's clock.
"""

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls.bulk_look import (
    Looked,
    clear_young,
    nodes_at,
    read_young,
)
from ...kernels.calls.bulk_move import Aim, move_pages_of
from ...kernels.calls.mbind import Moves
from ...kernels.counters import Vm
from ...kernels.words import NONE
from ..errors import BadInput
from ..state.process import Process, Region
from ..state.world import flush_tlbs

if TYPE_CHECKING:
    from ..simulation import Simulation

#: What ``pages`` of a call may be.
Pages = np.ndarray | Sequence[int] | None
#: Most pages that one call of a kernel looks at.
CHUNK = 1 << 18


def where(simulation: "Simulation", region: Region, pages: Pages = None) -> np.ndarray:
    """Return int8[pages]: the node of each page; -1: no page is there.

    A look: nothing is charged.
    Raises BadInput if a page is not of the region, or the process is dead.
    """
    found = [_nodes_at(simulation, region, chunk) for chunk in _chunks(region, pages)]
    return np.concatenate([_NO_NODES, *found])


def take_accessed(
    simulation: "Simulation", region: Region, pages: Pages = None
) -> np.ndarray:
    """Return bool[pages]: whether each was used since its bit was last taken.

    The accessed bits are cleared.  All 512 pages of a huge entry share one.
    Charged: a walk (cost.walk_ns) for each entry, cost.mark_pte_ns for each bit that
    was set, and one TLB flush if any was.
    Raises BadInput if a page is not of the region, or the process is dead.
    """
    memory, first = simulation.memory, _first(region)
    looked = np.zeros(len(Looked), np.int64)
    chunks = list(_chunks(region, pages))
    taken = [np.zeros(len(chunk), np.bool_) for chunk in chunks]
    # All are read before any is cleared: chunks may share a huge page.
    for kernel in (read_young, clear_young):
        for chunk, young in zip(chunks, taken, strict=True):
            kernel(memory, first, chunk, young, looked)
    costs, cleared = simulation.costs, int(looked[Looked.CLEARED])
    ns = int(looked[Looked.READ]) * costs.walk_ns + cleared * costs.mark_pte_ns
    charge(simulation, ns + _flush(simulation, region.process, int(cleared > 0)))
    return np.concatenate([_NO_BITS, *taken])


def promote(
    simulation: "Simulation", region: Region, pages: Pages, node: int | None = None
) -> int:
    """Move pages to a node, or to the nearest of a faster tier; return pages moved.

    Nodes stay above their high watermark, as after a hint fault.  Who finds no room is
    refused (TARGET_FULL), and kswapd of that node woken.
    Raises BadInput if there is no such node or page, or the process is dead.
    """
    return _move(simulation, region, pages, node, Aim.PROMOTE)


def demote(
    simulation: "Simulation", region: Region, pages: Pages, node: int | None = None
) -> int:
    """Move pages to a node, or to one of the next slower tier; return pages moved.

    Nodes are filled down to min, as by reclaim (alloc_demote_folio, mm/vmscan.c, 6.12).
    Raises BadInput as ``promote`` does.
    """
    return _move(simulation, region, pages, node, Aim.DEMOTE)


def move(simulation: "Simulation", region: Region, pages: Pages, node: int) -> int:
    """Move pages to a node, which stays above its low watermark; return pages moved.

    Raises BadInput as ``promote`` does.
    """
    if node is None:
        raise BadInput("node must be a number, got None")
    return _move(simulation, region, pages, node, Aim.MOVE)


def node_free(simulation: "Simulation", node: int) -> int:
    """Return the free pages of a node.  Raises BadInput if there is no such node."""
    _check_node(simulation, node)
    return int(simulation.memory.node[node, st.Node.FREE])


def node_size(simulation: "Simulation", node: int) -> int:
    """Return the pages of a node.  Raises BadInput if there is no such node."""
    _check_node(simulation, node)
    return int(simulation.machine.pages[node])


def charge(simulation: "Simulation", ns: int) -> None:
    """Let a daemon work for ``ns``: part of ``daemon_time_ns`` and of System time.

    A daemon that works is not woken before it is done.
    Raises BadInput unless ``ns`` is an integer of at least 0.
    """
    if isinstance(ns, bool) or not isinstance(ns, Integral) or ns < 0:
        raise BadInput(f"ns must be an integer of at least 0, got {ns!r}")
    simulation.daemon_time_ns += int(ns)


def loaded_latency(simulation: "Simulation") -> np.ndarray:
    """Return float64[nodes, nodes] ns: an access now, as the last quantum's load has it.

    A row for the node of the CPU, a column for that of the memory.
    """
    return simulation.prices.loaded(simulation.costs)


def bandwidth_used(simulation: "Simulation") -> np.ndarray:
    """Return float64[nodes]: share of each node's bandwidth that was used, 0 to 0.95.

    Of the last quantum in which something ran.
    """
    return simulation.prices.used()


def regions(simulation: "Simulation", process: Process | None = None) -> list[Region]:
    """Return what is mapped, a region for each VMA: of a process, or of all that live.

    So a daemon finds what it works on.
    """
    owners = simulation.processes if process is None else [process]
    return [
        Region(one, vma.start, vma.end - vma.start)
        for one in owners
        if one.alive
        for vma in one.vmas
    ]


# --- what they share ------------------------------------------------------------------

_NO_NODES, _NO_BITS = np.zeros(0, np.int8), np.zeros(0, np.bool_)


def _first(region: Region) -> int:
    """Return the index of the PTE of a region's first page."""
    return region.first + region.process.delta


def _chunks(region: Region, pages: Pages) -> Iterator[np.ndarray]:
    """Yield the offsets that ``pages`` stands for, a chunk at a time."""
    region.process.check_alive()
    if pages is None:
        for at in range(0, region.pages, CHUNK):
            yield np.arange(at, min(at + CHUNK, region.pages))
        return
    offsets = _offsets(region, np.asarray(pages))
    for at in range(0, len(offsets), CHUNK):
        yield offsets[at : at + CHUNK]


def _offsets(region: Region, pages: np.ndarray) -> np.ndarray:
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


def _nodes_at(
    simulation: "Simulation", region: Region, chunk: np.ndarray
) -> np.ndarray:
    nodes = np.zeros(len(chunk), np.int8)
    nodes_at(simulation.memory, _first(region), chunk, nodes)
    return nodes


def _move(
    simulation: "Simulation", region: Region, pages: Pages, node: int | None, aim: Aim
) -> int:
    """Move pages as ``aim`` says; charge the daemon; return pages moved."""
    if node is not None:
        _check_node(simulation, node, with_memory=True)
    nid = NONE if node is None else int(node)
    memory, first = simulation.memory, _first(region)
    moves, user, ns = np.zeros(len(Moves), np.int64), _user(simulation, region), 0
    chunks = list(_chunks(region, pages))
    # Where all are is asked first: nobody moves twice in a call.
    sources = [_nodes_at(simulation, region, chunk) for chunk in chunks]
    for chunk, nodes in zip(chunks, sources, strict=True):
        ns += int(
            move_pages_of(memory, user, first, chunk, nodes, nid, int(aim), moves)
        )
    ns += _flush(simulation, region.process, int(moves[Moves.FLUSHES]))
    ns += int(memory.info[st.Info.SPLITS]) * simulation.costs.split_pmd_ns
    charge(simulation, ns)
    simulation.fold()
    return int(moves[Moves.PAGES])


def _user(simulation: "Simulation", region: Region) -> int:
    """Return the task by whose use moves of a region's pages are judged."""
    mine = [one.id for one in simulation.tasks if one.process is region.process]
    return mine[0] if mine else 0


def _flush(simulation: "Simulation", process: Process, flushes: int) -> int:
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


def _check_node(simulation: "Simulation", node: int, with_memory: bool = False) -> None:
    sizes = simulation.machine.memory
    if isinstance(node, bool) or not isinstance(node, Integral):
        raise BadInput(f"node must be an integer, got {node!r}")
    if not 0 <= node < len(sizes):
        raise BadInput(f"node must be from 0 to {len(sizes) - 1}, got {node}")
    if with_memory and not sizes[node]:
        raise BadInput(f"node must have memory, got {node}, which has none")
