"""NUMA balancing (``docs/model.md`` §5.9 and §11) in slow, plain Python.

``Reference`` (``reference.py``) inherits it and calls its hooks.
"""

from dataclasses import dataclass, field

import numpy as np

from lazynuma.engine.state.numa_tasks import NumaGroup, NumaTask
from lazynuma.kernels.counters import Cause, Refusal, ScanSkip, Vm
from lazynuma.kernels.knobs import Mode

BLOCK = 512
MS = 10**6
MEM, CPU, MEMBUF, CPUBUF = range(4)
#: LOAD_AVG_MAX: the share of time of a task that was never placed.
LOAD_AVG_MAX = 47742
TIME_MASK = (1 << 30) - 1
SMALLIMP = 30
TOPOLOGIES = DIRECT, MESH, BACKPLANE = "direct", "mesh", "backplane"


def c_div(a, b):
    """Divide as C does: towards zero."""
    return a // b if a >= 0 else -(-a // b)


@dataclass
class Numa:
    """What balancing knows of a task."""

    faults: list
    period: int
    seq: int
    period_max: int = 0
    stamp: int = 0
    preferred: int = -1
    retry: int = 0
    group: object = None
    total: int = 0
    remote: int = 0
    local: int = 0
    failed: int = 0
    has_statistics: bool = False
    last_runtime: int = 0
    last_placement: int = 0


@dataclass(eq=False)
class Group:
    """A group of tasks."""

    number: int
    faults: list
    total: int
    tasks: int = 1
    max_cpu: int = 0
    active: int = 1

    def of_node(self, kind, n):
        """Return a node's statistics, both kinds."""
        return sum(self.faults[kind][n])

    def by_kind(self, priv):
        """Return the MEM statistics of a kind, of all nodes."""
        return sum(row[priv] for row in self.faults[MEM])


@dataclass
class Scan:
    """How far the scanner of an address space is."""

    seq: int = 0
    offset: int = 0
    next_scan: int = 0


@dataclass(eq=False)
class VmaState:
    """What the scanner knows of a VMA (vma_numab_state)."""

    start_seq: int
    next_scan: int
    reset: int
    prev_seq: int
    pids: list = field(default_factory=lambda: [0, 0])


@dataclass
class Tier:
    """What a node knows of promotions and migrations to it."""

    threshold: int = 0
    th_start: int = 0
    th_candidates: int = 0
    window: int = 0
    base: int = 0
    candidates: int = 0
    migrate_start: int = 0
    migrated: int = 0


@dataclass
class Noted:
    """Pages that a shard, or serial work, noted of each node in a quantum."""

    candidates: dict = field(default_factory=dict)
    migrated: dict = field(default_factory=dict)


@dataclass
class Decision:
    """Where a hint fault's page shall go, and what the fault notes if it is served."""

    target: int | None = None
    refusal: object = None
    exchanged: bool = False
    last: object = None
    roomy: bool = False
    asked: bool = False
    candidate: bool = False


@dataclass
class Stats:
    """A node as task_numa_migrate sees it (struct numa_stats)."""

    running: int
    cpus: int
    idle: int

    @property
    def has_spare(self):
        return self.running < self.cpus

    @property
    def load(self):
        return 1024 * self.running

    @property
    def capacity(self):
        return 1024 * self.cpus


@dataclass
class Env:
    """struct task_numa_env."""

    task: object
    source: int
    src: Stats
    target: int = -1
    distance: int = 0
    dst: Stats = None
    dst_cpu: int = -1
    best_task: object = None
    best_imp: int = 0
    best_cpu: int = -1


class Balancing:
    """The part of the reference that balances."""

    def start_balancing(self):
        """Set up what a machine without tasks has."""
        self.knobs = self.settings.balancing
        self.balances = self.knobs.mode != "off"
        self.normal = self.knobs.mode in ("normal", "both")
        self.tiering = self.knobs.mode in ("tiering", "both")
        self.numas, self.groups, self.mms = {}, {}, {}
        self.tiers = [Tier() for _ in range(self.count)]
        self.skips = [0] * len(ScanSkip)
        self.promote_limit = self.knobs.promote_rate_limit_mbps * 256
        self.migrate_limit = self.knobs.migrate_rate_limit_mbps * 256 // 10
        self.ran = set()
        self.find_topology()
        self.forget_notes()

    def forget_notes(self):
        """Begin a quantum's notes."""
        self.notes = []
        self.serial_notes = Noted()
        self.shard_notes = []
        self.roomy, self.asked = set(), set()

    # --- the machine ------------------------------------------------------------

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
        tiers = [self.machine.tier[m] for m in self.cpu_nodes]
        return self.machine.tier[n] > max(tiers, default=0)

    def ms(self):
        return self.now // MS

    def live(self):
        return [task for task in self.tasks if task.process.alive]

    def users(self, process):
        return sum(task.process is process for task in self.live())

    def running(self):
        """Return the tasks with accesses left."""
        return [task for task in self.tasks if self.left(task) > 0]

    # --- the verdict on a move, §5.9 --------------------------------------------

    def judge(self, task, page, old, target, pages):
        """Count a move; return how many uses of the page must pay for it."""
        self.add(target, Vm.PAGES_MOVED, pages)
        if page.moved_from == 1 + target:
            self.add(target, Vm.PAGES_MOVED_BACK, pages)
        page.moved_from = 1 + old
        most = (1 << 14) - 1 if pages == 1 else 1 << 30
        latency = self.machine.latency_ns[target]
        gain = self.clocks[task.id].refs * int(latency[old] - latency[target])
        if gain <= 0 or not self.machine.cpus[target]:
            return most
        cost = self.costs.migrate_page_ns + pages * self.copy_ns(old, target)
        return min(max(-(-cost // gain), 1), most)

    def moved_page(self, task, pfn, old, entry=None):
        """Let the entry through which a page moved owe its uses (first of rmap)."""
        mappings = self.mappings(pfn)
        for _, pte in mappings:
            pte.owes = 0
        uses = self.judge(task, self.frames[pfn], old, self.node_of(pfn), 1)
        if entry is None and mappings:
            entry = mappings[0][1]
        if entry is not None:
            entry.owes = uses
        return uses

    def moved_folio(self, task, b, old, entry=None):
        """The same of a folio."""
        folio, mappings = self.folios[b], self.pmd_mappings(b)
        for _, pmd in mappings:
            pmd.owes = False
        folio.owes = self.judge(task, folio, old, self.node_of(b * BLOCK), BLOCK)
        if entry is None and mappings:
            entry = mappings[0][1]
        if entry is not None:
            entry.owes = True

    def pay(self, entry, c):
        """A local hit on an entry that owes."""
        if entry.owes is True:
            folio = self.folios[entry.payload // BLOCK]
            folio.owes -= 1
            if folio.owes == 0:
                entry.owes = False
                self.add(c, Vm.PAGES_PAID, BLOCK)
        elif entry.owes:
            entry.owes -= 1
            if entry.owes == 0:
                self.add(c, Vm.PAGES_PAID)

    # --- who took the last hint fault -------------------------------------------

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

    # --- the hint fault, §11.2 --------------------------------------------------

    def mof(self, task, vma):
        policy, _ = self.policy_of(task, vma)
        if vma.shmem:
            return False
        return vma.mof or policy.mode == Mode.DEFAULT or policy.numa_balancing

    def decide(self, task, vma, vpn, pfn, page, nr):
        """Return the Decision of a hint fault."""
        n, d = self.node_of(pfn), self.cpu(task)
        if not self.mof(task, vma) or self.nodes[d].span == 0:
            return Decision()
        if vma.mof:
            return Decision(self.misplaced(task, vma, vpn, pfn))
        policy, _ = self.policy_of(task, vma)
        if policy.mode == Mode.DEFAULT:
            if n == d:
                done = Decision()
                if self.knobs.local_last_cpupid:
                    self.filter(task, n, d, page, nr, done)
                done.refusal = None
                return done
        elif d not in policy.nodes:
            return Decision()
        done = Decision()
        yes = self.filter(task, n, d, page, nr, done)
        if yes and n != d:
            done.target = d
        if n == d:
            done.refusal = None
        return done

    def filter(self, task, n, d, page, nr, done):
        """should_numa_migrate_memory; fills in a decision, changes nothing."""
        if self.slow(n):
            return self.filter_slow(n, d, page, nr, done)
        old, numa = page.last, self.numas[task.id]
        done.exchanged, done.last = True, (self.pid(task) & 255, task.cpu)
        if self.knobs.filter == "none":
            return True
        foreign = old is not None and self.cpu_node[old[1]] != d
        mine = old is not None and old[0] == self.pid(task) & 255
        done.refusal = Refusal.TWO_STAGE
        if self.knobs.filter == "last_nid":
            return old is not None and not foreign
        if not self.tiering and self.below_cpus(n) and old is None:
            return False
        if (numa.preferred < 0 or numa.seq <= 4) and (old is None or mine):
            return True
        if foreign:
            return False
        if mine or numa.group is None:
            return True
        done.refusal = Refusal.GROUP_WEIGHT
        group = numa.group
        there, here = group.of_node(CPU, d), group.of_node(CPU, n)
        if there > 3 * here:
            return True
        return there * group.of_node(MEM, n) * 3 > here * group.of_node(MEM, d) * 4

    def filter_slow(self, n, d, page, nr, done):
        node, tier = self.nodes[d], self.tiers[d]
        promo = 2 * node.high - node.low
        if node.free > promo + max(1 << 18, node.span // 16):
            done.roomy = True
            return True
        done.asked = done.exchanged = True
        done.last = self.ms() & TIME_MASK
        latency = (self.ms() - (page.last or 0)) & TIME_MASK
        if latency >= (tier.threshold or self.knobs.hot_threshold_ms):
            done.refusal = Refusal.COLD
            return False
        done.candidate = True
        seen = self.so_far(tier.candidates, "candidates", d, nr) - tier.base
        done.refusal = Refusal.RATE_LIMIT
        return seen < self.promote_limit

    def so_far(self, total, kind, n, more=0):
        """Return what counts against a limit: in a shard its own share times S."""
        if self.shard is None:
            rows = [self.serial_notes, *self.shard_notes]
            return total + sum(getattr(one, kind).get(n, 0) for one in rows) + more
        own = getattr(self.shard_notes[-1], kind).get(n, 0)
        return total + (own + more) * self.settings.shards

    def note(self, kind, n, pages):
        notes = self.serial_notes if self.shard is None else self.shard_notes[-1]
        counts = getattr(notes, kind)
        counts[n] = counts.get(n, 0) + pages

    def carry_out(self, done, page, n, d, nr):
        """Note what a hint fault's decision says, now that it is served."""
        if done.exchanged:
            page.last = done.last
        if done.roomy:
            self.roomy.add(d)
        if done.asked:
            self.asked.add(d)
        if done.candidate:
            self.note("candidates", d, nr)
            self.add(d, Vm.PGPROMOTE_CANDIDATE, nr)
        if done.target is None and done.refusal is not None:
            self.refuse(done.refusal, nr)

    def over_limit(self, t):
        """Tell whether a node's limit of migrations is used up."""
        tier = self.tiers[t]
        used = self.so_far(tier.migrated, "migrated", t)
        return self.migrate_limit > 0 and used > self.migrate_limit

    def balanced_fault(self, task, vma, vpn, entry, huge):
        """Serve a hint fault; set aside, it must have changed nothing."""
        pfn, nr = entry.payload, BLOCK if huge else 1
        page = self.folios[pfn // BLOCK] if huge else self.frames[pfn]
        n, d = self.node_of(pfn), self.cpu(task)
        done = self.decide(task, vma, vpn, pfn, page, nr)
        if huge and done.target is not None and not self.settings.thp.unit_hinting:
            self.carry_out(done, page, n, d, nr)
            self.split_for_hint(task, pfn // BLOCK)
            self.count_hint_fault(task, n)
            return
        t, new, limited = done.target, None, False
        if t is not None:
            limited = self.over_limit(t)
            if not limited:
                new = self.find_target(task, t, huge)
        alone = page.mapcount == 1 and not page.compound
        writable = vma.write and (entry.write or alone)
        last = self.last_of(page, n)
        self.carry_out(done, page, n, d, nr)
        failed = t is not None and new is None
        if t is not None and not limited and self.migrate_limit:
            self.note("migrated", t, nr)
        if failed:
            self.refuse(Refusal.RATE_LIMIT if limited else Refusal.TARGET_FULL, nr)
            self.nodes[t].woken |= self.tiering and not limited
        elif t is not None:
            self.move_hinted(task, entry, new, n, huge)
        self.count_hint_fault(task, n)
        entry.protnone, entry.young = False, True
        if isinstance(vma.numab, VmaState):
            self.notes.append(("pid", vma.numab, self.pid_bit(task)))
        self.account(task, n, self.node_of(entry.payload), nr, last, writable, failed)

    @staticmethod
    def pid_bit(task):
        return ((task.id + 1) * 0x61C88647 % (1 << 32)) >> 26

    def find_target(self, task, t, huge):
        """Return a frame or a block on a node, or None."""
        high = self.nodes[t].high
        find = self.allocate_huge_on if huge else self.allocate_on
        mark = high + BLOCK if huge else high + 1
        return self.unless_full(find, t, mark, self.cpu(task))

    def move_hinted(self, task, entry, new, n, huge):
        if huge:
            self.migrate_huge(task, entry.payload // BLOCK, new)
            self.moved_folio(task, new, n, entry)
        else:
            self.migrate(task, entry.payload, new)
            self.moved_page(task, new, n, entry)
        t, nr = self.node_of(entry.payload), BLOCK if huge else 1
        self.add(t, Vm.NUMA_PAGES_MIGRATED, nr)
        if self.slow(n):
            self.add(t, Vm.PGPROMOTE_SUCCESS, nr)

    def account(self, task, n, m, nr, last, writable, failed):
        """task_numa_fault: note a fault in the statistics."""
        if self.below_cpus(m) and (self.tiering or last is None):
            return
        priv = last is None or last[0] == self.pid(task) & 255
        if not priv and writable and self.knobs.groups:
            self.notes.append(("met", task, task))
            other = self.met(last)
            if other is not None:
                self.notes.append(("met", task, other))
                same = other.process is task.process
                priv = not same and self.smaller(task, other)
        d, group = self.cpu(task), self.numas[task.id].group
        local = n == d
        if not priv and group is not None and group.active > 1:
            local |= self.is_active(group, d) and self.is_active(group, m)
        self.notes.append(("fault", task, (m, int(priv), nr, local, failed)))

    def met(self, last):
        """Return the task that a page's last fault was probably of, or None."""
        pid, cpu = last
        return next(
            (t for t in self.live() if t.cpu == cpu and self.pid(t) & 255 == pid), None
        )

    def smaller(self, p, t):
        """Tell whether p's group would join t's (task_numa_group)."""
        mine, theirs = self.numas[p.id].group, self.numas[t.id].group
        if theirs is None or mine is theirs:
            return False
        size, number = (mine.tasks, mine.number) if mine else (1, p.id)
        if size != theirs.tasks:
            return size < theirs.tasks
        return number < theirs.number

    @staticmethod
    def is_active(group, n):
        return group.of_node(CPU, n) * 3 > group.max_cpu

    # --- tasks come and go, §11.1 -----------------------------------------------

    def enter_mm(self, process):
        self.mms[process.id] = Scan()

    def init_numa_balancing(self, task):
        """A task starts; ``tasks`` does not hold it yet."""
        if not self.balances:
            return
        mm, users = self.mms[task.process.id], self.users(task.process)
        if users <= 1:
            mm.next_scan, mm.seq = self.ms() + self.knobs.scan_delay_ms, 0
        faults = [[[0, 0] for _ in range(self.count)] for _ in range(4)]
        numa = Numa(faults, self.knobs.scan_delay_ms, mm.seq)
        self.numas[task.id] = numa
        if users:
            parent = next(t for t in self.live() if t.process is task.process)
            other = self.numas[parent.id]
            numa.preferred = other.preferred
            delay = other.period * users * MS % (1 << 32)
            numa.stamp = min(self.scan_max(parent), delay) + 2 * self.knobs.tick_ns

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
        if not task.process.alive:
            return
        away = numa.preferred != -1 and source != numa.preferred
        if numa.seq == 0 or not (target == numa.preferred or away):
            numa.period = self.scan_start(task)

    # --- the scan period --------------------------------------------------------

    def windows(self, task):
        pages = self.knobs.scan_size_mb * 256
        return max(1, -(-self._rss[task.process.id] // pages))

    def scan_min(self, task):
        windows = max(1, 2560 // self.knobs.scan_size_mb)
        period = self.knobs.scan_period_min_ms // self.windows(task)
        return max(1000 // windows, period)

    def grown(self, task, period):
        """Return a period for the share that the task's group shares."""
        group = self.numas[task.id].group
        if group is None:
            return period
        shared, private = group.by_kind(0), group.by_kind(1)
        return period * group.tasks * (shared + 1) // (private + shared + 1)

    def scan_start(self, task):
        least = self.scan_min(task)
        return max(least, self.grown(task, least))

    def scan_max(self, task):
        most = self.knobs.scan_period_max_ms // self.windows(task)
        return max(self.scan_min(task), self.grown(task, most), most)

    # --- the end of a quantum, §11.3 --------------------------------------------

    def balance(self, start):
        """Do all that follows a quantum that began at ``start`` and is over."""
        if not self.balances:
            return
        runtimes = {task.id: sum(self.spent[task.id]) for task in self.tasks}
        faulted, met = self.apply_notes()
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
        """Add what the faults noted; return who had some, and whom they met."""
        faulted, met = set(), {}
        for kind, who, what in self.notes:
            if kind == "pid":
                who.pids[1] |= 1 << what
            elif kind == "met":
                met.setdefault(who, set()).add(what)
            else:
                faulted.add(who)
                self.add_fault(self.numas[who.id], self.cpu(who), *what)
        return faulted, met

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

    def tier_windows(self):
        """Step 1: add pages; thresholds and windows of the nodes."""
        knobs, now = self.knobs, self.ms()
        rows = [self.serial_notes, *self.shard_notes]
        for d, tier in enumerate(self.tiers):
            new = sum(one.candidates.get(d, 0) for one in rows)
            tier.candidates += new
            tier.migrated += sum(one.migrated.get(d, 0) for one in rows)
            if d in self.roomy:
                tier.threshold = 0
            late = now - tier.th_start > knobs.scan_period_max_ms
            if d in self.asked and late:
                self.adjust_threshold(tier)
            if new and now - tier.window > 1000:
                tier.window, tier.base = now, tier.candidates
            if now - tier.migrate_start > 100:
                tier.migrate_start, tier.migrated = now, 0

    def adjust_threshold(self, tier):
        hot = self.knobs.hot_threshold_ms
        ref = self.promote_limit * self.knobs.scan_period_max_ms // 1000
        new, unit = tier.candidates - tier.th_candidates, hot * 2 // 16
        th = tier.threshold or hot
        if new > ref * 11 // 10:
            th = max(th - unit, unit)
        elif new < ref * 9 // 10:
            th = min(th + unit, 2 * hot)
        tier.th_start, tier.th_candidates = self.ms(), tier.candidates
        tier.threshold = th

    def task_numa_group(self, p, met):
        """Step 2: a task makes a group of its own, or moves to a bigger one."""
        numa = self.numas[p.id]
        if numa.group is None:
            faults = [[list(row) for row in numa.faults[kind]] for kind in (MEM, CPU)]
            numa.group = self.groups[p.id] = Group(p.id, faults, numa.total)
        for t in sorted(met, key=lambda one: one.id):
            if t is p or t.process is not p.process or not self.smaller(p, t):
                continue
            mine, theirs = numa.group, self.numas[t.id].group
            self.take_from(mine, numa)
            self.add_faults(theirs, numa, 1)
            theirs.total += numa.total
            theirs.tasks += 1
            numa.group = theirs

    def task_numa_placement(self, p, runtime):
        """Step 3: find the node that a task's memory is on."""
        numa, mm = self.numas[p.id], self.mms[p.process.id]
        if numa.seq == mm.seq:
            return
        numa.seq = mm.seq
        numa.period_max = self.scan_max(p)
        total, group = numa.local + numa.remote, numa.group
        share = LOAD_AVG_MAX, LOAD_AVG_MAX
        if numa.last_placement:
            period = max(0, self.now - numa.last_placement)
            share = runtime - numa.last_runtime, period
        numa.last_runtime, numa.last_placement = runtime, self.now
        kinds = [0, 0]
        online = [n for n in range(self.count) if self.is_online(n)]
        for n in online:
            for priv in (0, 1):
                kinds[priv] += numa.faults[MEMBUF][n][priv]
                self.decay(numa, n, priv, share, total)
        best, most = -1, 0
        for n in online:
            faults = (group or numa).faults[MEM][n]
            if sum(faults) > most:
                best, most = n, sum(faults)
        if best >= 0:
            best = self.nearest_with_cpus(best)
        if group is not None:
            self.count_active_nodes(group)
            best = self.preferred_group_nid(p, best)
        if most:
            numa.preferred = best
        self.update_scan_period(p, *kinds)

    def decay(self, numa, n, priv, share, total):
        """Let a node's old statistics fade and take in the new ones."""
        runtime, period = share
        mem, cpu, membuf, cpubuf = (row[n] for row in numa.faults)
        diff = membuf[priv] - mem[priv] // 2
        weight = (runtime << 16) // (period + 1) * cpubuf[priv] // (total + 1)
        f_diff = weight - cpu[priv] // 2
        membuf[priv] = cpubuf[priv] = 0
        mem[priv] += diff
        cpu[priv] += f_diff
        numa.total += diff
        if numa.group is not None:
            numa.group.faults[MEM][n][priv] += diff
            numa.group.faults[CPU][n][priv] += f_diff
            numa.group.total += diff

    def nearest_with_cpus(self, n):
        if n in self.cpu_nodes:
            return n
        return min(self.cpu_nodes, key=lambda other: (self.distance(n, other), other))

    def count_active_nodes(self, group):
        group.max_cpu = max(group.of_node(CPU, n) for n in self.cpu_nodes)
        group.active = sum(self.is_active(group, n) for n in self.cpu_nodes)

    def update_scan_period(self, p, shared, private):
        numa, mm = self.numas[p.id], self.mms[p.process.id]
        if numa.local + shared == 0 or numa.failed:
            numa.period = min(numa.period_max, numa.period * 2)
            mm.next_scan = self.ms() + numa.period
            return
        slot = -(-numa.period // 10)
        parts = numa.local + numa.remote
        lr = 10 * numa.local // parts if parts else 0
        ps = 10 * private // (private + shared) if private + shared else 0
        if ps >= 7:
            diff = max(1, ps - 7) * slot
        elif lr >= 7:
            diff = max(1, lr - 7) * slot
        else:
            diff = -(7 - max(lr, ps)) * slot
        least, most = self.scan_min(p), self.scan_max(p)
        numa.period = min(max(numa.period + diff, least), most)
        numa.local = numa.remote = numa.failed = 0

    # --- weights ----------------------------------------------------------------

    def weight(self, one, n, limit):
        """task_weight or group_weight: of a Numa or a Group, in thousandths."""
        if one is None or not one.total:
            return 0
        faults = sum(one.faults[MEM][n]) + self.score_nearby(one, n, limit)
        return c_div(1000 * faults, one.total)

    def score_nearby(self, one, n, limit):
        if self.topology == DIRECT:
            return 0
        score, far = 0, self.furthest
        for k in range(self.count):
            dist = self.distance(n, k)
            if k == n or dist >= far or not self.is_online(k):
                continue
            if self.topology == BACKPLANE and dist >= limit:
                continue
            faults = sum(one.faults[MEM][k])
            if self.topology == MESH:
                faults = faults * (far - dist) // (far - 10)
            score += faults
        return score

    def preferred_group_nid(self, p, n):
        group = self.numas[p.id].group
        if self.topology == DIRECT:
            return n
        if self.topology == MESH:
            best, most = n, 0
            for node in self.cpu_nodes:
                score = self.weight(group, node, self.furthest)
                if score > most:
                    best, most = node, score
            return best
        nodes = set(self.cpu_nodes)
        for dist in range(self.furthest, 10, -1):
            if dist not in self.distances:
                continue
            most, chosen = 0, set()
            for a in range(self.count):
                if a not in nodes:
                    continue
                near = {b for b in nodes if self.distance(a, b) < dist}
                nodes -= near
                faults = sum(group.of_node(MEM, b) for b in near)
                if faults > most:
                    most, chosen, n = faults, near, a
            if not most:
                break
            nodes = chosen
        return n

    # --- a task moves to its memory ---------------------------------------------

    def numa_migrate_preferred(self, p):
        numa = self.numas[p.id]
        if numa.preferred < 0:
            return
        numa.retry = self.ms() + min(1000, numa.period // 16)
        if self.cpu(p) != numa.preferred and self.knobs.placement:
            self.task_numa_migrate(p)

    def stats_of(self, n):
        """update_numa_stats."""
        cpus = self.cpus_of(n)
        busy = [task.cpu for task in self.running() if task.cpu in cpus]
        running, size = len(busy), len(cpus)
        idle = next((cpu for cpu in cpus if cpu not in busy), -1)
        return Stats(running, size, idle)

    def current(self, cpu):
        """Return the task that runs on a CPU, or None."""
        return next((task for task in self.running() if task.cpu == cpu), None)

    def task_numa_migrate(self, p):
        numa, source = self.numas[p.id], self.cpu(p)
        group = numa.group
        env = Env(p, source, self.stats_of(source))
        env.target = numa.preferred
        dist = env.distance = self.distance(source, env.target)
        mine = self.weight(numa, source, dist)
        ours = self.weight(group, source, dist)
        taskimp = self.weight(numa, env.target, dist) - mine
        groupimp = self.weight(group, env.target, dist) - ours
        env.dst = self.stats_of(env.target)
        self.task_numa_find_cpu(env, taskimp, groupimp)
        if env.best_cpu == -1 or group is not None and group.active > 1:
            for n in self.cpu_nodes:
                if n in (source, numa.preferred):
                    continue
                # Of the node looked at before, as in Linux.
                dist = self.distance(source, env.target)
                if self.topology == BACKPLANE and dist != env.distance:
                    mine = self.weight(numa, source, dist)
                    ours = self.weight(group, source, dist)
                taskimp = self.weight(numa, n, dist) - mine
                groupimp = self.weight(group, n, dist) - ours
                if taskimp < 0 and groupimp < 0:
                    continue
                env.distance, env.target = dist, n
                env.dst = self.stats_of(n)
                self.task_numa_find_cpu(env, taskimp, groupimp)
        if group is not None:
            found = env.best_cpu != -1
            numa.preferred = self.cpu_node[env.best_cpu] if found else source
        if env.best_cpu == -1:
            return
        self.go(env, p, source)

    def go(self, env, p, source):
        """Move a task to the best CPU, or swap it with the best task."""
        other, cpu = env.best_task, p.cpu
        p.cpu = env.best_cpu
        if other is None:
            self.add(source, Vm.NUMA_TASK_MIGRATED)
        else:
            self.add(source, Vm.NUMA_TASK_SWAPPED)
            was, other.cpu = self.cpu(other), cpu
            self.node_changed(other, was)
        self.node_changed(p, source)

    def task_numa_find_cpu(self, env, taskimp, groupimp):
        src, dst = env.src, env.dst
        if dst.has_spare:
            to, left = dst.running + 1, src.running - 1
            imbalance = max(0, to - left)
            allowed = max(1, src.cpus // 8)
            if to <= allowed and imbalance <= 2:
                imbalance = 0
            maymove = imbalance == 0
            if maymove and dst.idle >= 0:
                env.dst_cpu = dst.idle
                self.assign_best(env, None, 0)
                return
        else:
            maymove = not self.too_imbalanced(env, 1024)
        for cpu in self.cpus_of(env.target):
            env.dst_cpu = cpu
            if self.task_numa_compare(env, taskimp, groupimp, maymove):
                break

    @staticmethod
    def too_imbalanced(env, load):
        """load_too_imbalanced of moving so much load."""
        src, dst = env.src, env.dst

        def off(here, there):
            return abs(there * src.capacity - here * dst.capacity)

        now = off(src.load, dst.load)
        return off(src.load - load, dst.load + load) > now

    @staticmethod
    def assign_best(env, task, imp):
        env.best_task, env.best_imp, env.best_cpu = task, imp, env.dst_cpu

    def task_numa_compare(self, env, taskimp, groupimp, maymove):
        """Look at one CPU; tell whether to stop looking."""
        p, numa = env.task, self.numas[env.task.id]
        if env.dst_cpu == env.best_cpu:
            # numa_migrate_on of its runqueue is set.
            return False
        imp = moveimp = taskimp if numa.group is None else groupimp
        cur = self.current(env.dst_cpu)
        if cur is p:
            return True
        if cur is None:
            if not (maymove and moveimp >= env.best_imp):
                return False
        else:
            other = self.numas[cur.id]
            homeward = other.preferred == env.source
            best_homeward = (
                env.best_task is not None
                and self.numas[env.best_task.id].preferred == env.source
            )
            if best_homeward and not homeward:
                return False
            imp = self.swap_importance(env, other, taskimp, imp)
            if imp is None:
                return False
            if maymove and moveimp > imp and moveimp > env.best_imp:
                imp, cur = moveimp, None
            elif env.best_task is not None and homeward and not best_homeward:
                pass
            elif imp < SMALLIMP or imp <= env.best_imp + SMALLIMP // 2:
                return False
        if cur is None:
            self.find_idle(env)
        self.assign_best(env, cur, imp)
        if maymove and cur is None and self.is_idle(env.best_cpu):
            return True
        best = env.best_task
        if not maymove and best is not None:
            return self.numas[best.id].preferred == env.source
        return False

    def is_idle(self, cpu):
        return self.current(cpu) is None

    def find_idle(self, env):
        """Choose the CPU of a move: an idle one of the node if there is one."""
        cpu = env.dst.idle if env.dst.idle >= 0 else env.dst_cpu
        if not self.is_idle(cpu) and env.best_cpu >= 0 and self.is_idle(env.best_cpu):
            cpu = env.best_cpu
        env.dst_cpu = cpu

    def swap_importance(self, env, other, taskimp, imp):
        """Return what a swap with a task is worth; None: it is no candidate."""
        numa, dist = self.numas[env.task.id], env.distance
        gain = self.weight(other, env.source, dist)
        gain -= self.weight(other, env.target, dist)
        if other.group is numa.group:
            if env.dst.has_spare:
                return None
            imp = taskimp + gain
            if other.group is not None:
                imp -= c_div(imp, 16)
        elif other.group is not None and numa.group is not None:
            imp += self.weight(other.group, env.source, dist)
            imp -= self.weight(other.group, env.target, dist)
        else:
            imp += gain
        if other.preferred == env.target:
            imp -= c_div(imp, 16)
        if other.preferred == env.source:
            imp += c_div(imp, 8)
        return imp

    # --- ticks and scans, §11.3 and §11.4 ---------------------------------------

    def ticks(self, start, runtimes):
        tick = self.knobs.tick_ns
        for time in range((start // tick + 1) * tick, self.now + 1, tick):
            for task in self.live():
                clock = self.clocks[task.id].ns
                runs = self.left(task) > 0
                if runs or clock >= time and task.id in self.ran:
                    runtime = runtimes[task.id] - max(0, clock - time)
                    self.task_tick_numa(task, time, runtime)

    def task_tick_numa(self, p, time, runtime):
        numa, mm = self.numas[p.id], self.mms[p.process.id]
        period = numa.period * MS
        if runtime <= numa.stamp + period:
            return
        if numa.stamp == 0:
            numa.period = self.scan_start(p)
        numa.stamp += period
        if time // MS >= mm.next_scan:
            self.task_numa_work(p, time // MS)

    def task_numa_work(self, p, now):
        numa, mm = self.numas[p.id], self.mms[p.process.id]
        if numa.period == 0:
            numa.period_max, numa.period = self.scan_max(p), self.scan_start(p)
        mm.next_scan = now + numa.period
        numa.stamp += 2 * self.knobs.tick_ns
        left = [self.knobs.scan_size_mb * 256, self.knobs.scan_size_mb * 2048]
        skipped = self.scan_list(p, now, left, False)
        if skipped:
            self.scan_list(p, now, left, True)

    def scan_list(self, p, now, left, forced):
        """Scan from where the last scan ended; tell whether it must be forced."""
        process, mm = p.process, self.mms[p.process.id]
        vmas = [vma for vma in process.vmas if vma.end > mm.offset]
        start, inactive = mm.offset, False
        if not vmas:
            mm.seq += 1
            mm.offset = start = 0
            vmas = list(process.vmas)
        for vma in vmas:
            reason = self.skip_reason(p, vma, now, forced)
            if reason is not None:
                self.skips[reason] += 1
                inactive |= reason == ScanSkip.PID_INACTIVE
                if reason == ScanSkip.SEQ_COMPLETED:
                    mm.offset = vma.end
                continue
            start = max(start, vma.start)
            while start < vma.end:
                end = -(-(start + left[0]) // BLOCK) * BLOCK
                end = min(end, vma.end)
                if self.scan_chunk(p, process, start, end, now):
                    left[0] -= end - start
                left[1] -= end - start
                start = end
                if left[0] <= 0 or left[1] <= 0:
                    mm.offset = start
                    return False
            if self.knobs.vma_pids:
                vma.numab.prev_seq = mm.seq
            if forced:
                mm.offset = start
                return False
        if inactive and not forced:
            return True
        mm.seq += 1
        mm.offset = 0
        return False

    def skip_reason(self, p, vma, now, forced):
        """Tell why a scan passes over a VMA; None: it does not."""
        mm, delay = self.mms[p.process.id], self.knobs.scan_delay_ms
        if not self.mof(p, vma):
            return ScanSkip.UNSUITABLE
        if not vma.read:
            return ScanSkip.INACCESSIBLE
        if not self.knobs.vma_pids:
            return None
        if not isinstance(vma.numab, VmaState):
            first = now + delay
            state = VmaState(mm.seq, first, first + 4 * delay, mm.seq - 1)
            vma.numab = state
        state = vma.numab
        if mm.seq != 0 and now < state.next_scan:
            return ScanSkip.SCAN_DELAY
        if mm.seq != 0 and now > state.reset:
            state.reset += 4 * delay
            state.pids = [state.pids[1], 0]
        if state.prev_seq == mm.seq:
            return ScanSkip.SEQ_COMPLETED
        if not forced and not self.is_accessed(p, vma):
            return ScanSkip.PID_INACTIVE
        return None

    def is_accessed(self, p, vma):
        """vma_is_accessed."""
        mm, state = self.mms[p.process.id], vma.numab
        if mm.seq - state.start_seq < 2:
            return True
        if (state.pids[0] | state.pids[1]) >> self.pid_bit(p) & 1:
            return True
        if mm.offset > vma.start:
            return True
        return mm.seq > state.prev_seq + self.users(p.process)

    def scan_chunk(self, p, process, start, end, now):
        """Mark a chunk; return how many entries were marked."""
        marked, vpn = 0, start
        while vpn < end:
            block, pages = vpn // BLOCK, 1
            pmd = self.pmds[process.id].get(block)
            if pmd is not None and pmd.kind != "table":
                if vpn % BLOCK or (block + 1) * BLOCK > end:
                    self.split_pmd(process, block)
                else:
                    pages = BLOCK
            entry = self.entry(process, vpn)
            if entry is not None and self.may_mark(p, entry):
                self.mark_scanned(entry, now)
                marked += 1
            vpn += pages
        if marked:
            flush = self.flush(process)
            cost = marked * self.costs.mark_pte_ns + flush
            self.charge(p, Cause.SCAN, cost)
            self.numas[p.id].stamp += 32 * cost
            self.flush_tlbs(process)
        return marked

    def may_mark(self, p, entry):
        if entry.kind != "present" or entry.protnone:
            return False
        n = self.node_of(entry.payload)
        if not self.normal and not self.below_cpus(n):
            return False
        if self.is_leaf(entry):
            return True
        if self.page_mapcount(entry.payload) > 1:
            return False
        return not (self.users(p.process) == 1 and n == self.cpu(p))

    def mark_scanned(self, entry, now):
        entry.protnone = True
        n, pages, pfn = self.node_of(entry.payload), 1, entry.payload
        if self.is_leaf(entry):
            pages = BLOCK
            self.add(n, Vm.NUMA_HUGE_PTE_UPDATES)
        self.add(n, Vm.NUMA_PTE_UPDATES, pages)
        if self.slow(n):
            page = self.folios.get(pfn // BLOCK) or self.frames[pfn]
            page.last = now & TIME_MASK

    # --- tiers, §11.5 -----------------------------------------------------------

    def kswapd_mark(self, node):
        """Return above what kswapd stops."""
        return 2 * node.high - node.low if self.tiering else node.high

    def demotion_targets(self, n):
        """Return the nodes of lower tiers: the one to ask first, then by its zonelist.

        The first is the nearest of the next tier, the lowest number of equals.
        """
        if not self.knobs.demotion:
            return []
        tier = self.machine.tier
        lower = [
            m for m in range(self.count) if tier[m] > tier[n] and self.nodes[m].online
        ]
        if not lower:
            return []
        first = min(lower, key=lambda m: (tier[m], self.distance(n, m), m))
        return [first, *(m for m in self.zonelist[first] if m in lower)]

    def demotion_target(self, n, takes):
        """Return where to: the first node down to its min, then any, low before min."""
        if not (targets := self.demotion_targets(n)):
            return None
        first, *others = targets
        for nodes, mark in (
            *(([first], "low"), ([first], "min")),
            *((others, "low"), (others, "min")),
        ):
            if mark == "min":
                # The slow path of an allocation wakes kswapd.
                for m in nodes:
                    self.nodes[m].woken = True
            for m in nodes:
                if takes(m, getattr(self.nodes[m], mark)):
                    return m
        return None

    def demote(self, n, at, folio, steal):
        """Demote a frame or a folio; return how many pages went, 0 for none."""
        pages = BLOCK if folio else 1
        room = self.has_room if folio else lambda m, mark: self.nodes[m].free > mark
        t = self.demotion_target(n, room)
        if t is None:
            return 0
        if folio:
            new = self.take_huge(t)
            self.statistics(t, t, n, pages=BLOCK)
            self.migrate_huge(None, at, new)
        else:
            new = self.take(t)
            self.statistics(t, t, n)
            self.migrate(None, at, new)
        kswapd = steal == Vm.PGSTEAL_KSWAPD
        self.add(n, Vm.PGDEMOTE_KSWAPD if kswapd else Vm.PGDEMOTE_DIRECT, pages)
        self.add(n, steal, pages)
        return pages

    # --- what came out ----------------------------------------------------------

    def numa(self, task):
        one = self.numas[task.id]
        number = one.group.number if one.group else -1
        return NumaTask(
            *(one.period, one.period_max, one.stamp, one.seq, one.preferred),
            *(one.retry, number, one.total, one.remote, one.local, one.failed),
            np.array(one.faults),
        )

    def numa_group(self, number):
        one = self.groups[number]
        counts = one.tasks, one.total, one.max_cpu, one.active
        return NumaGroup(*counts, np.array(one.faults))

    def scan_state(self, process):
        mm = self.mms[process.id]
        offset = max(0, mm.offset - process.first_vpn)
        return mm.seq, offset, mm.next_scan

    def scan_skips(self):
        return np.array(self.skips)

    def cpupid(self, process, vpn):
        entry = self.entry(process, vpn)
        if entry is None or entry.kind == "zero":
            return 0
        pfn = entry.payload
        if entry.kind != "present":
            pfn = self.cache("swap" if entry.kind == "swap" else "mig").frame.get(pfn)
            if pfn is None:
                return 0
        page = self.folios.get(pfn // BLOCK) or self.frames[pfn]
        if page.last is None:
            return 0
        if self.slow(self.node_of(pfn)):
            return 1 + page.last
        pid, cpu = page.last
        return 1 + (cpu << 8 | pid)

    def tier_state(self, node):
        tier = self.tiers[node]
        return tier.threshold or self.knobs.hot_threshold_ms, tier.candidates
