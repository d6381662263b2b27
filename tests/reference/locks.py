"""Locks: what took each in a window, how it queued, and what every task waited.

``docs/model/locks.md`` states the rules; the table of locks is the engine's.
"""

from typing import NamedTuple

from lazynuma.engine.settings.locks import ROWS, interrupts_ps, sleeps, used
from lazynuma.kernels.counters import MM_WORKERS, NODE_WORKERS, Cause, Op, Worker
from lazynuma.kernels.quantum.lock_words import READ, WRITE

from .words import BLOCK


class Customer(NamedTuple):
    """Somebody at a lock: acquisitions in a window, and ns that it was held.

    task  None: a Worker
    """

    task: object
    reads: float
    read_ns: float
    writes: float
    write_ns: float


class Kind(NamedTuple):
    """Tasks that hold a lock alone much alike; ns of one hold, and between two."""

    tasks: int
    hold: float
    think: float


def queues(kinds, objects, loss, gone=None):
    """Return (mean queue of each kind, its time at the lock), with a task less."""
    there = [kind.tasks - (i == gone) for i, kind in enumerate(kinds)]
    alone = [k.tasks * (k.hold / (k.hold + k.think)) for k in kinds]
    now = loss["start"] or alone
    now = [n * q / k.tasks for n, q, k in zip(there, now, kinds, strict=True)]
    stays = [0.0] * len(kinds)
    for _ in range(2000):
        new = []
        for c, kind in enumerate(kinds):
            found = 0.0
            for g, other in enumerate(kinds):
                others = there[g] - (g == c)
                if others > 0:
                    share = min(max(now[g] / there[g] + loss[g, c], 0.0), 1.0)
                    found += other.hold * others * share
            stays[c] = kind.hold + found / objects
            new.append(there[c] * stays[c] / (stays[c] + kind.think))
        change = max(abs(a - b) for a, b in zip(new, now, strict=True))
        now = [b + (a - b) / 2 for a, b in zip(new, now, strict=True)]
        if change < 1e-7:
            break
    return now, stays


def linearizer(kinds, objects):
    """Return (mean queue of each kind, its time at the lock)."""
    every = range(len(kinds))
    loss = {(g, c): 0.0 for g in every for c in every} | {"start": None}
    for last in (False, False, True):
        full, stays = queues(kinds, objects, loss)
        if last:
            return full, stays
        new = {}
        for c in every:
            less, _ = queues(kinds, objects, loss | {"start": full}, c)
            for g in every:
                n = kinds[g].tasks - (g == c)
                share = less[g] / n - full[g] / kinds[g].tasks if n > 0 else 0.0
                new[g, c] = share
        loss = new | {"start": full}


class Met(NamedTuple):
    """Readers that a writer meets: chance of any, ns if so, part left at any time."""

    some: float
    ns: float
    part: float


class View(NamedTuple):
    """What is seen of writers: as of ``kernels/quantum/lock_readers.py``."""

    come: float
    first: Met
    free: float
    late: float
    left_early: float
    left_late: float
    alone: float
    wait: float
    rate: float


def drain(readers, share, read):
    nobody, mean, spread = 1.0, 0.0, 0.0
    for k in range(1, readers + 1):
        nobody *= 1 - share
        mean += (1 - nobody) / k
        spread += (1 - nobody) / (k * k)
    return met(1 - nobody, mean, spread, read)


def gathered(readers, share, read):
    """Return what is met of readers that came in a time that is exponential."""
    odds, reached, some = (1 - share) / max(share, 1e-12), 1.0, 0.0
    mean, spread = 0.0, 0.0
    for k in range(1, readers + 1):
        left = readers - k + 1
        reached *= left / (left + odds)
        if k == 1:
            some = reached
        mean += reached / k
        spread += reached / (k * k)
    return met(some, mean, spread, read)


def met(some, mean, spread, read):
    if some < 1e-12:
        return Met(1e-12, read, 1.0)
    return Met(
        some, read * mean / some, (1 + min(1.0, spread * (some / (mean * mean)))) / 2
    )


def writers_queue(writers, hold, rest, think, first, then):
    """Return the View of the queue of so many writers, state by state.

    A state: how many there are, and whether the foremost waits for the readers that a
    writer finds alone, or between two, or holds the lock.
    """
    away = 1 / think
    free, total = 1.0, 1.0
    sums = dict.fromkeys(("early", "early_work", "late", "late_work"), 0.0)
    came, waits = writers * away, 0.0
    waits_first, waits_then, holds = 0.0, 0.0, 0.0
    for j in range(1, writers + 1):
        before, more = (writers - j + 1) * away, (writers - j) * away
        if j == 1:
            waits_first = before * first.some / (more + 1 / first.ns)
            up, holds = 0.0, hold * before
        else:
            up, there = before * waits_then, waits_first + waits_then + holds
            waits_first *= before / (more + 1 / first.ns)
            holds = hold * before * there
        waits_then = up + then.some * more * (waits_first + holds)
        waits_then /= more * (1 - then.some) + 1 / then.ns
        last = (j - 1) * (then.some * then.ns + hold)
        soon = waits_first * (first.part * first.ns + hold + last)
        later = waits_then * (then.part * then.ns + hold + last) + holds * (rest + last)
        sums["early"] += waits_first
        sums["early_work"] += soon
        sums["late"] = sums["late"] + waits_then + holds
        sums["late_work"] += later
        total += waits_first + waits_then + holds
        came += more * (waits_first + waits_then + holds)
        waits += more * (soon + later)
        if total > 1e100:
            small = 1 / 1e100
            waits_first, waits_then = waits_first * small, waits_then * small
            holds, free, total = holds * small, free * small, total * small
            came, waits = came * small, waits * small
            sums = {name: value * small for name, value in sums.items()}
    return View(
        writers * away,
        first,
        free / total,
        sums["late"] / total,
        sums["early_work"] / max(sums["early"], 1e-300),
        sums["late_work"] / max(sums["late"], 1e-300),
        writers * away * free / came,
        waits / came,
        came / total,
    )


def one_reader(read, pause, view):
    """Return (chance that it waits, how long then, chance that it reads, its rate)."""
    come, alone = view.come, view.alone
    arrive, leave = 1 / pause, 1 / read
    gone = max(come * view.free / max(view.late, 1e-300), 1e-300)
    fixed = come * (1 + arrive / (leave + come)) / gone
    fewer = arrive * (leave / (leave + come)) * alone / gone
    kept = view.first.some * come / (arrive + 1 / view.first.ns)
    early_fixed = kept * (1 + arrive / (leave + come))
    more = kept * arrive * alone / (leave + come)
    pauses = (fixed + early_fixed) / (1 + fewer - more)
    early = min(early_fixed + more * pauses, pauses)
    reads = arrive * (1 + alone * pauses) / (leave + come)
    held_up = (come * reads + (1 - alone) * arrive * pauses) / leave
    waits = early * view.left_early + (pauses - early) * view.left_late
    whole = 1 + pauses + reads + held_up + arrive * waits
    rate = arrive * (1 + pauses) / whole
    return pauses / (1 + pauses), waits / pauses, reads / (reads + 1), rate


class Side(NamedTuple):
    """Who takes a lock in a mode: ns of a hold, what is left of one, ns between."""

    count: int
    hold: float
    rest: float
    think: float


def meeting(writers, readers):
    """Return (what readers see; what writers wait for others, and then for readers)."""
    active = joined = readers.hold / (readers.hold + readers.think)
    for _ in range(10):
        first = drain(readers.count, active, readers.rest)
        then = gathered(readers.count, joined, readers.hold)
        all_see = writers_queue(*writers, first, then)
        seen = writers_queue(
            *writers,
            drain(readers.count - 1, active, readers.rest),
            gathered(readers.count - 1, joined, readers.hold),
        )
        waits, _, reads, rate = one_reader(readers.hold, readers.think, seen)
        caught = min(1.0, rate * waits / all_see.rate)
        change = abs(reads - active) + abs(caught - joined)
        active += 0.7 * (reads - active)
        joined += 0.7 * (caught - joined)
        if change < 1e-4:
            break
    alone = all_see.alone
    drained = alone * first.some * first.ns + (1 - alone) * then.some * then.ns
    return seen, all_see.wait, drained


def think_of(held, taken, time):
    share = min(held / time, 1 - 1e-6)
    return held / taken * (1 - share) / share


def side(uses, time):
    """Return the Side of those with these (acquisitions, ns held)."""
    held, taken = sum(ns for _, ns in uses), sum(times for times, _ in uses)
    square = sum(ns / times * ns for times, ns in uses)
    think = think_of(held, taken, len(uses) * time)
    return Side(len(uses), held / taken, square / held, think)


class LockWaits:
    """A part of ``Reference`` (``model.py``)."""

    def start_locks(self):
        self.ops, self.began, self.uses = {}, {}, {}
        self.worker_ops, self.backlog = {}, {}

    def took(self, task, op, times=1):
        key = task.id, op
        self.ops[key] = self.ops.get(key, 0) + times

    def worked(self, who, of, **ops):
        """Count what a Worker of a node or a process did."""
        done = self.worker_ops.setdefault(self.worker_row(who, of), [0] * len(Op))
        for name, times in ops.items():
            done[Op[name]] += times

    def worker_row(self, who, of):
        if who < NODE_WORKERS:
            return who * self.count + of
        return NODE_WORKERS * self.count + MM_WORKERS * of + who - NODE_WORKERS

    def take_work(self, length):
        """Return {row of a Worker: what it does in a window}."""
        for row, ops in self.worker_ops.items():
            old = self.backlog.setdefault(row, [0.0] * len(Op))
            self.backlog[row] = [a + b for a, b in zip(old, ops, strict=True)]
        self.worker_ops, work = {}, {}
        for row in sorted(self.backlog):
            left = self.backlog[row]
            part = min(1.0, length / max(1.0, left[Op.WORK_NS]))
            if any(left):
                work[row] = [times * part for times in left]
                left = [a - b for a, b in zip(left, work[row], strict=True)]
            self.backlog[row] = left
        return work

    def let_workers_work(self, ns):
        """Let Workers work while nobody runs."""
        if self.settings.locks.enabled:
            self.take_work(ns)

    def settle_waits(self):
        ops, self.ops = self.ops, {}
        if not self.settings.locks.enabled:
            return
        busy = {t.id: self.runtime(t) - self.began.get(t.id, 0) for t in self.tasks}
        waits = {t.id: [0, 0] for t in self.tasks}
        length = max(busy.values(), default=0)
        work = self.take_work(length) if length > 0 else {}
        if length > 0:
            for row in ROWS:
                scope = getattr(self.settings.locks, f"{row.name}_scope")
                if scope != "none":
                    self.settle_lock(row, scope, ops, work, length, waits)
                self.interrupt(row, ops, busy, waits)
        for task in self.tasks:
            slept, spun = waits[task.id]
            self.spent[task.id][Cause.LOCK_SLEEP] += slept
            self.spent[task.id][Cause.LOCK_SPIN] += spun
            clock = self.clocks[task.id]
            clock.ns += slept + spun
            if slept + spun and busy[task.id] > 0:
                clock.mean += clock.mean * (slept + spun) // busy[task.id]
            self.began[task.id] = self.runtime(task)

    def settle_lock(self, row, scope, ops, work, length, waits):
        groups = {}
        for task in self.tasks:
            mine = [ops.get((task.id, op), 0) for op in Op]
            one = self.customer(row, mine, task, self.flush(task.process))
            if one.reads + one.writes:
                length = max(length, one.read_ns, one.write_ns)
                groups.setdefault(self.owner(scope, task), []).append(one)
        for owner in range(max(len(self.processes), self.count)):
            customers = groups.get(owner, [])
            flush = self.costs.tlb_flush_ns
            if customers:
                flush = self.flush(customers[0].task.process)
            for number, ops_of in work.items():
                part = self.part(scope, number, owner)
                mine = [times * part for times in ops_of]
                one = self.customer(row, mine, None, flush)
                if one.reads + one.writes:
                    customers = [one, *customers]
            objects = self.objects_of(scope, owner)
            if customers:
                self.settle_group(row, customers, length, objects, waits)

    def interrupt(self, row, ops, busy, waits):
        """Let what tasks do take time of the others of their process that work."""
        each = interrupts_ps(row, self.settings.locks)
        if not each:
            return
        asked = {}
        for task in self.tasks:
            mine = [ops.get((task.id, op), 0) for op in Op]
            flush = self.flush(task.process)
            asked[task.id] = self.customer(row, mine, task, flush).writes
        for task in self.tasks:
            near = [t for t in self.tasks if t.process is task.process and t != task]
            others = sum(asked[one.id] for one in near)
            if busy[task.id] > 0:
                waits[task.id][1] += int(others * each / 1000)

    def uses_of(self, row):
        """Return [(Op, how it takes a lock)] in the order of Op."""
        if row.name not in self.uses:
            uses = used(row, self.settings.locks)
            self.uses[row.name] = sorted(uses.items())
        return self.uses[row.name]

    def customer(self, row, ops, task, flush):
        found = {}
        for mode in (READ, WRITE):
            taken = ps = 0.0
            for op, use in self.uses_of(row):
                times = ops[op]
                if times and use.mode == mode:
                    taken += times * round(use.times * 1e6)
                    ps += times * round(use.ns * 1000)
                    ps += times * round(use.flushes * 1e6) * flush / 1000
            found[mode] = taken / 1e6, max(ps / 1000, taken / 1e6 * 1e-3)
        return Customer(task, *found[READ], *found[WRITE])

    def owner(self, scope, task):
        if scope == "global":
            return 0
        if scope == "node":
            return self.cpu(task)
        return task.process.family if scope == "anon_vma" else task.process.id

    def part(self, scope, row, owner):
        """Return what part of its work a Worker does with one of the locks."""
        if scope == "global":
            return float(owner == 0)
        if row < NODE_WORKERS * self.count:
            who, n = divmod(row, self.count)
            if scope == "node":
                return float(n == owner)
            return 0.0 if who == Worker.EXIT else self.share(scope, owner)
        process = self.processes[(row - NODE_WORKERS * self.count) // MM_WORKERS]
        if scope == "node":
            return float(max(0, self.pgd_nid.get(process.id, 0)) == owner)
        of = process.family if scope == "anon_vma" else process.id
        return float(of == owner)

    def share(self, scope, owner):
        """Return what part of all mapped pages a process or a family has."""
        pages, mine = sum(self.rss(one) for one in self.processes), 0.0
        for one in self.processes:
            if owner == (one.family if scope == "anon_vma" else one.id):
                mine += self.rss(one) / max(1, pages)
        return mine

    def objects_of(self, scope, owner):
        if scope not in ("page_table", "folio") or owner >= len(self.processes):
            return 1
        process = self.processes[owner]
        rss, huge = self.rss(process), self.huge_pages(process)
        if scope == "page_table":
            return max(1, rss // BLOCK)
        return max(1, rss - huge + huge // BLOCK)

    def settle_group(self, row, customers, length, objects, waits):
        if len(customers) == 1:
            return
        readers = [(one.reads, one.read_ns) for one in customers if one.reads]
        writers = [(one.writes, one.write_ns) for one in customers if one.writes]
        kinds, stays, longer, drained = [], [], 1.0, 0.0
        time = length * objects
        if writers:
            kinds = kinds_of([one for one in customers if one.writes], length)
            _, stays = linearizer([kind for kind, _ in kinds], objects)
        if writers and readers:
            queue = side(writers, time)
            nobody = drain(0, 0.0, 1.0)
            alone = writers_queue(*queue, nobody, nobody).wait
            seen, wait, drained = meeting(queue, side(readers, time))
            longer = wait / alone if alone > 0 else 1.0
        awake = not sleeps(row, self.settings.locks)
        most = sum(kind.hold * kind.tasks for kind, _ in kinds)
        workers, tasks = self.bounds(customers)
        for one in customers:
            if one.task is None:
                continue
            asleep = waits[one.task.id]
            if one.writes:
                c = [i for i, (_, members) in enumerate(kinds) if one in members][0]
                hold = kinds[c][0].hold
                wait = min(stays[c] - hold, most - hold) * longer
                if workers >= 0:
                    wait = min(wait, workers / one.writes + tasks)
                wait += drained
                asleep[awake] += int(one.writes * wait)
            if one.reads and writers:
                pause = think_of(one.read_ns, one.reads, time)
                blocked, wait, *_ = one_reader(one.read_ns / one.reads, pause, seen)
                wait = blocked * wait
                if workers >= 0:
                    wait = min(wait, workers / one.reads + tasks)
                asleep[awake] += int(one.reads * wait)

    def bounds(self, customers):
        """Return (ns that Workers hold a lock alone, -1: none; a hold of each task)."""
        workers, tasks = -1.0, 0.0
        for one in customers:
            if one.writes and one.task is None:
                workers = max(workers, 0.0) + one.write_ns
            elif one.writes:
                tasks += one.write_ns / one.writes
        return workers, tasks


def kinds_of(writers, length):
    """Return (kind, its members) by how long they held the lock, in factors of 2."""
    most, bins = max(one.write_ns for one in writers), {}
    for one in writers:
        c, least = 0, most / 2
        while c < 7 and one.write_ns < least:
            c, least = c + 1, least / 2
        bins.setdefault(c, []).append(one)
    kinds = []
    for _, members in sorted(bins.items()):
        held = taken = 0.0
        for one in members:
            held, taken = held + one.write_ns, taken + one.writes
        think = think_of(held, taken, len(members) * length)
        kinds.append((Kind(len(members), held / taken, think), members))
    return kinds
