"""Watermarks and fallback order of a machine's nodes."""

from collections.abc import Sequence
from math import isqrt

import numpy as np

from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE

#: vm.watermark_scale_factor by default: 0.1 % of a node from mark to mark.
SCALE_FACTOR = 10


def watermarks(
    managed_pages: Sequence[int],
    thp: bool = False,
    scale_factor: int = SCALE_FACTOR,
    min_free_kbytes: int = 0,
) -> np.ndarray:
    """Return min, low, high and promo of each node's NORMAL zone: int64[N, 4], pages.

    ``managed_pages`` (N, at least one page in all) is what the buddy allocator has on
    each node.  With ``thp`` the reserve is what transparent huge pages ask for, if that
    is more.  Linux 6.12: ``calculate_min_free_kbytes``, ``__setup_per_zone_wmarks``
    (mm/page_alloc.c), ``set_recommended_min_free_kbytes`` (mm/khugepaged.c), without
    boost.  ``scale_factor`` is ``vm.watermark_scale_factor``, ten thousandths, and
    ``min_free_kbytes`` what was written to that sysctl, 0 if nothing was.
    """
    managed = np.array(managed_pages, dtype=np.int64)
    lowmem_kbytes = int(managed.sum()) * (PAGE_SIZE // 1024)
    if min_free_kbytes == 0:
        min_free_kbytes = calculated_min_free_kbytes(lowmem_kbytes)
    marks = _zone_watermarks(managed, min_free_kbytes, scale_factor)
    if not thp:
        return marks

    # nr_free_buffer_pages() leaves out what lies below the marks set a moment before.
    buffers = int(np.maximum(managed - marks[:, 2], 0).sum())
    wanted = HPAGE_PMD_NR * int(np.count_nonzero(managed)) * (2 + 3 * 3)
    recommended = min(wanted, buffers // 20) * (PAGE_SIZE // 1024)
    raised = max(min_free_kbytes, int(recommended))
    return _zone_watermarks(managed, raised, scale_factor)


def calculated_min_free_kbytes(lowmem_kbytes: int) -> int:
    """Return the reserve that the kernel gives to so much memory, in KiB."""
    return min(max(isqrt(lowmem_kbytes * 16), 128), 262144)


def fallback_order(
    local: int,
    distance: np.ndarray,
    score: np.ndarray,
    node_load: np.ndarray,
    has_memory: np.ndarray,
    accumulated: bool,
) -> np.ndarray:
    """Return the order of the nodes seen from ``local``; change ``node_load``.

    Nodes without memory come last, in order.

    accumulated  a load is added up (54d032ced983, 5.17); before, it was set to how many
                 nodes were left
    """
    order = np.empty(len(distance), dtype=np.int64)
    left = has_memory.copy()
    node = previous = local
    kept = np.count_nonzero(has_memory)
    order[kept:] = np.flatnonzero(~has_memory)
    for place in range(kept):
        if place > 0 or not has_memory[local]:
            # The first of the lowest, as the kernel's strict comparison has it.
            rest = np.where(left, score + node_load, np.iinfo(np.int64).max)
            node = int(np.argmin(rest))
        if distance[node] != distance[previous]:
            # A list of before 5.17 began with its node even if that had no memory.
            others = len(order) - place - (not has_memory[local])
            node_load[node] = node_load[node] + 1 if accumulated else others
        order[place] = previous = node
        left[node] = False
    return order


def _zone_watermarks(
    managed: np.ndarray, min_free_kbytes: int, scale_factor: int
) -> np.ndarray:
    pages_min = min_free_kbytes // (PAGE_SIZE // 1024)
    minimum = pages_min * managed // managed.sum()
    gap = np.maximum(minimum // 4, managed * scale_factor // 10000)
    return minimum[:, None] + gap[:, None] * np.arange(4)
