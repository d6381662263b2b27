"""What DAMON's checks do to accessed bits (mm/damon/vaddr.c, paddr.c, 6.12).

A check is two steps, a sampling interval apart: make old, ask whether it is young.
Neither flushes a TLB.  Places are indices of PTEs, or frames if ``physical``; NONE is
passed over.  ``docs/model/damon.md`` 2.
"""

from ..frames.folio import maps_folio
from ..frames.rmap import clear_young, first_mm, maps_frame
from ..jit.compile import inlined, kernel
from ..reclaim.vmscan_huge import clear_young_huge
from ..state import BlockList, Mm
from ..words import (
    FOLIO_COMPOUND,
    FRAME_IN_USE,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PRESENT,
    PTE_YOUNG,
)


@inlined
def _entry_mkold(m, at):
    """Clear the accessed bit of the entry that maps a page (damon_va_mkold)."""
    block = at >> HPAGE_PMD_ORDER
    pmd = m.pmd[block]
    if pmd & PMD_LEAF:
        if pmd & PTE_PRESENT:
            m.pmd[block] = pmd & ~PTE_YOUNG
    elif m.pte[at] & PTE_PRESENT:
        m.pte[at] &= ~PTE_YOUNG


@inlined
def _entry_young(m, at):
    """Tell whether the entry that maps a page was used (damon_va_young)."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    entry = pmd if pmd & PMD_LEAF else m.pte[at]
    return entry & PTE_PRESENT != 0 and entry & PTE_YOUNG != 0


@inlined
def is_folio(m, pfn):
    """Tell whether a frame is a part of a huge page."""
    return m.block_list[pfn >> HPAGE_PMD_ORDER] == BlockList.HUGE


@inlined
def _frame_mkold(m, pfn):
    """Clear the accessed bits of all entries that map a frame (damon_pa_mkold)."""
    if is_folio(m, pfn):
        clear_young_huge(m, pfn >> HPAGE_PMD_ORDER)
    elif m.frame[pfn] & FRAME_IN_USE:
        clear_young(m, pfn)


@inlined
def _page_young(m, pfn):
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        pte = m.pte[vpn + m.mm[mm, Mm.DELTA]]
        if maps_frame(pte, pfn) and pte & PTE_YOUNG:
            return True
        mm = m.mm[mm, Mm.NEXT]
    return False


@inlined
def _mm_used_folio(m, mm, vpn, b):
    """Tell whether a process has used a folio that it may map."""
    first = vpn + m.mm[mm, Mm.DELTA]
    pmd = m.pmd[first >> HPAGE_PMD_ORDER]
    if maps_folio(pmd, b):
        return pmd & PTE_YOUNG != 0
    if m.block_huge[b] & FOLIO_COMPOUND == 0:
        return False
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if maps_frame(pte, (b << HPAGE_PMD_ORDER) + i) and pte & PTE_YOUNG:
            return True
    return False


@inlined
def _folio_young(m, b):
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        if _mm_used_folio(m, mm, vpn, b):
            return True
        mm = m.mm[mm, Mm.NEXT]
    return False


@inlined
def _frame_young(m, pfn):
    """Tell whether any entry that maps a frame was used (damon_pa_young)."""
    if is_folio(m, pfn):
        return _folio_young(m, pfn >> HPAGE_PMD_ORDER)
    return m.frame[pfn] & FRAME_IN_USE != 0 and _page_young(m, pfn)


@inlined
def is_young(m, at, physical):
    """Tell whether a page or a frame was used since it was made old."""
    return _frame_young(m, at) if physical else _entry_young(m, at)


@inlined
def make_old(m, at, physical):
    """Clear the accessed bits of a page or a frame."""
    if physical:
        _frame_mkold(m, at)
    else:
        _entry_mkold(m, at)


@kernel
def prepare_access_checks(m, places, physical):
    """Make old what is to be looked at.

    places  int64[n]
    """
    for at in places:
        if at != NONE:
            make_old(m, at, physical)


@kernel
def check_accesses(m, places, physical, young):
    """Ask what was used since it was made old.

    young  bool[n], set
    """
    for i in range(places.size):
        at = places[i]
        young[i] = at != NONE and is_young(m, at, physical)
