"""What reclaim does with huge pages.

``docs/model/reclaim.md`` 2, 4 and 5.
"""

from ..counters import Vm
from ..frames.folio import lru_add_huge, maps_folio, split_huge_pmd, subpage_unmapped
from ..frames.mm_inline import aged_word
from ..frames.page_alloc import put_huge
from ..frames.rmap import first_mm, join_mmlist, maps_frame
from ..jit.compile import called, inlined
from ..state import Change, Ids, Info, Mm
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_LAZYFREE,
    FRAME_ACTIVE,
    FRAME_MAPCOUNT_ONE,
    FRAME_REFERENCED,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_NID,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_SWAP,
    PTE_YOUNG,
)


@inlined
def clear_young_huge(m, b):
    """Clear the young bits of all entries of a folio; return how many were set."""
    young = 0
    vpn = m.block_huge[b] & FRAME_VPN
    compound = m.block_huge[b] & FOLIO_COMPOUND != 0
    pfn = b << HPAGE_PMD_ORDER
    mm = first_mm(m, vpn)
    while mm != NONE:
        first = vpn + m.mm[mm, Mm.DELTA]
        pmd = m.pmd[first >> HPAGE_PMD_ORDER]
        if maps_folio(pmd, b):
            young += pmd & PTE_YOUNG != 0
            m.pmd[first >> HPAGE_PMD_ORDER] = pmd & ~PTE_YOUNG
        elif compound:
            for i in range(HPAGE_PMD_NR):
                pte = m.pte[first + i]
                if maps_frame(pte, pfn + i) and pte & PTE_YOUNG:
                    m.pte[first + i] = pte & ~PTE_YOUNG
                    young += 1
        mm = m.mm[mm, Mm.NEXT]
    return young


@inlined
def set_active_huge(m, n, b, active, event):
    """Move a folio to the active or inactive list of its node, and count that."""
    s = m.info[Info.SHARDS]
    lru_add_huge(m, s, b, -1)
    m.block_huge[b] &= ~(FRAME_ACTIVE | FRAME_REFERENCED)
    if m.info[Info.LRU_GEN]:
        m.block_huge[b] = aged_word(m, m.block_huge[b], m.info[Info.LRU_GEN_SECOND])
    elif active:
        m.block_huge[b] |= FRAME_ACTIVE
    lru_add_huge(m, s, b, 1)
    m.vm[s, n, event] += HPAGE_PMD_NR


@inlined
def swap_out_whole(m, n, b, slot, steal):
    """Write a folio that only PMD entries map to 512 slots in a row, and free it.

    slot  the first of them; none of them was ever used
    Return the pages that were freed.
    """
    s = m.info[Info.SHARDS]
    m.info[Info.SLOTS + Ids.VIRGIN_ID] = slot + HPAGE_PMD_NR
    used = m.info[Info.SLOTS + Ids.IN_USE] + HPAGE_PMD_NR
    m.info[Info.SLOTS + Ids.IN_USE] = used
    m.info[Info.SLOTS + Ids.PEAK] = max(m.info[Info.SLOTS + Ids.PEAK], used)
    vpn = m.block_huge[b] & FRAME_VPN
    m.slot_count[slot : slot + HPAGE_PMD_NR] = 0
    m.slot_frame[slot : slot + HPAGE_PMD_NR] = NONE
    mm = first_mm(m, vpn)
    while mm != NONE:
        first = vpn + m.mm[mm, Mm.DELTA]
        pmd = m.pmd[first >> HPAGE_PMD_ORDER]
        if maps_folio(pmd, b):
            join_mmlist(m, mm)
            m.pmd[first >> HPAGE_PMD_ORDER] = PMD_TABLE | (pmd & PMD_NID)
            m.vm[s, (pmd & PMD_NID) >> PMD_NID_SHIFT, Vm.THP_SPLIT_PMD] += 1
            for i in range(HPAGE_PMD_NR):
                m.pte[first + i] = PTE_SWAP | (slot + i)
                m.slot_count[slot + i] += 1
            m.mm_change[s, mm, Change.RSS] -= HPAGE_PMD_NR
            m.mm_change[s, mm, Change.HUGE] -= HPAGE_PMD_NR
            m.mm_change[s, mm, Change.SWAPENTS] += HPAGE_PMD_NR
        mm = m.mm[mm, Mm.NEXT]
    m.vm[s, n, Vm.PSWPOUT] += HPAGE_PMD_NR
    m.vm[s, n, Vm.THP_SWPOUT] += 1
    if steal != NONE:
        m.vm[s, n, steal] += HPAGE_PMD_NR
    m.info[Info.WRITTEN] += HPAGE_PMD_NR
    lru_add_huge(m, s, b, -1)
    put_huge(m, s, b)
    return HPAGE_PMD_NR


@inlined
def _discard_ptes(m, s, mm, b, first):
    """Zap the PTEs of a process that map a folio; return False at the first dirty one.

    first  index of the block's first PTE
    The folio is freed with its last PTE.
    """
    pfn = b << HPAGE_PMD_ORDER
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if not maps_frame(pte, pfn + i):
            continue
        if pte & PTE_DIRTY:
            return False
        m.pte[first + i] = 0
        m.mm_change[s, mm, Change.RSS] -= 1
        m.frame[pfn + i] -= FRAME_MAPCOUNT_ONE
        subpage_unmapped(m, s, pfn + i)
    return True


@called
def discard_huge(m, n, b, steal):
    """Forget a folio that was freed by advice; return its pages, 0 if it was written.

    try_to_unmap of 6.1 splits the PMD entries first, so the pages go one by one.
    """
    s = m.info[Info.SHARDS]
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        first = vpn + m.mm[mm, Mm.DELTA]
        if maps_folio(m.pmd[first >> HPAGE_PMD_ORDER], b):
            split_huge_pmd(m, s, mm, first >> HPAGE_PMD_ORDER)
        if not _discard_ptes(m, s, mm, b, first):
            m.block_huge[b] &= ~FOLIO_LAZYFREE
            set_active_huge(m, n, b, True, Vm.PGACTIVATE)
            return 0
        mm = m.mm[mm, Mm.NEXT]
    m.vm[s, n, Vm.PGLAZYFREED] += HPAGE_PMD_NR
    if steal != NONE:
        m.vm[s, n, steal] += HPAGE_PMD_NR
    return HPAGE_PMD_NR
