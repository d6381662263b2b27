"""khugepaged and MADV_COLLAPSE.

``docs/model/thp.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, ScanResult, Vm, Worker
from lazynuma.kernels.knobs import Advice

from .draws import draw, unit
from .words import BLOCK

#: After these results MADV_COLLAPSE looks at the next block.
GOES_ON = (
    ScanResult.PTE_NON_PRESENT,
    ScanResult.PAGE_RO,
    ScanResult.LACK_REFERENCED_PAGE,
)


class Khugepaged:
    """A part of ``Reference`` (``model.py``)."""

    def start_khugepaged(self):
        knobs = self.settings.khugepaged
        self.next_wake_up = knobs.scan_sleep_millisecs * 10**6
        self.scanned_process, self.scan_address = None, 0
        self.last_target, self.draws = -1, 0
        self.full_scans = self.pages_collapsed = 0
        self.results = [0] * len(ScanResult)

    def run_khugepaged(self):
        """Run the wake-ups that are due."""
        knobs = self.settings.khugepaged
        if self.settings.thp.enabled == "never":
            return
        while self.now >= self.next_wake_up:
            sleep, before = knobs.scan_sleep_millisecs, self.pages_collapsed
            if self.wake_up() == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                sleep = knobs.alloc_sleep_millisecs
            work = (self.pages_collapsed - before) * self.costs.collapse_ns
            self.next_wake_up += work + sleep * 10**6

    def wake_up(self):
        """Do one wake-up's scan (khugepaged_do_scan); return the last result."""
        progress = heads = 0
        result = None
        while progress < self.settings.khugepaged.pages_to_scan:
            heads += self.scanned_process is None
            if heads == 2 or not any(p.alive for p in self.processes):
                break
            pages = self.settings.khugepaged.pages_to_scan - progress
            done, result = self.scan_mm_slot(pages)
            progress += done
            if result == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                break
        return result

    def scan_mm_slot(self, pages):
        """Scan a part of one process; return (progress, last result)."""
        if self.scanned_process is None:
            self.scanned_process = next(p for p in self.processes if p.alive)
            self.scan_address = 0
        process, progress = self.scanned_process, 1
        self.prepare(process)
        for vma in process.vmas:
            if vma.end <= self.scan_address:
                continue
            first = max(-(-vma.start // BLOCK) * BLOCK, self.scan_address)
            last = vma.end // BLOCK * BLOCK
            bare = vma.anon_vma < 0
            if bare or not self.eligible(vma) or first >= last:
                progress += 1
                self.results[ScanResult.VMA_CHECK] += 1
                continue
            self.scan_address = first
            while self.scan_address < last:
                result, tried = self.scan_block(process, self.scan_address // BLOCK)
                self.scan_address += BLOCK
                progress += BLOCK
                if tried or progress >= pages:
                    return progress, result
        self.next_process(process)
        return progress, None

    def next_process(self, process):
        later = [p for p in self.processes if p.alive and p.id > process.id]
        self.scanned_process, self.scan_address = (later or [None])[0], 0
        self.full_scans += not later

    def scan_block(self, process, block):
        """Scan a block and collapse it; return (result, whether that was tried)."""
        result, load, first = self.scan(process, block, True)
        tried = result == ScanResult.SUCCEED
        if tried and not self.collapse_block(process, block, load, first, None):
            result = ScanResult.ALLOC_HUGE_PAGE_FAIL
        self.results[result] += 1
        if result not in (ScanResult.PMD_NONE, ScanResult.PMD_MAPPED):
            self.worked(Worker.KHUGEPAGED, process.id, SCAN_PMD=1)
        if result == ScanResult.SUCCEED:
            self.pages_collapsed += 1
            ns = self.costs.collapse_ns
            calls = {"WRITE_CALL": 1, "WRITE_CALL_NS": ns}
            self.worked(Worker.KHUGEPAGED, process.id, **calls, COLLAPSE=1, WORK_NS=ns)
        return result, tried

    def scan(self, process, block, limited):
        """Return (result, pages on each node, node of the first page) of a block."""
        load, found = [0] * self.count, []
        pmd = self.pmds[process.id].get(block)
        if pmd is None:
            return ScanResult.PMD_NONE, load, -1
        if pmd.kind != "table":
            return ScanResult.PMD_MAPPED, load, -1
        knobs = self.settings.khugepaged
        most = [knobs.max_ptes_none, knobs.max_ptes_swap, knobs.max_ptes_shared]
        if not limited:
            most = [BLOCK] * 3
        none = swap = shared = young = 0
        writable = False
        for vpn in range(block * BLOCK, (block + 1) * BLOCK):
            pte = self.tables[process.id].get(vpn)
            if pte is None or pte.kind == "zero":
                none += 1
                if none > most[0]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_NONE_PTE)
                    return ScanResult.EXCEED_NONE_PTE, load, -1
                continue
            if pte.kind == "swap":
                swap += 1
                if swap > most[1]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_SWAP_PTE)
                    return ScanResult.EXCEED_SWAP_PTE, load, -1
                continue
            if pte.kind == "parked":
                return ScanResult.PTE_NON_PRESENT, load, -1
            writable |= pte.write and not pte.protnone
            if self.counts_as_shared(pte.payload):
                shared += 1
                if shared > most[2]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_SHARE_PTE)
                    return ScanResult.EXCEED_SHARED_PTE, load, -1
            node = self.node_of(pte.payload)
            if self.too_far(node, found):
                return ScanResult.SCAN_ABORT, load, -1
            found.append(node)
            load[node] += 1
            young += pte.young
        if not writable and knobs.needs_writable:
            return ScanResult.PAGE_RO, load, -1
        if limited and (young == 0 or swap and young < BLOCK // 2):
            return ScanResult.LACK_REFERENCED_PAGE, load, -1
        return ScanResult.SUCCEED, load, (found or [-1])[0]

    def counts_as_shared(self, pfn):
        if self.settings.khugepaged.shared_folios and pfn // BLOCK in self.folios:
            return self.likely_mapped_shared(pfn // BLOCK)
        return self.page_mapcount(pfn) > 1

    def too_far(self, node, seen):
        """Tell whether zone_reclaim_mode forbids to mix a node with those seen."""
        if not self.settings.khugepaged.node_reclaim or node in seen:
            return False
        return any(self.machine.distance[node][other] > 30 for other in seen)

    def targets(self, load, first):
        """Return the nodes to try for a collapse, in order."""
        rule, most = self.settings.khugepaged.target, max(load)
        equal = [n for n in range(self.count) if load[n] == most]
        if rule == "first_page":
            return [first]
        if rule == "majority_mask":
            return [n for n in self.zonelist[equal[0]] if n in equal]
        if rule == "majority_round_robin":
            after = [n for n in equal if n > self.last_target]
            self.last_target = (after or equal)[0]
            return [self.last_target]
        online = [n for n in range(self.count) if self.nodes[n].online]
        r = draw(self.seed, (1 << 63) + 1, self.draws)
        self.draws += 1
        return [online[int(unit(r) * len(online))]]

    def find_room(self, nodes, task):
        """Return the first node with a block: above low, min, or after compaction."""
        for mark in ("low", "min"):
            found = self.with_room(nodes, mark)
            if found is not None:
                return found
        for n in nodes:
            if self.settings.khugepaged.defrag and self.nodes[n].online:
                self.compact(n, task)
                if self.with_room([n], "min") is not None:
                    return n
        return None

    def collapse_block(self, process, block, load, first, task):
        """Make a huge page of a block; tell whether there was memory for it."""
        targets = self.targets(load, first)
        n = self.find_room(targets, task)
        if n is None:
            self.add(targets[0], Vm.THP_COLLAPSE_ALLOC_FAILED)
            return False
        c = n if task is None else self.cpu(task)
        b = self.allocate_huge_on(n, self.nodes[n].min, c)
        self.add(n, Vm.THP_COLLAPSE_ALLOC)
        for vpn in range(block * BLOCK, (block + 1) * BLOCK):
            pte = self.tables[process.id].get(vpn)
            if pte is None:
                continue
            held = pte.payload
            if pte.kind == "swap":
                held = self.slots.frame.get(pte.payload)
            if pte.kind in ("present", "swap") and held is not None:
                self.copy_content(held, b * BLOCK + vpn % BLOCK)
            if held is None:
                read = self.swap_read(pte.payload, b * BLOCK + vpn % BLOCK)
                self.add(n, Vm.PSWPIN, read)
                self.add(n, Vm.PGMAJFAULT)
            self.zap_pte(process, vpn, False)
        self.map_huge(process, block, b, self.pmds[process.id][block].nid)
        self.flush_tlbs(process)
        return True

    def collapse(self, task, region, first=0, pages=None):
        """MADV_COLLAPSE: return 0 or the errno of the first VMA that failed."""
        start, pages = self.range(region, first, pages)
        error = 0
        for vma in region.process.vmas:
            one, end = max(vma.start, start), min(vma.end, start + pages)
            if one < end and not error:
                error = self.collapse_part(task, region.process, vma, one, end)
        self.syscall(task, 0, alone=True)
        return error

    def collapse_part(self, task, process, vma, start, end):
        """Collapse the blocks of a part of a VMA; return 0 or an errno."""
        whole = -(-vma.start // BLOCK) < vma.end // BLOCK
        first, last = -(-start // BLOCK), end // BLOCK
        if vma.advice == Advice.NOHUGEPAGE or not whole:
            return 22
        self.prepare(process)
        if first > last or vma.anon_vma < 0:
            return 22
        error = 0
        for block in range(first, last):
            result, load, node = self.scan(process, block, False)
            if result == ScanResult.SUCCEED:
                if not self.collapse_block(process, block, load, node, task):
                    return 12
                self.charge(task, Cause.SYSCALL, self.costs.collapse_ns)
                self.took(task, Op.COLLAPSE)
            elif result in GOES_ON:
                error = 22
            elif result != ScanResult.PMD_MAPPED:
                return 22
        return error
