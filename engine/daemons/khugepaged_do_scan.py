"""khugepaged: when it wakes up, where it goes on, what came of it.

``docs/model/thp.md`` 7 to 11; the scan and the collapse are kernels.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.counters import Op, ScanResult, Vm, Worker
from ...kernels.draws import draw_of
from ...kernels.frames.mapped_shared import mark_shared_folios
from ...kernels.knobs import Advice, TargetRule
from ...kernels.thp import collapse
from ...kernels.thp.khugepaged import collapse_ptes, find_target_node, scan_blocks
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE
from ..errors import BadInput
from ..settings.settings import Settings
from ..settings.thp import TARGETS, eligible
from ..state.anon_vma import prepare
from ..state.host_memory import give_back
from ..state.process import Process, Task, Vma
from ..state.world import MS, flush_tlbs, lru_add_drain, worked
from . import NEVER

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Stream of the draws of the rule "random" (``docs/model/quantum.md`` 4).
#: A uint64: a Python int of this size fails if draw_of was compiled for smaller ones.
STREAM = np.uint64((1 << 63) + 1)
#: Nodes further from each other than this do not share a huge page (RECLAIM_DISTANCE).
RECLAIM_DISTANCE = 30
ENOMEM, EINVAL = 12, 22
_FAILURES = {ScanResult.ALLOC_HUGE_PAGE_FAIL: ENOMEM}
# After these madvise_collapse goes on with the next block.
_MINOR = {
    ScanResult.PTE_NON_PRESENT,
    ScanResult.PAGE_RO,
    ScanResult.LACK_REFERENCED_PAGE,
}


class Khugepaged:
    """The daemon of one simulation.

    results   int64[len(ScanResult)]: what its scans came to
    full_scans, pages_collapsed  as in sysfs
    """

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.configure(simulation.settings)
        self._wakes_ns = self.knobs.scan_sleep_millisecs * MS
        self.results = np.zeros(len(ScanResult), np.int64)
        self.full_scans = self.pages_collapsed = 0
        self._process: Process | None = None
        self._vpn = 0
        self._last_target, self._draws = -1, 0
        nodes = len(simulation.machine.memory)
        self._load = np.zeros(nodes + 1, np.int64)
        self._taken = np.zeros(HPAGE_PMD_NR, np.int64)
        self._by_table = np.zeros((len(ScanResult), nodes), np.int64)
        # MADV_COLLAPSE knows no limits and does not ask for use.
        no_limits = 3 * (HPAGE_PMD_NR,)
        self._no_limits = np.array([*no_limits, 0, *self._limits[-2:]], np.int64)

    def configure(self, settings: Settings) -> None:
        """Take over the knobs of a simulation's settings."""
        self.knobs = knobs = settings.khugepaged
        self._enabled = settings.thp.enabled
        self.enabled = self._enabled != "never"
        distance = np.asarray(self._simulation.machine.distance)
        far = distance if knobs.node_reclaim else distance[:0, :0]
        self._far = np.ascontiguousarray(far > RECLAIM_DISTANCE, np.uint8)
        limits = knobs.max_ptes_none, knobs.max_ptes_swap, knobs.max_ptes_shared
        shift = int(self._simulation.memory.info[st.Info.NODE_SHIFT])
        rules = 1, shift, int(knobs.needs_writable)
        self._limits = np.array([*limits, *rules], np.int64)

    # --- the daemon -------------------------------------------------------------------

    @property
    def wakes_ns(self) -> int:
        """The time of its next wake-up; NEVER while it is off."""
        return self._wakes_ns if self.enabled else NEVER

    def wake(self, simulation: "Simulation") -> None:
        """Do the wake-ups that are due by now."""
        while self.wakes_ns <= simulation.now:
            sleep, before = self.knobs.scan_sleep_millisecs, self.pages_collapsed
            if self._do_scan() == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                sleep = self.knobs.alloc_sleep_millisecs
            work = (self.pages_collapsed - before) * simulation.costs.collapse_ns
            self._wakes_ns += work + sleep * MS
        simulation.fold()
        simulation.give_back_memory()

    def finish_scan(self) -> None:
        """Scan on, whatever the time, to the end of the list of processes."""
        before = self.full_scans
        while self.enabled and self.full_scans == before:
            if not any(one.alive for one in self._simulation.processes):
                break
            self._do_scan()

    def _do_scan(self) -> ScanResult:
        """Spend one wake-up's budget (khugepaged_do_scan)."""
        progress, heads = 0, 0
        lru_add_drain(self._simulation)
        while progress < self.knobs.pages_to_scan:
            heads += self._process is None
            if heads == 2 or not any(one.alive for one in self._simulation.processes):
                break
            done, result = self._scan_mm_slot(self.knobs.pages_to_scan - progress)
            progress += done
            if result == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                return result
        return ScanResult.SUCCEED

    def _scan_mm_slot(self, budget: int) -> tuple[int, ScanResult]:
        """Scan on in one process; return (progress, result of the last collapse)."""
        process = self._process
        if process is None:
            process = next(one for one in self._simulation.processes if one.alive)
            self._enter(process)
        before = int(self.results[_READ].sum())
        done = self._scan_vmas(process, budget)
        tables = int(self.results[_READ].sum()) - before
        worked(self._simulation, Worker.KHUGEPAGED, process.id, {Op.SCAN_PMD: tables})
        return done

    def _scan_vmas(self, process: Process, budget: int) -> tuple[int, ScanResult]:
        """Do ``_scan_mm_slot`` in a process that has been entered."""
        progress = 1
        prepare(self._simulation, process)
        # A process that has died in the meantime has no VMAs.
        for vma in process.vmas:
            if vma.end <= self._vpn:
                continue
            first, end = _whole_blocks(vma)
            first = max(first, self._vpn)
            allowed = vma.anon_vma != NONE and eligible(self._enabled, vma.advice)
            if not allowed or first >= end:
                progress += 1
                self.results[ScanResult.VMA_CHECK] += 1
                self._vpn = vma.end
                continue
            while first < end:
                wanted = min(end - first, _rounded(budget - progress))
                done, found = self._scan(
                    process, first, wanted, self._limits, self.results
                )
                first += done
                self._vpn = first
                progress += done
                if found:
                    return progress, self._collapse_found(process, first - HPAGE_PMD_NR)
                if progress >= budget:
                    return progress, ScanResult.SUCCEED
            self._vpn = vma.end
        self._enter(self._after(process.id))
        return progress, ScanResult.SUCCEED

    def _after(self, number: int) -> Process | None:
        """Return the next live process, or None at the end: that was a full scan."""
        for one in self._simulation.processes[number + 1 :]:
            if one.alive:
                return one
        self.full_scans += 1
        return None

    def _enter(self, process: Process | None) -> None:
        self._process, self._vpn = process, 0

    def _collapse_found(self, process: Process, vpn: int) -> ScanResult:
        result = self._collapse(process, vpn, None)
        if result == ScanResult.SUCCEED:
            self.pages_collapsed += 1
            self._count_collapse(process)
        else:
            self.results[ScanResult.SUCCEED] -= 1
            self.results[result] += 1
        return result

    def _count_collapse(self, process: Process) -> None:
        """Count that khugepaged held a process's map alone for a collapse."""
        ns = self._simulation.costs.collapse_ns
        ops = {Op.WRITE_CALL: 1, Op.WRITE_CALL_NS: ns, Op.COLLAPSE: 1, Op.WORK_NS: ns}
        worked(self._simulation, Worker.KHUGEPAGED, process.id, ops)

    # --- scan and collapse ------------------------------------------------------------

    def _scan(
        self,
        process: Process,
        vpn: int,
        pages: int,
        limits: np.ndarray,
        tally: np.ndarray,
    ) -> tuple[int, bool]:
        """Scan from ``vpn``; return (pages scanned, whether the last block will do).

        tally  int64[len(ScanResult)]: blocks by result; added to
        """
        memory = self._simulation.memory
        before = tally[ScanResult.SUCCEED]
        first, blocks = (
            (vpn + process.delta) >> HPAGE_PMD_ORDER,
            pages >> HPAGE_PMD_ORDER,
        )
        blocks = scan_blocks(
            memory.pmd,
            memory.pte,
            memory.frame,
            memory.block_huge,
            self._shared_folios(first, blocks),
            self._far,
            limits,
            first,
            blocks,
            tally,
            self._by_table,
            self._load,
        )
        self._count_exceeded(memory)
        found = tally[ScanResult.SUCCEED] > before
        return blocks << HPAGE_PMD_ORDER, bool(found)

    def _shared_folios(self, first: int, blocks: int) -> np.ndarray:
        """Return uint8[pageblocks] that says which folios are shared.

        [0] if it does not matter: no PTE of the blocks maps a part of a folio.
        """
        memory = self._simulation.memory
        if not self.knobs.shared_folios or not memory.block_mapped.any():
            return _NO_FOLIOS
        shared = np.zeros(len(memory.block_huge), np.uint8)
        found = mark_shared_folios(memory, first, blocks, shared)
        return shared if found else _NO_FOLIOS

    def _count_exceeded(self, memory: st.Memory) -> None:
        if not self._by_table[_FIRST_EXCEEDED : _LAST_EXCEEDED + 1].any():
            return
        for result, event in _EXCEEDED.items():
            if self._by_table[result].any():
                memory.vm[-1, :, event] += self._by_table[result]
                self._by_table[result] = 0

    def _target(self) -> tuple[int, int]:
        """Return (node of the collapse, mask of the nodes that it may be done on)."""
        load, rule = self._load, TARGETS.index(self.knobs.target)
        if rule == TargetRule.RANDOM:
            online = np.flatnonzero(self._simulation.memory.node[:, st.Node.ONLINE])
            drawn = draw_of(self._simulation.seed, STREAM, self._draws)
            self._draws += 1
            target = int(online[int((drawn >> 11) * 2.0**-53 * online.size)])
            return target, 1 << target
        target = find_target_node(load, rule, self._last_target)
        self._last_target = target
        if rule != TargetRule.MAJORITY_MASK:
            return target, 1 << target
        # No numpy here: this is done at every collapse, for a few nodes.
        by_node = load.tolist()[:-1]
        most = by_node[target]
        return target, sum(1 << nid for nid, n in enumerate(by_node) if n == most)

    def _collapse(self, process: Process, vpn: int, task: Task | None) -> ScanResult:
        """Collapse the block that was scanned last; ``task`` pays for compaction."""
        memory = self._simulation.memory
        target, ties = self._target()
        payer = NONE if task is None else task.id
        b = collapse.alloc_charge_hpage(memory, target, ties, self.knobs.defrag, payer)
        if b == NONE:
            return ScanResult.ALLOC_HUGE_PAGE_FAIL
        first = vpn + process.delta
        block = first >> HPAGE_PMD_ORDER
        taken = self._taken
        found = collapse_ptes(memory.pte, memory.frame, block, taken)
        nid = b >> (int(memory.info[st.Info.NODE_SHIFT]) - HPAGE_PMD_ORDER)
        collapse.collapse_huge_page(
            memory, process.id, block, vpn, b, nid, taken, *found
        )
        memory.info[st.Info.MAY_BE_HUGE] = 1
        give_back(memory.pte, first, HPAGE_PMD_NR)
        # Frames may still hold words from earlier small pages; they are dead now.
        give_back(memory.frame, b << HPAGE_PMD_ORDER, HPAGE_PMD_NR)
        flush_tlbs(self._simulation, process)
        return ScanResult.SUCCEED

    def madvise_collapse(
        self, task: Task, process: Process, vma: Vma, first: int, last: int
    ) -> tuple[int, int]:
        """Collapse the blocks of a part of a VMA; return (errno, blocks collapsed)."""
        start, end = _whole_blocks(vma)
        if vma.advice == Advice.NOHUGEPAGE or start >= end:
            return EINVAL, 0
        failure, collapsed = 0, 0
        first, last = _whole_blocks(vma.copy(first, last))
        if vma.shmem is not None and first < last:
            raise BadInput("memory must be private to be collapsed, got shared memory")
        prepare(self._simulation, process)
        mapped = vma.shmem is not None or vma.anon_vma != NONE
        if first > last or not mapped:
            return EINVAL, 0
        for vpn in range(first, last, HPAGE_PMD_NR):
            result = self._collapse_at(task, process, vpn)
            collapsed += result == ScanResult.SUCCEED
            if result not in (ScanResult.SUCCEED, ScanResult.PMD_MAPPED):
                failure = _FAILURES.get(result, EINVAL)
                if result not in _MINOR:
                    break
        return failure, collapsed

    def _collapse_at(self, task: Task, process: Process, vpn: int) -> ScanResult:
        result = self._scan_and_collapse(process, vpn, task)
        done = result == ScanResult.SUCCEED
        self._simulation.memory.ops[-1, task.id, Op.COLLAPSE] += done
        return result

    def collapse_block(self, process: Process, vpn: int) -> ScanResult:
        """Collapse a block without the limits of the scan, for another daemon."""
        result = self._scan_and_collapse(process, vpn, None)
        if result == ScanResult.SUCCEED:
            self._count_collapse(process)
        return result

    def _scan_and_collapse(
        self, process: Process, vpn: int, task: Task | None
    ) -> ScanResult:
        tally = np.zeros(len(ScanResult), np.int64)
        _, found = self._scan(process, vpn, HPAGE_PMD_NR, self._no_limits, tally)
        if not found:
            return ScanResult(int(tally.argmax()))
        return self._collapse(process, vpn, task)


_NO_FOLIOS = np.zeros(0, np.uint8)
_EXCEEDED = {
    ScanResult.EXCEED_NONE_PTE: Vm.THP_SCAN_EXCEED_NONE_PTE,
    ScanResult.EXCEED_SWAP_PTE: Vm.THP_SCAN_EXCEED_SWAP_PTE,
    ScanResult.EXCEED_SHARED_PTE: Vm.THP_SCAN_EXCEED_SHARE_PTE,
}
#: Results for which a page table was read.
_READ = [
    one
    for one in ScanResult
    if one not in (ScanResult.PMD_NONE, ScanResult.PMD_MAPPED, ScanResult.VMA_CHECK)
]
_FIRST_EXCEEDED, _LAST_EXCEEDED = min(_EXCEEDED), max(_EXCEEDED)


def _rounded(budget: int) -> int:
    """Return the pages of the blocks that a budget pays for, at least one."""
    return max(1, -(-budget // HPAGE_PMD_NR)) * HPAGE_PMD_NR


def _whole_blocks(vma: Vma) -> tuple[int, int]:
    """Return the first page and the end of the whole blocks of a VMA."""
    nr = HPAGE_PMD_NR
    return -(-vma.start // nr) * nr, vma.end // nr * nr
