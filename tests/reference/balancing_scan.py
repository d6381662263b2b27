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
        numa.stamp = numa.stamp + period if self.knobs.scan_turns else runtime
        if time // MS >= mm.next_scan:
            self.task_numa_work(p, time // MS)

    def task_numa_work(self, p, now):
        numa, mm, knobs = self.numas[p.id], self.mms[p.process.id], self.knobs
        if knobs.first_nid and not self.ran_on_second_node(mm, self.cpu(p)):
            return
        if knobs.scan_period_reset_ms and now > mm.next_reset:
            numa.period = knobs.scan_period_min_ms
            mm.next_reset = now + knobs.scan_period_reset_ms
        if numa.period == 0:
            numa.period_max, numa.period = self.scan_max(p), self.scan_start(p)
        mm.next_scan = now + numa.period
        if knobs.scan_turns:
            numa.stamp += 2 * knobs.tick_ns
        limited = now < self.tiers[self.cpu(p)].limited_until
        if not p.process.vmas or limited and not knobs.scan_limited:
            return
        self.scan_count += 1
        self.scan_ns = 0
        left = [self.knobs.scan_size_mb * 256, self.knobs.scan_size_mb * 2048]
        skipped = self.scan_list(p, now, left, False)
        if skipped:
            self.scan_list(p, now, left, True)
        self.longest_scan = max(self.longest_scan, self.scan_ns)

    @staticmethod
    def ran_on_second_node(mm, n):
        """Tell whether a process has left the node where it first asked."""
        if mm.first_nid is None:
            mm.first_nid = n
        if mm.first_nid == n:
            return False
        mm.first_nid = "active"
        return True

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
                marked = self.scan_chunk(p, vma, start, end, now)
                if self.knobs.scan_counts == "entries":
                    left[0] -= marked
                else:
                    left[0] -= end - start if marked else 0
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
        if not self.mof(p, vma, vma.start):
            return ScanSkip.UNSUITABLE
        if not vma.read:
            return ScanSkip.INACCESSIBLE
        if vma.end - vma.start < BLOCK and not self.knobs.scan_small_vmas:
            return ScanSkip.SMALL
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

    def scan_chunk(self, p, vma, start, end, now):
        """Mark a chunk; return how many pages the marked entries map."""
        process = p.process
        marked, counted, vpn = 0, 0, start
        while vpn < end:
            block, pages = vpn // BLOCK, 1
            pmd = self.pmds[process.id].get(block)
            if pmd is not None and pmd.kind != "table":
                if vpn % BLOCK or (block + 1) * BLOCK > end:
                    self.split_pmd(process, block)
                else:
                    pages = BLOCK
            entry = self.entry(process, vpn)
            if entry is not None and self.may_mark(p, vma, entry):
                self.mark_scanned(entry, now)
                marked, counted = marked + 1, counted + pages
            elif entry is not None and pages == BLOCK and self.counts_again(entry):
                self.count_update(entry)
                marked, counted = marked + 1, counted + pages
            vpn += pages
        if self.knobs.pmd_numa:
            self.mark_tables(process, start, end)
        if marked:
            flush = self.flushes(p, process, 1)
            cost = marked * self.costs.mark_pte_ns + flush
            self.charge(p, Cause.SCAN, cost)
            self.took(p, Op.SCAN)
            self.took(p, Op.MARK, marked)
            self.scan_ns += cost
            if self.knobs.scan_cost_cap:
                self.numas[p.id].stamp += 32 * cost
            self.flush_tlbs(process)
        return counted

    def counts_again(self, pmd):
        """Tell whether a huge entry that stays as it is counts as an update."""
        if pmd.kind != "present" or not self.knobs.count_marked:
            return False
        return self.normal or self.below_cpus(self.node_of(pmd.payload))

    def mark_tables(self, process, start, end):
        """Let tables whose pages in a range are of one node fault as one."""
        for block in range(start // BLOCK, -(-end // BLOCK)):
            pmd = self.pmds[process.id].get(block)
            if pmd is None or pmd.kind != "table":
                continue
            pages = range(max(start, block * BLOCK), min(end, (block + 1) * BLOCK))
            ptes = [self.tables[process.id].get(vpn) for vpn in pages]
            there = [pte for pte in ptes if pte and pte.kind == "present"]
            if len({self.node_of(pte.payload) for pte in there}) <= 1:
                pmd.numa = True

    def may_mark(self, p, vma, entry):
        if entry.kind != "present" or entry.protnone:
            return False
        n, knobs = self.node_of(entry.payload), self.knobs
        if not self.normal and not self.below_cpus(n):
            return False
        alone = self.users(p.process) == 1 and not knobs.scan_local and not vma.shmem
        local = alone and n == self.cpu(p)
        if self.is_leaf(entry):
            if local and not knobs.scan_local_huge:
                return False
            return knobs.scan_shared_huge or not self.others_have(entry, True)
        if local:
            return False
        return bool(vma.shmem) or not self.others_have(entry, False)

    def others_have(self, entry, whole):
        """Tell whether a page of a private mapping counts as shared."""
        pfn, rule = entry.payload, self.knobs.mark_unless
        if rule == "mapped_shared" and pfn // BLOCK in self.folios:
            return self.likely_mapped_shared(pfn // BLOCK)
        if rule == "page_count" and not whole:
            return self.page_count(pfn) != 1
        return self.page_mapcount(pfn) > 1

    def page_count(self, pfn):
        """Return how often a page is referred to, or a folio of which it is part."""
        frame, folio = self.frames[pfn], self.folios.get(pfn // BLOCK)
        if folio is None:
            return frame.mapcount + bool(frame.cache)
        parts = [self.frames[one].mapcount for one in self.frames_of(pfn // BLOCK)]
        return folio.mapcount + sum(parts)

    def mark_scanned(self, entry, now):
        entry.protnone = True
        if self.knobs.write_bit == "lost_at_mark":
            entry.write = False
        n, pfn = self.node_of(entry.payload), entry.payload
        self.count_update(entry)
        if self.slow(n):
            page = self.folios.get(pfn // BLOCK) or self.frames[pfn]
            page.last = now & TIME_MASK

    def count_update(self, entry):
        n, pages = self.node_of(entry.payload), 1
        if self.is_leaf(entry):
            pages = BLOCK
            self.add(n, Vm.NUMA_HUGE_PTE_UPDATES)
        self.add(n, Vm.NUMA_PTE_UPDATES, pages)
