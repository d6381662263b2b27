"""Operations that walk a range of PTEs to move pages or to make them move later.

mbind, move_pages and migrate_pages move at once; the marks of MPOL_MF_LAZY park pages
in the swap cache or the migration cache, or set PROT_NONE, so that the next touch
faults.  ``docs/model.md`` §5.  All of it is serial work, paid by the calling task.
``first`` is a vpn, ``pages`` a count; the range is mapped by one VMA row, ``v``.
"""

from ._jit import inlined, kernel
from .constants import (
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    NONE,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_ZERO,
    Cause,
    Refusal,
    Vm,
)
from .mempolicy import alloc_on_node, alloc_page_vma, mpol_misplaced
from .migrate import migrate_folio_move, migration_cost
from .page_alloc import node_of, put_page
from .rmap import mapcount, try_to_unmap
from .state import (
    ENTRIES,
    LOW,
    SHARDS,
    SLOTS,
    TASK_DELTA,
    TASK_NID,
)
from .swap_state import get_id
from .vmscan import add_to_swap

ENOENT, ENOMEM, EACCES, EFAULT = 2, 12, 13, 14


@inlined
def _park(m, pfn, kind, given, count):
    s = m.info[SHARDS]
    try_to_unmap(m, s, pfn, kind, given, count)
    m.vm[s, node_of(m, pfn), Vm.LAZY_PAGES_MARKED] += 1


@inlined
def _refuse(m, reason):
    m.refused[m.info[SHARDS], reason] += 1
    return 0


@inlined
def _swapcache_park(m, pfn):
    """Park one page in the swap cache; return 1, or 0 where it is refused."""
    word = m.frame[pfn]
    if word & FRAME_MIGCACHE:
        return _refuse(m, Refusal.BUSY)
    if not word & FRAME_SWAPCACHE:
        slot = get_id(m.info, SLOTS, m.slot_frame)
        if slot == NONE:
            return _refuse(m, Refusal.NO_SWAP_SLOT)
        m.slot_count[slot] = 0
        add_to_swap(m, pfn, slot)
    _park(m, pfn, PTE_SWAP, int(m.frame_entry[pfn]), m.slot_count)
    return 1


@inlined
def migcache_park(m, pfn):
    """Park one page in the migration cache; return 1, or 0 where it is refused."""
    word = m.frame[pfn]
    if word & FRAME_SWAPCACHE:
        return _refuse(m, Refusal.BUSY)
    if not word & FRAME_MIGCACHE:
        entry = get_id(m.info, ENTRIES, m.entry_frame)
        m.entry_count[entry] = 0
        m.entry_frame[entry] = pfn
        m.frame_entry[pfn] = entry
        m.frame[pfn] = word | FRAME_MIGCACHE
    _park(m, pfn, PTE_PARKED, int(m.frame_entry[pfn]), m.entry_count)
    return 1


@inlined
def _may_unmap(m, task, v, vpn, pte, policy, move_all):
    """Decide whether a mark takes a page: present, misplaced, ours alone."""
    if not pte & PTE_PRESENT:
        return False
    pfn = pte & PTE_PAYLOAD
    if policy and mpol_misplaced(m, task, v, vpn, node_of(m, pfn)) == NONE:
        return False
    if not move_all and mapcount(m.frame[pfn]) > 1:
        _refuse(m, Refusal.SHARED)
        return False
    return True


@kernel
def lazy_swapcache(m, task, v, first, pages, policy, move_all):
    """Park a range in the swap cache (Schermerhorn 2006); return pages parked."""
    parked = 0
    for vpn in range(first, first + pages):
        pte = m.pte[vpn + m.task[task, TASK_DELTA]]
        if _may_unmap(m, task, v, vpn, pte, policy, move_all):
            parked += _swapcache_park(m, pte & PTE_PAYLOAD)
    return parked


@kernel
def lazy_migcache(m, task, v, first, pages, policy, move_all):
    """Park a range in the migration cache (Tosatti 2004); return pages parked."""
    parked = 0
    for vpn in range(first, first + pages):
        pte = m.pte[vpn + m.task[task, TASK_DELTA]]
        if _may_unmap(m, task, v, vpn, pte, policy, move_all):
            parked += migcache_park(m, pte & PTE_PAYLOAD)
    return parked


@kernel
def change_prot_numa(m, task, first, pages):
    """Set PROT_NONE on the present PTEs of a range (mm/mempolicy.c, 3.8)."""
    s = m.info[SHARDS]
    start = first + m.task[task, TASK_DELTA]
    ptes = m.pte[start : start + pages]
    marked = 0
    for i in range(ptes.size):
        pte = ptes[i]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
            continue
        ptes[i] = pte | PTE_PROTNONE
        nid = node_of(m, pte & PTE_PAYLOAD)
        m.vm[s, nid, Vm.NUMA_PTE_UPDATES] += 1
        m.vm[s, nid, Vm.LAZY_PAGES_MARKED] += 1
        marked += 1
    return marked


@inlined
def _fail(m, pfn):
    s = m.info[SHARDS]
    m.refused[s, Refusal.TARGET_FULL] += 1
    m.vm[s, node_of(m, pfn), Vm.PGMIGRATE_FAIL] += 1
    return False


@inlined
def _undo_alloc(m, task, new):
    """Give back a frame that turned out to be on the page's own node."""
    put_page(m, m.info[SHARDS], new)


@inlined
def _move_by_policy(m, task, v, vpn, pfn):
    s = m.info[SHARDS]
    new = alloc_page_vma(m, s, task, v, vpn, False)
    if new < 0:
        return _fail(m, pfn)
    if node_of(m, new) == node_of(m, pfn):
        _undo_alloc(m, task, new)
        return _fail(m, pfn)
    migrate_folio_move(m, s, pfn, new)
    migration_cost(m, s, task, pfn, new)
    return True


@kernel
def do_mbind(m, task, v, first, pages, move_all, moved):
    """Move the misplaced pages of a range to where their policy puts them.

    moved  int64[2]  pages moved, pages not moved; added to
    """
    for vpn in range(first, first + pages):
        pte = m.pte[vpn + m.task[task, TASK_DELTA]]
        if not pte & PTE_PRESENT:
            continue
        pfn = pte & PTE_PAYLOAD
        if mpol_misplaced(m, task, v, vpn, node_of(m, pfn)) == NONE:
            continue
        if not move_all and mapcount(m.frame[pfn]) > 1:
            _refuse(m, Refusal.SHARED)
            moved[1] += 1
        elif _move_by_policy(m, task, v, vpn, pfn):
            moved[0] += 1
        else:
            moved[1] += 1


@kernel
def count_misplaced(m, task, v, first, pages):
    """Return how many present pages of a range lie on a wrong node."""
    found = 0
    for vpn in range(first, first + pages):
        pte = m.pte[vpn + m.task[task, TASK_DELTA]]
        if pte & PTE_PRESENT:
            nid = node_of(m, pte & PTE_PAYLOAD)
            if mpol_misplaced(m, task, v, vpn, nid) != NONE:
                found += 1
    return found


@inlined
def _move_to_node(m, task, pfn, nid, move_all):
    """Move one page to a node; return the node it is on then, or -errno."""
    if node_of(m, pfn) == nid:
        return nid
    s = m.info[SHARDS]
    if not move_all and mapcount(m.frame[pfn]) > 1:
        _refuse(m, Refusal.SHARED)
        return -EACCES
    new = alloc_on_node(m, s, nid, m.task[task, TASK_NID], LOW, 0)
    if new < 0:
        _fail(m, pfn)
        return -ENOMEM
    migrate_folio_move(m, s, pfn, new)
    migration_cost(m, s, task, pfn, new)
    return nid


@kernel
def move_pages(m, task, first, nid, move_all, status):
    """Move pages to a node (move_pages(2)).

    status  int64[pages]  set to the page's node or -errno, page by page
    Return how many were moved.
    """
    moved = 0
    for i in range(status.size):
        pte = m.pte[first + i + m.task[task, TASK_DELTA]]
        if pte & PTE_ZERO:
            status[i] = -EFAULT
        elif not pte & PTE_PRESENT:
            status[i] = -ENOENT
        else:
            before = node_of(m, pte & PTE_PAYLOAD)
            status[i] = _move_to_node(m, task, pte & PTE_PAYLOAD, nid, move_all)
            moved += status[i] == nid and before != nid
    return moved


@kernel
def migrate_to_node(m, task, first, pages, source, nid, move_all, moved):
    """Move the pages of a range that are on ``source`` to ``nid`` (migrate_pages(2)).

    moved  int64[2]  pages moved, pages not moved; added to
    """
    for vpn in range(first, first + pages):
        pte = m.pte[vpn + m.task[task, TASK_DELTA]]
        if not pte & PTE_PRESENT or node_of(m, pte & PTE_PAYLOAD) != source:
            continue
        if _move_to_node(m, task, pte & PTE_PAYLOAD, nid, move_all) == nid:
            moved[0] += 1
        else:
            moved[1] += 1


@inlined
def _charge(m, task, cause, ns):
    m.cause[m.info[SHARDS], task, cause] += ns


@kernel
def charge_call(m, task, syscall_ns, migration_ns):
    """Charge a system call: its own work, and the flushes of its migrations."""
    _charge(m, task, Cause.SYSCALL, syscall_ns)
    _charge(m, task, Cause.MIGRATION, migration_ns)
