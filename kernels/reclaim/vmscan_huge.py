"""What reclaim does with huge pages.

``docs/model/reclaim.md`` 2, 4 and 5.
"""

from ..counters import Vm
from ..frames.folio import (
    folio_unmapped,
    lru_add_huge,
    maps_folio,
    split_huge_pmd,
    subpage_unmapped,
    subpages_unmapped,
    undefer,
)
from ..frames.mm_inline import aged_word
from ..frames.page_alloc import put_huge
from ..frames.rmap import first_mm, join_mmlist, mapcount, maps_frame
from ..frames.swap_state import swap_free_slot
from ..frames.zero_filled import swap_write_folio
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
def _unmap_to_slots(m, s, mm, b, first, slot):
    """Let the PTEs of a process that map a folio hold slots from ``slot`` on.

    first  index of the block's first PTE
    """
    pfn, unmapped = b << HPAGE_PMD_ORDER, 0
    for i in range(HPAGE_PMD_NR):
        if maps_frame(m.pte[first + i], pfn + i):
            m.pte[first + i] = PTE_SWAP | (slot + i)
            m.slot_count[slot + i] += 1
            unmapped += 1
    if unmapped > 0:
        join_mmlist(m, mm)
    m.mm_change[s, mm, Change.RSS] -= unmapped
    m.mm_change[s, mm, Change.SWAPENTS] += unmapped


@inlined
def _free_unused(m, s, slot):
    """Free those of 512 slots that no PTE holds."""
    for one in range(slot, slot + HPAGE_PMD_NR):
        if m.slot_count[one] == 0:
            swap_free_slot(m, s, one)


@inlined
def swap_out_whole(m, n, b, slot, steal):
    """Write a folio to 512 slots in a row, and free it.

    slot  the first of them; none of them was ever used
    Return the pages that were freed.
    """
    s = m.info[Info.SHARDS]
    m.info[Info.SLOTS + Ids.VIRGIN_ID] = slot + HPAGE_PMD_NR
    used = m.info[Info.SLOTS + Ids.IN_USE] + HPAGE_PMD_NR
    m.info[Info.SLOTS + Ids.IN_USE] = used
    m.info[Info.SLOTS + Ids.PEAK] = max(m.info[Info.SLOTS + Ids.PEAK], used)
    vpn = m.block_huge[b] & FRAME_VPN
    compound = m.block_huge[b] & FOLIO_COMPOUND != 0
    m.slot_count[slot : slot + HPAGE_PMD_NR] = 0
    m.slot_frame[slot : slot + HPAGE_PMD_NR] = NONE
    mm = first_mm(m, vpn)
    while mm != NONE:
        first = vpn + m.mm[mm, Mm.DELTA]
        pmd = m.pmd[first >> HPAGE_PMD_ORDER]
        if compound and not maps_folio(pmd, b):
            _unmap_to_slots(m, s, mm, b, first, slot)
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
    written = swap_write_folio(m, b, slot)
    m.vm[s, n, Vm.PSWPOUT] += written
    m.vm[s, n, Vm.THP_SWPOUT] += written > 0
    if steal != NONE:
        m.vm[s, n, steal] += HPAGE_PMD_NR
    m.info[Info.WRITTEN] += written
    lru_add_huge(m, s, b, -1)
    undefer(m, s, b)
    put_huge(m, s, b)
    if compound:
        _free_unused(m, s, slot)
    return HPAGE_PMD_NR


@inlined
def _discard_at_once(m, s, mm, b, first):
    """Do ``_discard_ptes`` as try_to_unmap_one of 6.18 does: all, or none if dirty."""
    pfn, zapped, last = b << HPAGE_PMD_ORDER, 0, 0
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if maps_frame(pte, pfn + i) and pte & PTE_DIRTY:
            return False
    for i in range(HPAGE_PMD_NR):
        if maps_frame(m.pte[first + i], pfn + i):
            m.pte[first + i] = 0
            m.frame[pfn + i] -= FRAME_MAPCOUNT_ONE
            last += mapcount(m.frame[pfn + i]) == 0
            zapped += 1
    m.mm_change[s, mm, Change.RSS] -= zapped
    if last > 0:
        subpages_unmapped(m, s, b, last)
    return True


@inlined
def _discard_pmd(m, s, mm, b, block):
    """Drop the PMD entry of a lazily freed folio (__discard_anon_folio_pmd_locked).

    Return False if it is dirty.
    """
    pmd = m.pmd[block]
    if pmd & PTE_DIRTY:
        return False
    m.pmd[block] = 0
    m.mm_change[s, mm, Change.RSS] -= HPAGE_PMD_NR
    m.mm_change[s, mm, Change.HUGE] -= HPAGE_PMD_NR
    m.block_huge[b] -= FRAME_MAPCOUNT_ONE
    folio_unmapped(m, s, b)
    return True


@inlined
def _discard_ptes(m, s, mm, b, first):
    """Zap the PTEs of a process that map a folio; return False at the first dirty one.

    first  index of the block's first PTE
    The folio is freed with its last PTE.
    """
    pfn = b << HPAGE_PMD_ORDER
    if m.info[Info.UNMAP_BATCHES]:
        return _discard_at_once(m, s, mm, b, first)
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


@inlined
def _discard_of(m, s, mm, b, first):
    """Drop what a process maps of a lazily freed folio; False if it was written."""
    block = first >> HPAGE_PMD_ORDER
    if maps_folio(m.pmd[block], b):
        if m.info[Info.DISCARD_WHOLE]:
            return _discard_pmd(m, s, mm, b, block)
        split_huge_pmd(m, s, mm, block)
    return _discard_ptes(m, s, mm, b, first)


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
        if not _discard_of(m, s, mm, b, first):
            m.block_huge[b] &= ~FOLIO_LAZYFREE
            set_active_huge(m, n, b, True, Vm.PGACTIVATE)
            return 0
        mm = m.mm[mm, Mm.NEXT]
    m.vm[s, n, Vm.PGLAZYFREED] += HPAGE_PMD_NR
    if steal != NONE:
        m.vm[s, n, steal] += HPAGE_PMD_NR
    return HPAGE_PMD_NR
