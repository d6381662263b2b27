"""Which node the pages that a page table maps are on: resident pages by node.

``docs/model/page.md`` 12; what /proc/PID/numa_maps counts as ``N0=..`` (gather_stats,
fs/proc/task_mmu.c).
"""

from ..jit.compile import kernel
from ..state import Info
from ..words import (
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PMD_TABLE,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .page_table import next_block


@kernel
def count_resident(m, first, pages, counts):
    """Add the mapped pages of a range of page tables to the counts of their nodes.

    first, pages  the range, as indices into ``m.pte``
    counts        int64[nodes]; zero pages are not counted, as in rss
    """
    shift = m.info[Info.NODE_SHIFT]
    at, end = first, first + pages
    while at < end:
        stop = min(end, next_block(at))
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF:
            if pmd & PTE_PRESENT:
                counts[(pmd & PTE_PAYLOAD) >> shift] += stop - at
        elif pmd & PMD_TABLE:
            for i in range(at, stop):
                pte = m.pte[i]
                if pte & PTE_PRESENT:
                    counts[(pte & PTE_PAYLOAD) >> shift] += 1
        at = stop
