"""Locks: what took each in a window, how it queued, and what every task waited.

``docs/model/locks.md`` states the rules; the table of locks is the engine's.
"""

from typing import NamedTuple

from lazynuma.engine.settings.locks import ROWS, interrupts_ps, sleeps, used
from lazynuma.kernels.counters import Cause, Op
from lazynuma.kernels.quantum.lock_wait import READ, WRITE

from .words import BLOCK


class Customer(NamedTuple):
    """A task at a lock: its acquisitions in a window, and ns that it held it."""

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


def drain(readers, share, read):
    """Return the mean time until the last of the readers that are there has gone."""
    nobody, found = 1.0, 0.0
    for k in range(1, readers + 1):
        nobody *= 1 - share
        found += (1 - nobody) / k
    return read * found


class LockWaits:
    """A part of ``Reference`` (``model.py``)."""

    def start_locks(self):
        self.ops, self.began = {}, {}

    def took(self, task, op, times=1):
        key = task.id, op
        self.ops[key] = self.ops.get(key, 0) + times

    def settle_waits(self):
        ops, self.ops = self.ops, {}
        if not self.settings.locks.enabled:
            return
        busy = {t.id: self.runtime(t) - self.began.get(t.id, 0) for t in self.tasks}
        waits = {t.id: [0, 0] for t in self.tasks}
        if any(ops.values()) and max(busy.values(), default=0) > 0:
            for row in ROWS:
                scope = getattr(self.settings.locks, f"{row.name}_scope")
                if scope != "none":
                    self.settle_lock(row, scope, ops, max(busy.values()), waits)
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

    def settle_lock(self, row, scope, ops, length, waits):
        groups = {}
        for task in self.tasks:
            one = self.customer(row, ops, task)
            if one.reads + one.writes:
                length = max(length, one.read_ns, one.write_ns)
                groups.setdefault(self.owner(scope, task), []).append(one)
        for customers in groups.values():
            process = customers[0].task.process
            self.settle_group(
                row, customers, length, self.objects_of(scope, process), waits
            )

    def interrupt(self, row, ops, busy, waits):
        """Let what tasks do take time of the others of their process that work."""
        each = interrupts_ps(row, self.settings.locks)
        asked = {task.id: self.customer(row, ops, task).writes for task in self.tasks}
        for task in self.tasks:
            near = [t for t in self.tasks if t.process is task.process and t != task]
            others = sum(asked[one.id] for one in near)
            if each and busy[task.id] > 0:
                waits[task.id][1] += int(others * each / 1000)

    def customer(self, row, ops, task):
        flush, found = self.flush(task.process), {}
        uses = used(row, self.settings.locks)
        for mode in (READ, WRITE):
            taken = ps = 0.0
            for op in Op:
                times = ops.get((task.id, op), 0)
                if times and op in uses and uses[op].mode == mode:
                    use = uses[op]
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

    def objects_of(self, scope, process):
        rss, huge = self.rss(process), self.huge_pages(process)
        if scope == "page_table":
            return max(1, rss // BLOCK)
        return max(1, rss - huge + huge // BLOCK) if scope == "folio" else 1

    def settle_group(self, row, customers, length, objects, waits):
        readers = [one for one in customers if one.reads]
        writers = [one for one in customers if one.writes]
        read_wait, kinds, added = 0.0, [], 0.0
        if writers:
            kinds, full, stays, added, read_wait = self.queue_of(
                readers, writers, length, objects
            )
        for one in writers:
            c = [i for i, (_, members) in enumerate(kinds) if one in members][0]
            most = sum(kind.hold * kind.tasks for kind, _ in kinds)
            kind = kinds[c][0]
            wait = min(stays[c] - kind.hold, most - kind.hold) + added
            waits[one.task.id][not sleeps(row, self.settings.locks)] += int(
                one.writes * wait
            )
        for one in readers:
            waits[one.task.id][not sleeps(row, self.settings.locks)] += int(
                one.reads * read_wait
            )

    def queue_of(self, readers, writers, length, objects):
        """Return (kinds with their members, queues, stays, drain, wait of readers)."""
        if not readers:
            kinds = kinds_of(writers, length, 0.0)
            full, stays = linearizer([kind for kind, _ in kinds], objects)
            return kinds, full, stays, 0.0, 0.0
        held, taken = sum(r.read_ns for r in readers), sum(r.reads for r in readers)
        share = min(held / (len(readers) * length * objects), 1.0)
        read = held / taken
        free = added = drain(len(readers), share, read)
        for _ in range(6):
            used_drain = added
            kinds = kinds_of(writers, length, used_drain)
            plain = [kind for kind, _ in kinds]
            full, stays = linearizer(plain, objects)
            work = sum(k.hold * q for k, q in zip(plain, full, strict=True))
            most = sum(k.hold * k.tasks for k in plain)
            tasks = sum(k.tasks for k in plain)
            rates = [
                k.tasks / (stay + k.think) for k, stay in zip(plain, stays, strict=True)
            ]
            rate = sum(rates)
            busy = sum(k.hold * r for k, r in zip(plain, rates, strict=True))
            think, hold = read * (1 - share) / share, most / tasks - used_drain
            late = hold * hold / (hold + think)
            early, reads = used_drain / (used_drain + think), read / (think + read)
            block = (1 - reads) * (early * (used_drain + hold) + (1 - early) * late)
            block += reads * late
            found = (tasks - 1) / tasks * min(1.0, busy)
            between = drain(
                len(readers), min(1.0, block / (used_drain + hold) / 2), read
            )
            added = free * (1 - found) + between * found
            block *= work / (busy * (used_drain + hold))
            apart = 1 / rate
            wait = block * (think + read) / max(apart - block, apart / 20)
            wait = min(wait, apart * max(1.0, work * tasks / most)) / objects
        return kinds, full, stays, added, wait


def kinds_of(writers, length, extra):
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
        hold = held / taken
        share = min(held / (len(members) * length), 1 - 1e-6)
        kind = Kind(len(members), hold + extra, hold * (1 - share) / share)
        kinds.append((kind, members))
    return kinds
