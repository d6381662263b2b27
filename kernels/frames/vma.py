"""Looking up VMAs: rows of ``Memory.vma``, sorted by page within a process."""

from ..jit.compile import called, inlined
from ..state import Family, Mm, Vma
from ..words import HPAGE_PMD_ORDER, NONE, PTE_PROTNONE


@inlined
def _first_from(m, low, end, vpn):
    """Return the first row in [low, end) that ends behind a page, or ``end``."""
    high = end
    while low < high:
        middle = (low + high) >> 1
        if m.vma[middle, Vma.END] <= vpn:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _search(m, low, end, vpn):
    """Return the row in [low, end) that holds a page, or NONE."""
    low = _first_from(m, low, end, vpn)
    if low < end and m.vma[low, Vma.START] <= vpn:
        return low
    return NONE


@inlined
def find_vma(m, mm, vpn):
    """Return the row of the VMA that holds a page, or NONE."""
    return _search(m, m.mm[mm, Mm.FIRST_VMA], m.mm[mm, Mm.END_VMA], vpn)


@inlined
def pseudo_vma(m, vpn):
    """Return the row by which a page of a shared VMA is allocated.

    It has the object's policy of the page, and its PGOFF counts from the number of the
    object's inode (shmem_pseudo_vma_init, mm/shmem.c, 6.1).
    """
    family = int(m.vpn_family[vpn >> HPAGE_PMD_ORDER]) - 1
    first, end = m.family[family, Family.FIRST_VMA], m.family[family, Family.END_VMA]
    return _search(m, first, end, vpn)


@called
def _inaccessible(m, mm, vpn):
    return m.vma[find_vma(m, mm, vpn), Vma.READ] == 0


@inlined
def vm_page_prot(m, mm, vpn, entry):
    """Return the PROTNONE that a new entry keeps: its VMA's, but not a hinting mark."""
    if entry & PTE_PROTNONE and _inaccessible(m, mm, vpn):
        return PTE_PROTNONE
    return 0


@inlined
def _is_before(m, a, b):
    """Tell whether a walk visits row ``a`` before row ``b``."""
    if m.vma[a, Vma.START] != m.vma[b, Vma.START]:
        return m.vma[a, Vma.START] < m.vma[b, Vma.START]
    if m.vma[a, Vma.LINKED] != m.vma[b, Vma.LINKED]:
        return m.vma[a, Vma.LINKED] < m.vma[b, Vma.LINKED]
    return a < b


@called
def next_vma(m, vpn, pages, last):
    """Return (row, process) of the VMA that an rmap walk visits after row ``last``.

    Of those that hold some of ``pages`` pages, in all living relatives; (NONE, NONE) at
    the end.  anon_vma_interval_tree_foreach: by their first pages; of equal ones who
    was linked first, which a fork does, and whatever moves an end (mm/mmap.c).

    last  NONE: the walk begins
    """
    family = int(m.vpn_family[vpn >> HPAGE_PMD_ORDER]) - 1
    row, found = NONE, NONE
    mm = m.family[family, Family.HEAD]
    while mm != NONE:
        end = m.mm[mm, Mm.END_VMA]
        v = _first_from(m, m.mm[mm, Mm.FIRST_VMA], end, vpn)
        while v < end and m.vma[v, Vma.START] < vpn + pages:
            later = last == NONE or _is_before(m, last, v)
            if later and (row == NONE or _is_before(m, v, row)):
                row, found = v, mm
            v += 1
        mm = m.mm[mm, Mm.NEXT]
    return row, found
