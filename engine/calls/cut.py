"""Cut VMAs at the ends of a range, and the huge entries that a cut goes through."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...kernels.frames.folio import vma_adjust_trans_huge
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from ..state.process import Process, Vma, change, isolate, overlapping

if TYPE_CHECKING:
    from ..simulation import Simulation


def isolate_range(
    simulation: "Simulation", process: Process, first: int, pages: int
) -> list[Vma]:
    """Cut the VMAs at the ends of a range, and huge entries there; return its VMAs."""
    cuts = [
        at
        for at in (first, first + pages)
        if any(vma.start < at < vma.end for vma in process.vmas)
    ]
    parts = isolate(process, first, pages)
    split_at(simulation, process, cuts)
    return parts


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
    name: str,
    value: object,
) -> None:
    """Set an attribute of the VMAs of a range; those that have it are not cut."""
    for vma in overlapping(process, first, pages):
        if getattr(vma, name) != value:
            at, end = max(vma.start, first), min(vma.end, first + pages)
            parts = isolate_range(simulation, process, at, end - at)
            change(process, parts, **{name: value})
