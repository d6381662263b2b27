"""Collapse (mm/khugepaged.c): 512 pages of one block become a huge page.

``docs/model.md`` §10.7.  khugepaged decides (``khugepaged.pyx``); here memory is
allocated, what the PTEs held is let go, and the folio is mapped.  Serial work.
"""

from ._jit import inlined, kernel
from .compaction import compact_zone
from .constants import (
    HPAGE_PMD_NR,
    NONE,
    PMD_NID,
    PTE_PAYLOAD,
    PTE_SWAP,
    PTE_ZERO,
    Mode,
    Vm,
)
from .huge_pmd import map_folio
from .mempolicy import zone_statistics
from .mmap import zap_pte
from .page_alloc import rmqueue_huge
from .state import CHANGE_RSS, LOW, MIN, ONLINE, SHARDS, TASK_NID
from .vma_alloc_folio import has_room


@inlined
def _may_give(m, n, defrag, task):
    """Tell whether a node has a block for a collapse, after compaction if it must."""
    if not m.node[n, ONLINE]:
        return False
    if has_room(m, n, LOW) or has_room(m, n, MIN):
        return True
    if not defrag:
        return False
    compact_zone(m, n, task)
    return has_room(m, n, MIN)


@kernel
def alloc_charge_hpage(m, target, ties, defrag, task):
    """Allocate the block of a collapse; NONE where it fails.

    target  its node; ``ties``: mask of the nodes that may stand in for it
    defrag  whether to compact, at the expense of ``task`` (NONE: of nobody)
    """
    s = m.info[SHARDS]
    # khugepaged runs where it allocates.
    cpu_nid = NONE if task == NONE else m.task[task, TASK_NID]
    for i in range(m.node.shape[0] + 1):
        n = target if i == 0 else i - 1
        if i > 0 and (n == target or not (ties >> n) & 1):
            continue
        if _may_give(m, n, defrag, task):
            here = n if cpu_nid == NONE else cpu_nid
            zone_statistics(m, s, n, n, here, Mode.DEFAULT)
            m.vm[s, n, Vm.PGALLOC_NORMAL] += HPAGE_PMD_NR - 1
            m.vm[s, n, Vm.THP_COLLAPSE_ALLOC] += 1
            return rmqueue_huge(m, n)
    m.vm[s, target, Vm.THP_COLLAPSE_ALLOC_FAILED] += 1
    return NONE


@kernel
def collapse_huge_page(m, mm, block, vpn, b, nid, taken):
    """Map a new huge page in place of the PTEs that were taken out of its block.

    block   index of the PMD entry, ``vpn`` its first page, ``b`` the new pageblock
    nid     node of that
    taken   int64[512]  what the PTEs were
    """
    s = m.info[SHARDS]
    for i in range(HPAGE_PMD_NR):
        pte = taken[i]
        if pte == 0 or pte & PTE_ZERO:
            continue
        if pte & PTE_SWAP and m.slot_frame[pte & PTE_PAYLOAD] == NONE:
            m.vm[s, nid, Vm.PSWPIN] += 1
            m.vm[s, nid, Vm.PGMAJFAULT] += 1
        zap_pte(m, s, pte, vpn + i, mm, False)
    map_folio(m, s, mm, block, vpn, b, m.pmd[block] & PMD_NID)
    m.mm_change[s, mm, CHANGE_RSS] += HPAGE_PMD_NR
