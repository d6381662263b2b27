"""Which CPU a task runs on: the load balancer; and whose turn it is.

``docs/model/sched.md`` states the rules.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from lazynuma.kernels.counters import Lb

from .balancing_words import MS
from .draws import draw, unit

LOAD = 1024


@dataclass
class Domain:
    """A CPU's sched_domain: its groups are lists of CPUs, the CPU's own first."""

    groups: list
    of_node: bool
    pct: int
    last: int = 0
    interval: int = 0
    failed: int = 0

    @property
    def nice_tries(self):
        return 1 if self.of_node else 2

    @property
    def weight(self):
        return sum(map(len, self.groups))


@dataclass
class Disturbance:
    """What else runs on a CPU."""

    since: int = 0
    until: int = 0


@dataclass
class Rq:
    """A CPU, as the load balancer knows it."""

    node: int
    domains: list
    other: Disturbance = field(default_factory=Disturbance)
    stolen: int = 0
    was_busy: bool = False


class Scheduler:
    """A part of ``Reference`` (``model.py``)."""

    def start_scheduler(self):
        self.pinned, self.run_delay, self.shared_at = set(), {}, {}
        self.lb = [0] * len(Lb)
        self.rqs = {
            cpu: Rq(n, list(self.domains_of(cpu, n)))
            for cpu, n in enumerate(self.cpu_node)
            if n >= 0
        }

    def domains_of(self, cpu, n):
        mine = self.cpus_of(n)
        others = [[other] for other in mine if other != cpu]
        yield Domain([[cpu], *others], True, 117)
        for reach in sorted(self.distances)[1:]:
            near = [
                m for m in self.cpu_nodes if m != n and self.distance(n, m) <= reach
            ]
            groups = [mine, *map(self.cpus_of, near)]
            yield Domain(groups, False, self.settings.sched.imbalance_pct)

    # --- turns ---------------------------------------------------------------------

    def share_cpus(self):
        if not self.settings.sched.time_sharing:
            return
        ran = {t: self.runtime(t) - self.shared_at.get(t.id, 0) for t in self.tasks}
        for task in self.tasks:
            if not ran[task]:
                continue
            others = [ran[t] for t in self.tasks if t is not task and t.cpu == task.cpu]
            turns = sum(min(ran[task], other) for other in others)
            waited = turns + self.rqs[task.cpu].stolen
            clock = self.clocks[task.id]
            clock.ns += waited
            clock.mean += clock.mean * turns // ran[task]
            self.run_delay[task.id] = self.run_delay.get(task.id, 0) + waited
        for task in self.tasks:
            self.shared_at[task.id] = self.runtime(task)
        for rq in self.rqs.values():
            rq.stolen = 0

    # --- the load balancer ---------------------------------------------------------

    def rebalance(self, start):
        """Balance at the ticks since ``start``."""
        if not self.settings.sched.load_balance:
            return
        tick = self.settings.balancing.tick_ns
        for number in range(start // tick + 1, self.now // tick + 1):
            self.disturb(number, tick)
            for cpu in self.rqs:
                self.rebalance_cpu(cpu, number * tick)

    def disturb(self, number, tick):
        sched, at = self.settings.sched, number * tick
        for cpu, rq in self.rqs.items():
            if not sched.disturb_ns or rq.other.until > at:
                continue
            r = draw(self.seed, (1 << 63) + 2, number * len(self.cpu_node) + cpu)
            if unit(r) * sched.disturb_period_ns < tick:
                since = at - (r & 2047) * tick // 2048
                rq.other = Disturbance(since, since + sched.disturb_ns)
                rq.stolen += sched.disturb_ns
                self.lb[Lb.DISTURBED] += 1

    def on(self, cpu):
        """Return the running tasks of a CPU."""
        return [task for task in self.running() if task.cpu == cpu]

    def nr_running(self, cpu, at):
        return len(self.on(cpu)) + (self.rqs[cpu].other.until > at)

    def rebalance_cpu(self, cpu, at):
        rq = self.rqs[cpu]
        idle = self.nr_running(cpu, at) == 0
        newly, rq.was_busy = idle and rq.was_busy, not idle
        for domain in rq.domains:
            if newly:
                if self.load_balance(cpu, domain, True, at):
                    rq.was_busy = True
                    return
                continue
            interval = max(domain.weight, domain.interval)
            interval *= 1 if idle else self.settings.sched.busy_factor
            if at - domain.last < min(interval, 100 * len(self.rqs)) * MS:
                continue
            domain.last = at
            mine = sorted(domain.groups[0])
            waiting = [one for one in mine if not self.nr_running(one, at)] or mine
            if waiting[0] != cpu:
                return
            if self.load_balance(cpu, domain, False, at):
                rq.was_busy, idle = True, False

    def load_balance(self, cpu, domain, newly, at):
        idle = not self.nr_running(cpu, at)
        busiest, imbalance = self.find_busiest_group(domain, idle, at)
        queues = [one for one in sorted(busiest) if self.movable(one)]
        if not imbalance or not queues:
            self.lb[Lb.BALANCED] += 1
            if not newly:
                domain.failed = 0
                self.back_off(domain)
            return False
        source = max(queues, key=lambda one: self.nr_running(one, at))
        task = self.detach_task(source, cpu, domain, imbalance, idle and not newly, at)
        if task:
            how = Lb.MOVED_NEWLY_IDLE if newly else Lb.MOVED_IDLE
            self.pull(task, cpu, how if idle else Lb.MOVED_BUSY)
            domain.failed, domain.interval = 0, domain.weight
            return True
        return not newly and self.has_failed(domain, source, cpu, at)

    def has_failed(self, domain, source, cpu, at):
        """Note a failure; tell whether the running task was pushed."""
        domain.failed += 1
        if domain.failed <= domain.nice_tries + 2:
            domain.interval = domain.weight
            return False
        self.back_off(domain)
        task = self.whose_turn(source, at)
        if task is None or task.id in self.pinned:
            return False
        domain.failed = domain.nice_tries + 1
        self.pull(task, cpu, Lb.PUSHED)
        return True

    @staticmethod
    def back_off(domain):
        if domain.interval < 2 * domain.weight:
            domain.interval = 2 * max(domain.weight, domain.interval)

    def movable(self, cpu):
        return [task for task in self.on(cpu) if task.id not in self.pinned]

    def find_busiest_group(self, domain, idle, at):
        """Return (the CPUs of the busiest group, load to take from it)."""

        def running(cpus):
            return sum(self.nr_running(cpu, at) for cpu in cpus)

        def idle_cpus(cpus):
            return sum(not self.nr_running(cpu, at) for cpu in cpus)

        own, *others = domain.groups
        others.sort(key=min)
        here, most, busiest = Fraction(running(own), len(own)), None, []
        for group in others:
            there = Fraction(running(group), len(group))
            if there > (here if most is None else most):
                most, busiest = there, group
        if not busiest:
            return [], 0
        if idle:
            spare = idle_cpus(own) > idle_cpus(busiest) + 1
            pays = most > 1 or spare and not domain.of_node
            return busiest, LOAD if pays else 0
        every = [own, *others]
        mean = LOAD * sum(map(running, every)) // domain.weight
        ours, theirs = int(LOAD * here), int(LOAD * most)
        if 100 * most <= domain.pct * here or ours >= mean:
            return busiest, 0
        imbalance = min((theirs - mean) * len(busiest), (mean - ours) * len(own))
        task = LOAD // len(busiest)
        if self.settings.sched.small_imbalance and imbalance < LOAD:
            if theirs + task >= ours + 2 * task:
                imbalance = LOAD
        return busiest, imbalance

    def whose_turn(self, cpu, at):
        tasks = self.on(cpu)
        if not tasks or self.rqs[cpu].other.until > at:
            return None
        return tasks[at // self.settings.balancing.tick_ns % len(tasks)]

    def detach_task(self, source, cpu, domain, imbalance, periodic, at):
        """Return a task that waits and may move, or None."""
        if self.settings.sched.small_imbalance:
            heavy = LOAD // 2 > imbalance
        else:
            heavy = LOAD >> min(domain.failed, 10) > imbalance
        current, why = self.whose_turn(source, at), Lb.FAILED
        for task in [] if heavy else self.movable(source):
            if task is current:
                continue
            stays = self.why_stay(task, cpu, periodic, at)
            if stays is None or domain.failed > domain.nice_tries:
                self.lb[Lb.MOVED_HOT] += stays is not None
                return task
            why = stays
        self.lb[why] += 1
        return None

    def why_stay(self, task, cpu, periodic, at):
        """Return why a task is not to move, or None."""
        said = self.says_numa(task, self.cpu_node[cpu], periodic, at)
        if said is not None:
            return Lb.LOCALITY if said else None
        other = self.rqs[task.cpu].other
        cost = self.settings.sched.migration_cost_ns
        return Lb.HOT if other.until > at and at - other.since < cost else None

    def says_numa(self, task, target, periodic, at):
        """Return True if a move is to be refused, False if it is wanted, or None."""
        rule, source = self.settings.sched.locality, self.cpu(task)
        if rule == "none" or not self.balances or source == target:
            return None
        numa = self.numas[task.id]
        if not numa.has_statistics:
            return None
        dist = self.distance(source, target)

        def gain(faults):
            return self.weight(faults, target, dist) - self.weight(faults, source, dist)

        if rule == "improves":
            better = gain(numa) > 0 and gain(numa.group) > 0
            return False if target == numa.preferred or better else None
        if source == numa.preferred:
            here = self.on(task.cpu)
            content = sum(self.numas[t.id].preferred == source for t in here)
            return True if self.nr_running(task.cpu, at) > content else None
        if target == numa.preferred:
            return False
        if periodic:
            return None
        return gain(numa if numa.group is None else numa.group) < 0

    def pull(self, task, cpu, how):
        self.lb[how] += 1
        source = self.cpu(task)
        self.lb[Lb.MOVED_NODE] += source != self.cpu_node[cpu]
        self.move_task(task, cpu)

    def load_balances(self):
        return {one.name.lower(): n for one, n in zip(Lb, self.lb, strict=True)}

    def run_delays(self):
        return [self.run_delay.get(task.id, 0) for task in self.tasks]
