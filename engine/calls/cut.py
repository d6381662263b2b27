"""Cut VMAs at the ends of a range, and the huge entries that a cut goes through."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...kernels.frames.folio import vma_adjust_trans_huge
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from ..state.anon_vma import differing, modify, prepare
from ..state.process import Process, overlapping

if TYPE_CHECKING:
    from ..simulation import Simulation


def split_at(simulation: "Simulation", process: Process, cuts: Sequence[int]) -> None:
    """Split the huge entries that cuts go through."""
    for at in cuts:
        if at % HPAGE_PMD_NR:
            block = (at + process.delta) >> HPAGE_PMD_ORDER
            vma_adjust_trans_huge(simulation.memory, process.id, block)


def change_range(
    simulation: "Simulation",
    process: Process,
    first: int,
    pages: int,
    **values: object,
) -> list[tuple[int, int]]:
    """Set attributes of the VMAs of a range; those that have them are not cut.

    Return the (first, end) of the others' pages.
    Raises BadInput if a page of the range is not mapped.
    """
    overlapping(process, first, pages)
    prepare(simulation, process)
    changed = []
    for start, end in differing(process, first, first + pages, values):
        split_at(simulation, process, cuts_of(process, start, end))
        modify(simulation, process, start, end, values)
        changed.append((start, end))
    return changed


def cuts_of(process: Process, first: int, end: int) -> list[int]:
    """Return which ends of a range lie inside a VMA."""
    vmas = process.vmas
    return [at for at in (first, end) if any(one.start < at < one.end for one in vmas)]
