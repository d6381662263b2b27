"""Page faults (mm/memory.c): what happens when an access finds no usable PTE.

One call serves one fault; the caller looks at the PTE again.  A fault that must be
set aside or finds no memory changes nothing.  ``m`` Memory, ``s`` shard (S: serial),
``at`` index of the PTE, ``v`` row of the VMA.
"""

from ..counters import Cause, Op, Vm
from ..frames.account import charge, count_op
from ..frames.lru_batch import held_by_batch
from ..frames.page_table import table_nid
from ..frames.rmap import mapcount
from ..frames.swap_state import cached_by, is_held, leave_cache
from ..frames.vma import find_vma
from ..jit.compile import called, inlined
from ..lazy.designs import do_parked_page
from ..lazy.hinting import do_numa_page
from ..placement.alloc_new_page import alloc_new_page
from ..placement.mempolicy import alloc_page_vma
from ..state import FALLBACK, SEGV, SERVED, Cost, Info, Task, Vma
from ..words import (
    FRAME_COMPOUND,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from .anon_page import map_copied_page, map_new_page
from .huge_pmd import (
    do_huge_pmd_anonymous_page,
    handle_huge_pmd_fault,
    thp_vma_allowable,
)
from .shmem import shmem_fault


@inlined
def permits(m, v, write):
    if write:
        return m.vma[v, Vma.WRITE] == 1
    return m.vma[v, Vma.READ] == 1


@inlined
def _do_zero_page(m, s, task, at):
    m.pte[at] = PTE_ZERO | PTE_YOUNG
    m.vm[s, m.task[task, Task.NID], Vm.ZERO_PAGE_FAULTS] += 1
    charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
    count_op(m, s, task, Op.FAULT, 1)
    return SERVED


@inlined
def _do_anonymous_page(m, s, task, at, v, vpn):
    pfn = alloc_new_page(m, s, task, at, v, vpn, v)
    if pfn < 0:
        return pfn
    map_new_page(m, s, task, at, vpn, pfn)
    return SERVED


@inlined
def _reusable(m, pte):
    """Tell whether a write may keep the page: nobody else can ever map it."""
    if pte & PTE_EXCLUSIVE:
        return True
    pfn = pte & PTE_PAYLOAD
    word = m.frame[pfn]
    if mapcount(word) != 1 or word & FRAME_COMPOUND:
        return False
    return not is_held(m, pfn)


@inlined
def _referenced(m, task, pte):
    """Tell whether the reference of another CPU's batch makes a page look shared.

    Not if its PTE is EXCLUSIVE; one that a read brought from swap is, too, and clean.
    """
    if not m.info[Info.WP_SEES_BATCHES]:
        return False
    if pte & PTE_EXCLUSIVE or not pte & PTE_DIRTY:
        return False
    return held_by_batch(m, m.task[task, Task.NID], pte & PTE_PAYLOAD)


@inlined
def _do_wp_page(m, s, task, at, v, vpn):
    pte = m.pte[at]
    old = pte & PTE_PAYLOAD
    if _reusable(m, pte) and not _referenced(m, task, pte):
        kind = cached_by(m.frame[old])
        if kind != 0:
            leave_cache(m, s, old, kind)
        m.pte[at] = pte & ~PTE_EXCLUSIVE | PTE_WRITE | PTE_YOUNG | PTE_DIRTY
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
        count_op(m, s, task, Op.FAULT, 1)
        return SERVED
    new = alloc_page_vma(m, s, task, v, vpn, True)
    if new < 0:
        return new
    map_copied_page(m, s, task, at, vpn, old, new)
    return SERVED


@inlined
def _handle_pte_fault(m, s, task, at, v, vpn, write):
    pte = m.pte[at]
    if pte == 0 and not write:
        return _do_zero_page(m, s, task, at)
    if pte == 0 or pte & PTE_ZERO:
        return _do_anonymous_page(m, s, task, at, v, vpn)
    if pte & PTE_KIND:
        return do_parked_page(m, s, task, at, v, vpn, write)
    if pte & PTE_PROTNONE:
        return do_numa_page(m, s, task, at, v, vpn, write)
    return _do_wp_page(m, s, task, at, v, vpn)


@inlined
def _pte_alloc(m, s, task, at, v, vpn):
    """Note that the block has a page table now, instead of a huge page."""
    m.pmd[at >> HPAGE_PMD_ORDER] = PMD_TABLE | table_nid(m, task) << PMD_NID_SHIFT
    if thp_vma_allowable(m, v, vpn):
        m.vm[s, m.task[task, Task.NID], Vm.THP_FAULT_FALLBACK] += 1


@called
def handle_mm_fault(m, s, task, at, vpn, write):
    """Serve one fault: SERVED, NO_MEMORY, PUT_ASIDE or SEGV."""
    v = find_vma(m, m.task[task, Task.MM], vpn)
    if v == NONE or not permits(m, v, write):
        return SEGV
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    status = FALLBACK
    if m.vma[v, Vma.SHARED]:
        status = shmem_fault(m, s, task, at, v, vpn, write)
    elif pmd & PMD_LEAF:
        status = handle_huge_pmd_fault(m, s, task, at, v, vpn, write)
    elif pmd == 0 and thp_vma_allowable(m, v, vpn):
        status = do_huge_pmd_anonymous_page(m, s, task, at, v, vpn, write)
    if status == FALLBACK:
        status = _handle_pte_fault(m, s, task, at, v, vpn, write)
        if status == SERVED and pmd == 0:
            _pte_alloc(m, s, task, at, v, vpn)
    if status == SERVED:
        m.vm[s, m.task[task, Task.NID], Vm.PGFAULT] += 1
    return status
