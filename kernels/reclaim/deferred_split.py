"""The shrinker of huge pages that wait to be split (mm/huge_memory.c).

``docs/model/thp.md`` 6 and 12.
"""

from ..frames.folio import split_huge_page
from ..frames.zero_filled import is_zero_filled
from ..jit.compile import called, inlined, kernel
from ..state import Info, Node
from ..words import (
    FOLIO_DEFERRED,
    FOLIO_QUEUED,
    FRAME_IN_USE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
)


@inlined
def _first_block(m, n):
    return n << (m.info[Info.NODE_SHIFT] - HPAGE_PMD_ORDER)


@inlined
def _thp_underused(m, b):
    """Tell whether more pages of a folio are zero-filled than khugepaged puts up with.

    A folio that passes is not asked again.
    """
    zeros = 0
    first = b << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        zeros += is_zero_filled(m, pfn)
    if zeros > m.info[Info.MAX_PTES_NONE]:
        return True
    m.block_huge[b] &= ~FOLIO_QUEUED
    return False


@called
def _split_underused(m, n, most):
    """Split up to ``most`` underused folios of a node; return the pages freed."""
    freed, done = 0, 0
    first = _first_block(m, n)
    for b in range(first, first + (m.node[n, Node.SPAN] >> HPAGE_PMD_ORDER)):
        if done == most:
            break
        waits = m.block_huge[b] & (FRAME_IN_USE | FOLIO_QUEUED)
        if waits == FRAME_IN_USE | FOLIO_QUEUED and _thp_underused(m, b):
            freed += split_huge_page(m, m.info[Info.SHARDS], b, 0)
            done += 1
    return freed


@called
def deferred_split_scan(m, n, most):
    """Split up to ``most`` folios of a node; return how many pages were freed.

    Those that are partly mapped, then those that hold too many zeros.
    """
    freed, done = 0, 0
    b = _first_block(m, n)
    while done < most and m.node[n, Node.DEFERRED] > 0:
        if m.block_huge[b] & FOLIO_DEFERRED:
            freed += split_huge_page(m, m.info[Info.SHARDS], b, 0)
            done += 1
        b += 1
    if m.info[Info.SPLIT_UNDERUSED] and m.info[Info.MAX_PTES_NONE] < HPAGE_PMD_NR - 1:
        freed += _split_underused(m, n, most - done)
    return freed


@kernel
def drop_slab(m):
    """Let the shrinker split all that waits (fs/drop_caches.c)."""
    for n in range(m.node.shape[0]):
        deferred_split_scan(m, n, m.block_huge.size)
