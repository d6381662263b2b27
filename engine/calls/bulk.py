"""Calls in bulk over arrays of pages, for daemons (``docs/model/daemons.md``).

``pages`` are int64 offsets within a region, in any order; a mask, bool[region.pages];
or None for all.  What the calls cost is the daemon's time, and nobody's clock.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls.bulk_look import Looked, clear_young, nodes_at, read_young
from ...kernels.calls.bulk_move import Aim, move_pages_of
from ...kernels.calls.mbind import Moves
from ...kernels.counters import Op
from ...kernels.quantum.barrier import run_daemons
from ...kernels.words import HPAGE_PMD_NR, NONE
from ..errors import BadInput
from ..state.process import Process, Region
from .bulk_pages import (
    Pages,
    charge,
    charge_for,
    check_node,
    chunks_of,
    first_pte,
    flush_from_daemon,
)

if TYPE_CHECKING:
    from ..simulation import Simulation


def where(simulation: "Simulation", region: Region, pages: Pages = None) -> np.ndarray:
    """Return int8[pages]: the node of each page; -1: no page is there.

    A look: nothing is charged.
    Raises BadInput if a page is not of the region, or the process is dead.
    """
    found = [_nodes_at(simulation, region, chunk) for chunk in chunks_of(region, pages)]
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
    memory, first = simulation.memory, first_pte(region)
    looked = np.zeros(len(Looked), np.int64)
    chunks = list(chunks_of(region, pages))
    taken = [np.zeros(len(chunk), np.bool_) for chunk in chunks]
    # All are read before any is cleared: chunks may share a huge page.
    for kernel in (read_young, clear_young):
        for chunk, young in zip(chunks, taken, strict=True):
            kernel(memory, first, chunk, young, looked)
    costs, cleared = simulation.costs, int(looked[Looked.CLEARED])
    ns = int(looked[Looked.READ]) * costs.walk_ns + cleared * costs.mark_pte_ns
    charge(
        simulation, ns + flush_from_daemon(simulation, region.process, int(cleared > 0))
    )
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
    simulation: "Simulation",
    region: Region,
    pages: Pages,
    node: int | None = None,
    copied: bool = True,
) -> int:
    """Move pages to a node, or to one of the next slower tier; return pages moved.

    Nodes are filled down to min, as by reclaim (alloc_demote_folio, mm/vmscan.c, 6.12).
    ``copied``: False if a copy of each is there already, which costs no time to make.
    Raises BadInput as ``promote`` does.
    """
    aim = Aim.DEMOTE if copied else Aim.DEMOTE_TO_COPY
    return _move(simulation, region, pages, node, aim)


def move(simulation: "Simulation", region: Region, pages: Pages, node: int) -> int:
    """Move pages to a node, which stays above its low watermark; return pages moved.

    Raises BadInput as ``promote`` does.
    """
    if node is None:
        raise BadInput("node must be a number, got None")
    return _move(simulation, region, pages, node, Aim.MOVE)


def run_kswapd(simulation: "Simulation") -> None:
    """Let kswapd and kcompactd of nodes that woke them work now, not a quantum later.

    For daemons that move more at once than the watermarks leave room for: kswapd works
    beside them.  What it does is charged as always.
    """
    run_daemons(simulation.memory)
    simulation.fold()


def node_free(simulation: "Simulation", node: int) -> int:
    """Return the free pages of a node.  Raises BadInput if there is no such node."""
    check_node(simulation, node)
    return int(simulation.memory.node[node, st.Node.FREE])


def node_size(simulation: "Simulation", node: int) -> int:
    """Return the pages of a node.  Raises BadInput if there is no such node."""
    check_node(simulation, node)
    return int(simulation.machine.pages[node])


def loaded_latency(simulation: "Simulation") -> np.ndarray:
    """Return float64[nodes, nodes] ns: an access under the load of the last quantum.

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


def _nodes_at(
    simulation: "Simulation", region: Region, chunk: np.ndarray
) -> np.ndarray:
    nodes = np.zeros(len(chunk), np.int8)
    nodes_at(simulation.memory, first_pte(region), chunk, nodes)
    return nodes


def _move(
    simulation: "Simulation", region: Region, pages: Pages, node: int | None, aim: Aim
) -> int:
    """Move pages as ``aim`` says; charge the daemon; return pages moved."""
    if node is not None:
        check_node(simulation, node, with_memory=True)
    nid = NONE if node is None else int(node)
    memory, first = simulation.memory, first_pte(region)
    moves, user, ns = np.zeros(len(Moves), np.int64), _user(simulation, region), 0
    chunks = list(chunks_of(region, pages))
    # Where all are is asked first: nobody moves twice in a call.
    sources = [_nodes_at(simulation, region, chunk) for chunk in chunks]
    for chunk, nodes in zip(chunks, sources, strict=True):
        ns += int(
            move_pages_of(memory, user, first, chunk, nodes, nid, int(aim), moves)
        )
    ns += flush_from_daemon(simulation, region.process, int(moves[Moves.FLUSHES]))
    ns += int(memory.info[st.Info.SPLITS]) * simulation.costs.split_pmd_ns
    moved, folios = int(moves[Moves.PAGES]), int(moves[Moves.HUGE])
    ops = {Op.MIGRATE: moved - HPAGE_PMD_NR * folios, Op.MIGRATE_HUGE: folios}
    charge_for(simulation, region.process, ns, ops)
    simulation.fold()
    return moved


def _user(simulation: "Simulation", region: Region) -> int:
    """Return the task by whose use moves of a region's pages are judged."""
    mine = [one.id for one in simulation.tasks if one.process is region.process]
    return mine[0] if mine else 0
