"""What of an address space DAMON watches, and what it begins with.

``docs/model/damon.md`` 1; mm/damon/vaddr.c and damon_set_regions (core.c), 6.12.
"""

from itertools import pairwise

import numpy as np

from ...kernels.damon.damon_regions import DamonRegion
from ..state.process import Process

#: Pages [start, end).
Range = tuple[int, int]


def three_regions(process: Process) -> list[Range]:
    """Return the ranges between the two widest gaps of what a process has mapped.

    Fewer if there are fewer gaps; Linux then watches nothing, but has no such process.
    __damon_va_three_regions
    """
    vmas = sorted(process.vmas, key=lambda vma: vma.start)
    if not vmas:
        return []
    gaps = [(b.start - a.end, a.end, b.start) for a, b in pairwise(vmas)]
    wide = sorted((gap for gap in gaps if gap[0]), key=lambda gap: -gap[0])[:2]
    at, ranges = vmas[0].start, []
    for _, start, end in sorted(wide, key=lambda gap: gap[1]):
        ranges.append((at, start))
        at = end
    return [*ranges, (at, vmas[-1].end)]


def evenly_split(ranges: list[list[Range]], min_regions: int) -> list[list[Range]]:
    """Cut the ranges of each target so that it has about ``min_regions``.

    __damon_va_init_regions
    """
    return [
        [
            piece
            for one in several
            for piece in _pieces(one, _size(several, min_regions))
        ]
        for several in ranges
    ]


def _size(ranges: list[Range], min_regions: int) -> int:
    return max(1, sum(end - start for start, end in ranges) // min_regions)


def _pieces(whole: Range, size: int) -> list[Range]:
    """Cut a range into pieces of one size; what is left over goes to the last."""
    start, end = whole
    count = (end - start) // size
    if count < 2:
        return [whole]
    step = (end - start) // count
    cuts = [start + step * i for i in range(count)]
    return list(pairwise([*cuts, end]))


def set_regions(table: np.ndarray, target: int, ranges: list[Range]) -> np.ndarray:
    """Fit the regions of a target into its ranges of now (damon_set_regions).

    table  int64[regions, columns] of the target as it was
    Regions are cut or made longer at a range's ends, and holes become new regions.  A
    region in two ranges stays in the first one.
    """
    rows: list[np.ndarray] = []
    for start, end in ranges:
        meets = (table[:, DamonRegion.START] < end) & (
            start < table[:, DamonRegion.END]
        )
        rows += _fitted(table[meets], start, end)
        if meets.any():
            table = table[np.flatnonzero(meets)[-1] + 1 :]
    fitted = np.array(rows, np.int64).reshape(-1, len(DamonRegion))
    fitted[:, DamonRegion.TARGET] = target
    return fitted


def _fitted(inside: np.ndarray, start: int, end: int) -> list[np.ndarray]:
    """Return regions that fill a range: those that meet it, and new ones in holes."""
    if not len(inside):
        return [_new(start, end)]
    inside = inside.copy()
    inside[0, DamonRegion.START], inside[-1, DamonRegion.END] = start, end
    rows, at = [], start
    for row in inside:
        if row[DamonRegion.START] > at:
            rows.append(_new(at, int(row[DamonRegion.START])))
        rows.append(row)
        at = int(row[DamonRegion.END])
    return rows


def _new(start: int, end: int) -> np.ndarray:
    row = np.zeros(len(DamonRegion), np.int64)
    row[DamonRegion.START], row[DamonRegion.END] = start, end
    return row
