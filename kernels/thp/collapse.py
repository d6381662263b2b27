"""Collapse (mm/khugepaged.c): 512 pages of one block become a huge page.

``docs/model/thp.md`` 10.  khugepaged decides (``khugepaged.pyx``).  Here the block is
allocated, the frames and slots of its PTEs are released, and the folio is mapped.
Serial work.
"""

from ..calls.zap import zap_pte
from ..counters import Vm
from ..frames.folio import map_folio
from ..frames.page_alloc import free_huge, node_of, rmqueue_huge
from ..frames.swap_state import frame_of_parked
from ..frames.zero_filled import (
    clear_pages,
    copy_page,
    swap_pages_read,
    swap_read_folio,
)
from ..jit.compile import inlined, kernel
from ..knobs import Mode
from ..placement.compaction import compact_zone
from ..placement.mempolicy import zone_statistics
from ..placement.vma_alloc_folio import has_room
from ..state import Change, Info, Node, Task
from ..words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_NID,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_ZERO,
)


@inlined
def _find_room(m, target, ties, defrag, task):
    """Return the node that gives the block of a collapse, or NONE.

    The nodes of ``ties`` are asked in the order of the target's zonelist: above low,
    otherwise above min, otherwise after compaction (get_page_from_freelist and
    __alloc_pages_direct_compact).
    """
    for attempt in range(3 if defrag else 2):
        mark = Node.LOW if attempt == 0 else Node.MIN
        for i in range(m.zonelist.shape[1]):
            n = m.zonelist[target, i]
            if not m.node[n, Node.ONLINE] or not (ties >> n) & 1:
                continue
            if attempt == 2:
                compact_zone(m, n, task)
            if has_room(m, n, mark):
                return n
    return NONE


@kernel
def alloc_charge_hpage(m, target, ties, defrag, task):
    """Allocate the block of a collapse; return it, or NONE if that fails.

    target  its node
    ties    mask of the target and the nodes that may stand in for it
    defrag  whether to compact
    task    charged for compaction; NONE for khugepaged, whose work is free of charge
    """
    s = m.info[Info.SHARDS]
    # khugepaged runs on the node that gives the block.
    cpu_nid = NONE if task == NONE else m.task[task, Task.NID]
    n = _find_room(m, target, ties, defrag, task)
    if n == NONE:
        m.vm[s, target, Vm.THP_COLLAPSE_ALLOC_FAILED] += 1
        return NONE
    here = n if cpu_nid == NONE else cpu_nid
    zone_statistics(m, s, n, n, here, Mode.DEFAULT)
    m.vm[s, n, Vm.PGALLOC_NORMAL] += HPAGE_PMD_NR - 1
    m.vm[s, n, Vm.THP_COLLAPSE_ALLOC] += 1
    return rmqueue_huge(m, n)


@inlined
def _free_whole(m, mm, b, active):
    """Free a whole pageblock, its frame words being 0, with the counts of 512 frees."""
    s = m.info[Info.SHARDS]
    n = node_of(m, b << HPAGE_PMD_ORDER)
    m.node[n, Node.INACTIVE] -= HPAGE_PMD_NR - active
    m.node[n, Node.ACTIVE] -= active
    m.vm[s, n, Vm.PGFREE] += HPAGE_PMD_NR
    m.mm_change[s, mm, Change.RSS] -= HPAGE_PMD_NR
    if m.info[Info.BALANCING]:
        first = b << HPAGE_PMD_ORDER
        m.frame_cpupid[first : first + HPAGE_PMD_NR] = 0
    clear_pages(m, b << HPAGE_PMD_ORDER, HPAGE_PMD_NR)
    free_huge(m, b)


@inlined
def _zap_taken(m, mm, vpn, nid, taken):
    s = m.info[Info.SHARDS]
    for i in range(HPAGE_PMD_NR):
        pte = taken[i]
        if pte == 0 or pte & PTE_ZERO:
            continue
        if pte & PTE_KIND and frame_of_parked(m, pte) == NONE:
            m.vm[s, nid, Vm.PSWPIN] += swap_pages_read(m, pte & PTE_PAYLOAD)
            m.vm[s, nid, Vm.PGMAJFAULT] += 1
        zap_pte(m, s, pte, vpn + i, mm, False)


@inlined
def _collapse_huge_page_copy(m, b, taken):
    """Let the new block hold what the PTEs mapped; holes become zeros."""
    if not m.info[Info.CONTENT]:
        return
    first = b << HPAGE_PMD_ORDER
    for i in range(HPAGE_PMD_NR):
        pte = taken[i]
        pfn = pte & PTE_PAYLOAD if pte & PTE_PRESENT else NONE
        if pte & PTE_KIND:
            pfn = frame_of_parked(m, pte)
        if pfn != NONE:
            copy_page(m, pfn, first + i)
        elif pte & PTE_KIND:
            swap_read_folio(m, first + i, pte & PTE_PAYLOAD)


@kernel
def collapse_huge_page(m, mm, block, vpn, b, nid, taken, whole, active):
    """Map a new huge page in place of the PTEs that were taken out of its block.

    block   index of the PMD entry
    vpn     first page of the block
    b, nid  the new pageblock and its node
    taken, whole, active  what ``khugepaged.collapse_ptes`` found
    """
    s = m.info[Info.SHARDS]
    _collapse_huge_page_copy(m, b, taken)
    if whole != NONE:
        _free_whole(m, mm, whole, active)
    else:
        _zap_taken(m, mm, vpn, nid, taken)
    map_folio(m, s, mm, block, vpn, b, PTE_WRITE | m.pmd[block] & PMD_NID)
    m.mm_change[s, mm, Change.RSS] += HPAGE_PMD_NR
