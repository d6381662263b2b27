"""What accesses and calls cost, who pays, and how load makes memory slower.

``docs/model/time.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm


class Charges:
    """A part of ``Reference`` (``model.py``)."""

    def add(self, node, name, n=1):
        self.vm[node][name] += n

    def charge(self, task, cause, ns):
        self.clocks[task.id].charged += ns
        self.spent[task.id][cause] += ns

    def copy_ns(self, a, b):
        rate = min(self.costs.copy_bandwidth, int(self.machine.bandwidth[a][b]))
        alone = 4096 * 10**9 // rate
        return max(alone, self.copy_queue[a][b])

    def price_copies(self):
        """A copy gets no more of the memory than a stream of a CPU of the target."""
        if self.settings.loaded_copies:
            every = range(self.count)
            self.copy_queue = [
                [self.streamed(64, b, a) + self.streamed(128, b, b) for b in every]
                for a in every
            ]

    def fold(self):
        for clock in self.clocks:
            clock.ns += clock.charged
            clock.charged = 0

    def receivers(self, process):
        live = sum(t.process is process and process.alive for t in self.tasks)
        return max(0, live - 1)

    def flush(self, process):
        costs = self.costs
        return costs.tlb_flush_ns + costs.tlb_flush_cpu_ns * self.receivers(process)

    def flushes(self, task, process, count, walks=0):
        received = count * self.receivers(process)
        self.add(self.cpu(task), Vm.TLB_FLUSHES, count)
        self.add(self.cpu(task), Vm.NR_TLB_REMOTE_FLUSH_RECEIVED, received)
        self.took(task, Op.FLUSH, count)
        self.took(task, Op.WALK_FLUSH, walks)
        return count * self.flush(process)

    def flush_hinted(self, task):
        """Charge the flush of a small page that a hint fault maps, then moves."""
        if self.settings.balancing.hint_flush:
            ns = self.flushes(task, task.process, 1, 1)
            self.charge(task, Cause.MIGRATION, ns)

    def syscall(self, task, ns, migration_ns=0, alone=False):
        self.charge(task, Cause.SYSCALL, ns + self.costs.syscall_ns)
        self.charge(task, Cause.MIGRATION, migration_ns)
        self.took(task, Op.WRITE_CALL if alone else Op.READ_CALL)
        how = Op.WRITE_CALL_NS if alone else Op.READ_CALL_NS
        self.took(task, how, self.clocks[task.id].charged)
        self.fold()

    def runtime(self, task):
        """Return how long a task has run: charges without sleep, and computing."""
        ran = sum(self.spent[task.id]) - self.spent[task.id][Cause.LOCK_SLEEP]
        return ran + self.clocks[task.id].computed

    def access_ns(self, task, c, n):
        """Return what an access of a task on a CPU of node c to node n costs."""
        clock = self.clocks[task.id]
        if clock.stream:
            return self.streamed(clock.refs, c, n)
        return clock.refs * self.loaded(c, n)

    def streamed(self, refs, c, n):
        latency, width = self.machine.latency_ns, self.machine.bandwidth
        local = self.costs.core_bandwidth * int(latency[c][c])
        b = min(int(width[c][n]), local // int(latency[c][n]))
        return max(1, refs * 64 * 10**9 // b * self.factor[c][n] // 1000)

    def loaded(self, c, n):
        u, q = self.use[c][n], self.costs.queueing_permille
        latency = int(self.machine.latency_ns[c][n])
        return latency * (1000 + q * u // (1000 - u)) // 1000

    def utilise(self, length):
        def permille(refs, width):
            return refs * 64 * 1000 // max(1, int(width) // 1000 * length // 10**6)

        width = self.machine.bandwidth
        for n in range(self.count):
            into = sum(self.traffic[c][n] for c in range(self.count))
            for c in range(self.count):
                u = permille(into, width[n][n])
                if c != n:
                    u = max(u, permille(self.traffic[c][n], width[c][n]))
                self.use[c][n] = min(u, 950)
                grown = self.factor[c][n] * (1000 + u) // 2000
                self.factor[c][n] = min(max(grown, 1000), 10**6)
        for total, refs in zip(self.bytes, self.traffic, strict=True):
            total[:] = [a + 64 * b for a, b in zip(total, refs, strict=True)]
        self.traffic = [[0] * self.count for _ in range(self.count)]
