"""Mark memory so that its next touch migrates it (MPOL_MF_LAZY)."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.knobs import Mechanism
from ...kernels.lazy.hinting import change_prot_numa
from ...kernels.lazy.mark import park_range
from ...kernels.words import HPAGE_PMD_NR, Kind
from ..errors import BadInput
from ..state.policies import Policy, checked_here
from ..state.process import Region, Task, overlapping
from ..state.ranges import Piece, part_of, rows_in
from ..state.world import charge, flush_tlbs, flushes_ns
from .cut import change_range

if TYPE_CHECKING:
    from ..simulation import Simulation

#: The mechanisms that park pages.
_KINDS = {
    Mechanism.SWAPCACHE: Kind.SWAP,
    Mechanism.MIGCACHE: Kind.MIGCACHE,
    Mechanism.OWN: Kind.OWN,
}


def mark(
    simulation: "Simulation",
    task: Task,
    region: Region,
    mechanism: Mechanism,
    policy: Policy | None = None,
    move_all: bool = False,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Mark a part of a region for migration on the next touch; return pages marked.

    mbind(MPOL_MF_MOVE | MPOL_MF_LAZY); without ``policy`` it is MPOL_NOOP, that is
    next-touch.
    """
    if not isinstance(mechanism, Mechanism):
        raise BadInput(f"mechanism must be a Mechanism, got {mechanism!r}")
    if mechanism == Mechanism.OWN and simulation.lazy is None:
        raise BadInput("mechanism OWN must have a LazyDesign, got a simulation without")
    start, pages = part_of(region, first, pages)
    process = region.process
    if any(vma.shmem for vma in overlapping(process, start, pages)):
        raise BadInput("memory must be private to be marked, got shared memory")
    values: dict[str, object] = {"mof": True}
    if policy is not None:
        values["policy"] = checked_here(policy, simulation.machine.memory)
    change_range(simulation, process, start, pages, **values)
    memory, entries, marked = simulation.memory, 0, 0
    for piece in rows_in(memory, process, start, pages):
        how = mechanism, policy is not None, move_all
        done = _mark_piece(memory, task, piece, *how)
        entries, marked = entries + done[0], marked + done[1]
    flush_tlbs(simulation, process)
    batched = mechanism == Mechanism.HINTING or simulation.settings.migrate_pages_batch
    flushes = -(-entries // HPAGE_PMD_NR) if batched else entries
    each = _mark_ns(simulation, mechanism)
    flush = flushes_ns(simulation, task, process, flushes)
    charge(simulation, task, entries * each + flush, alone=True)
    return marked


def _mark_piece(
    memory: st.Memory,
    task: Task,
    piece: Piece,
    mechanism: Mechanism,
    misplaced: bool,
    move_all: bool,
) -> tuple[int, int]:
    """Mark a piece of a VMA; return (entries marked, pages that they map).

    misplaced  mark only pages that are off their policy's nodes (but for hinting)
    """
    v, at, count = piece
    if mechanism == Mechanism.HINTING:
        return change_prot_numa(memory, task.id, at, count)
    how = misplaced, move_all, _KINDS[mechanism].value
    parked = park_range(memory, task.id, v, at, count, *how)
    return parked, parked


def _mark_ns(simulation: "Simulation", mechanism: Mechanism) -> int:
    """Return what it costs to mark an entry, without its flush, ns."""
    costs = simulation.costs
    return costs.mark_pte_ns if mechanism == Mechanism.HINTING else costs.park_page_ns
