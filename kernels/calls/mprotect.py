"""Change the protection of a range (mm/mprotect.c).

``docs/model/calls.md`` 12.
"""

from ..frames.folio import page_mapcount
from ..frames.rmap import mapcount
from ..jit.compile import inlined, kernel
from ..words import (
    FOLIO_COMPOUND,
    FRAME_COMPOUND,
    FRAME_KIND,
    FRAME_SHMEM,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_EXCLUSIVE,
    PMD_LEAF,
    PTE_EXCLUSIVE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_ZERO,
)


@inlined
def _protected(m, pte, readable, writable):
    """Return a PTE under a new protection (change_pte_range, 6.1).

    A page of a folio becomes writable only if its PTE is EXCLUSIVE: no other entry may
    map the page (can_change_pte_writable).
    """
    if not readable:
        return pte | PTE_PROTNONE
    pte &= ~PTE_PROTNONE
    if not writable:
        if pte & PTE_WRITE and pte & PTE_PRESENT:
            pte |= PTE_EXCLUSIVE
        return pte & ~PTE_WRITE
    if not pte & PTE_PRESENT:
        return pte
    pfn = pte & PTE_PAYLOAD
    if m.frame[pfn] & FRAME_SHMEM:
        return (pte | PTE_WRITE) & ~PTE_EXCLUSIVE
    if m.frame[pfn] & FRAME_KIND:
        return pte
    alone = page_mapcount(m, pfn) == 1
    if m.frame[pfn] & FRAME_COMPOUND:
        alone = pte & PTE_EXCLUSIVE != 0
    return (pte | PTE_WRITE) & ~PTE_EXCLUSIVE if alone else pte


@inlined
def _protected_huge(m, pmd, readable, writable):
    """Return a huge entry under a new protection (change_huge_pmd, 6.12)."""
    if not readable:
        return pmd | PTE_PROTNONE
    pmd &= ~PTE_PROTNONE
    if not writable:
        if pmd & PTE_WRITE and pmd & PTE_PRESENT:
            pmd |= PMD_EXCLUSIVE
        return pmd & ~PTE_WRITE
    if not pmd & PTE_PRESENT:
        return pmd
    word = m.block_huge[(pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER]
    alone = mapcount(word) == 1 and not word & FOLIO_COMPOUND
    return (pmd | PTE_WRITE) & ~PMD_EXCLUSIVE if alone else pmd


@inlined
def _change_pte_range(m, first, end, readable, writable):
    changed = 0
    for i in range(first, end):
        pte = m.pte[i]
        if not pte & (PTE_PRESENT | PTE_ZERO):
            continue
        new = _protected(m, pte, readable, writable)
        if new != pte:
            m.pte[i] = new
            changed += 1
    return changed


@kernel
def change_protection(m, first, pages, readable, writable):
    """Give the entries of a range a new protection; return how many were changed.

    No huge entry sticks out of the range.
    """
    changed = 0
    at, end = first, first + pages
    while at < end:
        stop = min(end, at + HPAGE_PMD_NR - at % HPAGE_PMD_NR)
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF:
            new = _protected_huge(m, pmd, readable, writable)
            changed += new != pmd
            m.pmd[at >> HPAGE_PMD_ORDER] = new
        elif pmd:
            changed += _change_pte_range(m, at, stop, readable, writable)
        at = stop
    return changed
