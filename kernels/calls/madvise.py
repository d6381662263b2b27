"""Advice that acts at once (mm/madvise.c, 6.1): free, cold, pageout; and swapoff.

``docs/model/calls.md`` 9 to 11.  Ranges are indices of PTEs of the process ``mm``, in
one VMA.  All of it is serial work.
"""

from enum import IntEnum

from ..counters import Vm
from ..frames.folio import (
    folio_likely_mapped_shared,
    folio_mapcount,
    folio_nid,
    huge_mapcount,
    page_mapcount,
    ptes_in_a_row,
    split_huge_page,
)
from ..frames.lru_batch import in_batch
from ..frames.mm_inline import clear_referenced
from ..frames.page_alloc import node_of
from ..frames.rmap import mapcount
from ..frames.swap_state import cached_by, drop_slot, is_held, leave_cache
from ..frames.zero_filled import swap_read_folio
from ..jit.compile import called, inlined, kernel
from ..placement.mempolicy import alloc_page_vma
from ..placement.migrate import lru_add
from ..reclaim.vmscan import (
    deactivate_folio,
    deactivate_page,
    lazyfree_folio,
    lazyfree_page,
    reclaim_folio,
    reclaim_page,
)
from ..state import NO_MEMORY, Change, Ids, Info
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_LAZYFREE,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_KIND,
    FRAME_LAZYFREE,
    FRAME_MAPCOUNT_ONE,
    FRAME_SWAPCACHE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_YOUNG,
    PTE_ZERO,
    Kind,
)
from .zap import zap_pte


class PageAdvice(IntEnum):
    """Advice about pages that are there."""

    COLD = 0
    PAGEOUT = 1
    FREE = 2


@inlined
def _advise_folio(m, block, b, kind):
    """Apply an advice to a folio that only one huge entry maps."""
    if kind == PageAdvice.FREE:
        m.pmd[block] &= ~(PTE_YOUNG | PTE_DIRTY)
        if not m.block_huge[b] & FOLIO_LAZYFREE:
            lazyfree_folio(m, folio_nid(m, b), b)
        return
    m.pmd[block] &= ~PTE_YOUNG
    m.block_huge[b] = clear_referenced(m, m.block_huge[b])
    if kind == PageAdvice.PAGEOUT:
        reclaim_folio(m, folio_nid(m, b), b)
    elif m.block_huge[b] & FRAME_ACTIVE or m.info[Info.LRU_GEN]:
        deactivate_folio(m, folio_nid(m, b), b)


@inlined
def _may_be_cleaned(m, pfn):
    """Make a page clean and take it out of its cache; False if it must stay.

    Others may map the page too, if it is neither dirty nor in a cache.
    """
    word = m.frame[pfn]
    if word & (FRAME_KIND | FRAME_DIRTY):
        if mapcount(word) != 1 or is_held(m, pfn):
            return False
        if word & FRAME_KIND:
            leave_cache(m, m.info[Info.SHARDS], pfn, cached_by(word))
        m.frame[pfn] &= ~FRAME_DIRTY
    return True


@inlined
def _free_page(m, at, pfn):
    """Allow reclaim to forget a page, if it can be cleaned (madvise_free_pte_range)."""
    if _may_be_cleaned(m, pfn):
        m.pte[at] &= ~(PTE_YOUNG | PTE_DIRTY)
        if not m.frame[pfn] & FRAME_LAZYFREE and not in_batch(m, pfn):
            lazyfree_page(m, node_of(m, pfn), pfn)


@inlined
def _advise_page(m, at, pfn, kind):
    """Apply COLD or PAGEOUT to a page that only one PTE maps."""
    m.pte[at] &= ~PTE_YOUNG
    m.frame[pfn] = clear_referenced(m, m.frame[pfn])
    if kind == PageAdvice.PAGEOUT:
        reclaim_page(m, node_of(m, pfn), pfn)
    elif m.frame[pfn] & FRAME_ACTIVE or m.info[Info.LRU_GEN]:
        deactivate_page(m, node_of(m, pfn), pfn)


@inlined
def _shared(m, b, kind):
    """Tell whether a folio that a huge entry maps is too shared for an advice.

    FREE looks at all entries, the others at those of the first page (6.1).
    """
    if m.info[Info.ADVISE_WHOLE]:
        return folio_likely_mapped_shared(m, b)
    if kind == PageAdvice.FREE:
        return mapcount(m.block_huge[b]) != 1 or m.block_huge[b] & FOLIO_COMPOUND != 0
    return huge_mapcount(m, b) != 1


@inlined
def _splits(m, at, whole, kind):
    """Split the huge entry of a block if need be; return whether to walk its PTEs.

    whole  whether the range covers the block
    A folio that is too shared is left alone.
    """
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    if pmd & PTE_ZERO:
        return False
    b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    if _shared(m, b, kind):
        return False
    if not whole:
        split_huge_page(m, m.info[Info.SHARDS], b, 0)
    return not whole


@inlined
def _advise_whole(m, at, b, kind):
    """Apply an advice to a folio that 512 PTEs from ``at`` map; they stay its own.

    Nobody else may map the folio, unless it is clean and FREE.
    """
    word, n = m.block_huge[b], folio_nid(m, b)
    clean = kind == PageAdvice.FREE and word & FOLIO_LAZYFREE != 0
    if folio_mapcount(m, b) != HPAGE_PMD_NR and not clean:
        return
    bits = PTE_YOUNG | PTE_DIRTY if kind == PageAdvice.FREE else PTE_YOUNG
    for i in range(at, at + HPAGE_PMD_NR):
        m.pte[i] &= ~bits
    if kind == PageAdvice.FREE:
        if not word & FOLIO_LAZYFREE:
            lazyfree_folio(m, n, b)
        return
    m.block_huge[b] = clear_referenced(m, m.block_huge[b])
    if kind == PageAdvice.PAGEOUT:
        reclaim_folio(m, n, b)
    elif word & FRAME_ACTIVE or m.info[Info.LRU_GEN]:
        deactivate_folio(m, n, b)


@inlined
def _advise_folio_ptes(m, at, stop, b, kind):
    """Apply an advice to PTEs from ``at`` that map a folio (6.10).

    Return how many are done; 0: the folio was split, and they are looked at again.
    """
    ptes = ptes_in_a_row(m, at, stop)
    if ptes == HPAGE_PMD_NR:
        _advise_whole(m, at, b, kind)
    elif not folio_likely_mapped_shared(m, b):
        split_huge_page(m, m.info[Info.SHARDS], b, 0)
        return 0
    return ptes


@inlined
def _advise_ptes(m, mm, delta, at, stop, kind):
    """Walk PTEs; the first page of a shared folio ends the walk of the block (6.1)."""
    s, i, after = m.info[Info.SHARDS], at, at
    while after < stop:
        i = after
        after += 1
        pte = m.pte[i]
        if pte & PTE_KIND == PTE_SWAP and kind == PageAdvice.FREE:
            m.pte[i] = 0
            zap_pte(m, s, pte, i - delta, mm, False)
        if not pte & PTE_PRESENT:
            continue
        pfn = pte & PTE_PAYLOAD
        count = page_mapcount(m, pfn)
        if m.frame[pfn] & FRAME_COMPOUND:
            if m.info[Info.ADVISE_WHOLE]:
                b = pfn >> HPAGE_PMD_ORDER
                after = i + _advise_folio_ptes(m, i, stop, b, kind)
                continue
            if count != 1:
                return
            split_huge_page(m, s, pfn >> HPAGE_PMD_ORDER, 0)
        if kind == PageAdvice.FREE:
            _free_page(m, i, pfn)
        elif count == 1 and not in_batch(m, pfn):
            _advise_page(m, i, pfn, kind)


@called
def advise_range(m, mm, delta, first, pages, kind):
    """Apply an advice, a PageAdvice, to a range.

    delta  index of a PTE of the process minus its virtual page
    """
    at, end = first, first + pages
    while at < end:
        stop = min(end, (at // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR)
        block = at >> HPAGE_PMD_ORDER
        pmd = m.pmd[block]
        whole = stop - at == HPAGE_PMD_NR
        if pmd & PMD_LEAF:
            if _splits(m, at, whole, kind):
                _advise_ptes(m, mm, delta, at, stop, kind)
            elif whole and pmd & PTE_PRESENT:
                b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
                if not _shared(m, b, kind):
                    _advise_folio(m, block, b, kind)
        elif pmd:
            _advise_ptes(m, mm, delta, at, stop, kind)
        at = stop


@kernel
def madvise_range(m, mm, delta, first, pages, kind):
    """Do ``advise_range`` for one range (madvise(2))."""
    advise_range(m, mm, delta, first, pages, kind)


@inlined
def _swap_in(m, task, v, vpn, slot):
    """Return the frame of a slot, read from disk if there is none; or NO_MEMORY."""
    pfn = m.slot_frame[slot]
    if pfn != NONE:
        return pfn
    pfn = alloc_page_vma(m, m.info[Info.SHARDS], task, v, vpn, True)
    if pfn < 0:
        return pfn
    m.frame[pfn] = vpn | FRAME_IN_USE | FRAME_SWAPCACHE
    m.frame_entry[pfn] = slot
    m.slot_frame[slot] = pfn
    lru_add(m, m.info[Info.SHARDS], pfn, 1)
    read = swap_read_folio(m, pfn, slot)
    m.vm[m.info[Info.SHARDS], node_of(m, pfn), Vm.PSWPIN] += read
    return pfn


@kernel
def unuse_pte_range(m, task, mm, v, delta, first, pages):
    """Map every swapped page of a range again (swapoff); False if memory runs out.

    task  the caller, whose policy says where frames come from
    v     row of the range's VMA
    """
    s = m.info[Info.SHARDS]
    for i in range(first, first + pages):
        if m.pmd[i >> HPAGE_PMD_ORDER] & PMD_LEAF:
            continue
        if m.pte[i] & PTE_KIND != PTE_SWAP:
            continue
        slot = m.pte[i] & PTE_PAYLOAD
        pfn = _swap_in(m, task, v, i - delta, slot)
        if pfn == NO_MEMORY:
            return False
        m.frame[pfn] += FRAME_MAPCOUNT_ONE
        m.pte[i] = pfn | PTE_PRESENT
        m.mm_change[s, mm, Change.RSS] += 1
        m.mm_change[s, mm, Change.SWAPENTS] -= 1
        m.slot_count[slot] -= 1
        if m.slot_count[slot] == 0:
            drop_slot(m, s, pfn)
    return True


@kernel
def swapoff(m):
    """Take the pages that linger in the swap cache out of it, then remove all slots."""
    s = m.info[Info.SHARDS]
    for slot in range(m.info[Info.SLOTS + Ids.VIRGIN_ID]):
        pfn = m.slot_frame[slot]
        if pfn < 0 or pfn >= m.frame.size or cached_by(m.frame[pfn]) != Kind.SWAP:
            continue
        if m.frame_entry[pfn] == slot:
            drop_slot(m, s, pfn)
    m.info[Info.SLOTS + Ids.TOTAL] = 0
    m.info[Info.SLOTS + Ids.VIRGIN_ID] = 0
    m.info[Info.SLOTS + Ids.IN_USE] = 0
    m.info[Info.SLOTS + Ids.STACK] = NONE
