"""Faults on whole blocks, and their migration (do_huge_pmd_*, mm/huge_memory.c).

``docs/model/fault.md`` 6 and 7.  ``at`` is the index of the PTE of the page that was
touched, ``v`` the row of the VMA; words of blocks that are split are Cython's.
"""

from ..counters import Cause, Op, Vm
from ..frames.account import add_rss, charge, count_op
from ..frames.folio import (
    folio_nid,
    folio_unmapped,
    map_folio,
    split_huge_page,
    split_huge_pmd,
)
from ..frames.last_cpupid import reset_last_cpupids
from ..frames.lru_batch import lru_add_drain
from ..frames.page_alloc import node_of
from ..frames.page_table import table_nid
from ..frames.rmap import mapcount
from ..frames.zero_filled import copy_folio, copy_page
from ..jit.compile import called, inlined
from ..knobs import Advice, ThpEnabled
from ..lazy.misplaced import (
    HintFault,
    count_hint_faults,
    decide,
    note_asked,
    serve_hint_fault,
)
from ..placement.alloc_new_page import alloc_new_page
from ..placement.asked import forget_answer
from ..placement.mempolicy import alloc_page_vma, alloc_page_vma_node, has_frames
from ..placement.vma_alloc_folio import vma_alloc_folio, vma_alloc_new_folio
from ..state import (
    FALLBACK,
    NO_MEMORY,
    PUT_ASIDE,
    SERVED,
    Change,
    Cost,
    Info,
    Task,
    Vma,
)
from ..words import (
    FOLIO_COMPOUND,
    FRAME_MAPCOUNT_ONE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_EXCLUSIVE,
    PMD_NID,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from .anon_page import map_copied_page, map_new_page, map_page


@inlined
def thp_vma_allowable(m, v, vpn):
    """Tell whether a fault may map the whole block (thp_vma_allowable_order)."""
    enabled = m.info[Info.THP_ENABLED]
    if enabled == ThpEnabled.NEVER:
        return False
    advice = m.vma[v, Vma.ADVICE]
    if advice == Advice.NOHUGEPAGE:
        return False
    if enabled == ThpEnabled.MADVISE and advice != Advice.HUGEPAGE:
        return False
    first = vpn & ~(HPAGE_PMD_NR - 1)
    return m.vma[v, Vma.START] <= first and first + HPAGE_PMD_NR <= m.vma[v, Vma.END]


@inlined
def _nid_bits(m, task):
    """Return the bits of a new PMD entry that say where its page table lies."""
    return table_nid(m, task) << PMD_NID_SHIFT


@inlined
def _set_huge_zero_page(m, s, task, block):
    cpu_nid = m.task[task, Task.NID]
    if not m.info[Info.HUGE_ZERO]:
        if s != m.info[Info.SHARDS]:
            return PUT_ASIDE
        m.info[Info.HUGE_ZERO] = 1
        m.vm[s, cpu_nid, Vm.THP_ZERO_PAGE_ALLOC] += 1
    m.pmd[block] = PTE_ZERO | PTE_YOUNG | _nid_bits(m, task)
    m.vm[s, cpu_nid, Vm.ZERO_PAGE_FAULTS] += 1
    charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
    count_op(m, s, task, Op.HUGE_FAULT, 1)
    return SERVED


@called
def do_huge_pmd_anonymous_page(m, s, task, at, v, vpn, write):
    """Serve the first fault of a block with 2 MiB.

    SERVED, PUT_ASIDE, or FALLBACK: it takes small pages.
    """
    block = at >> HPAGE_PMD_ORDER
    if not write and m.info[Info.USE_ZERO_PAGE]:
        return _set_huge_zero_page(m, s, task, block)
    b = vma_alloc_new_folio(m, s, task, at, v, vpn)
    if b < 0:
        return b
    forget_answer(m, s)
    bits = _nid_bits(m, task)
    bits |= PTE_WRITE if m.vma[v, Vma.WRITE] else PMD_EXCLUSIVE
    map_folio(m, s, m.task[task, Task.MM], block, vpn, b, bits)
    lru_add_drain(m, m.task[task, Task.NID])
    add_rss(m, s, task, HPAGE_PMD_NR, 0)
    m.vm[s, m.task[task, Task.NID], Vm.THP_FAULT_ALLOC] += 1
    charge(m, s, task, Cause.HUGE_FAULT, m.cost[Cost.HUGE_FAULT])
    count_op(m, s, task, Op.HUGE_FAULT, 1)
    return SERVED


@inlined
def _charge_splits(m, s, task, splits):
    """Let a faulting task pay for PMD splits."""
    if s == m.info[Info.SHARDS]:
        m.info[Info.SPLITS] -= splits
    charge(m, s, task, Cause.HUGE_FAULT, splits * m.cost[Cost.SPLIT_PMD])
    count_op(m, s, task, Op.SPLIT, splits)


@inlined
def _split_for_fault(m, s, task, block):
    split_huge_pmd(m, s, m.task[task, Task.MM], block)
    _charge_splits(m, s, task, 1)


@inlined
def _unmap_old(m, s, task, old):
    """Take the folio of an entry that was replaced from the process."""
    b = (old & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    m.mm_change[s, m.task[task, Task.MM], Change.HUGE] -= HPAGE_PMD_NR
    m.block_huge[b] -= FRAME_MAPCOUNT_ONE
    folio_unmapped(m, s, b)


@inlined
def _map_copy(m, s, task, block, vpn, b):
    """Map a new folio in place of an entry; its page table stays where it lies."""
    bits = PTE_WRITE | m.pmd[block] & PMD_NID
    map_folio(m, s, m.task[task, Task.MM], block, vpn, b, bits)
    lru_add_drain(m, m.task[task, Task.NID])
    m.vm[s, m.task[task, Task.NID], Vm.THP_FAULT_ALLOC] += 1


@called
def _copy_huge_page(m, s, task, block, v, vpn):
    """Copy a huge page to a new one (before 5.8).

    SERVED, PUT_ASIDE, or FALLBACK: no block is free, or the VMA may not have one.
    """
    if not thp_vma_allowable(m, v, vpn):
        return FALLBACK
    b = vma_alloc_folio(m, s, task, v, vpn)
    if b < 0:
        return b
    old = m.pmd[block]
    _map_copy(m, s, task, block, vpn, b)
    copy_folio(m, (old & PTE_PAYLOAD) >> HPAGE_PMD_ORDER, b)
    _unmap_old(m, s, task, old)
    m.vm[s, m.task[task, Task.NID], Vm.COW_FAULTS] += 1
    copied = m.copy_ns[node_of(m, old & PTE_PAYLOAD), folio_nid(m, b)]
    ns = m.cost[Cost.MINOR_FAULT] + HPAGE_PMD_NR * copied
    charge(m, s, task, Cause.COW, ns)
    count_op(m, s, task, Op.HUGE_FAULT, 1)
    return SERVED


@called
def _copy_small_pages(m, s, task, block, v, vpn):
    """Copy a huge page to 512 small ones (do_huge_pmd_wp_page_fallback).

    All are allocated for the page that was written, near the huge page.  SERVED,
    PUT_ASIDE or NO_MEMORY.
    """
    if s != m.info[Info.SHARDS]:
        return PUT_ASIDE
    if not has_frames(m, task, v, HPAGE_PMD_NR):
        return NO_MEMORY
    old, first = m.pmd[block], block << HPAGE_PMD_ORDER
    nid, base = node_of(m, old & PTE_PAYLOAD), vpn & ~(HPAGE_PMD_NR - 1)
    m.pmd[block] = PMD_TABLE | old & PMD_NID
    ns = m.cost[Cost.MINOR_FAULT]
    for i in range(HPAGE_PMD_NR):
        pfn = alloc_page_vma_node(m, task, v, vpn, nid)
        map_page(m, s, task, first + i, base + i, pfn)
        copy_page(m, (old & PTE_PAYLOAD) + i, pfn)
        ns += m.copy_ns[nid, node_of(m, pfn)]
    _unmap_old(m, s, task, old)
    m.vm[s, m.task[task, Task.NID], Vm.THP_FAULT_FALLBACK] += 1
    m.vm[s, m.task[task, Task.NID], Vm.COW_FAULTS] += 1
    charge(m, s, task, Cause.COW, ns)
    count_op(m, s, task, Op.HUGE_FAULT, 1)
    return SERVED


@called
def _replace_huge_zero_page(m, s, task, block, v, vpn):
    """Map a new huge page in place of the huge zero page (before 5.8, since 6.13).

    do_huge_zero_wp_pmd (6.13) does not ask again whether the VMA may have one.
    """
    if not m.info[Info.COPY_HUGE_ZERO] and not thp_vma_allowable(m, v, vpn):
        return FALLBACK
    b = vma_alloc_folio(m, s, task, v, vpn)
    if b < 0:
        return b
    _map_copy(m, s, task, block, vpn, b)
    add_rss(m, s, task, HPAGE_PMD_NR, 0)
    charge(m, s, task, Cause.HUGE_FAULT, m.cost[Cost.HUGE_FAULT])
    count_op(m, s, task, Op.HUGE_FAULT, 1)
    return SERVED


@inlined
def _do_huge_zero_wp_page(m, s, task, at, v, vpn):
    copies = m.info[Info.COPY_HUGE] or m.info[Info.COPY_HUGE_ZERO]
    if copies:
        status = _replace_huge_zero_page(m, s, task, at >> HPAGE_PMD_ORDER, v, vpn)
        if status != FALLBACK:
            return status
    new = alloc_new_page(m, s, task, at, v, vpn, v)
    if new < 0:
        return new
    _split_for_fault(m, s, task, at >> HPAGE_PMD_ORDER)
    map_new_page(m, s, task, at, vpn, new)
    if copies:
        m.vm[s, m.task[task, Task.NID], Vm.THP_FAULT_FALLBACK] += 1
    return SERVED


@inlined
def _do_huge_pmd_wp_page(m, s, task, at, v, vpn):
    block = at >> HPAGE_PMD_ORDER
    word = m.block_huge[(m.pmd[block] & PTE_PAYLOAD) >> HPAGE_PMD_ORDER]
    alone = mapcount(word) == 1 and not word & FOLIO_COMPOUND
    if alone or m.pmd[block] & PMD_EXCLUSIVE:
        m.pmd[block] &= ~PMD_EXCLUSIVE
        m.pmd[block] |= PTE_WRITE | PTE_YOUNG | PTE_DIRTY
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
        count_op(m, s, task, Op.HUGE_FAULT, 1)
        return SERVED
    if m.info[Info.COPY_HUGE]:
        status = _copy_huge_page(m, s, task, block, v, vpn)
        if status == FALLBACK:
            status = _copy_small_pages(m, s, task, block, v, vpn)
        return status
    new = alloc_page_vma(m, s, task, v, vpn, True)
    if new < 0:
        return new
    _split_for_fault(m, s, task, block)
    map_copied_page(m, s, task, at, vpn, m.pte[at] & PTE_PAYLOAD, new)
    return SERVED


@called
def _split_for_hint(m, s, task, b):
    """Split a folio whose pages move one by one; they stay marked (AutoNUMA, 2012)."""
    splits = mapcount(m.block_huge[b])
    split_huge_page(m, s, b, PTE_PROTNONE if m.info[Info.SPLIT_MARKS] else 0)
    if not m.info[Info.SPLIT_LAST]:
        reset_last_cpupids(m, b << HPAGE_PMD_ORDER, HPAGE_PMD_NR)
    _charge_splits(m, s, task, splits)


@inlined
def _do_huge_pmd_numa_page(m, s, task, at, v, vpn, write):
    pfn, pages = m.pmd[at >> HPAGE_PMD_ORDER] & PTE_PAYLOAD, HPAGE_PMD_NR
    fault = HintFault(task, at, v, vpn, pfn, node_of(m, pfn), pages, 1, False, write)
    decision = decide(m, s, fault)
    if decision.target == NONE or m.info[Info.UNIT_HINTING]:
        return serve_hint_fault(m, s, fault, decision)
    if s != m.info[Info.SHARDS] and m.info[Info.SPLIT_TO_ZERO]:
        return PUT_ASIDE  # a split may free many frames
    forget_answer(m, s)
    if decision.asked:
        note_asked(m, s, fault, decision)
    _split_for_hint(m, s, task, pfn >> HPAGE_PMD_ORDER)
    count_hint_faults(m, s, task, fault.nid, 1, 1, Op.HUGE_HINT_FAULT)
    return SERVED


@called
def handle_huge_pmd_fault(m, s, task, at, v, vpn, write):
    """Serve a fault on an entry that maps 2 MiB: SERVED, NO_MEMORY or PUT_ASIDE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    if pmd & PTE_ZERO:
        return _do_huge_zero_wp_page(m, s, task, at, v, vpn)
    if pmd & PTE_PROTNONE:
        return _do_huge_pmd_numa_page(m, s, task, at, v, vpn, write)
    return _do_huge_pmd_wp_page(m, s, task, at, v, vpn)
