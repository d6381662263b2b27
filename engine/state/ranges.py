"""Ranges of pages: parts of regions, and the pieces that kernels walk."""

from collections.abc import Iterator

from ...kernels import state as st
from ..errors import BadInput
from .process import Process, Region, overlapping

#: Most pages that one call of a kernel walks.
RANGE_LIMIT = 1 << 20

#: (row of the kernels' table of VMAs, vpn, pages)
Piece = tuple[int, int, int]


def part_of(region: Region, first: int, pages: int | None) -> tuple[int, int]:
    """Return (vpn, pages) of a part of a region; ``pages`` None: up to its end.

    Raises BadInput if the process is dead or the part is not within the region.
    """
    region.process.check_alive()
    count = region.pages - first if pages is None else pages
    if first < 0 or count < 1 or first + count > region.pages:
        raise BadInput(
            f"range must lie in the {region.pages} pages of the region,"
            f" got pages {first} to {first + count}"
        )
    return region.first + first, count


def pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (first, pages) of a range in pieces that one kernel call walks."""
    first = start
    while first < end:
        # Pieces end where blocks do: a huge entry is never cut.
        stop = min(end, (first // RANGE_LIMIT + 1) * RANGE_LIMIT)
        yield first, stop - first
        first = stop


def rows_in(
    memory: st.Memory, process: Process, first: int, pages: int
) -> Iterator[Piece]:
    """Yield the pieces of a range, without cutting a VMA.

    Raises BadInput if a page of the range is not mapped.
    """
    row = int(memory.mm[process.id, st.Mm.FIRST_VMA])
    overlapping(process, first, pages)
    for i, vma in enumerate(process.vmas):
        start, end = max(vma.start, first), min(vma.end, first + pages)
        for at, count in pieces(start, end):
            yield row + i, at, count
