"""How long tasks wait for locks that others hold (``docs/model/locks.md``).

A window is what tasks did since their waits were last settled: a quantum, or the system
calls between two runs.  In a window each lock is a closed queue: a task that holds it
for ``hold`` ns of the window's length, in so many acquisitions, works for the rest of
the time.  ``lock_queue.py`` solves it, with ``lock_readers.py`` if some only read.
"""

from dataclasses import dataclass
from enum import auto
from typing import Final

import numpy as np

from ..counters import MM_WORKERS, NODE_WORKERS, Cause, Op, Worker
from ..jit.arrays import Arrays
from ..jit.compile import called, inlined, kernel
from ..state import Columns, Cost, Mm, Task
from ..words import HPAGE_PMD_NR, NONE
from .lock_queue import CLASSES, Of, solve_queue
from .lock_readers import drain, reader, solve_readers, writers_queue
from .lock_words import PPM, PS, READ, WRITE, Scope


class LockStat(Columns):
    """Columns of ``LockWork.stats``, float64[locks, len(LockStat)]."""

    ACQUIRED = auto()
    #: Acquisitions that found it held.
    WAITED = auto()
    #: ns, of all tasks together; the longest mean wait of a task in a window.
    WAIT = auto()
    LONGEST = auto()
    HELD = auto()
    #: ns, of Workers, whose clocks do not move.
    WORKERS_WAIT = auto()


#: The shortest hold, ns.
_MOMENT: Final = 1e-3
#: A class that holds its lock all the time still works a little.
_MOST: Final = 1 - 1e-6

_NONE, _GLOBAL, _NODE = int(Scope.NONE), int(Scope.GLOBAL), int(Scope.NODE)
_MM, _ANON_VMA = int(Scope.MM), int(Scope.ANON_VMA)
_PAGE_TABLE, _FOLIO = int(Scope.PAGE_TABLE), int(Scope.FOLIO)


@dataclass(frozen=True, eq=False, repr=False)
class LockWork(Arrays):
    """The locks of a simulation, and what is known of their use.

    Rows of locks are those of ``engine/settings/locks.py``.
    """

    #: int64[locks, 2, len(Op)] by mode: acquisitions of an Op in millionths; how long
    #: it holds the lock, ps; TLB flushes that it does so long, in millionths.
    acquire: np.ndarray
    hold: np.ndarray
    flush: np.ndarray
    #: int64[locks]: its Scope, and 1 if who waits sleeps.
    scope: np.ndarray
    sleeps: np.ndarray
    #: int64[rows]: runtime of each task at the window's start.
    began: np.ndarray
    #: float64[rows of Memory.worker_ops, len(Op)]: what Workers have still to do.
    backlog: np.ndarray
    #: float64[locks, len(LockStat)], int64[rows, locks] ns: so far.
    stats: np.ndarray
    waited: np.ndarray
    #: Scratch: float64[workers, len(Op)], int64[workers]: what those Workers do in the
    #: window that do something, and their rows; int64[rows]: not 0 if a task did.
    work: np.ndarray
    worker: np.ndarray
    some: np.ndarray
    #: float64[2, owners]: part of all mapped pages that a process and a family has.
    share: np.ndarray
    #: int64[locks] ps: what an acquisition takes from each other task of the process.
    interrupts: np.ndarray
    #: float64[owners]: acquisitions of a process.
    asked: np.ndarray
    #: int64[owners], int64[rows + workers]: chains of those that share a lock, Workers
    #: behind the tasks.
    head: np.ndarray
    next: np.ndarray
    #: float64[2, rows + workers] by mode: ns held, acquisitions in the window.
    held: np.ndarray
    taken: np.ndarray
    #: int64[rows + workers]: class of each.  float64[len(Of), CLASSES], and for pairs
    #: of classes what the one's share of the queue loses by a task less of the other.
    of: np.ndarray
    classes: np.ndarray
    loss: np.ndarray
    less: np.ndarray


# --- who shares a lock ----------------------------------------------------------------


@inlined
def _classify(w, first, length):
    """Put the writers of a chain into classes; return how many there are.

    first   of the chain
    length  of the window, ns
    """
    most = 0.0
    t = first
    while t != NONE:
        most = max(most, w.held[WRITE, t])
        t = w.next[t]
    for k in range(3):
        for c in range(CLASSES):
            w.classes[k, c] = 0.0
    t = first
    while t != NONE:
        w.of[t] = NONE
        if w.taken[WRITE, t] > 0:
            held = w.held[WRITE, t]
            c, least = 0, most / 2
            while c < CLASSES - 1 and held < least:
                c, least = c + 1, least / 2
            w.of[t] = c
            w.classes[Of.TASKS, c] += 1
            w.classes[Of.HELD, c] += held
            w.classes[Of.TAKEN, c] += w.taken[WRITE, t]
        t = w.next[t]
    return _close_up(w, first, length)


@inlined
def _close_up(w, first, length):
    """Drop empty classes and find what one acquisition of each is; return how many."""
    count = 0
    for c in range(CLASSES):
        tasks = w.classes[Of.TASKS, c]
        if tasks == 0:
            continue
        held, taken = w.classes[Of.HELD, c], w.classes[Of.TAKEN, c]
        t = first
        while t != NONE:
            if w.of[t] == c:
                w.of[t] = count
            t = w.next[t]
        w.classes[Of.TASKS, count] = tasks
        w.classes[Of.HELD, count], w.classes[Of.TAKEN, count] = held, taken
        w.classes[Of.HOLD, count] = held / taken
        w.classes[Of.THINK, count] = think_of(held, taken, tasks * length)
        count += 1
    return count


@inlined
def think_of(held, taken, time):
    """Return what is between two acquisitions of a lock that was held so long, ns."""
    share = min(held / time, _MOST)
    return held / taken * (1 - share) / share


@inlined
def _sums(w, first, mode):
    """Return of a chain (who takes the lock in a mode, ns held, acquisitions, rest).

    rest  ns: what is left of a hold at any time
    """
    count, held, taken, square = 0, 0.0, 0.0, 0.0
    t = first
    while t != NONE:
        if w.taken[mode, t] > 0:
            count += 1
            held += w.held[mode, t]
            taken += w.taken[mode, t]
            square += w.held[mode, t] / w.taken[mode, t] * w.held[mode, t]
        t = w.next[t]
    return count, held, taken, square / held if count > 0 else 0.0


@inlined
def _charge_wait(m, w, lock, t, mode, wait, found):
    """Let somebody wait ``wait`` ns in each acquisition of the window.

    found  share of these that find the lock held
    """
    stats, taken = w.stats[lock], w.taken[mode, t]
    stats[LockStat.HELD] += w.held[mode, t]
    stats[LockStat.ACQUIRED] += taken
    stats[LockStat.WAITED] += taken * min(found, 1.0)
    if t >= w.waited.shape[0]:
        stats[LockStat.WORKERS_WAIT] += taken * wait
        return
    ns = int(taken * wait)
    stats[LockStat.WAIT] += ns
    stats[LockStat.LONGEST] = max(stats[LockStat.LONGEST], wait)
    w.waited[t, lock] += ns
    cause = Cause.LOCK_SLEEP if w.sleeps[lock] else Cause.LOCK_SPIN
    m.cause[0, t, cause] += ns


@inlined
def _bounds(w, first):
    """Return (ns that Workers hold a chain's lock alone, a hold of each task, ns).

    What Workers do does not grow because others wait: so nobody waits longer for them
    than they hold the lock.  -1: none does.
    """
    workers, tasks = -1.0, 0.0
    t = first
    while t != NONE:
        if w.taken[WRITE, t] > 0 and t >= w.waited.shape[0]:
            workers = max(workers, 0.0) + w.held[WRITE, t]
        elif w.taken[WRITE, t] > 0:
            tasks += w.held[WRITE, t] / w.taken[WRITE, t]
        t = w.next[t]
    return workers, tasks


@inlined
def _bounded(wait, taken, bounds):
    """Return a wait in each of ``taken`` acquisitions, bounded by ``_bounds``."""
    if bounds[0] < 0:
        return wait
    return min(wait, bounds[0] / taken + bounds[1])


@inlined
def _charge_readers(m, w, lock, first, time, seen, bounds):
    """Charge the readers of a chain.

    time    of the window for each lock of those that they use, ns
    seen    the writers, as of ``writers_queue``
    bounds  as of ``_bounds``
    """
    t = first
    while t != NONE:
        if w.taken[READ, t] > 0:
            held, taken = w.held[READ, t], w.taken[READ, t]
            pause = think_of(held, taken, time)
            blocked, wait, _, _ = reader(held / taken, pause, seen)
            wait = _bounded(blocked * wait, taken, bounds)
            _charge_wait(m, w, lock, t, READ, wait, blocked)
        t = w.next[t]


@inlined
def _busy(w, count):
    """Return (work of all writers, ns, share of the time that one holds the lock)."""
    most, busy = 0.0, 0.0
    for c in range(count):
        work = w.classes[Of.TASKS, c] * w.classes[Of.HOLD, c]
        most += work
        busy += work / (w.classes[Of.RESIDENCE, c] + w.classes[Of.THINK, c])
    return most, busy


@inlined
def _charge_writers(m, w, lock, first, count, objects, longer, drained, free, bounds):
    """Charge the writers of a chain, whose queue is solved.

    longer   how much longer they wait for each other because of readers
    drained  ns that they wait for readers then
    free     chance that they find the lock free; less than 0: as the queue has it
    bounds   as of ``_bounds``
    """
    most, busy = _busy(w, count)
    t = first
    while t != NONE:
        c = w.of[t]
        if c != NONE:
            hold, stay = w.classes[Of.HOLD, c], w.classes[Of.RESIDENCE, c]
            found = 1 - free
            if free < 0:
                mine = hold / (stay + w.classes[Of.THINK, c])
                found = (busy - mine) / objects
            wait = min(stay - hold, most - hold) * longer
            wait = _bounded(wait, w.taken[WRITE, t], bounds) + drained
            _charge_wait(m, w, lock, t, WRITE, wait, found)
        t = w.next[t]


@inlined
def _settle_without_waits(m, w, lock, first):
    t = first
    while t != NONE:
        for mode in range(2):
            _charge_wait(m, w, lock, t, mode, 0.0, 0.0)
        t = w.next[t]


@called
def settle_chain(m, w, lock, first, length, objects):
    """Charge the waits of the tasks of a chain at a lock that they share."""
    if w.next[first] == NONE:
        # It reads and writes, but not at the same time.
        _settle_without_waits(m, w, lock, first)
        return
    count, time = _classify(w, first, length), length * objects
    if count == 0:
        _settle_without_waits(m, w, lock, first)
        return
    solve_queue(w, count, objects)
    bounds = _bounds(w, first)
    readers, read_held, read_taken, late = _sums(w, first, READ)
    if readers == 0:
        _charge_writers(m, w, lock, first, count, objects, 1.0, 0.0, -1.0, bounds)
        return
    writers, held, taken, rest = _sums(w, first, WRITE)
    hold, think = held / taken, think_of(held, taken, writers * time)
    read, pause = (
        read_held / read_taken,
        think_of(read_held, read_taken, readers * time),
    )
    nobody = drain(0, 0.0, 1.0)
    _, plain, _, _ = writers_queue(writers, hold, rest, think, nobody, nobody)
    seen, wait, drained, free = solve_readers(
        writers, hold, rest, think, readers, read, late, pause
    )
    longer = wait / plain if plain > 0 else 1.0
    _charge_writers(m, w, lock, first, count, objects, longer, drained, free, bounds)
    _charge_readers(m, w, lock, first, time, seen, bounds)


# --- what each did in the window ------------------------------------------------------


@inlined
def _note_use(m, w, lock, t, ops, mm, part):
    """Note how long somebody held a lock in the window, and how often it took it.

    ops   its operations in the window, by Op
    mm    whose TLBs it flushes, NONE: nobody's
    part  of the operations that are done with this lock
    """
    flush = m.cost[Cost.TLB_FLUSH]
    if mm != NONE:
        flush += m.cost[Cost.TLB_FLUSH_CPU] * max(0, m.mm[mm, Mm.USERS] - 1)
    for mode in range(2):
        w.taken[mode, t] = w.held[mode, t] = 0.0
    for op in range(ops.size):
        times = ops[op] * part
        if times == 0:
            continue
        for mode in range(2):
            w.taken[mode, t] += times * w.acquire[lock, mode, op]
            w.held[mode, t] += times * w.hold[lock, mode, op]
            w.held[mode, t] += times * w.flush[lock, mode, op] * flush / (PPM // PS)
    longest = 0.0
    for mode in range(2):
        w.taken[mode, t] /= PPM
        # Whoever takes a lock holds it for a moment.
        w.held[mode, t] = max(w.held[mode, t] / PS, w.taken[mode, t] * _MOMENT)
        longest = max(longest, w.held[mode, t])
    return longest


@inlined
def _owner(m, scope, t):
    """Return which of the locks of a scope a task uses."""
    if scope == _GLOBAL:
        return 0
    if scope == _NODE:
        return m.task[t, Task.NID]
    if scope == _ANON_VMA:
        return m.mm[m.task[t, Task.MM], Mm.FAMILY]
    return m.task[t, Task.MM]


@inlined
def _objects(m, scope, owner):
    """Return of how many locks of a process each task uses any."""
    if scope == _PAGE_TABLE:
        return max(1, m.mm[owner, Mm.RSS] // HPAGE_PMD_NR)
    if scope == _FOLIO:
        huge = m.mm[owner, Mm.HUGE]
        return max(1, m.mm[owner, Mm.RSS] - huge + huge // HPAGE_PMD_NR)
    return 1


# --- Workers --------------------------------------------------------------------------


@inlined
def _share_pages(m, w):
    """Find what part of all mapped pages each process has, and each family of them."""
    pages = 0
    for mm in range(m.mm.shape[0]):
        pages += m.mm[mm, Mm.RSS]
    for owner in range(w.head.size):
        w.share[0, owner] = w.share[1, owner] = 0.0
    for mm in range(m.mm.shape[0]):
        w.share[0, mm] = m.mm[mm, Mm.RSS] / max(1, pages)
        w.share[1, m.mm[mm, Mm.FAMILY]] += w.share[0, mm]


@inlined
def _part_of_node(w, scope, who, n, owner):
    """Return what part of a node's Worker's work is done with a lock of an owner."""
    if scope == _NODE:
        return 1.0 if n == owner else 0.0
    if who == Worker.EXIT:
        return 0.0  # nobody else has the locks of a process that ends
    return w.share[1 if scope == _ANON_VMA else 0, owner]


@inlined
def _part(m, w, scope, row, owner):
    """Return what part of the work of a row of Workers is done with a lock."""
    if scope == _GLOBAL:
        return 1.0 if owner == 0 else 0.0
    nodes = m.node.shape[0]
    if row < NODE_WORKERS * nodes:
        return _part_of_node(w, scope, row // nodes, row % nodes, owner)
    mm = (row - NODE_WORKERS * nodes) // MM_WORKERS
    if scope == _NODE:
        mine = max(0, m.mm[mm, Mm.PGD_NID])
    elif scope == _ANON_VMA:
        mine = m.mm[mm, Mm.FAMILY]
    else:
        mine = mm
    return 1.0 if mine == owner else 0.0


@inlined
def _join(m, w, lock, owner, first, workers):
    """Put Workers that use a lock of an owner before its tasks; return the first."""
    scope, mm, tasks = w.scope[lock], NONE, w.waited.shape[0]
    if first != NONE:
        mm = m.task[first, Task.MM]
    for k in range(workers):
        part = _part(m, w, scope, w.worker[k], owner)
        if part == 0:
            continue
        t = tasks + k
        _note_use(m, w, lock, t, w.work[k], mm, part)
        if w.taken[READ, t] + w.taken[WRITE, t] > 0:
            w.next[t], first = first, t
    return first


@inlined
def _take_work(m, w, length):
    """Let Workers do what can be done in the window; return how many do something."""
    count = 0
    for row in range(m.worker_ops.shape[0]):
        some = 0.0
        for k in range(m.worker_ops.shape[1]):
            w.backlog[row, k] += m.worker_ops[row, k]
            m.worker_ops[row, k] = 0
            some += w.backlog[row, k]
        if some == 0:
            continue
        part = min(1.0, length / max(1.0, w.backlog[row, Op.WORK_NS]))
        for k in range(m.worker_ops.shape[1]):
            w.work[count, k] = w.backlog[row, k] * part
            w.backlog[row, k] -= w.work[count, k]
        w.worker[count] = row
        count += 1
    if count > 0:
        _share_pages(m, w)
    return count


# --- a window -------------------------------------------------------------------------


@inlined
def _settle_lock(m, w, tasks, lock, length, workers):
    """Charge the waits for the locks of one row."""
    scope = w.scope[lock]
    if scope == _NONE:
        return
    for owner in range(w.head.size):
        w.head[owner] = NONE
    for i in range(tasks):
        t = tasks - 1 - i
        if not w.some[t]:
            continue
        longest = _note_use(m, w, lock, t, m.ops[0, t], m.task[t, Task.MM], 1.0)
        if w.taken[READ, t] + w.taken[WRITE, t] == 0:
            continue
        length = max(length, longest)
        owner = _owner(m, scope, t)
        w.next[t], w.head[owner] = w.head[owner], t
    for owner in range(w.head.size):
        first = w.head[owner]
        if workers > 0:
            first = _join(m, w, lock, owner, first, workers)
        if first != NONE:
            objects = _objects(m, scope, owner)
            settle_chain(m, w, lock, first, length, objects)


@inlined
def _interrupt(m, w, tasks, lock):
    """Let what tasks do interrupt the others of their process that work."""
    if w.interrupts[lock] == 0:
        return
    for owner in range(w.asked.size):
        w.asked[owner] = 0.0
    for t in range(tasks):
        _note_use(m, w, lock, t, m.ops[0, t], m.task[t, Task.MM], 1.0)
        w.asked[m.task[t, Task.MM]] += w.taken[WRITE, t]
    for t in range(tasks):
        others = w.asked[m.task[t, Task.MM]] - w.taken[WRITE, t]
        if others > 0 and m.task[t, Task.RUNTIME] > w.began[t]:
            ns = int(others * w.interrupts[lock] / PS)
            w.stats[lock, LockStat.WAIT] += ns
            w.waited[t, lock] += ns
            m.cause[0, t, Cause.LOCK_SPIN] += ns


@inlined
def _fold_ops(m, w, tasks):
    """Add up the operations of all shards; return whether there were any."""
    some = 0
    for s in range(1, m.ops.shape[0]):
        for t in range(tasks):
            for k in range(m.ops.shape[2]):
                # Most are 0: to write them all takes longer than to look at them.
                if m.ops[s, t, k] != 0:
                    m.ops[0, t, k] += m.ops[s, t, k]
                    m.ops[s, t, k] = 0
    for t in range(tasks):
        w.some[t] = 0
        for k in range(m.ops.shape[2]):
            w.some[t] |= m.ops[0, t, k]
        some |= w.some[t]
    return some != 0


@inlined
def _spend(m, t, spent):
    """Let a task's clock go on by what it waited."""
    slept, spun = m.cause[0, t, Cause.LOCK_SLEEP], m.cause[0, t, Cause.LOCK_SPIN]
    m.cause[0, t, Cause.LOCK_SLEEP] = m.cause[0, t, Cause.LOCK_SPIN] = 0
    spent[t, Cause.LOCK_SLEEP] += slept
    spent[t, Cause.LOCK_SPIN] += spun
    m.task[t, Task.CLOCK] += slept + spun
    m.task[t, Task.RUNTIME] += spun
    return slept + spun


@kernel
def settle_waits(m, w, spent):
    """Charge what tasks waited for locks since their waits were last settled.

    spent  int64[tasks, len(Cause)] ns, with what the window's own work took
    """
    tasks = spent.shape[0]
    length = 0
    for t in range(tasks):
        length = max(length, m.task[t, Task.RUNTIME] - w.began[t])
    some = _fold_ops(m, w, tasks)
    workers = _take_work(m, w, length) if length > 0 else 0
    if length > 0 and (some or workers > 0):
        for lock in range(w.scope.size):
            _settle_lock(m, w, tasks, lock, length, workers)
            _interrupt(m, w, tasks, lock)
    for t in range(tasks):
        busy = m.task[t, Task.RUNTIME] - w.began[t]
        waited = _spend(m, t, spent)
        if waited > 0 and busy > 0:
            mean = m.task[t, Task.MEAN]
            m.task[t, Task.MEAN] = mean + mean * waited // busy
        w.began[t] = m.task[t, Task.RUNTIME]
        for k in range(m.ops.shape[2]):
            m.ops[0, t, k] = 0
