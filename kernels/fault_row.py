"""Faults that come in a row, each like the one before: what they share is done once.

A shard that fills memory, or brings it to its task's node, takes millions of them.
VMA, policy, target, watermarks and costs stay the same as long as the quantum, so a row
looks them up once and counts once at its end.  It ends with the first access that is
not alike, which ``handle_mm_fault`` serves.  A row does nothing that this would not do,
one fault after the other.
"""

from ._jit import called, inlined
from .accesses import ACCESS_TASK_SHIFT, ACCESS_VPN, ACCESS_WRITE, ACCESS_WRITE_SHIFT
from .constants import (
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_IN_USE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_MIGCACHE,
    FRAME_SHMEM,
    FRAME_SWAPCACHE,
    HPAGE_PMD_ORDER,
    NONE,
    OWES_MAX,
    PTE_DIRTY,
    PTE_OWES,
    PTE_OWES_ONE,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    Cause,
    Mode,
    Vm,
)
from .look_ahead import look_ahead, look_ahead_mapped, look_ahead_new
from .mempolicy import (
    count_allocations,
    is_interleave,
    node_above_low,
    policy_of,
    preferred_node,
    zonelist_of,
)
from .moves import uses_to_pay
from .page_alloc import (
    close_row,
    free_later,
    has_frame,
    node_of,
    open_row,
    take_next,
)
from .state import (
    BALANCING,
    CHANGE_RSS,
    CHANGE_SWAPENTS,
    COST_CACHE_LOOKUP,
    COST_HINT_FAULT,
    COST_MIGRATE_PAGE,
    COST_MINOR_FAULT,
    FREE,
    FREED_ENTRIES,
    FREED_SLOTS,
    HIGH,
    LOW,
    MIGRATE_LIMIT,
    ONLINE,
    POOL_FREED,
    TASK_DELTA,
    TASK_MM,
    TASK_NID,
    VMA_END,
    VMA_MOF,
    VMA_READ,
    VMA_SHARED,
    VMA_START,
    VMA_WRITE,
)
from .swap_state import push_freed
from .vma import find_vma

#: What a page that one PTE maps, and nothing else holds, has of these.
_HELD = FRAME_MAPCOUNT | FRAME_COMPOUND | FRAME_SWAPCACHE | FRAME_MIGCACHE | FRAME_SHMEM
_NEW_PAGE = PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY


@inlined
def _is_of(word, run, low, high):
    """Tell whether an access is the run's, and to a page of [low, high)."""
    vpn = word & ACCESS_VPN
    return word & ~(ACCESS_VPN | ACCESS_WRITE) == run and low <= vpn and vpn < high


@inlined
def _private_vma(m, task, vpn):
    """Return the row of the VMA of a page, NONE where it is shared or there is none."""
    v = find_vma(m, m.task[task, TASK_MM], vpn)
    return v if v == NONE or not m.vma[v, VMA_SHARED] else NONE


# --- new pages ------------------------------------------------------------------------


@inlined
def _count_new_pages(m, s, task, v, nid, preferred, pages):
    cpu_nid = m.task[task, TASK_NID]
    mode, _, _, _ = policy_of(m, task, v)
    count_allocations(m, s, nid, preferred, cpu_nid, mode, pages)
    m.lru_change[s, nid, 0] += pages
    m.mm_change[s, m.task[task, TASK_MM], CHANGE_RSS] += pages
    m.cause[s, task, Cause.MINOR_FAULT] += pages * m.cost[COST_MINOR_FAULT]
    m.vm[s, cpu_nid, Vm.PGFAULT] += pages


@called
def _new_pages(m, s, queued, k, end, last, run, counts):
    """Serve writes to pages that are none, from ``k``; return the first that is not."""
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = _private_vma(m, task, queued[k] & ACCESS_VPN)
    if v == NONE or not m.vma[v, VMA_WRITE]:
        return k
    mode, mask, row, own = policy_of(m, task, v)
    if is_interleave(mode):
        return k
    base, mask = zonelist_of(m, task, 0, 0, mode, mask, row, own)
    nid = node_above_low(m, base, mask)
    if nid == NONE:
        return k
    low, high, delta = m.vma[v, VMA_START], m.vma[v, VMA_END], m.task[task, TASK_DELTA]
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead_new(m, queued, k, last)
        at = (word & ACCESS_VPN) + delta
        if not _is_of(word, run, low, high) or not word & ACCESS_WRITE:
            break
        if m.pte[at] != 0 or m.pmd[at >> HPAGE_PMD_ORDER] == 0:
            break
        pfn, row = take_next(m, s, nid, row)
        m.frame[pfn] = word & ACCESS_VPN | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
        m.pte[at] = pfn | _NEW_PAGE
        k += 1
    close_row(m, s, nid, row)
    _count_new_pages(m, s, task, v, nid, preferred_node(m, base, mask, nid), k - first)
    counts[nid] += k - first
    return k


# --- moves ----------------------------------------------------------------------------


@inlined
def _goes_to_task(m, task, v):
    """Tell whether pages of a VMA belong on their task's node (MPOL_LOCAL)."""
    mode, _, _, _ = policy_of(m, task, v)
    return mode == Mode.DEFAULT or mode == Mode.LOCAL


@inlined
def _has_room(m, nid, mark, margin):
    return m.node[nid, ONLINE] == 1 and m.node[nid, FREE] > m.node[nid, mark] + margin


@inlined
def _moved(word, pte, old_nid):
    """Return the word of a page that moves: what its PTE knew of writes it knows."""
    if pte & PTE_DIRTY:
        word |= FRAME_DIRTY
    return word & ~FRAME_FROM | (old_nid + 1) << FRAME_FROM_SHIFT


@inlined
def _count_moves(m, s, task, old, nid, pages, active, back):
    """Count pages that moved from node ``old`` to the task's, ``nid``."""
    count_allocations(m, s, nid, nid, nid, Mode.DEFAULT, pages)
    m.lru_change[s, old, 0] -= pages - active
    m.lru_change[s, old, 1] -= active
    m.lru_change[s, nid, 0] += pages - active
    m.lru_change[s, nid, 1] += active
    m.vm[s, old, Vm.PGFREE] += pages
    m.pool[s, old, POOL_FREED] += pages
    m.vm[s, nid, Vm.PGMIGRATE_SUCCESS] += pages
    m.vm[s, nid, Vm.PAGES_MOVED] += pages
    m.vm[s, nid, Vm.PAGES_MOVED_BACK] += back
    m.vm[s, nid, Vm.PGFAULT] += pages
    ns = m.cost[COST_MIGRATE_PAGE] + m.copy_ns[old, nid]
    m.cause[s, task, Cause.MIGRATION] += pages * ns


@inlined
def _owed(m, task, old, nid):
    """Return the bits of a PTE through which a page moved, after its first use."""
    ns = m.cost[COST_MIGRATE_PAGE] + m.copy_ns[old, nid]
    return (uses_to_pay(m, task, old, nid, ns, OWES_MAX) - 1) * PTE_OWES_ONE


@inlined
def _count_hint_faults(m, s, task, nid, pages):
    m.vm[s, nid, Vm.NUMA_PAGES_MIGRATED] += pages
    m.vm[s, nid, Vm.NUMA_HINT_FAULTS] += pages
    m.cause[s, task, Cause.HINT_FAULT] += pages * m.cost[COST_HINT_FAULT]


@called
def _hint_faults(m, s, queued, k, end, last, run, counts):
    """Serve hint faults that move pages of one node to the task's; as above."""
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = _private_vma(m, task, queued[k] & ACCESS_VPN)
    if m.info[BALANCING] or m.info[MIGRATE_LIMIT] or v == NONE:
        return k
    nid, delta = m.task[task, TASK_NID], m.task[task, TASK_DELTA]
    if not _goes_to_task(m, task, v) or not m.vma[v, VMA_READ]:
        return k
    old_nid = node_of(m, m.pte[(queued[k] & ACCESS_VPN) + delta] & PTE_PAYLOAD)
    if old_nid == nid or not _has_room(m, nid, HIGH, 1):
        return k
    low, high, owed = (
        m.vma[v, VMA_START],
        m.vma[v, VMA_END],
        _owed(m, task, old_nid, nid),
    )
    active, back = 0, 0
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead_mapped(m, queued, k, last)
        if not _is_of(word, run, low, high):
            break
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need, pte = PTE_PRESENT | PTE_PROTNONE | write * PTE_WRITE, m.pte[at]
        old = pte & PTE_PAYLOAD
        if pte & need != need or node_of(m, old) != old_nid:
            break
        page = m.frame[old]
        if page & _HELD != FRAME_MAPCOUNT_ONE:
            break
        new, row = take_next(m, s, nid, row)
        m.frame[new] = _moved(page, pte, old_nid)
        active += page & FRAME_ACTIVE != 0
        back += (page & FRAME_FROM) >> FRAME_FROM_SHIFT == nid + 1
        m.frame[old] = 0
        free_later(m, s, old)
        pte = pte & ~(PTE_PAYLOAD | PTE_PROTNONE | PTE_OWES) | new | owed
        m.pte[at] = pte | PTE_YOUNG | write * PTE_DIRTY
        k += 1
    close_row(m, s, nid, row)
    pages = k - first
    _count_moves(m, s, task, old_nid, nid, pages, active, back)
    _count_hint_faults(m, s, task, nid, pages)
    counts[nid] += pages
    counts[counts.size - 1] += pages if owed == 0 else 0
    return k


@inlined
def _count_lazy_faults(m, s, task, nid, pages):
    mm = m.task[task, TASK_MM]
    m.vm[s, nid, Vm.LAZY_PAGES_MIGRATED] += pages
    m.vm[s, nid, Vm.LAZY_FAULTS] += pages
    m.mm_change[s, mm, CHANGE_RSS] += pages
    m.mm_change[s, mm, CHANGE_SWAPENTS] -= pages
    ns = m.cost[COST_MINOR_FAULT] + m.cost[COST_CACHE_LOOKUP]
    m.cause[s, task, Cause.LAZY_FAULT] += pages * ns


@inlined
def _lazy_faults(m, s, queued, k, end, last, run, counts, parked):
    """Serve faults that move parked pages to the task's node and end their parking.

    parked  (PTE_SWAP or PTE_PARKED, PTEs that hold an identity: int16, its frame:
            int64, FREED_SLOTS or FREED_ENTRIES)
    """
    kind, held, frames, chain = parked
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = _private_vma(m, task, queued[k] & ACCESS_VPN)
    if v == NONE or not m.vma[v, VMA_MOF] or not m.vma[v, VMA_READ]:
        return k
    nid, delta = m.task[task, TASK_NID], m.task[task, TASK_DELTA]
    pfn = frames[m.pte[(queued[k] & ACCESS_VPN) + delta] & PTE_PAYLOAD]
    if pfn == NONE or not _goes_to_task(m, task, v):
        return k
    old_nid = node_of(m, pfn)
    refused = 0 if m.vma[v, VMA_WRITE] else ACCESS_WRITE
    if old_nid == nid or not _has_room(m, nid, LOW, 0):
        return k
    low, high, owed = (
        m.vma[v, VMA_START],
        m.vma[v, VMA_END],
        _owed(m, task, old_nid, nid),
    )
    cache = FRAME_SWAPCACHE if kind == PTE_SWAP else FRAME_MIGCACHE
    active, back = 0, 0
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead(m, queued, k, last)
        if not _is_of(word, run, low, high) or word & refused:
            break
        at = (word & ACCESS_VPN) + delta
        pte = m.pte[at]
        given = pte & PTE_PAYLOAD
        if not pte & kind or held[given] != 1 or frames[given] == NONE:
            break
        old = frames[given]
        page = m.frame[old]
        if page & _HELD != cache or node_of(m, old) != old_nid:
            break
        new, row = take_next(m, s, nid, row)
        page = _moved(page, pte, old_nid) & ~cache
        m.frame[new] = page + FRAME_MAPCOUNT_ONE | FRAME_DIRTY
        active += page & FRAME_ACTIVE != 0
        back += (m.frame[old] & FRAME_FROM) >> FRAME_FROM_SHIFT == nid + 1
        m.frame[old] = 0
        free_later(m, s, old)
        held[given] = 0
        push_freed(m.shard, s, chain, frames, given)
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        bits = PTE_PRESENT | PTE_YOUNG | write * (PTE_WRITE | PTE_DIRTY)
        m.pte[at] = new | owed | bits
        k += 1
    close_row(m, s, nid, row)
    pages = k - first
    _count_moves(m, s, task, old_nid, nid, pages, active, back)
    _count_lazy_faults(m, s, task, nid, pages)
    counts[nid] += pages
    counts[counts.size - 1] += pages if owed == 0 else 0
    return k


@called
def _swapcache_faults(m, s, queued, k, end, last, run, counts):
    parked = PTE_SWAP, m.slot_count, m.slot_frame, FREED_SLOTS
    return _lazy_faults(m, s, queued, k, end, last, run, counts, parked)


@called
def _migcache_faults(m, s, queued, k, end, last, run, counts):
    parked = PTE_PARKED, m.entry_count, m.entry_frame, FREED_ENTRIES
    return _lazy_faults(m, s, queued, k, end, last, run, counts, parked)


@inlined
def serve_row(m, s, queued, k, end, last, run, counts):
    """Serve a row of faults from ``k``; return the first access that is not of it.

    For address spaces of small pages, without TLBs.  ``run``: what the accesses of the
    task and tail have in common; ``counts``: hits, as for ``kernels/serve.py``
    """
    word = queued[k]
    pte = m.pte[(word & ACCESS_VPN) + m.task[run >> ACCESS_TASK_SHIFT, TASK_DELTA]]
    if pte == 0:
        return _new_pages(m, s, queued, k, end, last, run, counts)
    if pte & PTE_SWAP:
        return _swapcache_faults(m, s, queued, k, end, last, run, counts)
    if pte & PTE_PARKED:
        return _migcache_faults(m, s, queued, k, end, last, run, counts)
    if pte & PTE_PROTNONE:
        return _hint_faults(m, s, queued, k, end, last, run, counts)
    return k
