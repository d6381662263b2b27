"""VMAs as kernels find them: rows of ``Memory.vma``, sorted within a process."""

from ._jit import called, inlined
from .constants import NONE, PTE_PROTNONE
from .state import MM_END_VMA, MM_FIRST_VMA, VMA_END, VMA_READ, VMA_START


@inlined
def find_vma(m, mm, vpn):
    """Return the row of the VMA that holds a page, or NONE."""
    low = m.mm[mm, MM_FIRST_VMA]
    high = m.mm[mm, MM_END_VMA]
    while low < high:
        middle = (low + high) >> 1
        if m.vma[middle, VMA_END] <= vpn:
            low = middle + 1
        else:
            high = middle
    if low < m.mm[mm, MM_END_VMA] and m.vma[low, VMA_START] <= vpn:
        return low
    return NONE


@called
def _inaccessible(m, mm, vpn):
    return m.vma[find_vma(m, mm, vpn), VMA_READ] == 0


@inlined
def vm_page_prot(m, mm, vpn, entry):
    """Return PROTNONE if an entry that is made anew has it: a hinting mark is lost."""
    if entry & PTE_PROTNONE and _inaccessible(m, mm, vpn):
        return PTE_PROTNONE
    return 0
