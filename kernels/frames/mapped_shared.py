"""Whether others have a page, too: what the scanner asks before it marks a page.

``docs/model/balancing.md`` 18.  A kernel asks the page, all references to its folio,
or the folio (``knobs.MarkUnless``).
"""

from ..jit.compile import inlined, kernel
from ..knobs import MarkUnless
from ..state import Info
from ..words import (
    FRAME_COMPOUND,
    FRAME_KIND,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .folio import folio_likely_mapped_shared, huge_mapcount, page_mapcount
from .lru_batch import in_batch
from .rmap import mapcount


@inlined
def _refers_alone(m, pfn):
    """Tell whether one entry alone refers to a page, or to its folio (page_count)."""
    word = m.frame[pfn]
    if mapcount(word) != 1:
        return False
    if word & FRAME_COMPOUND:
        b = pfn >> HPAGE_PMD_ORDER
        return m.block_mapped[b] == 1 and mapcount(m.block_huge[b]) == 0
    return not word & FRAME_KIND and not in_batch(m, pfn)


@inlined
def others_have_page(m, pfn):
    """Tell whether a page that a PTE of a private mapping maps is left alone."""
    rule = m.info[Info.MARK_UNLESS]
    if rule == MarkUnless.PAGE_MAPCOUNT:
        return page_mapcount(m, pfn) > 1 or in_batch(m, pfn)
    if rule == MarkUnless.PAGE_COUNT:
        return not _refers_alone(m, pfn)
    if m.frame[pfn] & FRAME_COMPOUND:
        return folio_likely_mapped_shared(m, pfn >> HPAGE_PMD_ORDER)
    return mapcount(m.frame[pfn]) > 1


@inlined
def others_have_folio(m, b):
    """Tell whether a folio that a PMD entry maps counts as shared."""
    if m.info[Info.MARK_UNLESS] == MarkUnless.MAPPED_SHARED:
        return folio_likely_mapped_shared(m, b)
    return huge_mapcount(m, b) > 1


@kernel
def mark_shared_folios(m, first, blocks, shared):
    """Note which folios, of which PTEs of some blocks map parts, are shared.

    first   index of the first block's entry in ``pmd``
    shared  uint8[pageblocks], changed in place
    Return how many such folios there are, shared or not.
    """
    found, last = 0, NONE
    for at in range(first << HPAGE_PMD_ORDER, (first + blocks) << HPAGE_PMD_ORDER):
        if not m.pte[at] & PTE_PRESENT or m.pmd[at >> HPAGE_PMD_ORDER] & PMD_LEAF:
            continue
        pfn = m.pte[at] & PTE_PAYLOAD
        b = pfn >> HPAGE_PMD_ORDER
        if b != last and m.frame[pfn] & FRAME_COMPOUND:
            shared[b] = 1 if folio_likely_mapped_shared(m, b) else 0
            found, last = found + 1, b
    return found
