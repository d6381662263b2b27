"""The life of a quantum: quotas, shards, the barrier, and what wakes up at its end.

``docs/model/quantum.md`` states the rules.
"""

from typing import NamedTuple

from lazynuma.engine.workloads.own_workload import OwnWorkload
from lazynuma.engine.workloads.phases import Phases
from lazynuma.kernels.counters import Cause, Level, Vm

from .accesses import access, own_access
from .balancing_words import Noted
from .words import BLOCK, NoMemory, Pmd, SetAside, Shard


class Access(NamedTuple):
    """An access of the layout; refs None: those of the task's workload."""

    task: object
    vpn: int
    write: bool
    cpu: int
    refs: int | None = None
    #: If it is sampled, its number among the task's accesses of the quantum.
    place: int | None = None


#: Accesses of a workload that lasts for a time.
ENDLESS = 1 << 62


class Quanta:
    """A part of ``Reference`` (``model.py``)."""

    def do_hit(self, task, vpn, write):
        """Make an access; return its Level."""
        pte, c = self.entry(task.process, vpn), self.cpu(task)
        walked = self.look_up(task, vpn)
        pte.young = True
        pte.dirty |= write
        n = c if pte.kind == "zero" else self.node_of(pte.payload)
        local = n == c
        if local and pte.owes:
            self.pay(pte, c)
        self.add(c, Vm.ACCESSES_LOCAL if local else Vm.ACCESSES_REMOTE)
        cause = Cause.ACCESS_LOCAL if local else Cause.ACCESS_REMOTE
        whole = self.clocks[task.id].refs
        refs = self.stands_for.get(task.id) or whole
        self.charge(task, cause, self.prices[task.id][c][n] * refs // whole)
        self.traffic[c][n] += refs
        level = self.level_of(c, n)
        if pte.kind == "present":
            if self.take_lines(task, self.frame_at(pte, vpn), write):
                level = Level.CACHE
            if write and self.follows:
                self.filled.add(self.frame_at(pte, vpn))
        return Level.WALK if walked else level

    def level_of(self, c, n):
        if n == c:
            return Level.LOCAL
        return Level.SLOW if self.below_cpus(n) else Level.REMOTE

    @staticmethod
    def frame_at(entry, vpn):
        return entry.payload + (vpn % BLOCK if isinstance(entry, Pmd) else 0)

    def take_lines(self, task, frame, write):
        """Pay for lines that another node wrote in this quantum or the last.

        Return whether it did.
        """
        c, clock, paid = self.cpu(task), self.clocks[task.id], False
        if not self.costs.line_transfer_permille:
            return False
        writers = self.writers.setdefault(frame, [])
        for n, quantum in writers:
            if n != c and self.quanta - quantum <= 1:
                self.add(c, Vm.LINE_TRANSFERS)
                more = int(self.machine.latency_ns[c][n])
                more = more * self.costs.line_transfer_permille // 1000
                refs = self.stands_for.get(task.id) or clock.refs
                refs = 0 if clock.stream else refs
                self.charge(task, Cause.ACCESS_REMOTE, refs * more)
                paid = True
                break
        if write:
            writers[:] = [(c, self.quanta), *(w for w in writers if w[0] != c)][:2]
        return paid

    def left(self, task):
        clock = self.clocks[task.id]
        return clock.count - clock.number if task.process.alive else 0

    def assign(self, end):
        total = 0
        for task in self.tasks:
            clock = self.clocks[task.id]
            clock.quota = 0
            left = self.left(task)
            if left > 0:
                clock.ns = max(clock.ns, self.now)
                until = min(end, clock.until) if clock.until else end
                if clock.ns < until:
                    clock.quota = min(left, max(1, (until - clock.ns) // clock.mean))
                    total += clock.quota
        return total

    def plan(self):
        """Fix the quotas; return the quantum's end, or None."""
        self.take_up()
        self.longest = min([self.settings.quantum_ns, *self.left_of_phases()])
        end = self.paced()
        total = self.assign(end)
        if total == 0:
            busy = [task for task in self.tasks if self.left(task) > 0]
            if not busy:
                return None
            self.now = min(self.clocks[task.id].ns for task in busy)
            self.take_up()
            end = self.paced()
            total = self.assign(end)
        most = self.settings.quantum_accesses
        while total > most and end - self.now > 1:
            end = self.now + max(1, (end - self.now) * most // total)
            total = self.assign(end)
        for clock in self.clocks:
            clock.quota = min(clock.quota, most)
            most -= clock.quota
        return end

    def left_of_phases(self):
        """Return how long the phases still last, ns."""
        since = self.now - self.begun
        phases = [clock.phases for clock in self.clocks if clock.phases]
        return [one.over_at(since) - since for one in phases]

    def take_up(self):
        """Let tasks do what the time of the quantum says."""
        for task, clock in zip(self.tasks, self.clocks, strict=True):
            phase = clock.phases and clock.phases.at(self.now - self.begun)
            if phase and phase is not clock.load:
                clock.load, clock.begun = phase, clock.number
                clock.refs, clock.stream = phase.classes[0], phase.streamed
                clock.mean = self.first_mean(task)

    def first_mean(self, task):
        """Return what an access of a task costs if its memory is near."""
        c = self.cpu(task)
        latency = int(self.machine.latency_ns[c][self.zonelist[c][0]])
        return max(1, self.clocks[task.id].refs * latency)

    def paced(self):
        """Return the end of a quantum in which no task doubles what it has done."""
        end, ends = self.now + self.longest, []
        for task in self.tasks:
            clock = self.clocks[task.id]
            start = max(clock.ns, self.now)
            if self.left(task) > 0 and start < end:
                made = clock.number - clock.begun
                ends.append(start + max(4, made) * clock.mean)
        return min([end, *ends])

    def run(self, workloads):
        self.settle_waits()
        for clock in self.clocks:
            clock.load, clock.count, clock.number = None, 0, 0
            clock.phases, clock.until, clock.begun = None, 0, 0
        self.begun = self.now
        for load in workloads:
            clock = self.clocks[load.task.id]
            clock.load, clock.run = load, self.runs
            clock.count = ENDLESS if load.for_ns else load.count
            clock.until = self.now + load.for_ns if load.for_ns else 0
            if isinstance(load, Phases):
                clock.phases, clock.load = load, load.at(0)
            clock.refs, clock.stream = clock.load.classes[0], clock.load.streamed
            if clock.mean == 0 and clock.count:
                clock.mean = self.first_mean(load.task)
        self.runs += 1
        while self.quantum():
            pass
        self.prepare_neighbours()

    def quantum(self):
        end = self.plan()
        if end is None:
            return False
        self.serve(self.lay_out())
        self.note_served()
        self.fold()
        self.end_workloads(end)
        self.settle_waits()
        self.share_cpus()
        start = self.now
        self.end_quantum(end)
        self.rebalance(start)
        return True

    def serve(self, layout):
        """Serve the accesses of a quantum."""
        everywhere = [n for n in range(self.count) if n in self.cpu_node]
        self.price_copies()
        self.prices = {
            task.id: {
                c: [self.access_ns(task, c, n) for n in range(self.count)]
                for c in everywhere
            }
            for task in self.tasks
        }
        self.measure_tables()
        self.quanta += 1
        layout = self.with_places(layout)
        queues = self.serve_shards(layout)
        self.barrier(layout, queues)
        self.take_in_samples(layout)
        self.on_cpu = {}

    def end_workloads(self, end):
        """End the workloads whose time is over."""
        for clock in self.clocks:
            if clock.until and max(clock.ns, end) >= clock.until:
                clock.count = clock.number

    def note_served(self):
        """Note who had accesses, and what one cost."""
        self.ran = {i for i, clock in enumerate(self.clocks) if clock.quota}
        for clock in self.clocks:
            if clock.quota:
                clock.mean = max(1, clock.charged // clock.quota)
                clock.number += clock.quota
                clock.quota = 0

    def end_quantum(self, end):
        """End the quantum that began now."""
        start = self.now
        self.utilise(end - start)
        if not any(self.left(task) > 0 for task in self.tasks):
            end = min(end, max(clock.ns for clock in self.clocks))
        self.now = end
        self.balance(start)
        self.run_khugepaged()

    def lay_out(self):
        layout = []
        for task in self.tasks:
            clock = self.clocks[task.id]
            for i in range(clock.number, clock.number + clock.quota):
                drawn = clock.load, self.seed, clock.run << 32 | task.id, i
                since, refs = self.now - self.begun, None
                if isinstance(clock.load, OwnWorkload):
                    page, write, refs = own_access(*drawn, self.now, since)
                else:
                    page, write = access(*drawn, since)
                vpn = clock.load.region.first + page
                layout.append(Access(task, vpn, write, task.cpu, refs))
        return layout

    def shard_of(self, vpn):
        scattered = (vpn >> 9) * 0x9E3779B1 % (1 << 32)
        return scattered * self.settings.shards >> 32

    def serve_shards(self, layout):
        """Serve what shards can; return how many accesses each of them served."""
        queues = [[] for _ in range(self.settings.shards)]
        for one in layout:
            queues[self.shard_of(one.vpn)].append(one)
        if self.settings.sequential:
            return [0]
        self.slots_at_start = self.slots.used
        shards = [Shard() for _ in queues]
        self.lend(shards, queues)
        for shard, queue in zip(shards, queues, strict=True):
            self.shard = shard
            self.shard_notes.append(Noted())
            self.serve_queue(shard, queue)
        self.shard = None
        self.take_back(shards, queues)
        return [shard.served for shard in shards]

    def serve_queue(self, shard, queue):
        for one in queue:
            task, vpn, write, cpu, refs, _ = one
            self.on_cpu[task.id], self.stands_for[task.id] = cpu, refs
            faulted = False
            try:
                while not self.hit(self.entry(task.process, vpn), write):
                    self.fault(task, vpn, write)
                    faulted = True
            except (SetAside, LookupError):
                return
            self.meet(one, self.do_hit(task, vpn, write), faulted)
            shard.served += 1

    def barrier(self, layout, served):
        self.run_woken()
        seen = [0] * len(served)
        for one in layout:
            task, vpn = one.task, one.vpn
            self.on_cpu[task.id], self.stands_for[task.id] = one.cpu, one.refs
            s = self.shard_of(vpn)
            seen[s] += 1
            if seen[s] <= served[s]:
                continue
            if task.process.alive:
                self.serve_serially(one)
            else:
                self.dropped += 1

    def serve_serially(self, one):
        rounds, faulted = 0, False
        task, vpn, write = one[:3]
        while not self.hit(self.entry(task.process, vpn), write):
            faulted = True
            try:
                self.fault(task, vpn, write)
                rounds = 0
            except NoMemory:
                vma = self.vma_of(task.process, vpn)
                candidates = self.passes(task, self.place(vma, vpn), vpn)[-1]
                rounds = 0 if self.direct_reclaim(task, candidates) else rounds + 1
                if rounds > 16:
                    self.oom_kill(task)
                    rounds = 0
                    if not task.process.alive:
                        self.dropped += 1
                        return
        self.meet(one, self.do_hit(task, vpn, write), faulted)
        self.run_woken()

    def run_woken(self):
        """Let kswapd and kcompactd of the nodes work that were woken."""
        for n, node in enumerate(self.nodes):
            if node.woken:
                node.woken = False
                self.kswapd(n)
        for n, node in enumerate(self.nodes):
            if node.kcompactd:
                node.kcompactd = False
                self.compact(n, None)

    def synchronize(self):
        self.settle_waits()
        alive = [self.clocks[t.id] for t in self.tasks if t.process.alive]
        for clock in alive:
            clock.ns = max(other.ns for other in alive)

    def idle(self, ns):
        self.settle_waits()
        self.now += ns
        self.run_khugepaged()
        self.let_workers_work(ns)
