"""The engine: processes on a machine, their operations, and time in quanta.

Python decides what comes next; everything that touches pages is a kernel that works
at most half a second and says why it stopped.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels import state as st
from ..kernels.balancing import end_quantum
from ..kernels.calls import (
    charge,
    fork,
    madvise,
    mbind,
    memory_hotplug,
    move_pages,
    mprotect,
    populate,
    zap,
)
from ..kernels.calls.mbind import Moves
from ..kernels.counters import Cause, Event, ScanResult, Vm
from ..kernels.fault import shmem
from ..kernels.fault.anon_page import NEW_FRAME, NEW_PTE
from ..kernels.frames import allotment, swap_state
from ..kernels.frames.folio import vma_adjust_trans_huge
from ..kernels.frames.huge_memory import populate_blocks
from ..kernels.knobs import Advice, Mechanism, Mode
from ..kernels.lazy import hinting, mark
from ..kernels.quantum import accesses as acc
from ..kernels.quantum import fold, plan, price
from ..kernels.quantum.accesses import CHUNK
from ..kernels.quantum.barrier import Stop, run_daemons, serve_one, serve_set_aside
from ..kernels.quantum.jobs import Job
from ..kernels.words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    FOLIO_COMPOUND,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    MAPCOUNT_MAX,
    NONE,
    PAGE_SIZE,
    PMD_LEAF,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from .daemons.khugepaged_do_scan import Khugepaged
from .errors import BadInput, Segfault, SimulationError
from .machine.machine import Machine
from .observer import Silent
from .quantum.convergence import Locality
from .quantum.workers import Team
from .settings.costs import Costs
from .settings.knob_columns import set_knobs
from .settings.settings import Settings
from .settings.thp import eligible
from .state.allocate import allocate, set_watermarks
from .state.host_memory import give_back, give_back_free, returned_blocks, wipe
from .state.numa_tasks import NumaGroup, NumaTask, numa_group, numa_task
from .state.page import Page
from .state.policies import Policy, checked
from .state.process import (
    Process,
    Region,
    Shmem,
    Task,
    Vma,
    isolate,
    merge,
    overlapping,
)
from .state.snapshot import huge_by_node, take
from .state.tables import Tables
from .workloads.kinds import Workload
from .workloads.rows import Loads

EIO, EINVAL = 5, 22
MS = 1_000_000
#: Inode numbers that a CPU takes at a time (mm/shmem.c).
SHMEM_INO_BATCH = 1024
#: Most accesses that one call of the barrier serves: some tenths of a second.
BARRIER_LIMIT = 1 << 15
#: Wholly free blocks after which the host gets its memory back: 2 MiB of it.
GIVE_BACK_BLOCKS = 512
#: Pages that one call of a range operation walks.
RANGE_LIMIT = 1 << 20
_ACTIONS = {
    "cold": madvise.PageAdvice.COLD,
    "pageout": madvise.PageAdvice.PAGEOUT,
    "free": madvise.PageAdvice.FREE,
}


class Simulation:
    """A machine, its processes and their simulated time.

    ``threads`` and ``batch`` (accesses a kernel call) change speed, never results.
    Sizes are bytes, offsets within regions are 4 KiB pages, times are ns.
    """

    def __init__(
        self,
        machine: Machine,
        settings: Settings = Settings(),
        costs: Costs = Costs(),
        seed: int = 1,
        threads: int = 1,
        batch: int = 1 << 20,
        observer=None,
    ) -> None:
        if threads < 1 or batch < 1:
            raise BadInput(
                f"threads and batch must be at least 1, got {threads}, {batch}"
            )
        if not 0 <= seed < 1 << 62:
            raise BadInput(f"seed must be from 0 to 2^62 - 1, got {seed}")
        self.machine, self.settings, self.costs = machine, settings, costs
        self.seed, self.batch, self.threads = seed, batch, threads
        self.observer = observer or Silent()
        self.memory = allocate(machine, settings, costs, seed)
        nodes = len(machine.memory)
        self._bandwidth = np.ascontiguousarray(machine.bandwidth, np.int64)
        self._latency = np.ascontiguousarray(machine.latency_ns, np.int64)
        self._utilisation = np.zeros((nodes, nodes), np.int64)
        self._factor = np.full((nodes, nodes), price.STREAM_FACTOR_ONE, np.int64)
        self._tables = Tables(nodes, settings.balancing.mode != "off")
        self._stale = True
        self.processes: list[Process] = []
        self.tasks: list[Task] = []
        self._runs = 0
        self._next_vpn, self._holes = 0, []
        # Shared mappings' objects, the page cache of each family that has some, and the
        # next inode number of each CPU: the mount itself has the first.
        self._objects: list[Shmem] = []
        self._caches: dict[int, int] = {}
        self._inos, self._ino_batch = {0: 2}, SHMEM_INO_BATCH
        self.now = 0
        self._totals = np.zeros((nodes, len(Vm)), np.int64)
        self._at_epoch = self._totals.copy()
        self._next_epoch, self._epoch_time = settings.epoch_ns, 0
        self._spent = np.zeros((0, len(Cause)), np.int64)
        self._touched = np.zeros((0, 2), np.int64)
        self._process_epoch: dict[int, np.ndarray] = {}
        self._given_back = 0
        self._team = Team(threads, nodes, settings.shards)
        self.oom_kills = 0
        self.khugepaged = Khugepaged(self)
        self._balances = settings.balancing.mode != "off"
        self._scratch = np.zeros(end_quantum.SCRATCH, np.int64)
        self._locality = Locality()
        # Snapshot times that are over; khugepaged's totals at the last epoch's end.
        self._past, self._scanned = 0, np.zeros(len(ScanResult) + 2, np.int64)

    def close(self) -> None:
        """Give the host its memory back; the simulation is over."""
        self._team.close()
        self.memory = None

    def configure(self, settings: Settings) -> None:
        """Change the knobs of huge pages, khugepaged and NUMA balancing from now on.

        What else ``settings`` say must be as it was.
        """
        self.settings = settings
        set_knobs(self.memory.info, settings)
        set_watermarks(self.memory.node, self.machine, settings)
        self.khugepaged.configure(settings)
        if settings.balancing.mode != "off" and not self._balances:
            self._balances = self._tables.balancing = self._stale = True
            memory = self._sync()
            for task in self.tasks:
                if task.process.alive:
                    end_quantum.init_numa_balancing(
                        memory, task.id, NONE, self.now // MS
                    )

    # --- processes and tasks ------------------------------------------------------

    def spawn(self, name: str = "main", nbytes: int | None = None) -> Process:
        """Return a new process with ``nbytes`` of address space (default 4 x RAM)."""
        wanted = 4 * sum(self.machine.memory) if nbytes is None else nbytes
        span = -(-wanted // (PAGE_SIZE * HPAGE_PMD_NR)) * HPAGE_PMD_NR
        first = self._reserve(span)
        family = 1 + max((one.family for one in self.processes), default=-1)
        process = Process(len(self.processes), name, family, first, span, 0, first)
        self.processes.append(process)
        self._stale = True
        return process

    def _reserve(self, span: int) -> int:
        """Return the first index of ``span`` PTEs that nobody owns."""
        for i, (first, free) in enumerate(self._holes):
            if free >= span:
                self._holes[i] = (first + span, free - span)
                return first
        first = self._next_vpn
        if first + span > self.memory.pte.size:
            raise BadInput(
                f"address spaces must fit in {self.memory.pte.size} pages together,"
                f" got {first + span}"
            )
        self._next_vpn += span
        return first

    def start_task(self, process: Process, cpu: int) -> Task:
        """Return a new task of a process, pinned to a CPU."""
        self._check_alive(process)
        task = Task(len(self.tasks), process, self._checked_cpu(cpu))
        self.tasks.append(task)
        self._stale = True
        self._sync()
        row = self.memory.task[task.id]
        row[st.Task.MM], row[st.Task.DELTA] = process.id, process.delta
        row[st.Task.ALIVE], row[st.Task.REFS], row[st.Task.CLOCK] = 1, 1, self.now
        row[st.Task.IL_PREV] = len(self.machine.memory) - 1
        row[st.Task.NID], row[st.Task.CPU] = self.machine.cpu_node[cpu], cpu
        if self._balances:
            others = [one.id for one in self.tasks[:-1] if one.process is process]
            parent = others[0] if others else NONE
            end_quantum.init_numa_balancing(
                self.memory, task.id, parent, self.now // MS
            )
        self.memory.mm[process.id, st.Mm.USERS] += 1
        if not any(one.process is process for one in self.tasks[:-1]):
            self.memory.mm[process.id, st.Mm.PGD_NID] = row[st.Task.NID]
        return task

    def move_task(self, task: Task, cpu: int) -> None:
        """Move a task to another CPU."""
        task.cpu = self._checked_cpu(cpu)
        end_quantum.move_task(self._sync(), task.id, cpu)

    def _checked_cpu(self, cpu: int) -> int:
        cpus = len(self.machine.cpu_node)
        if not 0 <= cpu < cpus or self.machine.cpu_node[cpu] < 0:
            raise BadInput(f"cpu must be one of the machine's {cpus}, got {cpu}")
        return cpu

    @staticmethod
    def _check_alive(process: Process) -> None:
        if not process.alive:
            raise BadInput(f"process {process.name} must be alive, got a dead one")

    def fork(self, process: Process, name: str = "child") -> Process:
        """Return a copy-on-write copy of a process, without tasks."""
        self._check_alive(process)
        relatives = [one for one in self.processes if one.family == process.family]
        if sum(one.alive for one in relatives) >= MAPCOUNT_MAX:
            raise BadInput(f"a fork family must have at most {MAPCOUNT_MAX} processes")
        base = self._reserve(process.span)
        child = Process(
            len(self.processes),
            name,
            process.family,
            process.first_vpn,
            process.span,
            base - process.first_vpn,
            process.next_vpn,
            vmas=[vma.copy(vma.start, vma.end) for vma in process.vmas],
        )
        self.processes.append(child)
        self._stale = True
        memory = self._sync()
        for vma in process.vmas:
            if vma.shmem:
                # The child faults its pages in again (vma_needs_copy).
                continue
            for first, pages in _pieces(vma.start, vma.end):
                fork.copy_page_range(
                    memory, first + process.delta, first + child.delta, pages, child.id
                )
        self.flush_tlbs(process)
        self._fold()
        self._event(Event.FORK, -1, child, process.id)
        return child

    def exit(self, process: Process) -> None:
        """End a process and its tasks; every frame, slot and entry goes back."""
        self._check_alive(process)
        self._leave(process)
        self._fold()

    def _leave(self, process: Process) -> None:
        """End a process; what it and others were charged is not folded."""
        memory = self._sync()
        for task in self.tasks:
            if task.process is process:
                self.lru_add_drain(task)
        wedged = np.zeros(1, np.int64)
        for vma in process.vmas:
            self._zap(process, vma.start, vma.end, True, wedged)
        process.alive, process.vmas = False, []
        self._evict_unmapped()
        self._stale = True
        for task in self.tasks:
            if task.process is process:
                memory.task[task.id, st.Task.ALIVE] = 0
                if self._balances:
                    end_quantum.leave(memory, task.id)
        memory.mm[process.id, st.Mm.USERS] = 0
        first = process.first_vpn + process.delta
        give_back(memory.pte, first, process.span)
        order = HPAGE_PMD_ORDER
        wipe(memory.pmd, first >> order, process.span >> order)
        self._release(process)
        self._give_back()
        self._event(Event.EXIT, -1, process, 0)
        if wedged[0]:
            self._event(Event.WEDGED, -1, process, int(wedged[0]))

    def _release(self, process: Process) -> None:
        """Let others use the page tables of a process that is gone.

        A founder's range names its family's pages, so it waits for the last relative.
        """
        if process.delta:
            self._holes.append((process.first_vpn + process.delta, process.span))
        relatives = [one for one in self.processes if one.family == process.family]
        if not any(one.alive for one in relatives):
            self._holes.append((process.first_vpn, process.span))
            if process.family in self._caches:
                cache = self._caches.pop(process.family)
                self._holes.append((process.first_vpn + cache, process.span))

    def _zap(self, process, start, end, exiting, wedged) -> int:
        zapped = 0
        for first, pages in _pieces(start, end):
            zapped += zap.zap_pte_range(
                self.memory,
                first + process.delta,
                first,
                pages,
                process.id,
                exiting,
                wedged,
            )
        return zapped

    # --- memory -----------------------------------------------------------------------

    def lru_add_drain(self, task: Task | None = None) -> None:
        """Put new pages on the LRU: those of a task's CPU, or of all CPUs."""
        node = self._sync().node
        rows = slice(None) if task is None else self.machine.cpu_node[task.cpu]
        node[rows, st.Node.BATCHED] = 0

    def mmap(
        self,
        process: Process,
        nbytes: int,
        name: str = "",
        write: bool = True,
        shared: bool = False,
    ) -> Region:
        """Map anonymous memory, aligned to 2 MiB, above what is mapped.

        ``shared``: children have the same memory, not a copy of it (MAP_SHARED).
        """
        self._check_alive(process)
        if shared:
            # A page of a family is one of one object, whoever maps that.
            relatives = (one for one in self.processes if one.family == process.family)
            process.next_vpn = max(one.next_vpn for one in relatives)
        pages = -(-nbytes // PAGE_SIZE)
        room = process.first_vpn + process.span - process.next_vpn
        if not 0 < pages <= room:
            raise BadInput(
                f"mapping {name or 'of memory'} must have from 1 to {room} pages,"
                f" got {pages}"
            )
        first = process.next_vpn
        process.next_vpn = -(-(first + pages) // HPAGE_PMD_NR) * HPAGE_PMD_NR
        held = self._new_object(process, first, pages) if shared else None
        process.vmas.append(Vma(first, first + pages, write=write, shmem=held))
        order = HPAGE_PMD_ORDER
        blocks = slice(first >> order, process.next_vpn >> order)
        self.memory.vpn_family[blocks] = process.family + 1
        self._stale = True
        return Region(process, first, pages, name)

    def _new_object(self, process: Process, first: int, pages: int) -> Shmem:
        """Return a new object, for which its family has a page cache."""
        family = process.family
        if family not in self._caches:
            self._caches[family] = self._reserve(process.span) - process.first_vpn
        policies = [Vma(first, first + pages)]
        made = Shmem(family, first, pages, self._new_ino(process), policies)
        self._objects.append(made)
        return made

    def _new_ino(self, process: Process) -> int:
        """Return the inode number that a process's CPU is next to give.

        shmem_reserve_inode (mm/shmem.c, 6.1): of the mount that nobody sees.
        """
        mine = (task.cpu for task in self.tasks if task.process is process)
        cpu = next(mine, 0)
        ino = self._inos.get(cpu, 0)
        if ino % SHMEM_INO_BATCH == 0:
            ino = self._ino_batch
            self._ino_batch += SHMEM_INO_BATCH
        self._inos[cpu] = ino + 1
        return ino

    def _evict_unmapped(self) -> None:
        """Forget the objects that nobody maps any more, and free their pages."""
        if not self._objects:
            return
        mapped = {id(vma.shmem) for one in self.processes for vma in one.vmas}
        gone = [one for one in self._objects if id(one) not in mapped]
        self._objects = [one for one in self._objects if id(one) in mapped]
        for one in gone:
            cache = self._caches[one.family]
            for first, pages in _pieces(one.first, one.first + one.pages):
                shmem.shmem_undo_range(self.memory, first + cache, pages)
            give_back(self.memory.pte, one.first + cache, one.pages)

    def populate(
        self, task: Task, region: Region, first: int = 0, pages: int | None = None
    ) -> int:
        """Write-fault a part of a region (MADV_POPULATE_WRITE) without accesses.

        Return how many pages could be populated before memory ran out.
        """
        start, pages = self._range(region, first, pages)
        self._sync().info[st.Info.NOW_MS] = self.now // MS
        done = 0
        for v, at, count in self._rows_in(region.process, start, pages):
            got = self._populate_piece(task, v, at, count)
            done += got
            if got < count:
                break
        self._charge(task, 0)
        return done

    def _populate_piece(self, task: Task, v: int, first: int, pages: int) -> int:
        """Populate a piece of a VMA: whole blocks at once where that is the same."""
        memory, at, end = self.memory, first, first + pages
        if memory.vma[v, st.Vma.SHARED] or self._may_be_huge(v):
            return populate.populate(memory, task.id, first, pages, True)
        while at < end:
            blocks = self._populate_blocks(task, v, at, end)
            count = blocks * HPAGE_PMD_NR
            if not blocks:
                aligned = (at // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR
                count = min(end, aligned) - at
                done = populate.populate(memory, task.id, at, count, True)
                if done < count:
                    return at + done - first
            at += count
        return pages

    def _populate_blocks(self, task: Task, v: int, at: int, end: int) -> int:
        """Populate whole blocks from a block's first page; return how many."""
        memory, wanted = self.memory, (end - at) // HPAGE_PMD_NR
        if at % HPAGE_PMD_NR or not wanted or not memory.vma[v, st.Vma.WRITE]:
            return 0
        nid, blocks = populate.virgin_blocks(memory, task.id, v)
        if not blocks:
            return 0
        pfn = int(memory.node[nid, st.Node.VIRGIN]) << HPAGE_PMD_ORDER
        table = PMD_TABLE | int(memory.task[task.id, st.Task.NID]) << PMD_NID_SHIFT
        done = populate_blocks(
            memory.pmd,
            memory.pte,
            memory.frame,
            at + task.process.delta,
            pfn,
            table,
            pfn | NEW_PTE,
            at | NEW_FRAME,
            min(blocks, wanted),
        )
        populate.account_blocks(memory, task.id, nid, done)
        return done

    def _may_be_huge(self, v: int) -> bool:
        """Tell whether faults in a VMA may map huge pages."""
        return eligible(self.settings.thp.enabled, self.memory.vma[v, st.Vma.ADVICE])

    def munmap(
        self, task: Task, region: Region, first: int = 0, pages: int | None = None
    ) -> None:
        """Unmap a part of a region; it must be mapped."""
        start, pages = self._range(region, first, pages)
        process = region.process
        parts = self._isolate(process, start, pages)
        self._sync()
        self.lru_add_drain(task)
        zapped = self._zap(process, start, start + pages, False, np.zeros(1, np.int64))
        gone = {id(vma) for vma in parts}
        process.vmas = [vma for vma in process.vmas if id(vma) not in gone]
        merge(process)
        self._evict_unmapped()
        self._stale = True
        cost = zapped * self.costs.zap_pte_ns + self._flush(process)
        self._charge(task, cost)
        self.flush_tlbs(process)
        give_back(self.memory.pte, start + process.delta, pages)
        self._give_back()
        self._free_pgtables(process, start, start + pages)

    def _free_pgtables(self, process: Process, start: int, end: int) -> None:
        """Forget the page tables of blocks in which nothing is mapped any more."""
        nr = HPAGE_PMD_NR
        first, last = start // nr * nr, -(-end // nr) * nr
        if any(vma.start < first + nr and vma.end > first for vma in process.vmas):
            first += nr
        if any(vma.start < last and vma.end > last - nr for vma in process.vmas):
            last -= nr
        if first < last:
            block = (first + process.delta) >> HPAGE_PMD_ORDER
            wipe(self.memory.pmd, block, (last - first) >> HPAGE_PMD_ORDER)

    def mprotect(
        self,
        task: Task,
        region: Region,
        prot: str,
        first: int = 0,
        pages: int | None = None,
    ) -> None:
        """Change the protection of a part of a region: ``none``, ``r`` or ``rw``."""
        if prot not in ("none", "r", "rw"):
            raise BadInput(f"prot must be none, r or rw, got {prot!r}")
        start, pages = self._range(region, first, pages)
        read, write = prot != "none", prot == "rw"
        process, changed = region.process, 0
        for vma in overlapping(process, start, pages):
            if (vma.read, vma.write) == (read, write):
                continue
            at, end = max(vma.start, start), min(vma.end, start + pages)
            for part in self._isolate(process, at, end - at):
                part.read, part.write = read, write
            memory = self._sync()
            for piece, count in _pieces(at, end):
                piece += process.delta
                changed += mprotect.change_protection(memory, piece, count, read, write)
        merge(process)
        self._stale = True
        self.flush_tlbs(process)
        cost = changed * self.costs.mark_pte_ns + self._flush(process)
        self._charge(task, cost)

    def advise(
        self,
        task: Task,
        region: Region,
        advice: str,
        first: int = 0,
        pages: int | None = None,
    ) -> None:
        """Advise on a part of a region: ``hugepage``, ``nohugepage`` or ``none``."""
        names = [one.name.lower() for one in Advice]
        if advice not in names:
            raise BadInput(f"advice must be one of {', '.join(names)}, got {advice!r}")
        wanted = Advice(names.index(advice))
        start, pages = self._range(region, first, pages)
        self._change(region.process, start, pages, "advice", wanted)
        merge(region.process)
        self._stale = True
        self._charge(task, 0)

    def madvise(
        self,
        task: Task,
        region: Region,
        advice: str,
        first: int = 0,
        pages: int | None = None,
    ) -> int:
        """Act on a part of a region at once, without cutting a VMA; return 0 or EINVAL.

        ``dontneed``: forget its pages; ``free``: let reclaim forget them; ``cold``:
        reclaim them first; ``pageout``: reclaim them now; ``populate_read``: fault them
        in, up to the first that must not be read (EINVAL).  Shared memory is only
        unmapped by dontneed, and free is EINVAL.
        """
        if advice not in _ACTIONS and advice not in ("dontneed", "populate_read"):
            raise BadInput(f"advice must be one that acts at once, got {advice!r}")
        start, pages = self._range(region, first, pages)
        self._sync()
        if advice != "populate_read":
            self.lru_add_drain(task)
        zapped = failed = 0
        for v, at, count in self._rows_in(region.process, start, pages):
            row = self.memory.vma[v]
            unread = advice == "populate_read" and not row[st.Vma.READ]
            if unread or (advice == "free" and row[st.Vma.SHARED]):
                failed = EINVAL
                break
            zapped += self._madvise_piece(task, region.process, advice, at, count)
        if advice != "populate_read":
            self.flush_tlbs(region.process)
        self._charge(task, zapped * self.costs.zap_pte_ns)
        return failed

    def _madvise_piece(self, task, process: Process, advice, first, pages) -> int:
        """Do ``madvise`` for a piece of a VMA; return the entries zapped."""
        memory, delta = self.memory, process.delta
        if advice == "populate_read":
            populate.populate(memory, task.id, first, pages, False)
        elif advice == "dontneed":
            self._split_at(process, (first, first + pages))
            return self._zap(process, first, first + pages, False, np.zeros(1, int))
        else:
            kind = _ACTIONS[advice]
            at = first + delta
            madvise.madvise_range(memory, process.id, delta, at, pages, kind)
        return 0

    def swapon(self) -> None:
        """Make the swap space of the settings usable."""
        self.memory.info[st.Info.SLOTS + st.Ids.TOTAL] = (
            self.settings.swap_bytes // PAGE_SIZE
        )

    def swapoff(self, task: Task) -> None:
        """Bring back all that is swapped out, by the caller's policy, then end swap."""
        memory = self._sync()
        self._shmem_unuse(memory, task)
        for process in self.processes:
            row, delta = int(memory.mm[process.id, st.Mm.FIRST_VMA]), process.delta
            for i, vma in enumerate(process.vmas):
                for at, pages in _pieces(vma.start, vma.end):
                    if not madvise.unuse_pte_range(
                        memory, task.id, process.id, row + i, delta, at + delta, pages
                    ):
                        raise SimulationError("swapoff must find memory, got none left")
        madvise.swapoff(memory)
        self._charge(task, 0)

    def _shmem_unuse(self, memory: st.Memory, task: Task) -> None:
        """Bring back what the objects of shared mappings have in swap."""
        for one in self._objects:
            interleave = one.interleave(self._first_vpn(one))
            for i, vma in enumerate(one.vmas):
                for at, pages in _pieces(vma.start, vma.end):
                    if not shmem.shmem_unuse(
                        memory, task.id, one.row + i, at, pages, interleave
                    ):
                        raise SimulationError("swapoff must find memory, got none left")

    def _first_vpn(self, held: Shmem) -> int:
        """Return where the pages of an object's family begin."""
        return int(self._sync().family[held.family, st.Family.FIRST_VPN])

    def collapse(
        self, task: Task, region: Region, first: int = 0, pages: int | None = None
    ) -> int:
        """Collapse the whole blocks of a range (MADV_COLLAPSE); return 0 or an errno.

        ENOMEM: no huge page was free; EINVAL: a block could not be collapsed, or a VMA
        must not have huge pages.  The first VMA that fails ends the call.
        Raises BadInput where a page of the range is not mapped.
        """
        start, pages = self._range(region, first, pages)
        process = region.process
        self.lru_add_drain()
        errno = total = 0
        for vma in overlapping(process, start, pages):
            errno, collapsed = self.khugepaged.madvise_collapse(
                task, process, vma, max(vma.start, start), min(vma.end, start + pages)
            )
            total += collapsed
            if errno:
                break
        self._charge(task, total * self.costs.collapse_ns)
        return errno

    def set_mempolicy(self, task: Task, policy: Policy) -> None:
        """Set the policy of a task."""
        task.policy = checked(policy, len(self.machine.memory))
        memory = self._sync()
        memory.task[task.id, st.Task.IL_PREV] = len(self.machine.memory) - 1
        memory.task[task.id, st.Task.IL_LEFT] = 0
        self._stale = True

    def mbind(
        self,
        task: Task,
        region: Region,
        policy: Policy,
        move: bool = False,
        move_all: bool = False,
        strict: bool = False,
        lazy: Mechanism | None = None,
        first: int = 0,
        pages: int | None = None,
    ) -> int:
        """Set the policy of a part of a region (mbind(2)); return 0 or an errno.

        ``move``, ``move_all``: move misplaced pages at once; ``lazy``: mark them by
        that mechanism instead, or EINVAL where the settings refuse MPOL_MF_LAZY.
        """
        policy = checked(policy, len(self.machine.memory))
        if lazy is not None:
            if not self.settings.mpol_mf_lazy:
                return EINVAL
            self.mark(task, region, lazy, policy, move_all, first, pages)
            return 0
        start, pages = self._range(region, first, pages)
        process, moving = region.process, move or move_all
        # do_mbind: there is nothing that the default policy could be strict about.
        strict = strict and policy.mode != Mode.DEFAULT
        if (
            strict
            and not moving
            and self._misplaced(task, process, start, pages, policy)
        ):
            self._charge(task, 0)
            return EIO
        self._set_shared_policy(process, start, pages, policy)
        self._change(process, start, pages, "policy", policy)
        self._sync()
        moved = np.zeros(len(Moves), np.int64)
        if moving:
            self.lru_add_drain()
            for *piece, interleave in self._policies_in(process, start, pages):
                how = interleave, move_all, strict
                if not mbind.do_mbind(self.memory, task.id, *piece, *how, moved):
                    break
        merge(process)
        self._stale = True
        self._charge_moves(task, region.process, moved)
        return EIO if strict and moved[Moves.FAILED] else 0

    def _charge_moves(self, task: Task, process: Process, moved: np.ndarray) -> None:
        """Charge a call that moved pages; ``moved``: int64[len(Moves)]."""
        if moved[Moves.PAGES]:
            self.flush_tlbs(process)
        self._charge(task, 0, int(moved[Moves.FLUSHES]) * self._flush(process))

    def _misplaced(self, task: Task, process, start, pages, policy) -> bool:
        """Tell whether pages of a range would be on wrong nodes under a policy."""
        held = overlapping(process, start, pages)
        shared = [vma.shmem.vmas for vma in held if vma.shmem]
        held += [part for parts in shared for part in parts]
        before = [vma.policy for vma in held]
        for vma in held:
            vma.policy = policy
        self._stale = True
        self._sync()
        found = any(
            mbind.count_misplaced(self.memory, task.id, *piece)
            for *piece, _ in self._policies_in(process, start, pages)
        )
        for vma, old in zip(held, before, strict=True):
            vma.policy = old
        self._stale = True
        return found

    def mark(
        self,
        task: Task,
        region: Region,
        mechanism: Mechanism,
        policy: Policy | None = None,
        move_all: bool = False,
        first: int = 0,
        pages: int | None = None,
    ) -> int:
        """Mark a part of a region for migration on the next touch; return pages marked.

        mbind(MPOL_MF_MOVE | MPOL_MF_LAZY); without ``policy`` it is MPOL_NOOP, that is
        next-touch.
        """
        start, pages = self._range(region, first, pages)
        if any(vma.shmem for vma in overlapping(region.process, start, pages)):
            raise BadInput("memory must be private to be marked, got shared memory")
        parts = self._isolate(region.process, start, pages)
        for vma in parts:
            vma.mof = True
            if policy is not None:
                vma.policy = checked(policy, len(self.machine.memory))
        self._stale = True
        memory = self._sync()
        marked, huge = 0, self._huge_marked()
        for v, at, count in self._rows(parts, region.process):
            if mechanism == Mechanism.HINTING:
                marked += hinting.change_prot_numa(memory, task.id, at, count)
                continue
            swap = mechanism == Mechanism.SWAPCACHE
            park = mark.lazy_swapcache if swap else mark.lazy_migcache
            marked += park(memory, task.id, v, at, count, policy is not None, move_all)
        merge(region.process)
        self._stale = True
        self.flush_tlbs(region.process)
        huge = self._huge_marked() - huge
        entries = marked - (HPAGE_PMD_NR - 1) * huge
        self._charge(task, self._mark_cost(mechanism, entries, region.process))
        return marked

    def _huge_marked(self) -> int:
        """Return the huge entries that were marked since counters were folded."""
        return int(self.memory.vm[-1, :, Vm.NUMA_HUGE_PTE_UPDATES].sum())

    def _mark_cost(self, mechanism, marked: int, process: Process) -> int:
        """Return what it costs to mark so many entries, ns."""
        flush = self._flush(process)
        if mechanism == Mechanism.HINTING:
            batches = -(-marked // HPAGE_PMD_NR)
            return marked * self.costs.mark_pte_ns + batches * flush
        return marked * (self.costs.park_page_ns + flush)

    def move_pages(
        self,
        task: Task,
        region: Region,
        node: int,
        move_all: bool = False,
        first: int = 0,
        pages: int | None = None,
    ) -> np.ndarray:
        """Move pages to a node (move_pages(2)); return int64[pages], node or -errno."""
        self._check_node(node)
        start, pages = self._range(region, first, pages)
        memory = self._sync()
        self.lru_add_drain()
        status = np.zeros(pages, np.int64)
        moved = np.zeros(len(Moves), np.int64)
        for at, count in _pieces(start, start + pages):
            part = status[at - start : at - start + count]
            move_pages.move_pages(memory, task.id, at, node, move_all, part, moved)
        self._charge_moves(task, region.process, moved)
        return status

    def migrate_pages(
        self,
        task: Task,
        from_nodes: Sequence[int],
        to_nodes: Sequence[int],
        move_all: bool = False,
    ) -> int:
        """Move pages of the caller's process (migrate_pages(2)); return those left.

        ``move_all``: shared ones too, as for a caller with CAP_SYS_NICE.
        """
        for node in (*from_nodes, *to_nodes):
            self._check_node(node)
        memory, process = self._sync(), task.process
        self.lru_add_drain()
        moved = np.zeros(len(Moves), np.int64)
        for source, target in remap(sorted(from_nodes), sorted(to_nodes)):
            for vma in process.vmas:
                for at, count in _pieces(vma.start, vma.end):
                    move_pages.migrate_to_node(
                        memory, task.id, at, count, source, target, move_all, moved
                    )
        self._charge_moves(task, process, moved)
        return int(moved[Moves.FAILED])

    def hot_remove(self, node: int) -> int:
        """Take a node's memory away through the migration cache; return pages left.

        0: the node is offline.  Else it stays, with some of its pages moved.
        """
        self._check_node(node)
        left = int(memory_hotplug.offline_pages(self._sync(), node))
        self._fold()
        kind = Event.NODE_OFFLINE_FAILED if left else Event.NODE_OFFLINE
        self._event(kind, node, None, left)
        return left

    def _check_node(self, node: int) -> None:
        nodes = len(self.machine.memory)
        if not 0 <= node < nodes:
            raise BadInput(f"node must be from 0 to {nodes - 1}, got {node}")

    def _range(self, region: Region, first: int, pages: int | None) -> tuple[int, int]:
        """Return (vpn, pages) of a part of a region."""
        self._check_alive(region.process)
        count = region.pages - first if pages is None else pages
        if first < 0 or count < 1 or first + count > region.pages:
            raise BadInput(
                f"range must lie in the {region.pages} pages of the region,"
                f" got pages {first} to {first + count}"
            )
        return region.first + first, count

    def _isolate(self, process: Process, first: int, pages: int) -> list[Vma]:
        """Cut the VMAs at the ends of a range, and huge entries there."""
        cut = [
            at
            for at in (first, first + pages)
            if at % HPAGE_PMD_NR
            and any(vma.start < at < vma.end for vma in process.vmas)
        ]
        parts = isolate(process, first, pages)
        self._stale = True
        self._sync()
        self._split_at(process, cut)
        return parts

    def _change(self, process: Process, first: int, pages: int, name, value) -> None:
        """Set an attribute of the VMAs of a range; those that have it are not cut."""
        for vma in overlapping(process, first, pages):
            if getattr(vma, name) == value:
                continue
            at, end = max(vma.start, first), min(vma.end, first + pages)
            for part in self._isolate(process, at, end - at):
                setattr(part, name, value)
        self._stale = True

    def _split_at(self, process: Process, cuts: Sequence[int]) -> None:
        """Split the huge entries that cuts go through."""
        for at in cuts:
            if at % HPAGE_PMD_NR:
                block = (at + process.delta) >> HPAGE_PMD_ORDER
                vma_adjust_trans_huge(self.memory, process.id, block)

    def _rows_in(self, process: Process, first: int, pages: int):
        """Yield (VMA row, vpn, pages) of a range, without cutting a VMA."""
        row = int(self.memory.mm[process.id, st.Mm.FIRST_VMA])
        overlapping(process, first, pages)
        for i, vma in enumerate(process.vmas):
            start, end = max(vma.start, first), min(vma.end, first + pages)
            for at, count in _pieces(start, end):
                yield row + i, at, count

    def _policies_in(self, process: Process, first: int, pages: int):
        """Yield (VMA row, vpn, pages, interleave) of the policies of a range.

        interleave: what the pages' numbers lack to be what moves are interleaved by.
        The rows of shared memory are its object's.
        """
        row = int(self.memory.mm[process.id, st.Mm.FIRST_VMA])
        for i, vma in enumerate(process.vmas):
            start, end = max(vma.start, first), min(vma.end, first + pages)
            held, at, interleave = [vma], row + i, 0
            if vma.shmem:
                held, at = vma.shmem.vmas, vma.shmem.row
                interleave = process.first_vpn - vma.shmem.first
            for j, part in enumerate(held):
                for piece in _pieces(max(part.start, start), min(part.end, end)):
                    yield at + j, *piece, interleave

    def _set_shared_policy(self, process: Process, first: int, pages: int, policy):
        """Give a policy to the objects of a range, but where VMAs have it already."""
        for vma in overlapping(process, first, pages):
            if vma.shmem and vma.policy != policy:
                start, end = max(vma.start, first), min(vma.end, first + pages)
                vma.shmem.set_policy(start, end - start, policy)
        self._stale = True

    def flush_tlbs(self, process: Process) -> None:
        """Empty the TLBs of a process's tasks."""
        if self.settings.tlb.enabled:
            ids = [task.id for task in self.tasks if task.process is process]
            self.memory.tlb[ids] = 0

    def _rows(self, parts: Sequence[Vma], process: Process):
        """Yield (VMA row, vpn, pages) of VMAs, in pieces that a kernel call walks."""
        row = int(self.memory.mm[process.id, st.Mm.FIRST_VMA])
        at = {id(vma): row + i for i, vma in enumerate(process.vmas)}
        for vma in parts:
            for first, pages in _pieces(vma.start, vma.end):
                yield at[id(vma)], first, pages

    def _flush(self, process: Process) -> int:
        """Return what one TLB flush of a process costs, ns."""
        alive = self.memory.task[:, st.Task.ALIVE]
        owner = self.memory.task[:, st.Task.MM]
        others = int(np.count_nonzero((owner == process.id) & (alive == 1))) - 1
        return self.costs.tlb_flush_ns + self.costs.tlb_flush_cpu_ns * max(0, others)

    def _charge(self, task: Task, syscall_ns: int, migration_ns: int = 0) -> None:
        memory = self._sync()
        splits = int(memory.info[st.Info.SPLITS]) * self.costs.split_pmd_ns
        charge.charge_call(
            memory, task.id, syscall_ns + splits + self.costs.syscall_ns, migration_ns
        )
        self._fold()

    # --- time -------------------------------------------------------------------------

    def synchronize(self) -> None:
        """Let every live task wait for the slowest."""
        task = self._sync().task
        alive = task[:, st.Task.ALIVE] == 1
        if alive.any():
            task[alive, st.Task.CLOCK] = task[alive, st.Task.CLOCK].max()

    def run(self, workloads: Sequence[Workload], tail: int | None = None) -> None:
        """Let tasks work until they are done; one workload a task.

        ``tail``: accesses at the end of each task's workload that
        ``summary()['local_fraction']`` counts (default a tenth).
        """
        memory = self._sync()
        loads = Loads(workloads, len(self.tasks), self.seed, self._runs)
        loads.start(memory.task, tail)
        self._first_means(memory)
        memory.shard[:, st.Shard.TAIL_LOCAL : st.Shard.TAIL_ALL + 1] = 0
        self._runs += 1
        self._team.begin(loads)
        self._locality.start(self.now, self._touched)
        while self._quantum(loads):
            pass
        self._give_back()

    def _give_back(self) -> None:
        """Return host memory, if a GiB more has become free than the last time."""
        returned = returned_blocks(self.memory)
        if returned - self._given_back >= GIVE_BACK_BLOCKS:
            give_back_free(self.memory)
            self._given_back = returned
        self._given_back = min(self._given_back, returned)

    def _first_means(self, memory: st.Memory) -> None:
        """Expect tasks that never ran to find everything on their own node."""
        self._price(memory)
        for task in memory.task:
            if task[st.Task.MEAN] == 0 and task[st.Task.COUNT]:
                local = self._latency[task[st.Task.NID], task[st.Task.NID]]
                task[st.Task.MEAN] = max(1, task[st.Task.REFS] * local)

    def _price(self, memory: st.Memory) -> None:
        price.price(
            memory,
            self._latency,
            self._bandwidth,
            self._utilisation,
            self._factor,
            self.costs.queueing_permille,
            self.costs.core_bandwidth,
        )
        if self.settings.tlb.enabled:
            price.price_walks(
                memory,
                self._latency,
                self._utilisation,
                self.costs.queueing_permille,
                self.settings.tlb.walk_cache_bytes,
            )

    def _quantum(self, loads: Loads) -> bool:
        """Simulate one quantum; return False where nothing was left to do."""
        memory = self._sync()
        settings = self.settings
        start, end = plan.plan(
            memory.task, self.now, settings.quantum_ns, settings.quantum_accesses
        )
        if end == NONE:
            return False
        memory.info[st.Info.NOW_MS] = start // MS
        self._price(memory)
        accesses = self._lay_out(memory, loads)
        fold.open_quantum(memory)
        if not settings.sequential:
            self._serve_shards(memory)
        self._serve_barrier(memory, accesses)
        self._fold()
        memory = self._sync()
        price.utilise(
            memory, self._bandwidth, self._utilisation, self._factor, end - start
        )
        self.now = self._end(int(end))
        self._locality.note(self.now, self._touched)
        self._balance(int(start))
        self._run_daemons()
        self._epochs()
        return True

    def _end(self, end: int) -> int:
        """Return when a quantum was over: the last one with its last task."""
        task = self.memory.task
        left = task[:, st.Task.NUMBER] < task[:, st.Task.COUNT]
        if (left & (task[:, st.Task.ALIVE] == 1)).any():
            return end
        return min(end, int(task[:, st.Task.CLOCK].max(initial=0)))

    def _balance(self, start: int) -> None:
        """Let the tasks that ran since ``start`` scan, and move to their memory."""
        if self.settings.balancing.mode == "off":
            return
        memory = self.memory
        end_quantum.end_quantum(memory, start, self.now, self._scratch)
        for task, cpu in zip(self.tasks, memory.task[:, st.Task.CPU], strict=True):
            task.cpu = int(cpu)
        self._fold()

    def _run_daemons(self) -> None:
        """Let khugepaged do the wake-ups that are due."""
        if self.khugepaged.enabled and self.khugepaged.wakes_ns <= self.now:
            self.khugepaged.run_due(self.now)
            self._fold()
            self._give_back()

    def idle(self, ns: int) -> None:
        """Let time pass with nothing to run but the daemons."""
        if ns < 0:
            raise BadInput(f"ns must be at least 0, got {ns}")
        self._sync()
        end, daemon = self.now + ns, self.khugepaged
        while daemon.enabled and daemon.wakes_ns <= end:
            self.now = max(self.now, daemon.wakes_ns)
            self._run_daemons()
            self.observer.progress(0, self.now)
            self._epochs()
        self.now = end
        self._epochs()

    def _lay_out(self, memory: st.Memory, loads: Loads) -> int:
        """Make the quantum's accesses and deal them out; return their number."""
        accesses = int(acc.lay_out(memory.task, loads.starts))
        self._team.make_room(accesses, self.settings.quantum_accesses)
        chunks = -(-accesses // CHUNK)
        self._team.do(memory, Job.GENERATE, chunks)
        acc.queue(memory.info, memory.shard, self._team.work.tally, chunks)
        if not self.settings.sequential:
            self._team.do(memory, Job.DEAL, chunks)
        return accesses

    def _serve_shards(self, memory: st.Memory) -> None:
        allotment.lend(memory)
        self._team.work.limit[0] = max(1, self.batch // self.settings.shards)
        left, for_shards = fold.unserved(memory)
        while for_shards:
            before = left
            self._team.do(memory, Job.SERVE, 1 + self.settings.shards)
            left, for_shards = fold.unserved(memory)
            self.observer.progress(before - left, self.now)
        allotment.take_back(memory)
        self._team.do(memory, Job.FREE, st.FREED_PARTS)
        allotment.relist(memory)
        swap_state.drain_freed(memory)
        fold.fold_lists(memory)

    def _serve_barrier(self, memory: st.Memory, accesses: int) -> None:
        """Serve what was set aside, killing where memory runs out."""
        # Asked first: few runs wake daemons, and their kernel takes seconds to compile.
        if fold.is_daemon_woken(memory):
            run_daemons(memory)
        left, _ = fold.unserved(memory)
        if left == 0:
            return
        fold.fold_processes(memory, self._touched)
        limit, work = min(self.batch, BARRIER_LIMIT), self._team.work
        stop = Stop.LIMIT
        while stop != Stop.DONE:
            memory = self._sync()
            before = int(memory.info[st.Info.POSITION])
            stop = serve_set_aside(
                memory, work.layout, accesses, limit, work.counts[0, 0]
            )
            while stop in (Stop.OOM, Stop.SEGV):
                stop = self._unstick(stop)
            done = int(self.memory.info[st.Info.POSITION]) - before
            self.observer.progress(min(done, left), self.now)
            left -= min(done, left)

    def _unstick(self, stop: int) -> int:
        """Kill for the access that found no memory, and serve it again."""
        word = int(self._team.work.layout[self.memory.info[st.Info.POSITION] - 1])
        task = self.tasks[word >> ACCESS_TASK_SHIFT]
        if stop == Stop.SEGV:
            page = (word & ACCESS_VPN) - task.process.first_vpn
            write = bool(word & ACCESS_WRITE)
            raise Segfault(task.id, task.process.name, page, write)
        self._oom_kill(task)
        return serve_one(self._sync(), word, self._team.work.counts[0, 0])

    def _oom_kill(self, task: Task) -> None:
        """Kill the process with the most to give (oom_badness, mm/oom_kill.c)."""
        fold.fold_processes(self._sync(), self._touched)
        alive = [one for one in self.processes if one.alive]
        victim = max(alive, key=lambda one: (self._badness(one), one.id))
        nid = int(self.machine.cpu_node[task.cpu])
        self.memory.vm[-1, nid, Vm.OOM_KILL] += 1
        self.oom_kills += 1
        self._event(Event.OOM_KILL, nid, victim, self._badness(victim))
        self._leave(victim)

    def _badness(self, process: Process) -> int:
        row = self.memory.mm[process.id]
        tables, counted = 0, 0
        for vma in process.vmas:
            # VMAs may share a block.
            first = max(counted, vma.start // HPAGE_PMD_NR * HPAGE_PMD_NR)
            counted = -(-vma.end // HPAGE_PMD_NR) * HPAGE_PMD_NR
            tables += zap.count_page_tables(
                self.memory, first + process.delta, counted - first
            )
        return int(row[st.Mm.RSS] + row[st.Mm.SWAPENTS] + tables)

    def _sync(self) -> st.Memory:
        """Return the memory with tables that fit the processes and tasks."""
        if self._stale:
            self.memory = self._tables.update(
                self.memory,
                self.processes,
                self.tasks,
                self._objects,
                self._caches,
            )
            self._spent = _longer(self._spent, len(self.tasks))
            self._touched = _longer(self._touched, len(self.processes))
            self._stale = False
        return self.memory

    def _fold(self) -> None:
        """Add what kernels charged and changed to clocks and processes."""
        memory = self.memory
        fold.fold_clocks(memory, self._spent)
        fold.fold_processes(memory, self._touched)
        fold.fold_lists(memory)
        memory.info[st.Info.SPLITS] = 0

    def _event(self, kind: Event, node: int, process: Process | None, value: int):
        who = process.id if process else -1
        self.observer.event(self.now, kind.name.lower(), node, who, int(value))

    # --- what came out ----------------------------------------------------------------

    def record(self, records: str, row: Mapping[str, Any]) -> None:
        """Give the observer a row of the study's own records of that name."""
        self.observer.record(self.now, records, row)

    def counters(self) -> np.ndarray:
        """Return int64[nodes, len(Vm)]: all events so far."""
        self._totals += self.memory.vm.sum(axis=0)
        self.memory.vm[:] = 0
        return self._totals.copy()

    def total(self, name: str) -> int:
        """Return a counter by its /proc/vmstat name, over all nodes."""
        if name.upper() not in Vm.__members__:
            raise BadInput(f"counter must be one of kernels.constants.Vm, got {name!r}")
        return int(self.counters()[:, Vm[name.upper()]].sum())

    def refusals(self) -> np.ndarray:
        """Return int64[len(Refusal)]: all refusals so far."""
        return self._sync().refused.sum(axis=0)

    def _epochs(self) -> None:
        """Give the observer what is due: snapshots, an epoch."""
        past = bisect_right(self.settings.snapshots_ns, self.now)
        if past > self._past:
            self._past = past
            for process in self.processes:
                if process.alive:
                    blocks = self.snapshot(process)
                    self.observer.snapshot(self.now, process.id, *blocks)
        if self.now >= self._next_epoch:
            self.flush_epoch()
            self._next_epoch = (self.now // self.settings.epoch_ns + 1) * (
                self.settings.epoch_ns
            )

    def flush_epoch(self) -> None:
        """Give the observer what was counted since the last epoch."""
        totals = self.counters()
        rows = [self._process_row(one) for one in self.processes if one.alive]
        self._epoch_time = max(self._epoch_time, self.now)
        scanned = np.append(
            self.scan_results(), [self.full_scans, self.pages_collapsed]
        )
        self.observer.epoch(
            self._epoch_time, totals - self._at_epoch, rows, scanned - self._scanned
        )
        self._at_epoch, self._scanned = totals, scanned

    def _process_row(self, process: Process) -> dict:
        totals = np.concatenate([self._touched[process.id], self.times(process)])
        delta = totals - self._process_epoch.get(process.id, 0)
        self._process_epoch[process.id] = totals
        modes = {vma.policy.mode.name.lower() for vma in process.vmas}
        return {
            "process": process.id,
            "name": process.name,
            "policy": modes.pop() if len(modes) == 1 else "mixed",
            "rss_pages": self.rss(process),
            "swap_pages": self.swapents(process),
            "accesses_local": int(delta[0]),
            "accesses_remote": int(delta[1]),
            "time_ns": delta[2:],
        }

    def summary(self) -> dict:
        """Return the variables that /summary has for every scenario."""
        totals = self.counters().sum(axis=0)
        refused = self.refusals()
        tail = self.memory.shard[:, [st.Shard.TAIL_LOCAL, st.Shard.TAIL_ALL]].sum(
            axis=0
        )
        moved = totals[Vm.PGMIGRATE_SUCCESS]
        return {
            "accesses": int(totals[[Vm.ACCESSES_LOCAL, Vm.ACCESSES_REMOTE]].sum()),
            "pages_marked": int(totals[Vm.LAZY_PAGES_MARKED]),
            "pages_migrated": int(moved),
            "pages_moved": int(totals[Vm.PAGES_MOVED]),
            "pages_paid": int(totals[Vm.PAGES_PAID]),
            "pages_unpaid": int(totals[Vm.PAGES_MOVED] - totals[Vm.PAGES_PAID]),
            "pages_moved_back": int(totals[Vm.PAGES_MOVED_BACK]),
            "converged_ns": self._locality.converged_ns(),
            "pages_refused": int(refused.sum()),
            "pages_refused_by": refused,
            "swap_slots_peak": self.slots_peak,
            "migcache_entries_peak": self.entries_peak,
            "faults": int(totals[Vm.PGFAULT]),
            "oom_kills": self.oom_kills,
            "local_fraction": float(tail[0] / tail[1]) if tail[1] else float("nan"),
            "run_time_ns": max((self.clock(task) for task in self.tasks), default=0),
            "thp_splits": int(totals[Vm.THP_SPLIT_PAGE]),
            "thp_collapses": self.pages_collapsed,
            **self._huge_shares(),
        }

    def _huge_shares(self) -> dict:
        """Return what part of the mapped pages is huge, and what part of that local."""
        mapped = huge = local = 0
        for process in self.processes:
            if process.alive:
                mapped += self.rss(process)
                by_node = huge_by_node(self.memory, process)
                cpus = {task.cpu for task in self.tasks if task.process is process}
                homes = {int(self.machine.cpu_node[cpu]) for cpu in cpus}
                huge += int(by_node.sum())
                local += int(by_node[list(homes)].sum())
        return {
            "thp_share": huge * HPAGE_PMD_NR / mapped if mapped else 0.0,
            "huge_local_share": local / huge if huge else 0.0,
        }

    def clock(self, task: Task) -> int:
        """Return a task's simulated time, ns."""
        return int(self._sync().task[task.id, st.Task.CLOCK])

    def times(self, process: Process) -> np.ndarray:
        """Return int64[len(Cause)] ns: where the time of a process's tasks went."""
        self._sync()
        ids = [task.id for task in self.tasks if task.process is process]
        return self._spent[ids].sum(axis=0)

    def rss(self, process: Process) -> int:
        """Return the pages that a process maps."""
        return int(self._sync().mm[process.id, st.Mm.RSS])

    def swapents(self, process: Process) -> int:
        """Return the pages of a process behind slots and entries."""
        return int(self._sync().mm[process.id, st.Mm.SWAPENTS])

    def scan_results(self) -> np.ndarray:
        """Return int64[len(ScanResult)]: what khugepaged's scans came to."""
        return self.khugepaged.results.copy()

    @property
    def full_scans(self) -> int:
        """Rounds of khugepaged through all processes."""
        return self.khugepaged.full_scans

    @property
    def pages_collapsed(self) -> int:
        """Huge pages that khugepaged has made."""
        return self.khugepaged.pages_collapsed

    def huge_pages(self, process: Process) -> int:
        """Return the 4 KiB pages of a process that PMD entries map."""
        return int(self._sync().mm[process.id, st.Mm.HUGE])

    def snapshot(self, process: Process) -> tuple[np.ndarray, np.ndarray]:
        """Return (node, kind), int8[blocks], of the 2 MiB blocks of a process's VMAs.

        In address order, without the blocks between VMAs; see ``engine/snapshot.py``.
        """
        return take(self._sync(), process)

    def numa(self, task: Task) -> NumaTask:
        """Return what NUMA balancing knows of a task; it must be on."""
        return numa_task(self._sync(), task.id)

    def numa_group(self, number: int) -> NumaGroup:
        """Return a group of tasks by its number, that of the task which made it."""
        return numa_group(self._sync(), number)

    def scan_state(self, process: Process) -> tuple[int, int, int]:
        """Return a process's (passes, page where its scan goes on, next scan in ms)."""
        row = self._sync().mm[process.id]
        offset = max(0, int(row[st.Mm.SCAN_OFFSET]) - process.first_vpn)
        return int(row[st.Mm.SCAN_SEQ]), offset, int(row[st.Mm.NEXT_SCAN])

    def scan_skips(self) -> np.ndarray:
        """Return int64[len(ScanSkip)]: VMAs that scans passed over, by reason."""
        return self.memory.scan_skips.copy()

    def cpupid(self, process: Process, vpn: int) -> int:
        """Return who took a page's last hint fault (``kernels/last_cpupid.py``)."""
        page = self.page(process, vpn)
        if page.frame < 0:
            return 0
        if page.huge:
            return int(self.memory.block_cpupid[page.frame >> HPAGE_PMD_ORDER])
        return int(self.memory.frame_cpupid[page.frame])

    def tier_state(self, node: int) -> tuple[int, int]:
        """Return a node's (hot threshold in ms, candidates for promotion to it)."""
        row = self.memory.node[node]
        threshold = (
            int(row[st.Node.THRESHOLD]) or self.settings.balancing.hot_threshold_ms
        )
        return threshold, int(row[st.Node.CANDIDATES])

    def has_pages(self, process: Process, vma: Vma) -> bool:
        """Tell whether pages of a VMA were ever faulted in and any are left."""
        first = vma.start + process.delta
        return bool(zap.maps_pages(self.memory, first, vma.end - vma.start))

    def free(self, node: int) -> int:
        """Return the free frames of a node."""
        return int(self.memory.node[node, st.Node.FREE])

    def whole_blocks(self, node: int) -> int:
        """Return the blocks of 2 MiB of a node that are wholly free."""
        return int(self.memory.node[node, st.Node.WHOLE])

    @property
    def slots_in_use(self) -> int:
        """Swap slots in use."""
        return int(self.memory.info[st.Info.SLOTS + st.Ids.IN_USE])

    @property
    def slots_peak(self) -> int:
        """Most swap slots that were in use at a time."""
        return int(self.memory.info[st.Info.SLOTS + st.Ids.PEAK])

    @property
    def entries_in_use(self) -> int:
        """Migration-cache entries in use."""
        return int(self.memory.info[st.Info.ENTRIES + st.Ids.IN_USE])

    @property
    def entries_peak(self) -> int:
        """Most migration-cache entries that were in use at a time."""
        return int(self.memory.info[st.Info.ENTRIES + st.Ids.PEAK])

    def page(self, process: Process, vpn: int) -> Page:
        """Return what virtual page ``vpn`` of a process is."""
        memory = self._sync()
        pmd = int(memory.pmd[(vpn + process.delta) >> HPAGE_PMD_ORDER])
        huge = bool(pmd & PMD_LEAF)
        pte = pmd if huge else int(memory.pte[vpn + process.delta])
        payload = pte & PTE_PAYLOAD
        bits = {
            "write": bool(pte & PTE_WRITE),
            "young": bool(pte & PTE_YOUNG),
            "dirty": bool(pte & PTE_DIRTY),
            "protnone": bool(pte & PTE_PROTNONE),
            "pmd": huge,
        }
        if pte & PTE_PRESENT:
            pfn = payload + (vpn % HPAGE_PMD_NR if huge else 0)
            return Page("present", **bits, **self._frame(pfn))
        if pte & PTE_ZERO:
            return Page("zero", **bits)
        if pte & (PTE_SWAP | PTE_PARKED):
            return self._entry_page(payload, bool(pte & PTE_SWAP))
        return Page("none")

    def _entry_page(self, entry: int, swap: bool) -> Page:
        memory = self.memory
        counts = memory.slot_count if swap else memory.entry_count
        frames = memory.slot_frame if swap else memory.entry_frame
        pfn, kind = int(frames[entry]), "swap" if swap else "parked"
        if pfn != NONE:
            return Page(kind, **self._frame(pfn))
        return Page(kind, entry=entry, count=int(counts[entry]))

    def _frame(self, pfn: int) -> dict:
        memory = self.memory
        folio = int(memory.block_huge[pfn >> HPAGE_PMD_ORDER])
        whole = folio and not folio & FOLIO_COMPOUND
        word = 0 if whole else int(memory.frame[pfn])
        found = {
            "node": pfn >> int(memory.info[st.Info.NODE_SHIFT]),
            "frame": pfn,
            "mapcount": ((word & FRAME_MAPCOUNT) + (folio & FRAME_MAPCOUNT))
            >> FRAME_MAPCOUNT_SHIFT,
            "huge": folio != 0,
        }
        if word & (FRAME_SWAPCACHE | FRAME_MIGCACHE):
            swap = bool(word & FRAME_SWAPCACHE)
            entry = int(memory.frame_entry[pfn])
            counts = memory.slot_count if swap else memory.entry_count
            found |= {"entry": entry, "count": int(counts[entry])}
            found["cache"] = "swap" if swap else "mig"
        return found

    def check(self) -> None:
        """Prove the invariants of ``docs/model.md``, or raise AssertionError."""
        from .state.check import check

        check(self)


def remap(sources: Sequence[int], targets: Sequence[int]) -> list[tuple[int, int]]:
    """Return the (from, to) pairs of migrate_pages(2), in the order they are done.

    Relative order is kept (node_remap); where the sets differ in size, sources that
    are targets stay.  A pair whose target is no source any more goes first, as in
    do_migrate_pages (mm/mempolicy.c, 6.12).
    """
    if not targets:
        raise BadInput("to_nodes must name at least one node, got none")
    left = [
        (source, targets[i % len(targets)])
        for i, source in enumerate(sources)
        if len(sources) == len(targets) or source not in targets
    ]
    left = [pair for pair in left if pair[0] != pair[1]]
    done = []
    while left:
        waiting = {source for source, _ in left}
        best = next((pair for pair in left if pair[1] not in waiting), left[-1])
        left.remove(best)
        done.append(best)
    return done


def _pieces(start: int, end: int):
    """Yield (first, pages) of a range in pieces that one kernel call walks."""
    first = start
    while first < end:
        # Pieces end where blocks do: a huge entry is never cut.
        stop = min(end, (first // RANGE_LIMIT + 1) * RANGE_LIMIT)
        yield first, stop - first
        first = stop


def _longer(table: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, table.shape[1]), np.int64)
    grown[: len(table)] = table
    return grown
