"""NUMA balancing: the machine as it sees it, tasks that come and go, and the end of a
quantum.

``docs/model/balancing.md`` states the rules.
"""

from lazynuma.kernels.counters import ScanSkip

from .balancing_words import (
    BACKPLANE,
    CPU,
    CPUBUF,
    DIRECT,
    MEM,
    MEMBUF,
    MESH,
    MS,
    Noted,
    Numa,
    Scan,
    Tier,
)


class Balancing:
    """A part of ``Reference`` (``model.py``)."""

    def start_balancing(self):
        """Set up what a machine without tasks has."""
        self.knobs = self.settings.balancing
        self.balances = self.knobs.mode != "off"
        rule = self.knobs.scan_period_rule
        self.by_statistics = rule in ("statistics", "local_share")
        self.by_local_share = rule == "local_share"
        self.normal = self.knobs.mode in ("normal", "both")
        self.tiering = self.knobs.mode in ("tiering", "both")
        self.numas, self.groups, self.mms = {}, {}, {}
        self.tiers = [Tier() for _ in range(self.count)]
        self.skips = [0] * len(ScanSkip)
        self.scan_count = self.longest_scan = self.scan_ns = 0
        self.promote_limit = self.knobs.promote_rate_limit_mbps * 256
        self.migrate_limit = self.knobs.migrate_rate_limit_mbps * 256 // 10
        self.ran = set()
        self.find_topology()
        self.forget_notes()

    def forget_notes(self):
        """Begin a quantum's notes."""
        self.notes, self.faulted, self.met_by = [], set(), {}
        self.serial_notes = Noted()
        self.shard_notes = []
        self.roomy, self.asked = set(), set()

    def distance(self, a, b):
        return int(self.machine.distance[a][b])

    def cpus_of(self, n):
        return [cpu for cpu, node in enumerate(self.cpu_node) if node == n]

    def find_topology(self):
        """init_numa_topology_type."""
        self.cpu_nodes = [n for n in range(self.count) if self.machine.cpus[n]]
        pairs = [(a, b) for a in self.cpu_nodes for b in self.cpu_nodes]
        self.distances = {self.distance(a, b) for a, b in pairs}
        self.furthest = far = max(self.distances)
        if len(self.distances) <= 2:
            self.topology = DIRECT
            return
        a, b = next(pair for pair in pairs if self.distance(*pair) == far)
        between = [
            n
            for n in self.cpu_nodes
            if self.distance(a, n) < far and self.distance(b, n) < far
        ]
        self.topology = MESH if between else BACKPLANE

    def is_online(self, n):
        """Tell whether Linux knows a node: one with CPUs outlives its memory."""
        return self.nodes[n].online or n in self.cpu_nodes

    def slow(self, n):
        """Tell whether pages of a node keep the time of their mark."""
        return self.tiering and self.below_cpus(n)

    def below_cpus(self, n):
        """Tell whether a node is slower than every tier that has CPUs."""
        size, tier = self.machine.memory, self.machine.tier
        tiers = [tier[m] for m in self.cpu_nodes if size[m]]
        return tier[n] > max(tiers, default=-1)

    def ms(self):
        return self.now // MS

    def live(self):
        return [task for task in self.tasks if task.process.alive]

    def users(self, process):
        return sum(task.process is process for task in self.live())

    def running(self):
        """Return the tasks with accesses left."""
        return [task for task in self.tasks if self.left(task) > 0]

    def last_of(self, page, n):
        """Return (pid & 255, CPU), or None where it is unset."""
        return None if self.slow(n) else page.last

    def take_over(self, page, old, new):
        """A page moves from node to node, by whatever cause."""
        if self.slow(old) != self.slow(new):
            page.last = None

    @staticmethod
    def pid(task):
        return task.id + 1

    def enter_mm(self, process):
        self.mms[process.id] = Scan()

    def init_numa_balancing(self, task):
        """A task starts; ``tasks`` does not hold it yet."""
        if not self.balances:
            return
        mm, users = self.mms[task.process.id], self.users(task.process)
        if users <= 1:
            mm.next_scan, mm.seq = self.ms() + self.knobs.scan_delay_ms, 0
            mm.next_reset = self.ms()
        faults = [[[0, 0] for _ in range(self.count)] for _ in range(4)]
        numa = Numa(faults, self.knobs.scan_delay_ms, mm.seq)
        self.numas[task.id] = numa
        if users:
            parent = next(t for t in self.live() if t.process is task.process)
            other = self.numas[parent.id]
            numa.preferred = other.preferred
            if self.knobs.scan_stagger:
                delay = other.period * users * MS % (1 << 32)
                first = min(self.scan_max(parent), delay)
                numa.stamp = first + 2 * self.knobs.tick_ns

    def leave_group(self, task):
        """A task ends."""
        numa = self.numas.get(task.id)
        if numa is None or numa.group is None:
            return
        group, numa.group = numa.group, None
        self.take_from(group, numa)

    def take_from(self, group, numa):
        self.add_faults(group, numa, -1)
        group.total -= numa.total
        group.tasks -= 1
        if group.tasks == 0:
            del self.groups[group.number]

    def add_faults(self, group, numa, sign):
        for kind in (MEM, CPU):
            for n in range(self.count):
                for priv in (0, 1):
                    faults = numa.faults[kind][n][priv]
                    group.faults[kind][n][priv] += sign * faults

    def node_changed(self, task, source):
        """update_scan_period: a task has come to another node."""
        numa, target = self.numas.get(task.id), self.cpu(task)
        if numa is None or not numa.has_statistics or source == target:
            return
        if not task.process.alive or self.knobs.scan_period_rule != "statistics":
            return
        away = numa.preferred != -1 and source != numa.preferred
        if numa.seq == 0 or not (target == numa.preferred or away):
            numa.period = self.scan_start(task)

    def balance(self, start):
        """Do all that follows a quantum that began at ``start`` and is over."""
        if not self.balances:
            return
        runtimes = {task.id: self.runtime(task) for task in self.tasks}
        self.apply_notes()
        faulted, met = self.faulted, self.met_by
        self.tier_windows()
        self.forget_notes()
        for task in self.live():
            if task in met:
                self.task_numa_group(task, met[task])
        for task in self.live():
            if task in faulted and self.ms() > self.numas[task.id].retry:
                self.task_numa_placement(task, runtimes[task.id])
                self.numa_migrate_preferred(task)
        self.ticks(start, runtimes)
        self.fold()

    def apply_notes(self):
        """Add what the faults noted, and who had some, and whom they met."""
        for kind, who, what in self.notes:
            if kind == "pid":
                who.pids[1] |= 1 << what
            elif kind == "longer":
                self.lengthen_period(self.numas[who.id])
            elif kind == "met":
                self.met_by.setdefault(who, set()).add(what)
            else:
                self.faulted.add(who)
                self.add_fault(self.numas[who.id], *what)
        self.notes = []

    def add_fault(self, numa, d, m, priv, nr, local, failed):
        numa.has_statistics = True
        numa.faults[MEMBUF][m][priv] += nr
        numa.faults[CPUBUF][d][priv] += nr
        if local:
            numa.local += nr
        else:
            numa.remote += nr
        if failed:
            numa.failed += nr
