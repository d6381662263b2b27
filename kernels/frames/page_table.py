"""Page tables in bulk: what all entries of a table have in common, and changes of all.

Most of a terabyte is alike.  Loops over slices without a branch become vector code, so
callers try these first, and go entry by entry only if a table is not alike.
"""

from ..jit.compile import inlined
from ..state import Task
from ..words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_ZERO,
)


@inlined
def table_nid(m, task):
    """Return the node that a new page table of a task lies on.

    The task's own, or the first of its zonelist if that has no memory.
    """
    return m.zonelist[m.task[task, Task.NID], 0]


@inlined
def bits_of(words):
    """Return (the bits that all words of a slice have, the bits that any has)."""
    every, some = -1, 0
    for i in range(words.size):
        every &= words[i]
        some |= words[i]
    return every, some


@inlined
def change_bits(words, cleared, added):
    """Clear bits of all words of a slice, then set others."""
    for i in range(words.size):
        words[i] = words[i] & ~cleared | added


@inlined
def maps_in_order(ptes):
    """Tell whether the payloads of a slice of PTEs follow each other."""
    first = ptes[0] & PTE_PAYLOAD
    wrong = 0
    for i in range(ptes.size):
        wrong |= (ptes[i] & PTE_PAYLOAD) ^ (first + i)
    return wrong == 0


@inlined
def next_block(at):
    """Return the index of the first PTE of the next block."""
    return (at // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR


@inlined
def entry_of(m, at):
    """Return the entry that maps a page: the block's PMD entry or the page's PTE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    return pmd if pmd & PMD_LEAF else m.pte[at]


@inlined
def is_hit(pte, write):
    """Tell whether the hardware serves an access without a fault."""
    if pte & PTE_ZERO:
        return not write and not pte & PTE_PROTNONE
    need = PTE_PRESENT | PTE_WRITE if write else PTE_PRESENT
    return pte & (need | PTE_PROTNONE) == need
