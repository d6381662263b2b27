"""Recordings: accesses of several tasks in the order of a trace, each on its CPU.

``docs/model/quantum.md`` 13 states the rules.
"""

from .quantum import Access

#: CPUs beside their own that tasks may be on in one quantum, all tasks together.
PLACES = 256
SECOND = 10**9


class Playback:
    """A part of ``Reference`` (``model.py``)."""

    def play(self, recording):
        for clock in self.clocks:
            clock.load, clock.count, clock.number = None, 0, 0
            clock.phases, clock.until = None, 0
        for i, task in enumerate(recording.tasks):
            clock = self.clocks[task.id]
            clock.count = sum(who == i for who in recording.who)
            clock.refs, clock.stream = recording.refs, False
            if clock.mean == 0 and clock.count:
                c = self.cpu(task)
                clock.mean = max(1, clock.refs * int(self.machine.latency_ns[c][c]))
        self.runs += 1
        rows = list(self.recorded_rows(recording))
        timed = any(due > 0 for _, due in rows)
        if timed:
            self.compute_until(self.now)
        self.settle_waits()
        while rows:
            rows = self.play_on(rows, timed)
        self.prepare_neighbours()

    @staticmethod
    def recorded_rows(recording):
        """Yield (access, time that it waits for, 0: none)."""
        for i, who in enumerate(recording.who):
            task, region = recording.tasks[who], recording.regions[who]
            cpu = -1 if recording.cpu is None else int(recording.cpu[i])
            due = 0 if recording.time_ns is None else max(0, int(recording.time_ns[i]))
            vpn = region.first + int(recording.vpn[i])
            yield Access(task, vpn, bool(recording.writes[i]), cpu), due

    def play_on(self, rows, timed):
        """Play a quantum, or wait for an access; return the rows that are left."""
        self.ran = set()
        taken, end = self.next_rows(rows)
        kept = [row for row in taken if row[0].task.process.alive]
        self.dropped += len(taken) - len(kept)
        rows = rows[len(taken) :]
        if kept:
            self.played += len(kept)
            self.play_quantum(kept, end, timed)
        elif rows:
            self.pass_time(end, timed)
        return rows

    def next_rows(self, rows):
        """Return (rows of the quantum, its end, or when its first access begins)."""
        end, reached = self.now + self.settings.quantum_ns, self.now
        most = min(max(4, self.played), self.settings.quantum_accesses)
        expected, places, count = {}, set(), 0
        for i, ((task, _, _, cpu, *_), due) in enumerate(rows):
            if not task.process.alive:
                continue
            clock = self.clocks[task.id]
            clock.ns = max(clock.ns, self.now) if task not in expected else clock.ns
            begins = max(expected.get(task, clock.ns), due)
            if begins >= end:
                return rows[:i], end if count else begins
            if cpu not in (-1, task.cpu):
                places.add((task, cpu))
            if count == most or len(places) > PLACES:
                return rows[:i], max(self.now + 1, min(end, reached))
            count += 1
            expected[task] = begins + clock.mean
            reached = max(reached, expected[task])
        return rows, end

    def play_quantum(self, rows, end, timed):
        layout = [
            one if one.cpu >= 0 else one._replace(cpu=one.task.cpu) for one, _ in rows
        ]
        for one in layout:
            self.clocks[one.task.id].quota += 1
        before = {one.task: self.clocks[one.task.id].ns for one in layout}
        self.serve(layout)
        self.note_served()
        self.arrive({one.task: one.cpu for one in layout})
        self.fold()
        if timed:
            self.wait(rows, before)
            self.compute_until(end)
        self.settle_waits()
        self.end_quantum(end)

    def arrive(self, last):
        """Let tasks be where they were last."""
        self.apply_notes()
        for task, cpu in last.items():
            if task.process.alive and task.cpu != cpu:
                self.move_task(task, cpu)

    def compute(self, clock, ns):
        clock.ns += ns
        clock.computed += ns

    def wait(self, rows, at):
        """Let tasks compute until their accesses; ``at``: clocks before them."""
        for (task, *_), due in rows:
            if task.process.alive:
                clock = self.clocks[task.id]
                self.compute(clock, max(0, due - at[task]))
                at[task] = max(due, at[task]) + clock.mean

    def compute_until(self, time):
        for task in self.tasks:
            clock = self.clocks[task.id]
            if self.left(task) > 0 and self.runtime(task):
                self.compute(clock, max(0, time - clock.ns))

    def pass_time(self, until, timed):
        step = max(SECOND, (until - self.now) // 4096)
        while self.now < until:
            start, self.now = self.now, min(until, self.now + step)
            if timed:
                self.compute_until(self.now)
            self.settle_waits()
            self.utilise(self.now - start)
            self.balance(start)
            self.run_khugepaged()
