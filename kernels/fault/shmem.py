"""Shared anonymous memory (mm/shmem.c, 6.1): pages of an object, not of a process.

``docs/model/fault.md`` 8.  What an object holds, its page cache, is a range of
``Memory.pte`` that no process walks: PRESENT and a frame, SWAP and a slot, or none.
``m`` Memory, ``s`` shard (S: serial), ``at`` index of the PTE, ``v`` row of the VMA.
"""

from typing import Final

from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import add_rss, charge, count_op
from ..frames.page_alloc import node_of, put_page
from ..frames.page_table import table_nid
from ..frames.rmap import cache_index
from ..frames.swap_state import get_id, swap_free_slot
from ..frames.vma import pseudo_vma
from ..frames.zero_filled import swap_read_folio, swap_writepage
from ..jit.compile import called, inlined, kernel
from ..lazy.hinting import do_numa_page
from ..placement.alloc_new_page import alloc_new_page
from ..placement.mempolicy import alloc_page_vma
from ..placement.migrate import lru_add
from ..state import SERVED, Cost, Info, Task, Vma
from ..words import (
    FRAME_ACTIVE,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    FRAME_REFERENCED,
    FRAME_SHMEM,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    Kind,
)

#: Pages that a read fault maps at most: fault_around_bytes, 64 KiB (mm/memory.c).
FAULT_AROUND: Final = 16


@inlined
def _add_to_page_cache(m, s, vpn, pfn, dirty):
    """Put a frame into the page cache, mapped by nobody yet."""
    m.frame[pfn] = vpn | FRAME_IN_USE | FRAME_SHMEM | dirty
    lru_add(m, s, pfn, 1)
    m.pte[cache_index(m, vpn)] = PTE_PRESENT | pfn


@inlined
def _swapin_folio(m, s, vpn, pfn, slot):
    """Read a page from its slot, which is free then: no one else holds it."""
    read = swap_read_folio(m, pfn, slot)
    m.slot_count[slot] = 0
    swap_free_slot(m, s, slot)
    _add_to_page_cache(m, s, vpn, pfn, FRAME_DIRTY)
    m.vm[s, node_of(m, pfn), Vm.PSWPIN] += read


@inlined
def _get_folio(m, s, task, at, v, vpn):
    """Return the frame of a page: found, read from swap or new (shmem_get_folio).

    The fault is charged here; NO_MEMORY or PUT_ASIDE where there is no frame.
    """
    entry = m.pte[cache_index(m, vpn)]
    if entry & PTE_PRESENT:
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
        count_op(m, s, task, Op.FAULT, 1)
        return entry & PTE_PAYLOAD
    pfn = alloc_new_page(m, s, task, at, pseudo_vma(m, vpn), vpn, v)
    if pfn < 0:
        return pfn
    if entry & PTE_SWAP:
        _swapin_folio(m, s, vpn, pfn, entry & PTE_PAYLOAD)
        m.vm[s, m.task[task, Task.NID], Vm.PGMAJFAULT] += 1
        charge(m, s, task, Cause.SWAP_IN, m.cost[Cost.SWAP_IN])
        count_op(m, s, task, Op.SWAP_IN, 1)
    else:
        _add_to_page_cache(m, s, vpn, pfn, 0)
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
        count_op(m, s, task, Op.FAULT, 1)
    return pfn


@inlined
def _set_pte(m, s, task, at, v, pfn, dirty):
    """Map a page of the object (do_set_pte): for writing at once, if that is allowed.

    Nobody wants to know of the first write (vma_wants_writenotify: shmem has no
    page_mkwrite and no writeback).
    """
    write = PTE_WRITE if m.vma[v, Vma.WRITE] else 0
    m.pte[at] = pfn | PTE_PRESENT | PTE_YOUNG | write | dirty
    m.frame[pfn] += FRAME_MAPCOUNT_ONE
    add_rss(m, s, task, 1, 0)


@inlined
def _fault_around(m, s, task, at, v, vpn):
    """Map the resident pages around a page, itself included (do_fault_around).

    Within its VMA, its page table and 64 KiB from the first of them.
    """
    first = max(vpn & ~(FAULT_AROUND - 1), m.vma[v, Vma.START])
    end = min(first + FAULT_AROUND, m.vma[v, Vma.END])
    end = min(end, (vpn | (HPAGE_PMD_NR - 1)) + 1)
    cache = cache_index(m, vpn) - vpn
    for page in range(first, end):
        entry = m.pte[page + cache]
        i = at + page - vpn
        if entry & PTE_PRESENT and m.pte[i] == 0:
            _set_pte(m, s, task, i, v, entry & PTE_PAYLOAD, 0)


@called
def shmem_fault(m, s, task, at, v, vpn, write):
    """Serve a fault in a shared VMA (do_fault): SERVED, NO_MEMORY or PUT_ASIDE."""
    if m.pte[at] & PTE_PROTNONE:
        return do_numa_page(m, s, task, at, v, vpn, write)
    if m.pte[at] & PTE_PRESENT:
        # wp_page_shared: there is never a copy.
        m.pte[at] |= PTE_WRITE | PTE_YOUNG | PTE_DIRTY
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[Cost.MINOR_FAULT])
        count_op(m, s, task, Op.FAULT, 1)
        return SERVED
    pfn = _get_folio(m, s, task, at, v, vpn)
    if pfn < 0:
        return pfn
    if write:
        _set_pte(m, s, task, at, v, pfn, PTE_DIRTY)
    else:
        _fault_around(m, s, task, at, v, vpn)
    if m.pmd[at >> HPAGE_PMD_ORDER] == 0:
        m.pmd[at >> HPAGE_PMD_ORDER] = PMD_TABLE | table_nid(m, task) << PMD_NID_SHIFT
    return SERVED


@inlined
def _mark_page_accessed(m, s, pfn):
    """Note a use that a PTE remembered: at the second the page becomes active.

    Generations know only uses that reclaim finds itself.
    """
    word = m.frame[pfn]
    if m.info[Info.LRU_GEN]:
        return
    if not word & FRAME_REFERENCED:
        m.frame[pfn] = word | FRAME_REFERENCED
    elif not word & FRAME_ACTIVE:
        lru_add(m, s, pfn, -1)
        m.frame[pfn] = (word | FRAME_ACTIVE) & ~FRAME_REFERENCED
        lru_add(m, s, pfn, 1)
        m.vm[s, node_of(m, pfn), Vm.PGACTIVATE] += 1


@called
def shmem_unmapped(m, s, pte):
    """Note what an entry knew of a shared page (zap_pte_range), which stays cached."""
    pfn = pte & PTE_PAYLOAD
    if pte & PTE_DIRTY:
        m.frame[pfn] |= FRAME_DIRTY
    if pte & PTE_YOUNG:
        _mark_page_accessed(m, s, pfn)


@inlined
def shmem_writepage(m, n, pfn, vpn):
    """Let a slot take a page's place in the page cache; False: none was free."""
    s = m.info[Info.SHARDS]
    slot = get_id(m, Kind.SWAP)
    if slot == NONE:
        m.refused[s, Refusal.NO_SWAP_SLOT] += 1
        return False
    m.slot_count[slot] = 1
    m.slot_frame[slot] = NONE
    m.pte[cache_index(m, vpn)] = PTE_SWAP | slot
    written = swap_writepage(m, pfn, slot)
    m.vm[s, n, Vm.PSWPOUT] += written
    m.info[Info.WRITTEN] += written
    return True


@kernel
def shmem_undo_range(m, first, pages):
    """Free what a part of a page cache holds; nobody maps it (shmem_evict_inode).

    first  index of its first entry
    """
    s = m.info[Info.SHARDS]
    for i in range(first, first + pages):
        entry = m.pte[i]
        m.pte[i] = 0
        if entry & PTE_PRESENT:
            lru_add(m, s, entry & PTE_PAYLOAD, -1)
            put_page(m, s, entry & PTE_PAYLOAD)
        elif entry & PTE_SWAP:
            m.slot_count[entry & PTE_PAYLOAD] = 0
            swap_free_slot(m, s, entry & PTE_PAYLOAD)


@kernel
def shmem_unuse(m, task, v, first, pages):
    """Read back what a part of an object has in swap (swapoff); False: no memory.

    v  pseudo VMA of the part, ``first`` its vpn
    """
    s = m.info[Info.SHARDS]
    for vpn in range(first, first + pages):
        entry = m.pte[cache_index(m, vpn)]
        if not entry & PTE_SWAP:
            continue
        pfn = alloc_page_vma(m, s, task, v, vpn, True)
        if pfn < 0:
            return False
        _swapin_folio(m, s, vpn, pfn, entry & PTE_PAYLOAD)
    return True
