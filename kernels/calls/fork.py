"""Copy page tables at fork (copy_page_range, mm/memory.c).

``docs/model/calls.md`` 6.
"""

from ..frames.page_table import bits_of, maps_in_order
from ..jit.compile import inlined, kernel
from ..lazy.designs import fork_parked
from ..state import Change, Info
from ..words import (
    FRAME_MAPCOUNT_ONE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_EXCLUSIVE,
    PMD_LEAF,
    PMD_NUMA,
    PMD_OWES,
    PTE_EXCLUSIVE,
    PTE_KIND,
    PTE_OWES,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_YOUNG,
)


@inlined
def _copy_present_pte(m, s, pte, child):
    pfn = pte & PTE_PAYLOAD
    m.frame[pfn] += FRAME_MAPCOUNT_ONE
    m.mm_change[s, child, Change.RSS] += 1
    return pte & ~(PTE_WRITE | PTE_EXCLUSIVE)


@inlined
def _copy_nonpresent_pte(m, s, pte, child):
    if pte & PTE_KIND:
        fork_parked(m, s, pte)
        m.mm_change[s, child, Change.SWAPENTS] += 1


@inlined
def _copy_huge_pmd(m, s, first, copy, child):
    """Copy the huge entry of a block (copy_huge_pmd)."""
    pmd = m.pmd[first >> HPAGE_PMD_ORDER]
    if pmd & PTE_PRESENT:
        m.block_huge[(pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER] += FRAME_MAPCOUNT_ONE
        m.mm_change[s, child, Change.RSS] += HPAGE_PMD_NR
        m.mm_change[s, child, Change.HUGE] += HPAGE_PMD_NR
        pmd &= ~(PTE_WRITE | PMD_EXCLUSIVE)
        m.pmd[first >> HPAGE_PMD_ORDER] = pmd
        pmd &= ~(PTE_YOUNG | PMD_OWES)
    m.pmd[copy >> HPAGE_PMD_ORDER] = pmd


@inlined
def _copy_alike(m, s, ptes, copies, child):
    """Copy a slice of PTEs if they map frames in a row; return whether they do."""
    every, _ = bits_of(ptes)
    if not every & PTE_PRESENT or not maps_in_order(ptes):
        return False
    for i in range(ptes.size):
        ptes[i] &= ~(PTE_WRITE | PTE_EXCLUSIVE)
        copies[i] = ptes[i] & ~(PTE_YOUNG | PTE_OWES)
    pfn = ptes[0] & PTE_PAYLOAD
    frames = m.frame[pfn : pfn + ptes.size]
    for i in range(frames.size):
        frames[i] += FRAME_MAPCOUNT_ONE
    m.mm_change[s, child, Change.RSS] += ptes.size
    return True


@inlined
def _copy_pte_range(m, s, first, copy, pages, child):
    ptes, copies = m.pte[first : first + pages], m.pte[copy : copy + pages]
    if _copy_alike(m, s, ptes, copies, child):
        return pages
    copied = 0
    for i in range(pages):
        pte = m.pte[first + i]
        if pte == 0:
            continue
        copied += 1
        if pte & PTE_PRESENT:
            pte = _copy_present_pte(m, s, pte, child)
            m.pte[first + i] = pte
            pte &= ~(PTE_YOUNG | PTE_OWES)
        else:
            _copy_nonpresent_pte(m, s, pte, child)
        m.pte[copy + i] = pte
    return copied


@kernel
def copy_page_range(m, first, copy, pages, child):
    """Copy the PTEs of a range for a fork (mm/memory.c).

    first, copy  indices of the parent's and of the child's first PTE
    Return how many entries were copied.
    """
    s = m.info[Info.SHARDS]
    copied = 0
    at, end = first, first + pages
    while at < end:
        count = min(end - at, HPAGE_PMD_NR - at % HPAGE_PMD_NR)
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        to = at + copy - first
        if pmd & PMD_LEAF:
            _copy_huge_pmd(m, s, at, to, child)
            copied += 1
        elif pmd:
            m.pmd[to >> HPAGE_PMD_ORDER] = pmd & ~PMD_NUMA
            copied += _copy_pte_range(m, s, at, to, count, child)
        at += count
    return copied
