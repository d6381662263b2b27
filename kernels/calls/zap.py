"""Tear page tables down: munmap, exit, advice dontneed (mm/memory.c).

``docs/model/calls.md`` 7 and 8.  Ranges are indices of PTEs.  All of it is serial work.
"""

from ..counters import Vm
from ..fault.shmem import shmem_unmapped
from ..frames.folio import (
    folio_unmapped,
    ptes_in_a_row,
    subpage_unmapped,
    subpages_unmapped,
)
from ..frames.last_cpupid import reset_last_cpupids
from ..frames.page_alloc import free_frames, node_of
from ..frames.page_table import bits_of, maps_in_order, next_block
from ..frames.rmap import mapcount
from ..frames.swap_state import cached_by, free_id, is_held
from ..frames.zero_filled import clear_pages
from ..jit.compile import called, inlined, kernel
from ..lazy.designs import zap_parked
from ..lazy.parked import free_page
from ..state import Change, Info, Node
from ..words import (
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_KIND,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_SHMEM,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_YOUNG,
    PTE_ZERO,
)


@inlined
def _zap_present(m, s, pte):
    pfn = pte & PTE_PAYLOAD
    m.frame[pfn] -= FRAME_MAPCOUNT_ONE
    word = m.frame[pfn]
    if word & (FRAME_COMPOUND | FRAME_SHMEM):
        if word & FRAME_SHMEM:
            shmem_unmapped(m, s, pte)
        else:
            subpage_unmapped(m, s, pfn)
        return
    if mapcount(word) > 0 or is_held(m, pfn):
        return
    if word & FRAME_KIND:
        free_id(m, s, cached_by(word), int(m.frame_entry[pfn]))
    free_page(m, s, pfn)


@inlined
def zap_pte(m, s, pte, vpn, mm, exiting):
    """Release what a PTE held that is not none; return the pages left wedged."""
    if pte & PTE_PRESENT:
        m.mm_change[s, mm, Change.RSS] -= 1
        _zap_present(m, s, pte)
    elif pte & PTE_KIND:
        m.mm_change[s, mm, Change.SWAPENTS] -= 1
        return zap_parked(m, s, pte, vpn, exiting)
    return 0


@inlined
def _zap_huge_pmd(m, s, block, mm):
    """Unmap the huge entry of a block (zap_huge_pmd)."""
    pmd = m.pmd[block]
    m.pmd[block] = 0
    if not pmd & PTE_PRESENT:
        return
    b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    m.mm_change[s, mm, Change.RSS] -= HPAGE_PMD_NR
    m.mm_change[s, mm, Change.HUGE] -= HPAGE_PMD_NR
    m.block_huge[b] -= FRAME_MAPCOUNT_ONE
    folio_unmapped(m, s, b)


@inlined
def _free_alike(m, s, frames, pfn, active):
    """Free frames in a row that nothing maps and that are all on the same list."""
    n = node_of(m, pfn)
    m.node[n, Node.INACTIVE + active] -= frames.size
    m.vm[s, n, Vm.PGFREE] += frames.size
    frames[:] = 0
    reset_last_cpupids(m, pfn, frames.size)
    clear_pages(m, pfn, frames.size)
    free_frames(m, pfn, frames.size)


@inlined
def _zap_alike(m, s, ptes, mm):
    """Unmap a slice of PTEs at once, if they are alike; return whether they were.

    They must map frames in a row of one block, and these frames must be alike.
    """
    every, _ = bits_of(ptes)
    if not every & PTE_PRESENT or not maps_in_order(ptes):
        return False
    pfn = ptes[0] & PTE_PAYLOAD
    if pfn % HPAGE_PMD_NR + ptes.size > HPAGE_PMD_NR:
        return False
    frames = m.frame[pfn : pfn + ptes.size]
    every, some = bits_of(frames)
    differ = every ^ some
    if some & (FRAME_COMPOUND | FRAME_KIND | FRAME_SHMEM):
        return False
    if differ & (FRAME_MAPCOUNT | FRAME_ACTIVE):
        return False
    ptes[:] = 0
    m.mm_change[s, mm, Change.RSS] -= ptes.size
    if mapcount(some) == 1:
        _free_alike(m, s, frames, pfn, 1 if some & FRAME_ACTIVE else 0)
        return True
    for i in range(frames.size):
        frames[i] -= FRAME_MAPCOUNT_ONE
    return True


@called
def _zap_folio_ptes(m, s, at, stop, mm):
    """Unmap the PTEs from ``at`` that map a huge page in a row; return how many.

    zap_present_folio_ptes (mm/memory.c, 6.9): the folio is told once, afterwards.
    """
    first, ptes, last = m.pte[at] & PTE_PAYLOAD, ptes_in_a_row(m, at, stop), 0
    for i in range(ptes):
        m.pte[at + i] = 0
        m.frame[first + i] -= FRAME_MAPCOUNT_ONE
        last += mapcount(m.frame[first + i]) == 0
    m.mm_change[s, mm, Change.RSS] -= ptes
    if last > 0:
        subpages_unmapped(m, s, first >> HPAGE_PMD_ORDER, last)
    return ptes


@inlined
def _maps_part(m, pte):
    """Tell whether a PTE maps a page of a folio."""
    return pte & PTE_PRESENT != 0 and m.frame[pte & PTE_PAYLOAD] & FRAME_COMPOUND != 0


@inlined
def _zap_ptes(m, s, at, stop, vpn, mm, exiting, wedged):
    """Unmap the PTEs of a table; return how many there were."""
    if _zap_alike(m, s, m.pte[at:stop], mm):
        return stop - at
    zapped, i = 0, at
    while i < stop:
        pte, ptes = m.pte[i], 1
        if pte != 0 and m.info[Info.ZAP_BATCHES] and _maps_part(m, pte):
            ptes = _zap_folio_ptes(m, s, i, stop, mm)
            zapped += ptes
        elif pte != 0:
            zapped += 1
            m.pte[i] = 0
            wedged[0] += zap_pte(m, s, pte, vpn + i - at, mm, exiting)
        i += ptes
    return zapped


@kernel
def zap_pte_range(m, first, vpn, pages, mm, exiting, wedged):
    """Unmap a range of a process (munmap, exit); no huge entry sticks out of it.

    first   index of the range's first PTE
    vpn     virtual page of that PTE
    wedged  int64[1]  the pages that are lost to the exit race are added to it
    Return how many entries were zapped.
    """
    s = m.info[Info.SHARDS]
    zapped = 0
    at, end = first, first + pages
    while at < end:
        stop = min(end, at + HPAGE_PMD_NR - at % HPAGE_PMD_NR)
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF:
            _zap_huge_pmd(m, s, at >> HPAGE_PMD_ORDER, mm)
            zapped += 1
        elif pmd:
            page = vpn + at - first
            zapped += _zap_ptes(m, s, at, stop, page, mm, exiting, wedged)
        at = stop
    return zapped


#: Bits of an entry that maps the zero page.
_ZERO_PAGE = PTE_ZERO | PTE_YOUNG | PTE_PROTNONE


@inlined
def _maps_pages(m, first, end):
    """Tell whether a range maps anything but small zero pages."""
    at = first
    while at < end:
        stop = min(end, next_block(at))
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF:
            return True
        if pmd:
            for i in range(at, stop):
                if m.pte[i] & ~_ZERO_PAGE != 0:
                    return True
        at = stop
    return False


@kernel
def find_anon_pages(m, firsts, ends, found):
    """Find which ranges of entries hold, or held, a page or the huge zero page.

    found  bool[ranges], set
    """
    for i in range(firsts.size):
        found[i] = _maps_pages(m, firsts[i], ends[i])


@kernel
def count_page_tables(m, first, pages):
    """Return how many 2 MiB blocks of a range hold an entry that is not none."""
    tables = 0
    for at in range(first, first + pages, HPAGE_PMD_NR):
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF:
            tables += 1
        elif pmd:
            for i in range(at, min(at + HPAGE_PMD_NR, first + pages)):
                if m.pte[i] != 0:
                    tables += 1
                    break
    return tables
