"""Pages that lie in a cache, unmapped, until the next touch: both caches alike."""

from ..counters import Cause, Refusal, Vm
from ..frames.account import add_rss, charge
from ..frames.allotment import close_row, has_frame, open_row, take_next
from ..frames.look_ahead import look_ahead
from ..frames.page_alloc import free_later, node_of
from ..frames.rmap import mapcount, try_to_unmap
from ..frames.swap_state import push_freed
from ..jit.compile import inlined
from ..placement.mempolicy import alloc_on_node, mpol_misplaced
from ..placement.migrate import migrate_folio_move, migration_cost, migration_ns
from ..placement.moves import note_move_of
from ..state import NO_MEMORY, PUT_ASIDE, Change, Cost, Info, Node, Task, Vma
from ..words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    FRAME_ACTIVE,
    FRAME_DIRTY,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_MAPCOUNT_ONE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    NONE,
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
)
from .lazy_row import (
    HELD,
    count_moves,
    goes_to_task,
    has_room,
    is_of,
    moved,
    owed_of,
    private_vma,
)


@inlined
def _count_lazy_faults(m, s, task, nid, pages):
    mm = m.task[task, Task.MM]
    m.vm[s, nid, Vm.LAZY_PAGES_MIGRATED] += pages
    m.vm[s, nid, Vm.LAZY_FAULTS] += pages
    m.mm_change[s, mm, Change.RSS] += pages
    m.mm_change[s, mm, Change.SWAPENTS] -= pages
    ns = m.cost[Cost.MINOR_FAULT] + m.cost[Cost.CACHE_LOOKUP]
    m.cause[s, task, Cause.LAZY_FAULT] += pages * ns


@inlined
def lazy_faults(m, s, queued, k, end, last, run, counts, parked):
    """Serve faults that move parked pages to the task's node and end their parking.

    parked  (PTE_SWAP or PTE_PARKED, PTEs that hold an identity: int16, its frame:
            int64, FREED_SLOTS or FREED_ENTRIES)
    """
    kind, held, frames, chain = parked
    task, first = run >> ACCESS_TASK_SHIFT, k
    v = private_vma(m, task, queued[k] & ACCESS_VPN)
    if v == NONE or not m.vma[v, Vma.MOF] or not m.vma[v, Vma.READ]:
        return k
    nid, delta = m.task[task, Task.NID], m.task[task, Task.DELTA]
    pfn = frames[m.pte[(queued[k] & ACCESS_VPN) + delta] & PTE_PAYLOAD]
    if pfn == NONE or not goes_to_task(m, task, v):
        return k
    old_nid = node_of(m, pfn)
    refused = 0 if m.vma[v, Vma.WRITE] else ACCESS_WRITE
    if old_nid == nid or not has_room(m, nid, Node.LOW, 0):
        return k
    low, high, owed = (
        m.vma[v, Vma.START],
        m.vma[v, Vma.END],
        owed_of(m, task, old_nid, nid),
    )
    cache = FRAME_SWAPCACHE if kind == PTE_SWAP else FRAME_MIGCACHE
    active, back = 0, 0
    row = open_row(m, s, nid)
    while k < end and has_frame(row):
        word = queued[k]
        look_ahead(m, queued, k, last)
        if not is_of(word, run, low, high) or word & refused:
            break
        at = (word & ACCESS_VPN) + delta
        pte = m.pte[at]
        given = pte & PTE_PAYLOAD
        if not pte & kind or held[given] != 1 or frames[given] == NONE:
            break
        old = frames[given]
        page = m.frame[old]
        if page & HELD != cache or node_of(m, old) != old_nid:
            break
        new, row = take_next(m, s, nid, row)
        page = moved(page, pte, old_nid) & ~cache
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
    count_moves(m, s, task, old_nid, nid, pages, active, back)
    _count_lazy_faults(m, s, task, nid, pages)
    counts[nid] += pages
    counts[counts.size - 1] += pages if owed == 0 else 0
    return k


@inlined
def park(m, pfn, kind, given, count):
    s = m.info[Info.SHARDS]
    try_to_unmap(m, s, pfn, kind, given, count)
    m.vm[s, node_of(m, pfn), Vm.LAZY_PAGES_MARKED] += 1


@inlined
def check_migrate_misplaced_page(m, s, task, v, vpn, pfn):
    """Serve the lazy part of a fault on a parked page; return its frame.

    Migrate-on-fault (Schermerhorn 2006): only the first toucher finds mapcount 0.
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
    m.vm[s, cpu_nid, Vm.LAZY_FAULTS] += 1
    ns = m.cost[Cost.MINOR_FAULT] + m.cost[Cost.CACHE_LOOKUP]
    charge(m, s, task, Cause.LAZY_FAULT, ns)
    return pfn


@inlined
def map_cached(m, s, task, at, pfn, count, write):
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
def judge(m, s, task, at, old, pfn):
    """Judge the move of a cached page, if it has moved: nothing mapped it then."""
    if old != pfn:
        ns = migration_ns(m, old, pfn)
        note_move_of(m, s, task, at, node_of(m, old), pfn, ns)
