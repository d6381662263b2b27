"""DAMON's regions: sampled, merged and split (mm/damon/core.c, 6.12 to 6.16).

A table of regions is int64[regions, len(DamonRegion)]: by target, then by address.
Addresses are pages, those of a target's address space.  ``docs/model/damon.md`` 2 to 4.
"""

from enum import auto
from typing import Final

import numpy as np

from ..draws import draw, uniform
from ..jit.compile import inlined, kernel
from ..state import Columns


class DamonRegion(Columns):
    """Columns of a table of regions (struct damon_region)."""

    TARGET = auto()
    START = auto()  # page
    END = auto()
    NR_ACCESSES = auto()  # samples of this aggregation that saw an access
    NR_ACCESSES_BP = auto()  # the same of a moving window, 1e-4
    LAST_NR_ACCESSES = auto()  # those of the last aggregation
    AGE = auto()  # aggregations for which it has been as it is


#: One, as columns in 1e-4 have it.
BP: Final = 10_000


@kernel
def draw_pages(regions, key, number, pages):
    """Draw the page of each region that is looked at (__damon_va_prepare_access_check).

    pages  int64[regions], set; draws are numbered from ``number`` on
    """
    for i in range(regions.shape[0]):
        start = regions[i, DamonRegion.START]
        size = regions[i, DamonRegion.END] - start
        pages[i] = start + uniform(draw(np.uint64(key), number + i), size)


@kernel
def update_access_rate(regions, young, window):
    """Count what a sample saw; return the most samples of a region that saw a use.

    young   bool[regions]
    window  samples in an aggregation (damon_max_nr_accesses)
    damon_update_region_access_rate
    """
    most = 0
    for i in range(regions.shape[0]):
        row, seen = regions[i], int(young[i])
        drop = row[DamonRegion.LAST_NR_ACCESSES] * BP // window
        row[DamonRegion.NR_ACCESSES] += seen
        row[DamonRegion.NR_ACCESSES_BP] += seen * BP - drop
        most = max(most, row[DamonRegion.NR_ACCESSES])
    return most


@inlined
def _put(table, i, row):
    """Make a row of a table as another one is."""
    for column in range(row.size):
        table[i, column] = row[column]


@inlined
def _size(row):
    return row[DamonRegion.END] - row[DamonRegion.START]


@inlined
def _grow_older(row, threshold):
    """Let a region age by an aggregation, or begin anew if it changed."""
    now, last = row[DamonRegion.NR_ACCESSES], row[DamonRegion.LAST_NR_ACCESSES]
    changed = abs(now - last) > threshold
    row[DamonRegion.AGE] = 0 if changed else row[DamonRegion.AGE] + 1


@inlined
def _is_alike(left, right, threshold, limit):
    """Tell whether a region and the one behind it become one."""
    if left[DamonRegion.TARGET] != right[DamonRegion.TARGET]:
        return False
    if left[DamonRegion.END] != right[DamonRegion.START]:
        return False
    apart = abs(left[DamonRegion.NR_ACCESSES] - right[DamonRegion.NR_ACCESSES])
    return apart <= threshold and _size(left) + _size(right) <= limit


@inlined
def _merge_two(left, right):
    """Let a region take in the one behind it (damon_merge_two_regions)."""
    size, more = _size(left), _size(right)
    seen = left[DamonRegion.NR_ACCESSES] * size + right[DamonRegion.NR_ACCESSES] * more
    aged = left[DamonRegion.AGE] * size + right[DamonRegion.AGE] * more
    left[DamonRegion.NR_ACCESSES] = seen // (size + more)
    left[DamonRegion.AGE] = aged // (size + more)
    left[DamonRegion.NR_ACCESSES_BP] = left[DamonRegion.NR_ACCESSES] * BP
    left[DamonRegion.END] = right[DamonRegion.END]


@inlined
def _merge_once(regions, count, threshold, limit, count_age):
    """Merge what is alike among the first ``count`` rows; return how many are left."""
    kept = 0
    for i in range(count):
        if count_age:
            _grow_older(regions[i], threshold)
        if kept > 0 and _is_alike(regions[kept - 1], regions[i], threshold, limit):
            _merge_two(regions[kept - 1], regions[i])
        else:
            _put(regions, kept, regions[i])
            kept += 1
    return kept


@kernel
def merge_regions(regions, threshold, most, limit, max_regions):
    """Merge neighbours that are used alike, and let all age; return how many are left.

    threshold  by how many accesses they may differ
    most       how far the threshold grows while there are more than ``max_regions``
    limit      most pages of a region that was merged
    kdamond_merge_regions
    """
    count, count_age = regions.shape[0], True
    while True:
        count = _merge_once(regions, count, threshold, limit, count_age)
        count_age = False
        if count <= max_regions or threshold >= most:
            return count
        if threshold < most // 2:
            threshold = max(1, threshold * 2)
        else:
            threshold = most


@inlined
def _cut_of(size, key, number):
    """Return the pages of a region's left part: 10 to 90 per cent, or 0."""
    return (1 + uniform(draw(np.uint64(key), number), 9)) * size // 10


@kernel
def split_regions(regions, parts, key, number, out):
    """Split every region into up to ``parts`` of sizes that are drawn.

    out  int64[parts * regions, len(DamonRegion)], set; return the rows that are used
    Region i uses the draws ``number`` + 2 i and the next.
    damon_split_regions_of
    """
    count = 0
    for i in range(regions.shape[0]):
        start, end = regions[i, DamonRegion.START], regions[i, DamonRegion.END]
        size, first = end - start, count
        _put(out, count, regions[i])
        count += 1
        for k in range(parts - 1):
            if size <= 2:
                break
            cut = _cut_of(size, key, number + 2 * i + k)
            if cut == 0 or cut >= size:
                continue
            # The right part goes behind the left one, before what was cut off it.
            for j in range(count, first + 1, -1):
                _put(out, j, out[j - 1])
            _put(out, first + 1, out[first])
            out[first + 1, DamonRegion.START] = start + cut
            out[first, DamonRegion.END] = start + cut
            size = cut
            count += 1
    return count
