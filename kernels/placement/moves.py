"""The verdict on a move: was the page used enough on its new node to pay for it?

``docs/model/placement.md`` 10.  The entry through which a page moved counts the uses
left until the move has paid; a hit from a CPU of the page's node takes one off.
"""

from typing import Final

from ..counters import Vm
from ..frames.folio import folio_nid, maps_folio
from ..frames.page_alloc import node_of
from ..frames.rmap import first_mm, maps_frame
from ..jit.compile import called, inlined
from ..state import Mm, Node, Task
from ..words import (
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    OWES_MAX,
    PMD_OWES,
    PTE_OWES,
    PTE_OWES_ONE,
)

#: Most uses that a folio may owe.
_HUGE_OWES_MAX: Final = 1 << 30


@inlined
def uses_to_pay(m, task, old, new, ns, most):
    """Return after how many uses a move that cost ``ns`` has paid.

    old, new  nodes
    most      the largest result, and the result if the move never pays
    """
    saved = m.task[task, Task.REFS] * (m.latency[new, old] - m.latency[new, new])
    if saved <= 0 or m.node[new, Node.CPUS] == 0:
        return most
    return min(most, max(1, (ns + saved - 1) // saved))


@inlined
def moved_from(word, nid):
    """Return the word of a page that has moved away from node ``nid``."""
    return word & ~FRAME_FROM | (nid + 1) << FRAME_FROM_SHIFT


@inlined
def goes_back(word, nid):
    """Tell whether a page that moves to ``nid`` left that node by its last move."""
    return (word & FRAME_FROM) >> FRAME_FROM_SHIFT == nid + 1


@inlined
def count_moved(m, s, nid, pages, back):
    """Count pages that have moved to a node, ``back`` of them back to it."""
    m.vm[s, nid, Vm.PAGES_MOVED] += pages
    m.vm[s, nid, Vm.PAGES_MOVED_BACK] += back


@inlined
def _moved(m, s, word, old, new, pages):
    """Count a move; return the page's word with the node that it left."""
    count_moved(m, s, new, pages, pages * goes_back(word, new))
    return moved_from(word, old)


@inlined
def _forgive(m, pfn):
    """Clear what a page's PTEs owe; return the first PTE that maps it, or NONE."""
    first = NONE
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        if maps_frame(m.pte[at], pfn):
            m.pte[at] &= ~PTE_OWES
            first = at if first == NONE else first
        mm = m.mm[mm, Mm.NEXT]
    return first


@called
def note_move(m, s, task, at, old, pfn, ns):
    """Judge the move of a page from node ``old`` to frame ``pfn``, which cost ``ns``.

    at  the PTE through which it moved; NONE: the first one that maps it
    """
    first = _forgive(m, pfn)
    at = first if at == NONE else at
    if at == NONE:
        m.frame[pfn] = _moved(m, s, m.frame[pfn], old, node_of(m, pfn), 1)
    else:
        note_move_of(m, s, task, at, old, pfn, ns)


@inlined
def note_move_of(m, s, task, at, old, pfn, ns):
    """Do ``note_move`` if no PTE of the page owes anything; ``at`` maps the page."""
    new = node_of(m, pfn)
    m.frame[pfn] = _moved(m, s, m.frame[pfn], old, new, 1)
    m.pte[at] |= uses_to_pay(m, task, old, new, ns, OWES_MAX) * PTE_OWES_ONE


@inlined
def _forgive_huge(m, b):
    """Clear what a folio's PMD entries owe; return the first of them, or NONE."""
    first = NONE
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        block = (vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER
        if maps_folio(m.pmd[block], b):
            m.pmd[block] &= ~PMD_OWES
            first = block if first == NONE else first
        mm = m.mm[mm, Mm.NEXT]
    return first


@called
def note_move_huge(m, s, task, block, old, b, ns):
    """Judge the move of a folio from node ``old`` to pageblock ``b``.

    block  the PMD entry through which it moved; NONE: the first one that maps it
    """
    new = folio_nid(m, b)
    m.block_huge[b] = _moved(m, s, m.block_huge[b], old, new, HPAGE_PMD_NR)
    first = _forgive_huge(m, b)
    if block == NONE:
        block = first
    if block != NONE:
        m.pmd[block] |= PMD_OWES
        m.block_owes[b] = uses_to_pay(m, task, old, new, ns, _HUGE_OWES_MAX)
