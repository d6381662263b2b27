"""The pages that DAMON's schemes act on (mm/damon/ops-common.c, paddr.c, 6.12 to 6.16).

``docs/model/damon.md`` 7.  Ranges are indices of PTEs of one process, or frames if
``physical``.
"""

from enum import IntEnum

from ..frames.folio import maps_folio
from ..frames.page_alloc import node_of
from ..frames.page_table import next_block
from ..frames.rmap import first_mm, maps_frame
from ..jit.compile import inlined, kernel
from ..reclaim.vmscan import reclaim_one
from ..state import Mm
from ..words import (
    FRAME_IN_USE,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .damon_young import is_folio, is_young, make_old


class Young(IntEnum):
    """Which pages a scheme takes (DAMOS_FILTER_TYPE_YOUNG)."""

    ANY = 0
    YOUNG = 1
    OLD = 2


@inlined
def passes(m, at, physical, young):
    """Tell whether the filter lets a page through; one that is young is made old."""
    if young == Young.ANY:
        return True
    used = is_young(m, at, physical)
    if used:
        make_old(m, at, physical)
    return used == (young == Young.YOUNG)


@inlined
def _entry_pfn(m, at):
    """Return the frame of the page that an index maps, or NONE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    if pmd & PMD_LEAF:
        if pmd & PTE_PRESENT == 0:
            return NONE
        return (pmd & PTE_PAYLOAD) + at % HPAGE_PMD_NR
    pte = m.pte[at]
    return pte & PTE_PAYLOAD if pte & PTE_PRESENT else NONE


@kernel
def mapped_elsewhere(m, first, end, nid, young, pages):
    """List what is to move of a range of a process; return how many there are.

    pages  int64[end - first], set: indices, one of each huge entry
    """
    at, count = first, 0
    while at < end:
        leaf = m.pmd[at >> HPAGE_PMD_ORDER] & PMD_LEAF != 0
        after = min(end, next_block(at)) if leaf else at + 1
        pfn = _entry_pfn(m, at)
        if pfn != NONE and node_of(m, pfn) != nid and passes(m, at, False, young):
            pages[count] = at
            count += 1
        at = after
    return count


@inlined
def _maps(m, mm, vpn, pfn):
    """Tell whether a process maps a frame at a page."""
    at = vpn + m.mm[mm, Mm.DELTA]
    if maps_frame(m.pte[at], pfn):
        return True
    return maps_folio(m.pmd[at >> HPAGE_PMD_ORDER], pfn >> HPAGE_PMD_ORDER)


@inlined
def _mapping_mm(m, vpn, pfn):
    """Return the oldest process that maps a frame, or NONE."""
    mm = first_mm(m, vpn)
    while mm != NONE and not _maps(m, mm, vpn, pfn):
        mm = m.mm[mm, Mm.NEXT]
    return mm


@inlined
def _mapped_at(m, pfn):
    """Return (process, page) of a frame, or (NONE, NONE) if nobody maps it."""
    if is_folio(m, pfn):
        b = pfn >> HPAGE_PMD_ORDER
        for i in range(HPAGE_PMD_NR):
            vpn = (m.block_huge[b] & FRAME_VPN) + i
            mm = _mapping_mm(m, vpn, (b << HPAGE_PMD_ORDER) + i)
            if mm != NONE:
                return mm, vpn
        return NONE, NONE
    if m.frame[pfn] & FRAME_IN_USE == 0:
        return NONE, NONE
    vpn = m.frame[pfn] & FRAME_VPN
    mm = _mapping_mm(m, vpn, pfn)
    return (mm, vpn) if mm != NONE else (NONE, NONE)


@inlined
def _after(m, pfn, end):
    """Return the frame behind a page, or behind the huge page that it is part of."""
    return min(end, next_block(pfn)) if is_folio(m, pfn) else pfn + 1


@kernel
def frames_elsewhere(m, first, end, nid, young, pages):
    """List what is to move of a range of frames; return how many there are.

    pages  int64[end - first, 2], set: (process, page), one of each huge page
    """
    pfn, count = first, 0
    while pfn < end:
        after = _after(m, pfn, end)
        mm, vpn = _mapped_at(m, pfn)
        if mm != NONE and node_of(m, pfn) != nid and passes(m, pfn, True, young):
            pages[count, 0], pages[count, 1] = mm, vpn
            count += 1
        pfn = after
    return count


@kernel
def reclaim_frames(m, first, end, young):
    """Page a range of frames out (damon_pa_pageout); return how many pages were freed.

    As MADV_PAGEOUT does it: used or not, and nothing is demoted.
    """
    pfn, freed = first, 0
    while pfn < end:
        after = _after(m, pfn, end)
        mm, _ = _mapped_at(m, pfn)
        if mm != NONE and passes(m, pfn, True, young):
            head = pfn // HPAGE_PMD_NR * HPAGE_PMD_NR if is_folio(m, pfn) else pfn
            freed += reclaim_one(m, node_of(m, pfn), head, NONE)
        pfn = after
    return freed
