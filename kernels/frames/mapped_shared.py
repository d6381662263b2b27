"""Whether others have a page, too: what the scanner asks before it marks a page.

``docs/model/balancing.md`` 18.  A kernel asks the page, all references to its folio,
or the folio (``knobs.MarkUnless``).
"""

from ..jit.compile import called, inlined
from ..knobs import MarkUnless
from ..state import Info, Mm
from ..words import (
    FOLIO_COMPOUND,
    FRAME_COMPOUND,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .folio import huge_mapcount, maps_folio, page_mapcount
from .lru_batch import in_batch
from .rmap import first_mm, mapcount


@inlined
def maps_part(m, mm, vpn, pfn):
    """Tell whether PTEs of a process map a page of the folio that begins at ``pfn``."""
    first = vpn + m.mm[mm, Mm.DELTA]
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if pte & PTE_PRESENT and pte & PTE_PAYLOAD == pfn + i:
            return True
    return False


@called
def folio_maybe_mapped_shared(m, b):
    """Tell whether more than one process maps a folio (mm.h, 6.15).

    Linux is exact up to two processes at a time, this is always.
    """
    mms = 0
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        whole = maps_folio(m.pmd[(vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER], b)
        if whole or maps_part(m, mm, vpn, b << HPAGE_PMD_ORDER):
            mms += 1
        mm = m.mm[mm, Mm.NEXT]
    return mms > 1


@called
def folio_likely_mapped_shared(m, b):
    """Tell whether a folio looks shared by its counts alone (mm.h, 6.10)."""
    entire = mapcount(m.block_huge[b])
    if not m.block_huge[b] & FOLIO_COMPOUND:
        return entire > 1
    first, mapped = b << HPAGE_PMD_ORDER, entire
    for pfn in range(first, first + HPAGE_PMD_NR):
        mapped += mapcount(m.frame[pfn])
    if mapped <= 1:
        return False
    if entire or mapped > HPAGE_PMD_NR:
        return True
    return mapcount(m.frame[first]) > 1


@inlined
def folio_mapped_shared(m, b):
    """Tell whether a folio is shared, as the kernel sees it since 6.10."""
    if m.info[Info.MARK_UNLESS] == MarkUnless.MAYBE_MAPPED_SHARED:
        return folio_maybe_mapped_shared(m, b)
    return folio_likely_mapped_shared(m, b)


@inlined
def _refers_alone(m, pfn):
    """Tell whether one entry alone refers to a page, or to its folio (page_count)."""
    word = m.frame[pfn]
    if mapcount(word) != 1:
        return False
    if word & FRAME_COMPOUND:
        b = pfn >> HPAGE_PMD_ORDER
        return m.block_mapped[b] == 1 and mapcount(m.block_huge[b]) == 0
    return not word & (FRAME_SWAPCACHE | FRAME_MIGCACHE) and not in_batch(m, pfn)


@inlined
def others_have_page(m, pfn):
    """Tell whether a page that a PTE of a private mapping maps is left alone."""
    rule = m.info[Info.MARK_UNLESS]
    if rule == MarkUnless.PAGE_MAPCOUNT:
        return page_mapcount(m, pfn) > 1 or in_batch(m, pfn)
    if rule == MarkUnless.PAGE_COUNT:
        return not _refers_alone(m, pfn)
    if m.frame[pfn] & FRAME_COMPOUND:
        return folio_mapped_shared(m, pfn >> HPAGE_PMD_ORDER)
    return mapcount(m.frame[pfn]) > 1


@inlined
def others_have_folio(m, b):
    """Tell whether a folio that a PMD entry maps counts as shared."""
    if m.info[Info.MARK_UNLESS] == MarkUnless.MAYBE_MAPPED_SHARED:
        return folio_maybe_mapped_shared(m, b)
    return huge_mapcount(m, b) > 1
