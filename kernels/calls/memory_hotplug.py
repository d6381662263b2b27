"""Hot-remove of a node's memory, through a cache of parked pages.

``docs/model/calls.md`` 5.  Tosatti's migration cache of 2004 was made for memory
hotplug: pages are unmapped into it, moved elsewhere, and mapped again when they are
next touched.
"""

from ..counters import Refusal
from ..frames.folio import split_huge_page
from ..frames.page_alloc import rmqueue
from ..frames.rmap import is_wedged
from ..jit.compile import inlined, kernel
from ..knobs import Mode
from ..lazy.designs import park_to_evacuate
from ..placement.mempolicy import ALL_NODES, choose_serial, zone_statistics
from ..placement.migrate import migrate_folio_move
from ..state import BlockList, Info, Node
from ..words import (
    FRAME_IN_USE,
    FRAME_KIND,
    FRAME_SHMEM,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
)


@inlined
def _evacuate(m, n, pfn):
    """Move one frame in use off its node; return 1 if it stays."""
    s = m.info[Info.SHARDS]
    if is_wedged(m.frame[pfn]):
        m.refused[s, Refusal.BUSY] += 1
        return 1
    if not m.frame[pfn] & (FRAME_KIND | FRAME_SHMEM):
        park_to_evacuate(m, pfn)
    nid = choose_serial(m, n, ALL_NODES, False)
    if nid < 0:
        m.refused[s, Refusal.TARGET_FULL] += 1
        return 1
    zone_statistics(m, s, nid, nid, nid, Mode.DEFAULT)
    migrate_folio_move(m, s, pfn, rmqueue(m, nid))
    return 0


@kernel
def offline_pages(m, n):
    """Empty a node and leave it offline; return the pages that could not move.

    If any is left, the node comes back online.
    """
    m.node[n, Node.ONLINE] = 0
    left = 0
    first = n << m.info[Info.NODE_SHIFT]
    for block in range(first, first + m.node[n, Node.SPAN], HPAGE_PMD_NR):
        b = block >> HPAGE_PMD_ORDER
        if m.block_used[b] == 0:
            continue
        if m.block_list[b] == BlockList.HUGE:
            split_huge_page(m, m.info[Info.SHARDS], b, 0)
        for pfn in range(block, block + HPAGE_PMD_NR):
            if m.frame[pfn] & FRAME_IN_USE:
                left += _evacuate(m, n, pfn)
    if left > 0:
        m.node[n, Node.ONLINE] = 1
    return left
