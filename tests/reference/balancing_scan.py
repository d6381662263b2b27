"""The scanner of NUMA balancing: when it runs, what it marks, and which VMAs it passes
over.

``docs/model/balancing.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, ScanSkip, Vm

from .balancing_words import MS, TIME_MASK, VmaState
from .words import BLOCK


class Scans:
    """A part of ``Reference`` (``model.py``)."""

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
        if not p.process.vmas:
            return
        self.scan_count += 1
        self.scan_ns = 0
        left = [self.knobs.scan_size_mb * 256, self.knobs.scan_size_mb * 2048]
        skipped = self.scan_list(p, now, left, False)
        if skipped:
            self.scan_list(p, now, left, True)
        self.longest_scan = max(self.longest_scan, self.scan_ns)

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
            flush = self.flushes(p, process, 1)
            cost = marked * self.costs.mark_pte_ns + flush
            self.charge(p, Cause.SCAN, cost)
            self.took(p, Op.SCAN)
            self.took(p, Op.MARK, marked)
            self.scan_ns += cost
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
