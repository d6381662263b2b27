"""Make the next touch of pages fault: MPOL_MF_LAZY's walk of a range."""

from ..counters import Refusal
from ..frames.account import refuse
from ..frames.folio import huge_mapcount, page_mapcount, split_huge_page
from ..frames.page_table import next_block
from ..frames.swap_state import ids_of
from ..jit.compile import inlined, kernel
from ..placement.mempolicy import mpol_misplaced
from ..state import Ids, Info, Task
from ..words import (
    FRAME_COMPOUND,
    FRAME_IN_USE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PAYLOAD,
    PTE_PRESENT,
    Kind,
)
from .designs import park_page


@inlined
def _may_unmap(m, task, v, vpn, pte, policy, move_all):
    """Decide whether a mark takes a page: present, misplaced, ours alone."""
    if not pte & PTE_PRESENT:
        return False
    pfn = pte & PTE_PAYLOAD
    if policy and mpol_misplaced(m, task, v, vpn, pfn) == NONE:
        return False
    if not move_all and page_mapcount(m, pfn) > 1:
        refuse(m, Refusal.SHARED)
        return False
    return True


@inlined
def _no_identity(m, kind):
    """Tell whether all identities of a cache are in use: those of swap may be."""
    ids = ids_of(kind)
    return m.info[ids + Ids.IN_USE] == m.info[ids + Ids.TOTAL]


@inlined
def _refuse_huge(m, reason):
    m.refused[m.info[Info.SHARDS], reason] += HPAGE_PMD_NR
    return False


@inlined
def _split_to_park(m, task, v, vpn, pmd, policy, move_all, kind):
    """Split the huge page of an entry for its pages to be parked; False: refused.

    A slot is looked for before the split (add_to_swap, 3.4).
    """
    if not pmd & PTE_PRESENT:
        return False
    pfn = pmd & PTE_PAYLOAD
    b = pfn >> HPAGE_PMD_ORDER
    if policy and mpol_misplaced(m, task, v, vpn, pfn) == NONE:
        return False
    if not move_all and huge_mapcount(m, b) > 1:
        return _refuse_huge(m, Refusal.SHARED)
    if _no_identity(m, kind):
        return _refuse_huge(m, Refusal.NO_SWAP_SLOT)
    split_huge_page(m, m.info[Info.SHARDS], b, 0)
    return True


@inlined
def _park_pte(m, task, v, vpn, pte, policy, move_all, kind):
    """Park the page of a PTE, if the mark takes it; return 1 or 0."""
    if not _may_unmap(m, task, v, vpn, pte, policy, move_all):
        return 0
    pfn = pte & PTE_PAYLOAD
    if m.frame[pfn] & FRAME_COMPOUND:
        if _no_identity(m, kind):
            return refuse(m, Refusal.NO_SWAP_SLOT)
        split_huge_page(m, m.info[Info.SHARDS], pfn >> HPAGE_PMD_ORDER, 0)
        if not m.frame[pfn] & FRAME_IN_USE:
            return 0  # it was zero-filled: the zero page is in its place
    return park_page(m, pfn, kind)


@inlined
def _park_range(m, task, v, first, pages, policy, move_all, kind):
    """Park the pages of a range that the mark takes; return how many."""
    parked = 0
    delta = m.task[task, Task.DELTA]
    at, end = first + delta, first + pages + delta
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        stop = min(end, next_block(at))
        if pmd & PMD_LEAF and not _split_to_park(
            m, task, v, at - delta, pmd, policy, move_all, kind
        ):
            pmd = 0
        if pmd:
            for i in range(at, stop):
                pte = m.pte[i]
                parked += _park_pte(m, task, v, i - delta, pte, policy, move_all, kind)
        at = stop
    return parked


@kernel
def park_range(m, task, v, first, pages, policy, move_all, kind):
    """Park the pages of a range as a Kind says; return how many.

    policy    whether to park only pages that are off their policy's nodes
    move_all  whether to park pages that others map, too
    """
    if kind == Kind.SWAP:
        return _park_range(m, task, v, first, pages, policy, move_all, Kind.SWAP)
    if kind == Kind.MIGCACHE:
        return _park_range(m, task, v, first, pages, policy, move_all, Kind.MIGCACHE)
    return _park_range(m, task, v, first, pages, policy, move_all, Kind.OWN)
