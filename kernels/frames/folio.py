"""Huge pages as folios: what maps them, their splits, and deferred splits.

``docs/model/page.md`` 5 and ``docs/model/thp.md`` 4 to 6.  ``b`` is the pageblock that
the folio fills, ``block`` the index of a PMD entry.
"""

from ..counters import Vm
from ..jit.compile import called, inlined, kernel
from ..state import BlockList, Change, Info, Mm, Node, Vma
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    FOLIO_LAZYFREE,
    FOLIO_QUEUED,
    FOLIO_REMAPPED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_FROM,
    FRAME_GEN,
    FRAME_IN_USE,
    FRAME_LAZYFREE,
    FRAME_MAPCOUNT_ONE,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_NID,
    PMD_NID_SHIFT,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_YOUNG,
    PTE_ZERO,
)
from .huge_memory_call import split_folio, split_pmd
from .last_cpupid import split_last_cpupid
from .page_alloc import node_of, put_huge, put_page, set_free
from .rmap import first_mm, mapcount, maps_frame
from .vma import next_vma, vm_page_prot
from .zero_filled import is_zero_filled


@inlined
def folio_nid(m, b):
    """Return the node of a folio."""
    return node_of(m, b << HPAGE_PMD_ORDER)


@inlined
def page_mapcount(m, pfn):
    """Return how many PTEs and PMD entries map a frame in use (page_mapcount)."""
    word = m.frame[pfn]
    count = mapcount(word)
    if word & FRAME_COMPOUND:
        count += mapcount(m.block_huge[pfn >> HPAGE_PMD_ORDER])
    return count


@inlined
def huge_mapcount(m, b):
    """Return how many PTEs and PMD entries map a folio's first page."""
    word = m.block_huge[b]
    count = mapcount(word)
    if word & FOLIO_COMPOUND:
        count += mapcount(m.frame[b << HPAGE_PMD_ORDER])
    return count


@inlined
def folio_mapcount(m, b):
    """Return how many PTEs and PMD entries map parts of a folio or all of it."""
    word = m.block_huge[b]
    count = mapcount(word)
    if word & FOLIO_COMPOUND:
        first = b << HPAGE_PMD_ORDER
        for pfn in range(first, first + HPAGE_PMD_NR):
            count += mapcount(m.frame[pfn])
    return count


@called
def ptes_in_a_row(m, at, stop):
    """Return how many PTEs from ``at`` on map pages of a folio in a row.

    folio_pte_batch, 6.12: marks end it.  ``at`` maps a page of a folio.
    """
    pte = m.pte[at]
    left = HPAGE_PMD_NR - (pte & PTE_PAYLOAD & HPAGE_PMD_NR - 1)
    want = pte & (PTE_PAYLOAD | PTE_PRESENT | PTE_PROTNONE)
    ptes = 1
    while ptes < left and at + ptes < stop:
        got = m.pte[at + ptes] & (PTE_PAYLOAD | PTE_PRESENT | PTE_PROTNONE)
        if got != want + ptes:
            break
        ptes += 1
    return ptes


@inlined
def maps_folio(pmd, b):
    """Tell whether a PMD entry maps the folio of block ``b``."""
    return pmd & PTE_PRESENT != 0 and pmd & PTE_PAYLOAD == b << HPAGE_PMD_ORDER


@inlined
def lru_add_huge(m, s, b, change):
    """Add a folio to the LRU counts of its node (1), or take it out of them (-1)."""
    active = 1 if m.block_huge[b] & FRAME_ACTIVE else 0
    count_lru(m, s, folio_nid(m, b), active, change * HPAGE_PMD_NR)


@inlined
def count_lru(m, s, n, active, pages):
    """Count pages in, or out if negative, of a node's active (1) or inactive list."""
    if s == m.info[Info.SHARDS]:
        m.node[n, Node.INACTIVE + active] += pages
    else:
        m.lru_change[s, n, active] += pages


@inlined
def _count_deferred(m, s, n, change):
    if s == m.info[Info.SHARDS]:
        m.node[n, Node.DEFERRED] += change
    else:
        m.lru_change[s, n, 2] += change


@inlined
def undefer(m, s, b):
    """Take a folio off the queue of deferred splits, if it is there."""
    if m.block_huge[b] & FOLIO_DEFERRED:
        m.block_huge[b] &= ~FOLIO_DEFERRED
        _count_deferred(m, s, folio_nid(m, b), -1)


@inlined
def defer(m, s, b):
    """Queue a folio for a deferred split, if it is not queued yet."""
    if m.block_huge[b] & FOLIO_DEFERRED:
        return
    n = folio_nid(m, b)
    m.block_huge[b] |= FOLIO_DEFERRED
    _count_deferred(m, s, n, 1)
    m.vm[s, n, Vm.THP_DEFERRED_SPLIT_PAGE] += 1


@called
def folio_unmapped(m, s, b):
    """Free or defer a folio that has just lost an entry (folio_remove_rmap)."""
    word = m.block_huge[b]
    if mapcount(word) > 0:
        return
    left = int(m.block_mapped[b]) if word & FOLIO_COMPOUND else 0
    if left == 0:
        lru_add_huge(m, s, b, -1)
        undefer(m, s, b)
        put_huge(m, s, b)
    elif left < HPAGE_PMD_NR and not word & FOLIO_REMAPPED:
        defer(m, s, b)
    m.block_huge[b] &= ~FOLIO_REMAPPED


@inlined
def subpage_unmapped(m, s, pfn):
    """Update a folio after a frame of it has lost a PTE, and its word a mapcount."""
    if mapcount(m.frame[pfn]) == 0:
        subpages_unmapped(m, s, pfn >> HPAGE_PMD_ORDER, 1)


@called
def subpages_unmapped(m, s, b, last):
    """Update a folio after ``last`` frames of it have lost their last PTE at once."""
    m.block_mapped[b] -= last
    if m.block_huge[b] & FOLIO_REMAPPED:
        # Without PG_double_map the page counts as unmapped, even if PMD entries map it.
        defer(m, s, b)
    if m.block_mapped[b] == 0 and mapcount(m.block_huge[b]) > 0:
        # Only PMD entries map it again: with COMPOUND it would be taken for shared.
        m.block_huge[b] &= ~(FOLIO_COMPOUND | FOLIO_REMAPPED)
        first = b << HPAGE_PMD_ORDER
        m.frame[first : first + HPAGE_PMD_NR] = 0
        return
    folio_unmapped(m, s, b)


@called
def _mms_of_folio(m, b):
    """Return how many processes map parts of a folio or all of it."""
    count = 0
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        if maps_folio(m.pmd[(vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER], b):
            count += 1
        elif _maps_part(m, mm, vpn, b, 0, HPAGE_PMD_NR):
            count += 1
        mm = m.mm[mm, Mm.NEXT]
    return count


@called
def folio_likely_mapped_shared(m, b):
    """Tell whether more than one process maps a folio, as far as Linux knows.

    6.12 guesses by the first page, if no page is mapped twice; later kernels remember
    who maps it (folio_maybe_mapped_shared).
    """
    if m.info[Info.MM_IDS]:
        return _mms_of_folio(m, b) > 1
    count = folio_mapcount(m, b)
    if count <= 1:
        return False
    if mapcount(m.block_huge[b]) > 0 or count > HPAGE_PMD_NR:
        return True
    return mapcount(m.frame[b << HPAGE_PMD_ORDER]) > 1


@inlined
def _maps_part(m, mm, vpn, b, low, high):
    """Tell whether PTEs of a process map a page of a folio, of [low, high) of them."""
    first, pfn = vpn + m.mm[mm, Mm.DELTA], b << HPAGE_PMD_ORDER
    for i in range(low, high):
        if maps_frame(m.pte[first + i], pfn + i):
            return True
    return False


@inlined
def _vma_maps_part(m, v, mm, vpn, b):
    low = max(m.vma[v, Vma.START] - vpn, 0)
    high = min(m.vma[v, Vma.END] - vpn, HPAGE_PMD_NR)
    return _maps_part(m, mm, vpn, b, low, high)


@inlined
def unmapping_defers(m, b):
    """Tell whether unmapping a folio for migration or a split queues it to be split.

    The rmap walk visits the VMAs.  While PMD entries are left, no page has lost its
    last mapping.  From then on one that loses its last PTE queues the folio.
    """
    if m.block_huge[b] & FOLIO_REMAPPED:
        return True
    by_pte = False
    vpn = m.block_huge[b] & FRAME_VPN
    v, mm = next_vma(m, vpn, HPAGE_PMD_NR, NONE)
    while v != NONE:
        if maps_folio(m.pmd[(vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER], b):
            by_pte = False
        elif _vma_maps_part(m, v, mm, vpn, b):
            by_pte = True
        v, mm = next_vma(m, vpn, HPAGE_PMD_NR, v)
    return by_pte


@inlined
def _mark_ptes(m, block, bits):
    """Set bits in all PTEs of a block."""
    first = block << HPAGE_PMD_ORDER
    for at in range(first, first + HPAGE_PMD_NR):
        m.pte[at] |= bits


@called
def split_huge_pmd(m, s, mm, block):
    """Split the huge entry ``block`` of process ``mm`` (__split_huge_pmd)."""
    pmd = m.pmd[block]
    m.vm[s, (pmd & PMD_NID) >> PMD_NID_SHIFT, Vm.THP_SPLIT_PMD] += 1
    if s == m.info[Info.SHARDS]:
        m.info[Info.SPLITS] += 1
    if pmd & PTE_PRESENT:
        m.mm_change[s, mm, Change.HUGE] -= HPAGE_PMD_NR
        m.block_huge[(pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER] &= ~FOLIO_REMAPPED
    split_pmd(m.pmd, m.pte, m.frame, m.block_huge, m.block_mapped, block)
    vpn = (block << HPAGE_PMD_ORDER) - m.mm[mm, Mm.DELTA]
    prot = vm_page_prot(m, mm, vpn, pmd)
    if prot:
        _mark_ptes(m, block, prot)


@kernel
def vma_adjust_trans_huge(m, mm, block):
    """Split the entry of a block if it is huge, because a VMA will end inside it."""
    if m.pmd[block] & PMD_LEAF:
        split_huge_pmd(m, m.info[Info.SHARDS], mm, block)


@inlined
def _unmap_folio(m, s, b, prot):
    """Split every PMD entry that maps a folio, the oldest process's first.

    prot  PROTNONE if PTEs keep the mark of their PMD entry, otherwise 0
    """
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        block = (vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER
        pmd = m.pmd[block]
        if maps_folio(pmd, b):
            split_huge_pmd(m, s, mm, block)
            if pmd & prot:
                _mark_ptes(m, block, prot)
        mm = m.mm[mm, Mm.NEXT]


@called
def _take_over(m, b, bits):
    """Give the pages of a split folio bits: FROM, the node it left last; its age."""
    first = b << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        if m.frame[pfn] != 0:
            m.frame[pfn] |= bits


@called
def _any_dirty(m, b):
    """Tell whether a PTE of a folio is dirty; no PMD entry maps the folio any more."""
    first = b << HPAGE_PMD_ORDER
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        for i in range(HPAGE_PMD_NR):
            if maps_frame(m.pte[at + i], first + i) and m.pte[at + i] & PTE_DIRTY:
                return True
        mm = m.mm[mm, Mm.NEXT]
    return False


@called
def _take_over_lazyfree(m, b, dirty):
    """Make the pages of a split folio LAZYFREE, and clean unless it was ``dirty``."""
    first = b << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        if m.frame[pfn] != 0:
            m.frame[pfn] |= FRAME_LAZYFREE
            if not dirty:
                m.frame[pfn] &= ~FRAME_DIRTY


@called
def _map_unused_to_zeropage(m, s, b):
    """Map the zero page where PTEs map zero-filled pages of a folio that is split.

    try_to_map_unused_to_zeropage, mm/migrate.c, 6.12.
    """
    first = b << HPAGE_PMD_ORDER
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        for i in range(HPAGE_PMD_NR):
            pte = m.pte[at + i]
            if maps_frame(pte, first + i) and is_zero_filled(m, first + i):
                prot = vm_page_prot(m, mm, vpn + i, pte)
                m.pte[at + i] = PTE_ZERO | PTE_YOUNG | prot
                m.frame[first + i] -= FRAME_MAPCOUNT_ONE
                m.mm_change[s, mm, Change.RSS] -= 1
        mm = m.mm[mm, Mm.NEXT]


@called
def split_huge_page(m, s, b, prot):
    """Split a folio into ordinary pages; return how many of them were freed.

    prot  PROTNONE if hinting marks outlive the split, otherwise 0
    """
    # Migration entries replace the PTEs one by one, which queues it (unmap_folio).
    if not m.info[Info.SPLIT_AT_ONCE] or unmapping_defers(m, b):
        defer(m, s, b)
    _unmap_folio(m, s, b, prot)
    undefer(m, s, b)
    if m.info[Info.SPLIT_TO_ZERO]:
        _map_unused_to_zeropage(m, s, b)
    n = folio_nid(m, b)
    active = 1 if m.block_huge[b] & FRAME_ACTIVE else 0
    generation = m.block_huge[b] & FRAME_GEN if m.info[Info.LRU_GEN] else 0
    moved = m.block_huge[b] & FRAME_FROM
    lazyfree = m.block_huge[b] & FOLIO_LAZYFREE != 0
    dirty = lazyfree and _any_dirty(m, b)
    freed = split_folio(m.frame, m.block_huge, b)
    if lazyfree:
        _take_over_lazyfree(m, b, dirty)
    if generation:
        _take_over(m, b, generation)
    if moved:
        _take_over(m, b, moved)
    split_last_cpupid(m, b)
    m.block_list[b] = BlockList.UNLISTED
    set_free(m, b, 0)
    count_lru(m, s, n, active, -freed)
    m.vm[s, n, Vm.THP_SPLIT_PAGE] += 1
    if freed > 0:
        first = b << HPAGE_PMD_ORDER
        for pfn in range(first, first + HPAGE_PMD_NR):
            if m.frame[pfn] == 0:
                put_page(m, s, pfn)
    return freed


@inlined
def map_folio(m, s, mm, block, vpn, b, bits):
    """Map a new folio, young and dirty; ``vpn`` is any of its pages.

    bits  WRITE if the VMA has it, and the node of the page table
    """
    m.block_huge[b] = vpn & ~(HPAGE_PMD_NR - 1) | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
    if m.info[Info.SPLIT_UNDERUSED]:
        m.block_huge[b] |= FOLIO_QUEUED
    lru_add_huge(m, s, b, 1)
    bits |= PTE_PRESENT | PTE_YOUNG | PTE_DIRTY
    m.pmd[block] = b << HPAGE_PMD_ORDER | bits
    m.mm_change[s, mm, Change.HUGE] += HPAGE_PMD_NR
