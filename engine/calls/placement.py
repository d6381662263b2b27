"""Where pages are to be: policies, move_pages, migrate_pages, hot remove."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls import mbind as kernel
from ...kernels.calls import move_pages as move
from ...kernels.calls.mbind import Moves
from ...kernels.calls.memory_hotplug import offline_pages
from ...kernels.counters import Event
from ...kernels.knobs import Mechanism, Mode
from ..errors import BadInput
from ..state.policies import Policy, checked
from ..state.process import Process, Region, Task, merge, overlapping
from ..state.ranges import part_of, pieces
from ..state.tables import mask
from ..state.world import charge, flush_tlbs, flushes_ns, lru_add_drain
from .cut import change_range
from .marking import mark

if TYPE_CHECKING:
    from ..simulation import Simulation

EIO, EINVAL = 5, 22


def set_mempolicy(simulation: "Simulation", task: Task, policy: Policy) -> None:
    """Set the policy of a task."""
    nodes = len(simulation.machine.memory)
    task.set_policy(checked(policy, nodes))
    row = simulation.memory.task[task.id]
    row[st.Task.IL_PREV] = nodes - 1
    row[st.Task.IL_LEFT] = 0


def mbind(
    simulation: "Simulation",
    task: Task,
    region: Region,
    policy: Policy,
    move: bool = False,
    move_all: bool = False,
    strict: bool = False,
    lazy: Mechanism | None = None,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Set the policy of a part of a region (mbind(2)); return 0 or an errno.

    ``move``, ``move_all``: move misplaced pages at once; ``lazy``: mark them by
    that mechanism instead, or EINVAL if the settings refuse MPOL_MF_LAZY.
    """
    policy = checked(policy, len(simulation.machine.memory))
    if lazy is not None:
        if not simulation.settings.mpol_mf_lazy:
            return EINVAL
        mark(simulation, task, region, lazy, policy, move_all, first, pages)
        return 0
    start, pages = part_of(region, first, pages)
    process, moving = region.process, move or move_all
    # do_mbind: there is nothing that the default policy could be strict about.
    strict = strict and policy.mode != Mode.DEFAULT
    if strict and not moving:
        overlapping(process, start, pages)
        if _misplaced(simulation, task, start, start + pages, policy):
            charge(simulation, task)
            return EIO
    _set_shared_policy(process, start, pages, policy)
    change_range(simulation, process, start, pages, "policy", policy)
    moved = np.zeros(len(Moves), np.int64)
    if moving:
        lru_add_drain(simulation)
        memory = simulation.memory
        for *piece, interleave in _policies_in(memory, process, start, pages):
            how = interleave, move_all, strict
            if not kernel.do_mbind(memory, task.id, *piece, *how, moved):
                break
    merge(process)
    _charge_moves(simulation, task, process, moved)
    return EIO if strict and moved[Moves.FAILED] else 0


def _misplaced(
    simulation: "Simulation", task: Task, start: int, end: int, policy: Policy
) -> bool:
    """Tell whether a policy has present pages of a range off its nodes."""
    memory, where = simulation.memory, (int(policy.mode), mask(policy))
    return any(
        kernel.count_misplaced(memory, task.id, *where, first, pages)
        for first, pages in pieces(start, end)
    )


def _set_shared_policy(
    process: Process, first: int, pages: int, policy: Policy
) -> None:
    """Give a policy to the objects of a range, except where VMAs have it already."""
    for vma in overlapping(process, first, pages):
        if vma.shmem and vma.policy != policy:
            start, end = max(vma.start, first), min(vma.end, first + pages)
            vma.shmem.set_policy(start, end - start, policy)


def _policies_in(
    memory: st.Memory, process: Process, first: int, pages: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (VMA row, vpn, pages, interleave) of the policies of a range.

    interleave: what to add to a page's number to get the number that a move is
    interleaved by.  For shared memory the rows are those of its object.
    """
    row = int(memory.mm[process.id, st.Mm.FIRST_VMA])
    for i, vma in enumerate(process.vmas):
        start, end = max(vma.start, first), min(vma.end, first + pages)
        parts, at, interleave = [vma], row + i, 0
        if vma.shmem:
            parts, at = vma.shmem.vmas, vma.shmem.row
            interleave = process.first_vpn - vma.shmem.first
        for j, part in enumerate(parts):
            for piece in pieces(max(part.start, start), min(part.end, end)):
                yield at + j, *piece, interleave


def _charge_moves(
    simulation: "Simulation", task: Task, process: Process, moved: np.ndarray
) -> None:
    """Charge a call that moved pages; ``moved``: int64[len(Moves)]."""
    if moved[Moves.PAGES]:
        flush_tlbs(simulation, process)
    flushes = int(moved[Moves.FLUSHES])
    charge(simulation, task, 0, flushes_ns(simulation, task, process, flushes))


def move_pages(
    simulation: "Simulation",
    task: Task,
    region: Region,
    node: int,
    move_all: bool = False,
    first: int = 0,
    pages: int | None = None,
) -> np.ndarray:
    """Move pages to a node (move_pages(2)); return int64[pages], node or -errno."""
    _check_node(simulation, node)
    start, pages = part_of(region, first, pages)
    memory = simulation.memory
    lru_add_drain(simulation)
    status = np.zeros(pages, np.int64)
    moved = np.zeros(len(Moves), np.int64)
    for at, count in pieces(start, start + pages):
        part = status[at - start : at - start + count]
        move.move_pages(memory, task.id, at, node, move_all, part, moved)
    _charge_moves(simulation, task, region.process, moved)
    return status


def migrate_pages(
    simulation: "Simulation",
    task: Task,
    from_nodes: Sequence[int],
    to_nodes: Sequence[int],
    move_all: bool = False,
) -> int:
    """Move pages of the caller's process (migrate_pages(2)); return those left.

    ``move_all``: shared ones too, as for a caller with CAP_SYS_NICE.
    """
    for node in (*from_nodes, *to_nodes):
        _check_node(simulation, node)
    memory, process = simulation.memory, task.process
    lru_add_drain(simulation)
    moved = np.zeros(len(Moves), np.int64)
    for source, target in remap(sorted(from_nodes), sorted(to_nodes)):
        moved[Moves.BATCH] = 0  # each pair is a list of its own
        for vma in process.vmas:
            for at, count in pieces(vma.start, vma.end):
                move.migrate_to_node(
                    memory, task.id, at, count, source, target, move_all, moved
                )
    _charge_moves(simulation, task, process, moved)
    return int(moved[Moves.FAILED])


def remap(sources: Sequence[int], targets: Sequence[int]) -> list[tuple[int, int]]:
    """Return the (from, to) pairs of migrate_pages(2), in the order they are done.

    Relative order is kept (node_remap); if the sets differ in size, sources that are
    targets stay.  A pair whose target is no source any more goes first, as in
    do_migrate_pages (mm/mempolicy.c, 6.12).
    """
    if not targets:
        raise BadInput("to_nodes must name at least one node, got none")
    left = [
        (source, targets[i % len(targets)])
        for i, source in enumerate(sources)
        if len(sources) == len(targets) or source not in targets
    ]
    left = [pair for pair in left if pair[0] != pair[1]]
    done = []
    while left:
        waiting = {source for source, _ in left}
        best = next((pair for pair in left if pair[1] not in waiting), left[-1])
        left.remove(best)
        done.append(best)
    return done


def hot_remove(simulation: "Simulation", node: int) -> int:
    """Take a node's memory away through the migration cache; return pages left.

    0: the node is offline.  Otherwise it stays, with some of its pages moved.
    """
    _check_node(simulation, node)
    left = int(offline_pages(simulation.memory, node))
    simulation.fold()
    kind = Event.NODE_OFFLINE_FAILED if left else Event.NODE_OFFLINE
    simulation.event(kind, node, None, left)
    return left


def _check_node(simulation: "Simulation", node: int) -> None:
    nodes = len(simulation.machine.memory)
    if not 0 <= node < nodes:
        raise BadInput(f"node must be from 0 to {nodes - 1}, got {node}")
