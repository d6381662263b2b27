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
from ...kernels.words import HPAGE_PMD_NR, NONE
from ..errors import BadInput
from ..state.policies import Policy, checked, on_memory
from ..state.process import (
    Process,
    Region,
    Shmem,
    Task,
    change,
    overlapping,
)
from ..state.ranges import part_of, pieces
from ..state.tables import mask
from ..state.world import (
    charge,
    charge_drain,
    flush_tlbs,
    flushes_ns,
    lru_add_drain,
)
from .cut import change_range
from .marking import mark

if TYPE_CHECKING:
    from ..simulation import Simulation

ENOENT, EIO, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP = 2, 5, 14, 22, 38, 95


def has_policy(simulation: "Simulation", policy: Policy) -> bool:
    """Tell whether the kernel has a policy's mode and flag (sanitize_mpol_flags)."""
    calls, mode = simulation.settings.calls, policy.mode
    if mode == Mode.PREFERRED_MANY and not calls.mpol_preferred_many:
        return False
    if mode == Mode.WEIGHTED_INTERLEAVE and not calls.mpol_weighted_interleave:
        return False
    if not policy.numa_balancing:
        return True
    if mode == Mode.PREFERRED_MANY and not calls.preferred_many_balancing:
        return False
    return calls.mpol_f_numa_balancing


def set_mempolicy(simulation: "Simulation", task: Task, policy: Policy) -> int:
    """Set the policy of a task; return 0, or EINVAL if the kernel refuses it.

    Nodes without memory are left out; it is refused if none has any, or if the kernel
    has no such mode.
    """
    sizes = simulation.machine.memory
    policy = checked(policy, len(sizes))
    kept = on_memory(policy, sizes)
    if kept is None or not has_policy(simulation, policy):
        return EINVAL
    task.set_policy(kept)
    return 0


def set_node_weight(simulation: "Simulation", node: int, weight: int) -> None:
    """Give a node another weight in every policy weighted_interleave that names it.

    As a write to /sys/kernel/mm/mempolicy/weighted_interleave/nodeN does (6.9).
    """
    _check_node(simulation, node)
    if not 1 <= weight <= 255:
        raise BadInput(f"weight must be from 1 to 255, got {weight}")
    owners: list[Process | Shmem] = [*simulation.processes, *simulation.objects]
    for owner in owners:
        for vma in owner.vmas:
            change(owner, [vma], policy=_reweighted(vma.policy, node, weight))
    for task in simulation.tasks:
        task.set_policy(_reweighted(task.policy, node, weight))


def _reweighted(policy: Policy, node: int, weight: int) -> Policy:
    if policy.mode != Mode.WEIGHTED_INTERLEAVE:
        return policy
    pairs = zip(policy.nodes, policy.weights, strict=True)
    weights = tuple(weight if nid == node else old for nid, old in pairs)
    return policy._replace(weights=weights)


def set_mempolicy_home_node(
    simulation: "Simulation",
    task: Task,
    region: Region,
    node: int,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Let policies bind and preferred_many of a range begin at a node's zonelist.

    set_mempolicy_home_node (mm/mempolicy.c, 6.12).  Return 0 or an errno: ENOENT if
    nothing in the range has a policy, EOPNOTSUPP at the first of another mode, ENOSYS
    if the kernel has no such call.
    """
    if not simulation.settings.calls.set_mempolicy_home_node:
        return ENOSYS
    _check_node(simulation, node)
    start, pages = part_of(region, first, pages)
    process, end, errno = region.process, start + pages, ENOENT
    for vma in [one for one in process.vmas if one.start < end and start < one.end]:
        if vma.policy.mode == Mode.DEFAULT:
            continue
        if vma.policy.mode not in (Mode.BIND, Mode.PREFERRED_MANY):
            errno = EOPNOTSUPP
            break
        at, policy, errno = max(vma.start, start), vma.policy._replace(home=node), 0
        count = min(vma.end, end) - at
        _mbind_range(simulation, process, at, count, policy)
    charge(simulation, task, alone=True)
    return errno


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

    Nodes without memory are left out; EINVAL if none has any.  EFAULT if a part is not
    mapped, except that the default policy needs one mapped page only.
    ``move``, ``move_all``: move misplaced pages at once; ``lazy``: mark them by
    that mechanism instead, or EINVAL if the settings refuse MPOL_MF_LAZY.
    """
    sizes = simulation.machine.memory
    policy = checked(policy, len(sizes))
    kept = on_memory(policy, sizes)
    if kept is None or not has_policy(simulation, policy):
        return EINVAL
    # Nodes that are left out do not matter to the walk, as no page is on them.
    policy, nodes = kept, mask(policy)
    if lazy is not None:
        if not simulation.settings.mpol_mf_lazy:
            return EINVAL
        mark(simulation, task, region, lazy, policy, move_all, first, pages)
        return 0
    start, pages = part_of(region, first, pages)
    process, moving = region.process, move or move_all
    # do_mbind: there is nothing that the default policy could be strict about.
    strict = strict and policy.mode != Mode.DEFAULT
    parts, errno = _queue_pages_range(process, start, start + pages, policy)
    if strict and not moving and _misplaced(simulation, task, parts, nodes):
        errno = EIO
    if moving:
        charge_drain(simulation, task)
    if errno:
        charge(simulation, task)
        return errno
    how = (nodes, move_all, strict, *_huge_ends(simulation, task, start, start + pages))
    for at, end in parts:
        _mbind_range(simulation, process, at, end - at, policy)
    moved = np.zeros(len(Moves), np.int64)
    if moving:
        lru_add_drain(simulation)
        _move_parts(simulation, task, parts, how, moved)
    _charge_moves(simulation, task, process, moved, alone=True)
    return EIO if strict and moved[Moves.FAILED] else 0


def _queue_pages_range(
    process: Process, start: int, end: int, policy: Policy
) -> tuple[list[tuple[int, int]], int]:
    """Return ([(start, end) of each VMA's part that mbind walks], 0 or EFAULT).

    queue_pages_test_walk (mm/mempolicy.c, 6.12): a VMA with a hole behind it, within
    the range, ends the walk before it is walked.  The default policy does not mind.
    """
    parts: list[tuple[int, int]] = []
    found = [vma for vma in process.vmas if vma.start < end and start < vma.end]
    whole = policy.mode != Mode.DEFAULT
    if not found or (whole and found[0].start > start):
        return [], EFAULT
    for i, vma in enumerate(found):
        after = found[i + 1].start if i + 1 < len(found) else NONE
        if whole and vma.end < end and vma.end != after:
            return parts, EFAULT
        parts.append((max(vma.start, start), min(vma.end, end)))
    return parts, 0


def _misplaced(
    simulation: "Simulation",
    task: Task,
    parts: Sequence[tuple[int, int]],
    nodes: int,
) -> bool:
    """Tell whether present pages of ranges are off the nodes of a mask."""
    return any(
        kernel.count_misplaced(simulation.memory, task.id, nodes, first, pages)
        for part in parts
        for first, pages in pieces(*part)
    )


def _huge_ends(
    simulation: "Simulation", task: Task, start: int, end: int
) -> tuple[int, int]:
    """Return the blocks that a range begins or ends in and huge entries map, or NONE.

    mbind queues pages before it cuts VMAs, and with them such entries.
    """
    memory = simulation.memory
    head, tail = (
        int(kernel.huge_entry_at(memory, task.id, at)) if at % HPAGE_PMD_NR else NONE
        for at in (start, end)
    )
    return head, tail


def _move_parts(
    simulation: "Simulation",
    task: Task,
    parts: Sequence[tuple[int, int]],
    how: tuple[int, bool, bool, int, int],
    moved: np.ndarray,
) -> None:
    """Move what mbind has queued; ``how`` as for ``do_mbind``."""
    memory, process = simulation.memory, task.process
    for start, end in parts:
        for piece in _policies_in(simulation, process, start, end - start):
            if not kernel.do_mbind(memory, task.id, *piece, how, moved):
                return


def _mbind_range(
    simulation: "Simulation", process: Process, first: int, pages: int, policy: Policy
) -> None:
    """Give a policy to the VMAs of a range, and to their objects.

    An object gets it for all of what the VMA is then, merged ones included, and not at
    all if the VMA had it already (mbind_range, mm/mempolicy.c, 6.1 and 6.12).
    """
    for start, end in change_range(simulation, process, first, pages, policy=policy):
        for vma in overlapping(process, start, end - start):
            if vma.shmem:
                vma.shmem.set_policy(vma.start, vma.end - vma.start, policy)


def _policies_in(
    simulation: "Simulation", process: Process, first: int, pages: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (VMA row, vpn, pages, interleave) of the policies of a range.

    interleave: what to add to what the row says a page is interleaved by.  For shared
    memory the rows are those of its object.
    """
    memory, based = simulation.memory, simulation.settings.calls.mbind_interleave_base
    row = int(memory.mm[process.id, st.Mm.FIRST_VMA])
    for i, vma in enumerate(process.vmas):
        start, end = max(vma.start, first), min(vma.end, first + pages)
        parts, at, interleave = [vma], row + i, 0
        if vma.shmem:
            parts, at = vma.shmem.vmas, vma.shmem.row
            interleave = 0 if based else -vma.shmem.ino
        for j, part in enumerate(parts):
            for piece in pieces(max(part.start, start), min(part.end, end)):
                yield at + j, *piece, interleave


def _charge_moves(
    simulation: "Simulation",
    task: Task,
    process: Process,
    moved: np.ndarray,
    alone: bool = False,
) -> None:
    """Charge a call that moved pages; ``moved``: int64[len(Moves)]."""
    if moved[Moves.PAGES]:
        flush_tlbs(simulation, process)
    flushes = int(moved[Moves.FLUSHES])
    walks = int(moved[Moves.WALKS])
    flush = flushes_ns(simulation, task, process, flushes, walks)
    charge(simulation, task, 0, flush, alone)


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
    _check_target(simulation, node)
    start, pages = part_of(region, first, pages)
    memory = simulation.memory
    lru_add_drain(simulation)
    charge_drain(simulation, task)
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

    Nodes of ``from_nodes`` need not exist.  ``move_all``: shared ones too, as for a
    caller with CAP_SYS_NICE.
    """
    for node in to_nodes:
        _check_target(simulation, node)
    memory, process = simulation.memory, task.process
    lru_add_drain(simulation)
    charge_drain(simulation, task)
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
    _check_target(simulation, node)
    left = int(offline_pages(simulation.memory, node))
    simulation.fold()
    kind = Event.NODE_OFFLINE_FAILED if left else Event.NODE_OFFLINE
    simulation.event(kind, node, None, left)
    return left


def _check_node(simulation: "Simulation", node: int) -> None:
    nodes = len(simulation.machine.memory)
    if not 0 <= node < nodes:
        raise BadInput(f"node must be from 0 to {nodes - 1}, got {node}")


def _check_target(simulation: "Simulation", node: int) -> None:
    """Raise BadInput if there is no such node, or no memory on it."""
    _check_node(simulation, node)
    if not simulation.machine.memory[node]:
        raise BadInput(f"node must have memory, got {node}, which has none")
