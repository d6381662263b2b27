"""Pages that lie in a cache, unmapped, until the next touch: all caches alike."""

from ..access_run import task_of
from ..counters import Cause, Op, Refusal, Vm
from ..frames.account import add_rss, charge, count_op
from ..frames.allotment import close_row, has_frame, open_row
from ..frames.look_ahead import look_ahead_parked
from ..frames.page_alloc import node_of, put_page
from ..frames.rmap import mapcount, try_to_unmap
from ..frames.swap_state import push_freed, uncached
from ..jit.compile import called, inlined
from ..placement.mempolicy import alloc_on_node, mpol_misplaced
from ..placement.migrate import (
    lru_add,
    migrate_folio_move,
    migration_cost,
    migration_ns,
)
from ..placement.moves import note_move_of
from ..state import NO_MEMORY, PUT_ASIDE, Cost, Info, Node, Task, Vma
from ..words import (
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    FRAME_MAPCOUNT_ONE,
    NONE,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_YOUNG,
)
from .lazy_row import (
    HOLDERS,
    Moved,
    count_hits,
    count_moves,
    is_of,
    may_move,
    move_frame,
    private_vma,
    row_to_task,
)

# --- what every fault on a parked page does -------------------------------------------


@inlined
def _count_lazy_faults(m, s, task, faults):
    """Count and charge faults on parked pages."""
    m.vm[s, m.task[task, Task.NID], Vm.LAZY_FAULTS] += faults
    ns = m.cost[Cost.MINOR_FAULT] + m.cost[Cost.CACHE_LOOKUP]
    charge(m, s, task, Cause.LAZY_FAULT, faults * ns)
    count_op(m, s, task, Op.LAZY_FAULT, faults)


@inlined
def _cached_pte(pfn, writes):
    """Return the PTE of a page that comes from a cache; ``writes``: and is written."""
    return pfn | PTE_PRESENT | PTE_YOUNG | writes * (PTE_WRITE | PTE_DIRTY)


# --- a row of them --------------------------------------------------------------------


@inlined
def _begins_row(m, task, v, pfn):
    """Tell whether faults on a VMA's parked pages move them to the task's node."""
    if v == NONE or pfn == NONE or not m.vma[v, Vma.MOF] or not m.vma[v, Vma.READ]:
        return False
    return may_move(m, task, v, node_of(m, pfn), Node.LOW, 0)


@inlined
def _leave_cache(m, s, cache, given):
    """Free the identity of a page that the last PTE has left."""
    cache.holders[given] = 0
    push_freed(m, s, cache, given)


@called
def lazy_faults(m, s, k, run, cache):
    """Serve a row of faults that move parked pages to the task's node and map them.

    From access ``k`` on; return the first that is not served.
    """
    task, first = task_of(run), k
    vpn = run.queued[k] & ACCESS_VPN
    v = private_vma(m, task, vpn)
    given = m.pte[vpn + m.task[task, Task.DELTA]] & PTE_PAYLOAD
    if not _begins_row(m, task, v, cache.frames[given]):
        return k
    row = row_to_task(m, task, v, node_of(m, cache.frames[given]))
    refused = 0 if m.vma[v, Vma.WRITE] else ACCESS_WRITE
    moved = Moved(open_row(m, s, row.target), 0, 0)
    while k < run.end and has_frame(moved.frames):
        word = run.queued[k]
        look_ahead_parked(m, cache, run.queued, k, run.last)
        if not is_of(word, run, row.low, row.high) or word & refused:
            break
        at = (word & ACCESS_VPN) + row.delta
        pte = m.pte[at]
        given = pte & PTE_PAYLOAD
        if pte & PTE_KIND != cache.pte or cache.holders[given] != 1:
            break
        old = cache.frames[given]
        if old == NONE or node_of(m, old) != row.source:
            break
        page = m.frame[old]
        if page & HOLDERS != cache.frame:
            break
        page = uncached(page) + FRAME_MAPCOUNT_ONE
        new, moved = move_frame(m, s, row, moved, old, page)
        _leave_cache(m, s, cache, given)
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        m.pte[at] = _cached_pte(new, write) | row.owed
        k += 1
    close_row(m, s, row.target, moved.frames)
    count_moves(m, s, row, moved, k - first)
    m.vm[s, row.target, Vm.LAZY_PAGES_MIGRATED] += k - first
    _count_lazy_faults(m, s, task, k - first)
    add_rss(m, s, task, k - first, first - k)
    count_hits(run, row, k - first)
    return k


# --- one of them, and its end ---------------------------------------------------------


@inlined
def park(m, pfn, cache, given):
    """Let the PTEs of a page hold its identity ``given`` in a cache instead."""
    s = m.info[Info.SHARDS]
    try_to_unmap(m, s, pfn, cache, given)
    m.vm[s, node_of(m, pfn), Vm.LAZY_PAGES_MARKED] += 1


@inlined
def check_migrate_misplaced_page(m, s, task, v, vpn, pfn):
    """Serve the lazy part of a fault on a parked page; return its frame.

    Migrate-on-fault (Schermerhorn 2006): only the first task to touch it finds
    mapcount 0.
    """
    cpu_nid = m.task[task, Task.NID]
    target = NONE
    if m.vma[v, Vma.MOF]:
        target = mpol_misplaced(m, task, v, vpn, pfn)
    if target != NONE:
        if mapcount(m.frame[pfn]) > 0:
            m.refused[s, Refusal.NOT_FIRST_TOUCH] += 1
        else:
            new = alloc_on_node(m, s, target, cpu_nid, Node.LOW, 0)
            if new == PUT_ASIDE:
                return PUT_ASIDE
            if new == NO_MEMORY:
                m.refused[s, Refusal.TARGET_FULL] += 1
            else:
                migrate_folio_move(m, s, pfn, new)
                migration_cost(m, s, task, pfn, new)
                m.vm[s, target, Vm.LAZY_PAGES_MIGRATED] += 1
                pfn = new
    _count_lazy_faults(m, s, task, 1)
    return pfn


@inlined
def map_cached(m, s, task, at, cache, old, pfn, write):
    """Map the page of a PTE's slot or entry, in frame ``pfn``, and judge its move.

    old    the frame that it was in before the fault, NONE: it was on disk
    Return (PTEs that still hold the slot or entry, whether only this PTE maps it).
    """
    given = m.pte[at] & PTE_PAYLOAD
    cache.holders[given] -= 1
    left = cache.holders[given]
    return left, map_parked(m, s, task, at, left, old, pfn, write)


@inlined
def map_parked(m, s, task, at, left, old, pfn, write):
    """Map a page that was parked; ``left`` PTEs still hold its identity.

    Return whether only this PTE maps it.
    """
    m.frame[pfn] += FRAME_MAPCOUNT_ONE
    exclusive = left == 0 and mapcount(m.frame[pfn]) == 1
    m.pte[at] = _cached_pte(pfn, write and exclusive)
    add_rss(m, s, task, 1, -1)
    if old != NONE and old != pfn:
        # Nothing mapped the page when it moved.
        ns = migration_ns(m, old, pfn)
        note_move_of(m, s, task, at, node_of(m, old), pfn, ns)
    return exclusive


@inlined
def free_page(m, s, pfn):
    """Free a page that nothing maps, nor holds."""
    lru_add(m, s, pfn, -1)
    put_page(m, s, pfn)
