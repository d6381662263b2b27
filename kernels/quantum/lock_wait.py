"""How long tasks wait for locks that others hold (``docs/model/locks.md``).

A window is what tasks did since their waits were last settled: a quantum, or the system
calls between two runs.  In a window each lock is a closed queue: a task that holds it
for ``hold`` ns of the window's length, in so many acquisitions, works for the rest of
the time.  Mean values of such a queue are found by Chandy and Neuse's Linearizer
(Communications of the ACM 25, 1982) for classes of tasks that use the lock alike.
"""

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

import numpy as np

from ..counters import Cause
from ..jit.arrays import Arrays
from ..jit.compile import called, inlined, kernel
from ..state import Columns, Cost, Mm, Task
from ..words import HPAGE_PMD_NR, NONE


class Scope(IntEnum):
    """What there is one lock of: the machine, a node, a process, a page table ..."""

    #: No lock at all.
    NONE = 0
    GLOBAL = 1
    #: The node of the task's CPU.
    NODE = 2
    MM = 3
    #: The root of anonymous memory: a process and its relatives by fork.
    ANON_VMA = 4
    #: A page table, and a page, that any task of the process is as likely to use.
    PAGE_TABLE = 5
    FOLIO = 6


class LockStat(Columns):
    """Columns of ``LockWork.stats``, float64[locks, len(LockStat)]."""

    ACQUIRED = auto()
    #: Acquisitions that found it held.
    WAITED = auto()
    #: ns, of all tasks together; the longest mean wait of a task in a window.
    WAIT = auto()
    LONGEST = auto()
    HELD = auto()


#: How a lock is held: shared with other readers, or alone.
READ, WRITE = 0, 1
#: Most classes of tasks; in each the greatest use is less than twice the least.
CLASSES: Final = 8
#: Rounds of the Linearizer (Chandy and Neuse use three), and most steps of each.
_ROUNDS: Final = 3
_STEPS: Final = 2000
_PRECISE: Final = 1e-7
#: Rounds in which readers and writers of one lock get to know of each other.
_READ_ROUNDS: Final = 6
#: Millionths, and picoseconds in a ns.
PPM: Final = 1_000_000
PS: Final = 1000
#: The shortest hold, ns.
_MOMENT: Final = 1e-3
#: A class that holds its lock all the time still works a little.
_MOST: Final = 1 - 1e-6

_NONE, _GLOBAL, _NODE = int(Scope.NONE), int(Scope.GLOBAL), int(Scope.NODE)
_MM, _ANON_VMA = int(Scope.MM), int(Scope.ANON_VMA)
_PAGE_TABLE, _FOLIO = int(Scope.PAGE_TABLE), int(Scope.FOLIO)


class Of(Columns):
    """Rows of ``LockWork.classes``, float64[len(Of), CLASSES]: a class of tasks."""

    TASKS = auto()
    HELD = auto()  # ns of the window, all its tasks
    TAKEN = auto()  # acquisitions, all its tasks
    HOLD = auto()  # ns of one
    THINK = auto()  # ns between two
    QUEUED = auto()  # mean number that wait or hold
    FEWER = auto()  # the same with one task less
    NEXT = auto()
    RESIDENCE = auto()  # ns of waiting and holding


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
    #: float64[locks, len(LockStat)], int64[rows, locks] ns: so far.
    stats: np.ndarray
    waited: np.ndarray
    #: int64[locks] ps: what an acquisition takes from each other task of the process.
    interrupts: np.ndarray
    #: Scratch: float64[owners]: acquisitions of a process.
    asked: np.ndarray
    #: Scratch: int64[rows + 1], int64[rows]: chains of the tasks that share a lock.
    head: np.ndarray
    next: np.ndarray
    #: float64[2, rows] by mode: ns held, acquisitions in the window.
    held: np.ndarray
    taken: np.ndarray
    #: int64[rows]: class of each task.  float64[len(Of), CLASSES], and for pairs of
    #: classes what the one's share of the queue loses by a task less of the other.
    of: np.ndarray
    classes: np.ndarray
    loss: np.ndarray
    less: np.ndarray


# --- a closed queue -------------------------------------------------------------------


@inlined
def _seen(w, count, c, gone, objects):
    """Return the work that a task of class ``c`` finds before it, ns.

    gone  a class that has a task less, NONE: none has
    """
    found = 0.0
    for g in range(count):
        there = w.classes[Of.TASKS, g] - (g == gone)
        others = there - (g == c)
        if others > 0:
            queued = w.classes[Of.FEWER, g] / there + w.loss[g, c]
            queued = min(max(queued, 0.0), 1.0)
            found += w.classes[Of.HOLD, g] * others * queued
    return found / objects


@inlined
def _solve(w, count, gone, objects):
    """Find Of.FEWER, the queue of each class, with a task less of class ``gone``."""
    for g in range(count):
        there = w.classes[Of.TASKS, g] - (g == gone)
        w.classes[Of.FEWER, g] = there * w.classes[Of.QUEUED, g]
        w.classes[Of.FEWER, g] /= w.classes[Of.TASKS, g]
    for _ in range(_STEPS):
        change = 0.0
        for c in range(count):
            there = w.classes[Of.TASKS, c] - (c == gone)
            hold = w.classes[Of.HOLD, c]
            stay = hold + _seen(w, count, c, gone, objects)
            w.classes[Of.RESIDENCE, c] = stay
            w.classes[Of.NEXT, c] = there * stay / (stay + w.classes[Of.THINK, c])
        for c in range(count):
            step = w.classes[Of.NEXT, c] - w.classes[Of.FEWER, c]
            change = max(change, abs(step))
            w.classes[Of.FEWER, c] += step / 2
        if change < _PRECISE:
            break


@called
def solve_queue(w, count, objects):
    """Find Of.QUEUED and Of.RESIDENCE of ``count`` classes at one of ``objects`` locks.

    Of.TASKS, Of.HOLD and Of.THINK are given.
    """
    for c in range(count):
        hold = w.classes[Of.HOLD, c]
        share = hold / (hold + w.classes[Of.THINK, c])
        w.classes[Of.QUEUED, c] = w.classes[Of.TASKS, c] * share
        for g in range(count):
            w.loss[g, c] = 0.0
    for i in range(_ROUNDS):
        _solve(w, count, NONE, objects)
        for c in range(count):
            w.classes[Of.QUEUED, c] = w.classes[Of.FEWER, c]
        if i == _ROUNDS - 1:
            break
        for c in range(count):
            _solve(w, count, c, objects)
            for g in range(count):
                there = w.classes[Of.TASKS, g] - (g == c)
                w.less[g, c] = 0.0
                if there > 0:
                    w.less[g, c] = w.classes[Of.FEWER, g] / there
                    w.less[g, c] -= w.classes[Of.QUEUED, g] / w.classes[Of.TASKS, g]
        for c in range(count):
            for g in range(count):
                w.loss[g, c] = w.less[g, c]


# --- the tasks that share a lock ------------------------------------------------------


@inlined
def _classify(w, first, length, extra):
    """Put the writers of a chain into classes; return how many there are.

    first   of the chain
    length  of the window, ns
    extra   ns that each acquisition lasts longer: until the readers have gone
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
    return _close_up(w, first, length, extra)


@inlined
def _close_up(w, first, length, extra):
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
        hold = held / taken
        share = min(held / (tasks * length), _MOST)
        w.classes[Of.HOLD, count] = hold + extra
        w.classes[Of.THINK, count] = hold * (1 - share) / share
        count += 1
    return count


@inlined
def _readers(w, first, length, objects):
    """Return (readers of a chain, share of the time that each is one, hold of one)."""
    readers, held, taken = 0, 0.0, 0.0
    t = first
    while t != NONE:
        if w.taken[READ, t] > 0:
            readers += 1
            held += w.held[READ, t]
            taken += w.taken[READ, t]
        t = w.next[t]
    if readers == 0:
        return 0, 0.0, 0.0
    return readers, min(held / (readers * length * objects), 1.0), held / taken


@inlined
def _drain(readers, share, hold):
    """Return how long a writer waits until the readers that it meets have gone, ns.

    The mean of the longest of n exponential times is the n-th harmonic number of them;
    n is binomial.
    """
    found, nobody = 0.0, 1.0
    for k in range(1, readers + 1):
        nobody *= 1 - share
        found += (1 - nobody) / k
    return hold * found


@inlined
def _charge_wait(m, w, lock, t, mode, wait, busy):
    """Let a task wait ``wait`` ns in each of its acquisitions of the window."""
    stats, taken = w.stats[lock], w.taken[mode, t]
    ns = int(taken * wait)
    stats[LockStat.HELD] += w.held[mode, t]
    stats[LockStat.ACQUIRED] += taken
    stats[LockStat.WAITED] += taken * min(busy, 1.0)
    stats[LockStat.WAIT] += ns
    stats[LockStat.LONGEST] = max(stats[LockStat.LONGEST], wait)
    w.waited[t, lock] += ns
    cause = Cause.LOCK_SLEEP if w.sleeps[lock] else Cause.LOCK_SPIN
    m.cause[0, t, cause] += ns


@inlined
def _solve_writers(w, first, length, objects, drain):
    """Find how the writers of a chain queue; return how many classes there are.

    drain  ns that each waits until readers have gone, as a part of its hold
    """
    count = _classify(w, first, length, drain)
    if count > 0:
        solve_queue(w, count, objects)
    return count


@inlined
def _totals(w, count):
    """Return sums over solved classes of writers.

    (work of those that wait or hold, ns; work of all, ns; their number; acquisitions a
    ns; share of the time that one holds the lock)
    """
    queued, most, tasks, rate, busy = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(count):
        there, hold = w.classes[Of.TASKS, c], w.classes[Of.HOLD, c]
        taken = there / (w.classes[Of.RESIDENCE, c] + w.classes[Of.THINK, c])
        queued += hold * w.classes[Of.QUEUED, c]
        most += hold * there
        tasks += there
        rate += taken
        busy += hold * taken
    return queued, most, tasks, rate, busy


@inlined
def _blocked(think, read, drain, hold):
    """Return how long a reader waits while one writer waits and holds, mean ns.

    Who thinks when the writer comes may arrive while it waits for readers, or while it
    holds the lock; who reads comes back to it later.  Times are exponential.
    """
    late = hold * hold / (hold + think)
    early = drain / (drain + think)
    reads = read / (think + read)
    return (1 - reads) * (early * (drain + hold) + (1 - early) * late) + reads * late


@inlined
def _settle_readers_alone(m, w, lock, first):
    t = first
    while t != NONE:
        _charge_wait(m, w, lock, t, READ, 0.0, 0.0)
        t = w.next[t]


@called
def settle_chain(m, w, lock, first, length, objects):
    """Charge the waits of the tasks of a chain at a lock that they share."""
    readers, share, read = _readers(w, first, length, objects)
    free, read_wait = _drain(readers, share, read), 0.0
    drain, queued, most, tasks, rate, busy = free, 0.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(_READ_ROUNDS if readers > 0 else 1):
        count = _solve_writers(w, first, length, objects, drain)
        if count == 0:
            _settle_readers_alone(m, w, lock, first)
            return
        queued, most, tasks, rate, busy = _totals(w, count)
        if readers == 0:
            break
        # A writer that finds another finds only the readers that came in between.
        think, hold = read * (1 - share) / share, most / tasks - drain
        block = _blocked(think, read, drain, hold)
        found = (tasks - 1) / tasks * min(1.0, busy)
        between = _drain(readers, min(1.0, block / (drain + hold) / 2), read)
        block *= queued / (busy * (drain + hold))
        drain = free * (1 - found) + between * found
        apart = 1 / rate
        wait = block * (think + read) / max(apart - block, apart / 20)
        read_wait = min(wait, apart * max(1.0, queued * tasks / most)) / objects
    t = first
    while t != NONE:
        c, mine = w.of[t], 0.0
        if c != NONE:
            hold, stay = w.classes[Of.HOLD, c], w.classes[Of.RESIDENCE, c]
            mine = hold / (stay + w.classes[Of.THINK, c])
            wait = min(stay - hold, most - hold) + (drain if readers > 0 else 0.0)
            _charge_wait(m, w, lock, t, WRITE, wait, (busy - mine) / objects)
        if w.taken[READ, t] > 0:
            found = (busy - mine) / objects
            _charge_wait(m, w, lock, t, READ, read_wait, found)
        t = w.next[t]


@inlined
def _use(m, w, lock, t):
    """Note how long a task held a lock in the window, and how often it took it."""
    mm = m.task[t, Task.MM]
    flush = m.cost[Cost.TLB_FLUSH]
    flush += m.cost[Cost.TLB_FLUSH_CPU] * max(0, m.mm[mm, Mm.USERS] - 1)
    longest = 0.0
    for mode in range(2):
        ps, ppm = 0.0, 0.0
        for op in range(m.ops.shape[2]):
            times = m.ops[0, t, op]
            if times == 0:
                continue
            ppm += times * w.acquire[lock, mode, op]
            ps += times * w.hold[lock, mode, op]
            ps += times * w.flush[lock, mode, op] * flush / (PPM // PS)
        w.taken[mode, t] = ppm / PPM
        # Whoever takes a lock holds it for a moment.
        w.held[mode, t] = max(ps / PS, w.taken[mode, t] * _MOMENT)
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


@inlined
def _settle_lock(m, w, tasks, lock, length):
    """Charge the waits for the locks of one row."""
    scope = w.scope[lock]
    if scope == _NONE:
        return
    for owner in range(w.head.size):
        w.head[owner] = NONE
    for i in range(tasks):
        t = tasks - 1 - i
        longest = _use(m, w, lock, t)
        if w.taken[READ, t] + w.taken[WRITE, t] == 0:
            continue
        length = max(length, longest)
        owner = _owner(m, scope, t)
        w.next[t], w.head[owner] = w.head[owner], t
    for owner in range(w.head.size):
        if w.head[owner] != NONE:
            objects = _objects(m, scope, owner)
            settle_chain(m, w, lock, w.head[owner], length, objects)


@inlined
def _interrupt(m, w, tasks, lock):
    """Let what tasks do interrupt the others of their process that work."""
    if w.interrupts[lock] == 0:
        return
    for owner in range(w.asked.size):
        w.asked[owner] = 0.0
    for t in range(tasks):
        _use(m, w, lock, t)
        w.asked[m.task[t, Task.MM]] += w.taken[WRITE, t]
    for t in range(tasks):
        others = w.asked[m.task[t, Task.MM]] - w.taken[WRITE, t]
        if others > 0 and m.task[t, Task.RUNTIME] > w.began[t]:
            ns = int(others * w.interrupts[lock] / PS)
            w.stats[lock, LockStat.WAIT] += ns
            w.waited[t, lock] += ns
            m.cause[0, t, Cause.LOCK_SPIN] += ns


@inlined
def _fold_ops(m, tasks):
    """Add up the operations of all shards; return whether there were any."""
    some = 0
    for s in range(1, m.ops.shape[0]):
        for t in range(tasks):
            for k in range(m.ops.shape[2]):
                m.ops[0, t, k] += m.ops[s, t, k]
                m.ops[s, t, k] = 0
    for t in range(tasks):
        for k in range(m.ops.shape[2]):
            some |= m.ops[0, t, k]
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
    if _fold_ops(m, tasks) and length > 0:
        for lock in range(w.scope.size):
            _settle_lock(m, w, tasks, lock, length)
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
