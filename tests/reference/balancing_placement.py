"""The statistics of hint faults: scan periods, the preferred node of a task, and
weights.

``docs/model/balancing.md`` states the rules.
"""

from .balancing_words import BACKPLANE, CPU, DIRECT, MEM, MEMBUF, MESH, MS, c_div

#: LOAD_AVG_MAX: the share of time of a task that was never placed.
LOAD_AVG_MAX = 47742


class TaskPlacement:
    """A part of ``Reference`` (``model.py``)."""

    def windows(self, task):
        pages = self.knobs.scan_size_mb * 256
        return max(1, -(-self._rss[task.process.id] // pages))

    def scan_min(self, task):
        if not self.by_statistics:
            return self.knobs.scan_period_min_ms
        windows = max(1, 2560 // self.knobs.scan_size_mb)
        period = self.knobs.scan_period_min_ms // self.windows(task)
        return max(1000 // windows, period)

    def grown(self, task, period):
        """Return a period for the share that the task's group shares."""
        group = self.numas[task.id].group
        if group is None or self.by_local_share:
            return period
        shared, private = group.by_kind(0), group.by_kind(1)
        return period * group.tasks * (shared + 1) // (private + shared + 1)

    def scan_start(self, task):
        least = self.scan_min(task)
        return max(least, self.grown(task, least)) if self.by_statistics else least

    def scan_max(self, task):
        if not self.by_statistics:
            return self.knobs.scan_period_max_ms
        most = self.knobs.scan_period_max_ms // self.windows(task)
        return max(self.scan_min(task), self.grown(task, most), most)

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
        for n in filter(self.is_online, range(self.count)):
            if group.of_node(CPU, n) > group.max_cpu * 6 // 16:
                group.nodes.add(n)
            elif group.of_node(CPU, n) < group.max_cpu * 3 // 16:
                group.nodes.discard(n)
        group.active = sum(self.is_active(group, n) for n in self.cpu_nodes)

    def update_scan_period(self, p, shared, private):
        numa, mm = self.numas[p.id], self.mms[p.process.id]
        if not self.by_statistics:
            numa.local = numa.remote = numa.failed = 0
            return
        failed = numa.failed and self.knobs.slow_on_failure
        if numa.local + shared == 0 or failed:
            numa.period = min(numa.period_max, numa.period * 2)
            mm.next_scan = self.ms() + numa.period
            return
        slot = -(-numa.period // 10)
        parts = numa.local + numa.remote
        lr = 10 * numa.local // parts if parts else 0
        ps = 10 * private // (private + shared) if private + shared else 0
        if self.by_local_share:
            diff = self.local_change(lr, private, shared, slot)
        elif ps >= 7:
            diff = max(1, ps - 7) * slot
        elif lr >= 7:
            diff = max(1, lr - 7) * slot
        else:
            diff = -(7 - max(lr, ps)) * slot
        least, most = self.scan_min(p), self.scan_max(p)
        numa.period = min(max(numa.period + diff, least), most)
        numa.local = numa.remote = numa.failed = 0

    @staticmethod
    def local_change(lr, private, shared, slot):
        """update_task_scan_period of 3.13 to 4.13."""
        if lr >= 7:
            return max(1, lr - 7) * slot
        ratio = -(-10 * private // (private + shared + 1))
        return -((7 - lr) * slot * ratio // 10)

    def lengthens(self, moved, nr):
        """Tell whether a hint fault makes the period longer."""
        rule = self.knobs.scan_period_rule
        if rule == "unmoved_fault":
            return not moved
        if rule == "every_fault":
            return moved or nr == 1 or not self.settings.thp.unit_hinting
        return False

    def lengthen_period(self, numa):
        """task_numa_fault before 3.13, for one fault."""
        jiffies = {"every_fault": 2, "unmoved_fault": 10}[self.knobs.scan_period_rule]
        period = numa.period + jiffies * self.knobs.tick_ns // MS
        numa.period = min(period, self.knobs.scan_period_max_ms)

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
