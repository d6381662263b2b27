"""Page faults (mm/memory.c): what happens when an access finds no usable PTE.

One call serves one fault; the caller looks at the PTE again.  A fault that must be
set aside or finds no memory changes nothing.  ``m`` Memory, ``s`` shard (S: serial),
``at`` index of the PTE, ``v`` row of the VMA.
"""

from ._jit import called, inlined
from .anon_page import add_rss, charge, map_copied_page, map_new_page
from .constants import (
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Cause,
    Refusal,
    Vm,
)
from .folio import page_mapcount
from .huge_pmd import (
    do_huge_pmd_anonymous_page,
    handle_huge_pmd_fault,
    thp_vma_allowable,
)
from .lru_batch import folio_add_lru
from .mempolicy import alloc_hinted, alloc_on_node, alloc_page_vma, mpol_misplaced
from .migrate import (
    lru_add,
    migrate_folio_move,
    migrate_page_of,
    migration_cost,
    migration_ns,
)
from .migrate_misplaced import (
    count_hint_fault,
    count_numa_migration,
    last_cpupid,
    mapping_is_writable,
    misplaced,
    wake_demotion,
)
from .moves import note_move, note_move_of
from .page_alloc import node_of
from .rmap import mapcount
from .shmem import shmem_fault
from .should_numa_migrate_memory import (
    note_filter,
    note_migration,
    numamigrate_update_ratelimit,
)
from .state import (
    BALANCING,
    COST_CACHE_LOOKUP,
    COST_MINOR_FAULT,
    COST_SWAP_IN,
    FALLBACK,
    IN_USE,
    IN_USE_AT_START,
    LOW,
    NO_MEMORY,
    PUT_ASIDE,
    SEGV,
    SERVED,
    SHARDS,
    SLOTS,
    TASK_MM,
    TASK_NID,
    TOTAL,
    VMA_MOF,
    VMA_READ,
    VMA_SHARED,
    VMA_WRITE,
)
from .swap_state import migration_free_entry, swap_free_slot
from .task_numa_fault import task_numa_fault, vma_set_access_pid_bit
from .vma import find_vma


@inlined
def permits(m, v, write):
    if write:
        return m.vma[v, VMA_WRITE] == 1
    return m.vma[v, VMA_READ] == 1


@inlined
def _do_zero_page(m, s, task, at):
    m.pte[at] = PTE_ZERO | PTE_YOUNG
    m.vm[s, m.task[task, TASK_NID], Vm.ZERO_PAGE_FAULTS] += 1
    charge(m, s, task, Cause.MINOR_FAULT, m.cost[COST_MINOR_FAULT])
    return SERVED


@inlined
def _do_anonymous_page(m, s, task, at, v, vpn):
    pfn = alloc_page_vma(m, s, task, v, vpn, True)
    if pfn < 0:
        return pfn
    map_new_page(m, s, task, at, vpn, pfn)
    return SERVED


@inlined
def drop_slot(m, s, pfn):
    """Take a page out of the swap cache and free its slot (folio_free_swap)."""
    swap_free_slot(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = (m.frame[pfn] & ~FRAME_SWAPCACHE) | FRAME_DIRTY


@inlined
def drop_entry(m, s, pfn):
    """Delete a page's migration-cache entry, whose count has come to zero."""
    migration_free_entry(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = (m.frame[pfn] & ~FRAME_MIGCACHE) | FRAME_DIRTY


@inlined
def _reusable(m, pfn):
    """Tell whether a write may keep the page: nobody else can ever map it."""
    word = m.frame[pfn]
    if mapcount(word) != 1 or word & (FRAME_MIGCACHE | FRAME_COMPOUND):
        return False
    return not word & FRAME_SWAPCACHE or m.slot_count[m.frame_entry[pfn]] == 0


@inlined
def _do_wp_page(m, s, task, at, v, vpn):
    pte = m.pte[at]
    old = pte & PTE_PAYLOAD
    if _reusable(m, old):
        if m.frame[old] & FRAME_SWAPCACHE:
            drop_slot(m, s, old)
        m.pte[at] = pte | PTE_WRITE | PTE_YOUNG | PTE_DIRTY
        charge(m, s, task, Cause.MINOR_FAULT, m.cost[COST_MINOR_FAULT])
        return SERVED
    new = alloc_page_vma(m, s, task, v, vpn, True)
    if new < 0:
        return new
    map_copied_page(m, s, task, at, vpn, old, new)
    return SERVED


@inlined
def _migrate_misplaced_page(m, s, task, at, old, new):
    """Move a page by a hint fault to the frame ``new``, and judge that."""
    page_nid, target = node_of(m, old), node_of(m, new)
    ns = migration_cost(m, s, task, old, new)
    if mapcount(m.frame[old]) == 1:
        migrate_page_of(m, s, at, old, new)
        note_move_of(m, s, task, at, page_nid, new, ns)
    else:
        migrate_folio_move(m, s, old, new)
        note_move(m, s, task, at, page_nid, new, ns)
    count_numa_migration(m, s, page_nid, target, 1)


@inlined
def _do_numa_page_of_folio(m, s, task, v, vpn, pfn):
    """Serve a hint fault on a part of a folio, which never moves (before 6.10)."""
    if mpol_misplaced(m, task, v, vpn, pfn) != NONE:
        m.refused[s, Refusal.PTE_MAPPED_THP] += 1
    return SERVED


@inlined
def _do_numa_page_alone(m, s, task, at, v, vpn, old):
    """Serve a hint fault on a page of its own: SERVED or PUT_ASIDE."""
    page_nid = node_of(m, old)
    target, answer, asked = misplaced(m, s, task, v, vpn, old, page_nid, 1)
    new = NO_MEMORY
    limited = target != NONE and numamigrate_update_ratelimit(m, s, target)
    if target != NONE and not limited:
        new = alloc_hinted(m, s, target, m.task[task, TASK_NID])
        if new == PUT_ASIDE:
            return PUT_ASIDE
    last, writable = 0, False
    if m.info[BALANCING]:
        last = last_cpupid(m, old, page_nid)
        writable = mapping_is_writable(m, v, m.pte[at], page_mapcount(m, old))
        if asked:
            note_filter(m, s, task, old, page_nid, 1, answer)
        if target != NONE and not limited:
            note_migration(m, s, target, 1)
    if new >= 0:
        _migrate_misplaced_page(m, s, task, at, old, new)
    elif limited:
        m.refused[s, Refusal.RATE_LIMIT] += 1
    elif target != NONE:
        m.refused[s, Refusal.TARGET_FULL] += 1
        wake_demotion(m, target)
    if m.info[BALANCING]:
        local = page_nid == m.task[task, TASK_NID]
        nid = target if new >= 0 else page_nid
        failed = target != NONE and new < 0
        vma_set_access_pid_bit(m, s, v, task)
        task_numa_fault(m, s, task, last, local, nid, 1, writable, failed)
    return SERVED


@called
def _do_numa_page(m, s, task, at, v, vpn):
    old = m.pte[at] & PTE_PAYLOAD
    page_nid = node_of(m, old)
    if m.frame[old] & FRAME_COMPOUND:
        status = _do_numa_page_of_folio(m, s, task, v, vpn, old)
    else:
        status = _do_numa_page_alone(m, s, task, at, v, vpn, old)
    if status == SERVED:
        count_hint_fault(m, s, task, page_nid)
        m.pte[at] = (m.pte[at] & ~PTE_PROTNONE) | PTE_YOUNG
    return status


@inlined
def _swapin_page(m, s, task, v, vpn, slot):
    """Read a page that is only on disk; return its frame."""
    pfn = alloc_page_vma(m, s, task, v, vpn, True)
    if pfn < 0:
        return pfn
    m.frame[pfn] = vpn | FRAME_IN_USE | FRAME_SWAPCACHE
    m.frame_entry[pfn] = slot
    m.slot_frame[slot] = pfn
    lru_add(m, s, pfn, 1)
    folio_add_lru(m, m.task[task, TASK_NID], pfn)
    m.vm[s, m.task[task, TASK_NID], Vm.PGMAJFAULT] += 1
    m.vm[s, node_of(m, pfn), Vm.PSWPIN] += 1
    charge(m, s, task, Cause.SWAP_IN, m.cost[COST_SWAP_IN])
    return pfn


@inlined
def _check_migrate_misplaced_page(m, s, task, v, vpn, pfn):
    """Serve the lazy part of a fault on a parked page; return its frame.

    Migrate-on-fault (Schermerhorn 2006): only the first toucher finds mapcount 0.
    """
    cpu_nid = m.task[task, TASK_NID]
    target = NONE
    if m.vma[v, VMA_MOF]:
        target = mpol_misplaced(m, task, v, vpn, pfn)
    if target != NONE:
        if mapcount(m.frame[pfn]) > 0:
            m.refused[s, Refusal.NOT_FIRST_TOUCH] += 1
        else:
            new = alloc_on_node(m, s, target, cpu_nid, LOW, 0)
            if new == PUT_ASIDE:
                return PUT_ASIDE
            if new == NO_MEMORY:
                m.refused[s, Refusal.TARGET_FULL] += 1
            else:
                migrate_folio_move(m, s, pfn, new)
                migration_cost(m, s, task, pfn, new)
                m.vm[s, target, Vm.LAZY_PAGES_MIGRATED] += 1
                pfn = new
    m.vm[s, cpu_nid, Vm.LAZY_FAULTS] += 1
    ns = m.cost[COST_MINOR_FAULT] + m.cost[COST_CACHE_LOOKUP]
    charge(m, s, task, Cause.LAZY_FAULT, ns)
    return pfn


@inlined
def _vm_swap_full(m, s):
    """Tell whether more than half of the slots are in use."""
    column = IN_USE if s == m.info[SHARDS] else IN_USE_AT_START
    return 2 * m.info[SLOTS + column] > m.info[SLOTS + TOTAL]


@inlined
def _map_cached(m, s, task, at, pfn, count, write):
    """Map a cached page in place of the entry; ``count``: PTEs that hold it still."""
    m.frame[pfn] += FRAME_MAPCOUNT_ONE
    exclusive = count == 0 and mapcount(m.frame[pfn]) == 1
    pte = pfn | PTE_PRESENT | PTE_YOUNG
    if write and exclusive:
        pte |= PTE_WRITE | PTE_DIRTY
    m.pte[at] = pte
    add_rss(m, s, task, 1, -1)
    return exclusive


@inlined
def _judge(m, s, task, at, old, pfn):
    """Judge the move of a cached page, if it has moved: nothing mapped it then."""
    if old != pfn:
        ns = migration_ns(m, old, pfn)
        note_move_of(m, s, task, at, node_of(m, old), pfn, ns)


@inlined
def _do_swap_page(m, s, task, at, v, vpn, write):
    slot = m.pte[at] & PTE_PAYLOAD
    cached = m.slot_frame[slot]
    if cached == NONE:
        pfn = _swapin_page(m, s, task, v, vpn, slot)
    else:
        pfn = _check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    m.slot_count[slot] -= 1
    left = m.slot_count[slot]
    exclusive = _map_cached(m, s, task, at, pfn, left, write)
    if cached != NONE:
        _judge(m, s, task, at, cached, pfn)
    if left == 0 and (exclusive or _vm_swap_full(m, s)):
        drop_slot(m, s, pfn)
    return SERVED


@inlined
def _do_parked_page(m, s, task, at, v, vpn, write):
    entry = m.pte[at] & PTE_PAYLOAD
    cached = m.entry_frame[entry]
    pfn = _check_migrate_misplaced_page(m, s, task, v, vpn, cached)
    if pfn < 0:
        return pfn
    m.entry_count[entry] -= 1
    left = m.entry_count[entry]
    _map_cached(m, s, task, at, pfn, left, write)
    _judge(m, s, task, at, cached, pfn)
    if left == 0:
        drop_entry(m, s, pfn)
    return SERVED


@inlined
def _handle_pte_fault(m, s, task, at, v, vpn, write):
    pte = m.pte[at]
    if pte == 0 and not write:
        return _do_zero_page(m, s, task, at)
    if pte == 0 or pte & PTE_ZERO:
        return _do_anonymous_page(m, s, task, at, v, vpn)
    if pte & PTE_SWAP:
        return _do_swap_page(m, s, task, at, v, vpn, write)
    if pte & PTE_PARKED:
        return _do_parked_page(m, s, task, at, v, vpn, write)
    if pte & PTE_PROTNONE:
        return _do_numa_page(m, s, task, at, v, vpn)
    return _do_wp_page(m, s, task, at, v, vpn)


@inlined
def _pte_alloc(m, s, task, at, v, vpn):
    """Note that the block has a page table now, instead of a huge page."""
    nid = m.task[task, TASK_NID]
    m.pmd[at >> HPAGE_PMD_ORDER] = PMD_TABLE | nid << PMD_NID_SHIFT
    if thp_vma_allowable(m, v, vpn):
        m.vm[s, nid, Vm.THP_FAULT_FALLBACK] += 1


@inlined
def entry_of(m, at):
    """Return the entry that maps a page: the block's PMD entry or the page's PTE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    return pmd if pmd & PMD_LEAF else m.pte[at]


@called
def handle_mm_fault(m, s, task, at, vpn, write):
    """Serve one fault: SERVED, NO_MEMORY, PUT_ASIDE or SEGV."""
    v = find_vma(m, m.task[task, TASK_MM], vpn)
    if v == NONE or not permits(m, v, write):
        return SEGV
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    status = FALLBACK
    if m.vma[v, VMA_SHARED]:
        status = shmem_fault(m, s, task, at, v, vpn, write)
    elif pmd & PMD_LEAF:
        status = handle_huge_pmd_fault(m, s, task, at, v, vpn)
    elif pmd == 0 and thp_vma_allowable(m, v, vpn):
        status = do_huge_pmd_anonymous_page(m, s, task, at, v, vpn, write)
    if status == FALLBACK:
        status = _handle_pte_fault(m, s, task, at, v, vpn, write)
        if status == SERVED and pmd == 0:
            _pte_alloc(m, s, task, at, v, vpn)
    if status == SERVED:
        m.vm[s, m.task[task, TASK_NID], Vm.PGFAULT] += 1
    return status


@inlined
def is_hit(pte, write):
    """Tell whether the hardware serves an access without a fault."""
    if pte & PTE_ZERO:
        return not write and not pte & PTE_PROTNONE
    need = PTE_PRESENT | PTE_WRITE if write else PTE_PRESENT
    return pte & (need | PTE_PROTNONE) == need
