"""The reverse map: from a frame to all its PTEs, by fork family and page.

``docs/model/page.md`` 7.
"""

from ..jit.compile import inlined
from ..knobs import WriteBit
from ..state import Change, Family, Info, Mm
from ..words import (
    FRAME_DIRTY,
    FRAME_KIND,
    FRAME_LAZYFREE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_SHMEM,
    FRAME_VPN,
    FRAME_WEDGED,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
)
from .vma import next_vma, vm_page_prot


@inlined
def mapcount(word):
    return (word & FRAME_MAPCOUNT) >> FRAME_MAPCOUNT_SHIFT


@inlined
def is_lazyfree(word):
    """Tell whether a frame is LAZYFREE; in a cache the same bit is WEDGED."""
    return word & (FRAME_LAZYFREE | FRAME_KIND) == FRAME_LAZYFREE


@inlined
def is_wedged(word):
    """Tell whether a frame is WEDGED; in no cache the same bit is LAZYFREE."""
    return word & FRAME_WEDGED != 0 and word & FRAME_KIND != 0


@inlined
def first_mm(m, vpn):
    """Return the oldest live process of the family that owns a page."""
    family = int(m.vpn_family[vpn >> HPAGE_PMD_ORDER]) - 1
    return m.family[family, Family.HEAD]


@inlined
def cache_index(m, vpn):
    """Return where in ``Memory.pte`` the page cache of a shared page is."""
    family = int(m.vpn_family[vpn >> HPAGE_PMD_ORDER]) - 1
    return vpn + m.family[family, Family.CACHE]


@inlined
def maps_frame(pte, pfn):
    return pte & PTE_PRESENT != 0 and pte & PTE_PAYLOAD == pfn


@inlined
def join_mmlist(m, mm):
    """Put a process at the head of the list of swapoff, unless it is on it.

    try_to_unmap_one, mm_prepare_for_swap_entries (mm/internal.h, 7.3).
    """
    if m.mm[mm, Mm.MMLIST] == 0:
        m.info[Info.MMLIST_JOINS] += 1
        m.mm[mm, Mm.MMLIST] = m.info[Info.MMLIST_JOINS]
        m.mm[mm, Mm.MMLIST_AFTER] = 0


@inlined
def prepare_for_swap_entries(m, pfn):
    """Put the processes that map a page on the list of swapoff."""
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        if maps_frame(m.pte[vpn + m.mm[mm, Mm.DELTA]], pfn):
            join_mmlist(m, mm)
        mm = m.mm[mm, Mm.NEXT]


@inlined
def try_to_unmap(m, s, pfn, cache, identity):
    """Replace every PTE of a frame by its ``identity`` in a cache."""
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        pte = m.pte[vpn + m.mm[mm, Mm.DELTA]]
        if maps_frame(pte, pfn):
            m.pte[vpn + m.mm[mm, Mm.DELTA]] = cache.pte | identity
            cache.holders[identity] += 1
            m.frame[pfn] -= FRAME_MAPCOUNT_ONE
            if pte & PTE_DIRTY:
                m.frame[pfn] |= FRAME_DIRTY
            m.mm_change[s, mm, Change.RSS] -= 1
            m.mm_change[s, mm, Change.SWAPENTS] += 1
        mm = m.mm[mm, Mm.NEXT]


@inlined
def try_to_discard(m, s, pfn):
    """Zap every PTE of a page that was freed by advice (try_to_unmap_one, 6.1).

    The first dirty one stays, and the page is then an ordinary one again.
    """
    vpn = m.frame[pfn] & FRAME_VPN
    v, mm = next_vma(m, vpn, 1, NONE)
    while v != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        pte = m.pte[at]
        if maps_frame(pte, pfn):
            if pte & PTE_DIRTY:
                m.frame[pfn] |= FRAME_DIRTY
            if m.frame[pfn] & FRAME_DIRTY:
                m.frame[pfn] &= ~FRAME_LAZYFREE
                return
            m.pte[at] = 0
            m.frame[pfn] -= FRAME_MAPCOUNT_ONE
            m.mm_change[s, mm, Change.RSS] -= 1
        v, mm = next_vma(m, vpn, 1, v)


@inlined
def read_only(entry, exclusive):
    """Return an entry without WRITE that remembers that its page is nobody else's."""
    return entry & ~PTE_WRITE | exclusive if entry & PTE_WRITE else entry


@inlined
def made_anew(m, mm, vpn, entry, exclusive):
    """Return an entry of a private mapping whose page has moved: unmarked.

    exclusive  PTE_EXCLUSIVE or PMD_EXCLUSIVE
    """
    prot = vm_page_prot(m, mm, vpn, entry)
    if entry & PTE_PROTNONE and m.info[Info.WRITE_BIT] == WriteBit.LOST_AT_MOVE:
        entry = read_only(entry, exclusive)
    return entry & ~PTE_PROTNONE | prot


@inlined
def remove_migration_ptes(m, old, new):
    """Point every PTE of frame ``old`` at ``new``; hinting marks are lost.

    A dirty PTE makes the new frame dirty (try_to_migrate_one).
    """
    vpn = m.frame[new] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        pte = m.pte[at]
        if maps_frame(pte, old):
            if m.frame[new] & FRAME_SHMEM:
                anew = pte & ~PTE_PROTNONE | vm_page_prot(m, mm, vpn, pte)
            else:
                anew = made_anew(m, mm, vpn, pte, PTE_EXCLUSIVE)
            m.pte[at] = anew & ~PTE_PAYLOAD | new
            if pte & PTE_DIRTY:
                m.frame[new] |= FRAME_DIRTY
        mm = m.mm[mm, Mm.NEXT]


@inlined
def clear_young(m, pfn):
    """Clear the young bits of a frame's PTEs; return how many were set."""
    young = 0
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        pte = m.pte[at]
        if maps_frame(pte, pfn) and pte & PTE_YOUNG:
            m.pte[at] = pte & ~PTE_YOUNG
            young += 1
        mm = m.mm[mm, Mm.NEXT]
    return young


@inlined
def replace_parked(m, vpn, parked, entry):
    """Put ``entry`` into every PTE of a page that is ``parked``; return how many."""
    replaced = 0
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        if m.pte[at] == parked:
            m.pte[at] = entry
            replaced += 1
        mm = m.mm[mm, Mm.NEXT]
    return replaced


@inlined
def try_to_unmap_shmem(m, s, pfn):
    """Make every PTE of a shared page none: its page cache still has the frame."""
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        pte = m.pte[vpn + m.mm[mm, Mm.DELTA]]
        if maps_frame(pte, pfn):
            m.pte[vpn + m.mm[mm, Mm.DELTA]] = 0
            m.frame[pfn] -= FRAME_MAPCOUNT_ONE
            if pte & PTE_DIRTY:
                m.frame[pfn] |= FRAME_DIRTY
            m.mm_change[s, mm, Change.RSS] -= 1
        mm = m.mm[mm, Mm.NEXT]
