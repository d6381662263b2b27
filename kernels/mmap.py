"""Page tables copied, changed and torn down: fork, mprotect, munmap, exit.

``docs/model.md`` §5.6.  Ranges are indices of PTEs; all of it is serial work.
"""

import numpy as np

from ._jit import inlined, kernel
from .accesses import draw, stream_key
from .constants import (
    FOLIO_COMPOUND,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_MIGCACHE,
    FRAME_SHMEM,
    FRAME_SWAPCACHE,
    FRAME_WEDGED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_EXCLUSIVE,
    PMD_LEAF,
    PMD_OWES,
    PTE_EXCLUSIVE,
    PTE_OWES,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Vm,
)
from .folio import folio_unmapped, page_mapcount, subpage_unmapped
from .last_cpupid import reset_last_cpupids
from .memory import drop_entry
from .migrate import lru_add
from .page_alloc import free_frames, node_of, put_page
from .page_table import bits_of, maps_in_order
from .rmap import mapcount
from .shmem import shmem_unmapped
from .state import (
    CHANGE_HUGE,
    CHANGE_RSS,
    CHANGE_SWAPENTS,
    INACTIVE,
    SEED,
    SHARDS,
    WEDGE_PPM,
)
from .swap_state import migration_free_entry, swap_free_slot

#: Stream of the draws that decide whether an exit loses the race.
WEDGE_STREAM = np.uint64(1 << 63)


@inlined
def _copy_present_pte(m, s, pte, child):
    pfn = pte & PTE_PAYLOAD
    m.frame[pfn] += FRAME_MAPCOUNT_ONE
    m.mm_change[s, child, CHANGE_RSS] += 1
    return pte & ~(PTE_WRITE | PTE_EXCLUSIVE)


@inlined
def _copy_nonpresent_pte(m, s, pte, child):
    if pte & PTE_SWAP:
        m.slot_count[pte & PTE_PAYLOAD] += 1
        m.mm_change[s, child, CHANGE_SWAPENTS] += 1
    elif pte & PTE_PARKED:
        m.entry_count[pte & PTE_PAYLOAD] += 1
        m.mm_change[s, child, CHANGE_SWAPENTS] += 1


@inlined
def _copy_huge_pmd(m, s, first, copy, child):
    """Copy the huge entry of a block (copy_huge_pmd)."""
    pmd = m.pmd[first >> HPAGE_PMD_ORDER]
    if pmd & PTE_PRESENT:
        m.block_huge[(pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER] += FRAME_MAPCOUNT_ONE
        m.mm_change[s, child, CHANGE_RSS] += HPAGE_PMD_NR
        m.mm_change[s, child, CHANGE_HUGE] += HPAGE_PMD_NR
        pmd &= ~(PTE_WRITE | PMD_EXCLUSIVE)
        m.pmd[first >> HPAGE_PMD_ORDER] = pmd
        pmd &= ~(PTE_YOUNG | PMD_OWES)
    m.pmd[copy >> HPAGE_PMD_ORDER] = pmd


@inlined
def _copy_alike(m, s, ptes, copies, child):
    """Copy a slice of PTEs that map frames in a row; return whether it was one."""
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
    m.mm_change[s, child, CHANGE_RSS] += ptes.size
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
    Return entries copied.
    """
    s = m.info[SHARDS]
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
            m.pmd[to >> HPAGE_PMD_ORDER] = pmd
            copied += _copy_pte_range(m, s, at, to, count, child)
        at += count
    return copied


@inlined
def _free_page(m, s, pfn):
    lru_add(m, s, pfn, -1)
    put_page(m, s, pfn)


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
    if mapcount(word) > 0 or word & FRAME_MIGCACHE:
        return
    if word & FRAME_SWAPCACHE:
        slot = int(m.frame_entry[pfn])
        if m.slot_count[slot] > 0:
            return
        swap_free_slot(m, s, slot)
    _free_page(m, s, pfn)


@inlined
def _zap_swap(m, s, slot):
    m.slot_count[slot] -= 1
    if m.slot_count[slot] > 0:
        return
    pfn = m.slot_frame[slot]
    if pfn != NONE:
        if mapcount(m.frame[pfn]) > 0:
            return
        _free_page(m, s, pfn)
    swap_free_slot(m, s, slot)


@inlined
def _loses_race(m, vpn):
    if m.info[WEDGE_PPM] == 0:
        return False
    key = stream_key(m.info[SEED], WEDGE_STREAM)
    return draw(key, vpn) % np.uint64(1_000_000) < np.uint64(m.info[WEDGE_PPM])


@inlined
def _zap_parked(m, s, entry, vpn, exiting):
    """Zap a parked PTE; return 1 where the entry and its page are left wedged."""
    m.entry_count[entry] -= 1
    if m.entry_count[entry] > 0:
        return 0
    pfn = m.entry_frame[entry]
    if mapcount(m.frame[pfn]) > 0:
        drop_entry(m, s, pfn)
        return 0
    if exiting and _loses_race(m, vpn):
        lru_add(m, s, pfn, -1)
        m.frame[pfn] = (m.frame[pfn] | FRAME_WEDGED) & ~FRAME_ACTIVE
        return 1
    migration_free_entry(m, s, entry)
    _free_page(m, s, pfn)
    return 0


@inlined
def zap_pte(m, s, pte, vpn, mm, exiting):
    """Drop what an entry held that is not none; return pages left wedged."""
    if pte & PTE_PRESENT:
        m.mm_change[s, mm, CHANGE_RSS] -= 1
        _zap_present(m, s, pte)
    elif pte & PTE_SWAP:
        m.mm_change[s, mm, CHANGE_SWAPENTS] -= 1
        _zap_swap(m, s, pte & PTE_PAYLOAD)
    elif pte & PTE_PARKED:
        m.mm_change[s, mm, CHANGE_SWAPENTS] -= 1
        return _zap_parked(m, s, pte & PTE_PAYLOAD, vpn, exiting)
    return 0


@inlined
def _zap_huge_pmd(m, s, block, mm):
    """Unmap the huge entry of a block (zap_huge_pmd)."""
    pmd = m.pmd[block]
    m.pmd[block] = 0
    if not pmd & PTE_PRESENT:
        return
    b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    m.mm_change[s, mm, CHANGE_RSS] -= HPAGE_PMD_NR
    m.mm_change[s, mm, CHANGE_HUGE] -= HPAGE_PMD_NR
    m.block_huge[b] -= FRAME_MAPCOUNT_ONE
    folio_unmapped(m, s, b)


@inlined
def _free_alike(m, s, frames, pfn, active):
    """Free frames in a row that nothing maps, all on the same list."""
    n = node_of(m, pfn)
    m.node[n, INACTIVE + active] -= frames.size
    m.vm[s, n, Vm.PGFREE] += frames.size
    frames[:] = 0
    reset_last_cpupids(m, pfn, frames.size)
    free_frames(m, pfn, frames.size)


@inlined
def _zap_alike(m, s, ptes, mm):
    """Unmap a slice of PTEs; return False if that is not for all of them the same.

    They must map frames in a row of one block, which are alike.
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
    if some & (FRAME_COMPOUND | FRAME_SWAPCACHE | FRAME_MIGCACHE | FRAME_SHMEM):
        return False
    if differ & (FRAME_MAPCOUNT | FRAME_ACTIVE):
        return False
    ptes[:] = 0
    m.mm_change[s, mm, CHANGE_RSS] -= ptes.size
    if mapcount(some) == 1:
        _free_alike(m, s, frames, pfn, 1 if some & FRAME_ACTIVE else 0)
        return True
    for i in range(frames.size):
        frames[i] -= FRAME_MAPCOUNT_ONE
    return True


@inlined
def _zap_ptes(m, s, at, stop, vpn, mm, exiting, wedged):
    """Unmap the PTEs of a table; return how many there were."""
    if _zap_alike(m, s, m.pte[at:stop], mm):
        return stop - at
    zapped = 0
    for i in range(at, stop):
        pte = m.pte[i]
        if pte == 0:
            continue
        zapped += 1
        m.pte[i] = 0
        wedged[0] += zap_pte(m, s, pte, vpn + i - at, mm, exiting)
    return zapped


@kernel
def zap_pte_range(m, first, vpn, pages, mm, exiting, wedged):
    """Unmap a range of a process (munmap, exit); no huge entry sticks out of it.

    first  index of the range's first PTE, ``vpn`` its virtual page
    wedged  int64[1]  pages lost to the exit race; added to
    Return entries zapped.
    """
    s = m.info[SHARDS]
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


@inlined
def _protected(m, pte, readable, writable):
    """Return a PTE under a new protection (change_pte_range, 6.1).

    can_change_pte_writable: a part of a folio has to be known to be this entry's alone.
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
        return pte | PTE_WRITE
    if m.frame[pfn] & (FRAME_SWAPCACHE | FRAME_MIGCACHE):
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
    """Give the present entries of a range a new protection; return how many changed.

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


#: Bits of an entry that maps the zero page.
_ZERO_PAGE = PTE_ZERO | PTE_YOUNG | PTE_PROTNONE


@kernel
def maps_pages(m, first, pages):
    """Tell whether a range maps anything but small zero pages."""
    for at in range(first, first + pages):
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        if pmd & PMD_LEAF or (pmd and m.pte[at] & ~_ZERO_PAGE != 0):
            return True
    return False


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
