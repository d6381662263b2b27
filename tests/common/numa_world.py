"""A small machine with NUMA balancing, for tests that set its state by hand."""

from dataclasses import fields

import numpy as np

from lazynuma.engine import (
    Balancing,
    Costs,
    Recorded,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Tlb,
    uniform,
)
from lazynuma.kernels import state as st
from lazynuma.kernels.balancing import end_quantum
from lazynuma.kernels.counters import Refusal, ScanSkip, Vm
from lazynuma.kernels.words import HPAGE_PMD_ORDER, PMD_LEAF, PTE_PRESENT, PTE_PROTNONE

PAGE, BLOCK, MS = 4096, 512, 1_000_000
HUGE = BLOCK * PAGE
#: A scan delay that no test lives to see.
NEVER_MS = 1 << 31
#: Nothing costs but accesses (108 ns a reference at home) and copies.
FREE = Costs(
    queueing_permille=0,
    **{
        one.name: 0
        for one in fields(Costs)
        if one.name.endswith("_ns") and one.name != "queueing_permille"
    },
)


class Watch:
    """Keeps (ms, passes, offset, next scan, entries marked since) of every epoch."""

    keeps = False

    def __init__(self):
        self.sim = self.process = None
        self.rows = []

    def progress(self, accesses, now_ns):
        """Ignore progress."""

    def event(self, *what):
        """Ignore events."""

    def snapshot(self, *what):
        """Ignore snapshots."""

    def epoch(self, time_ns, counters, processes, khugepaged, use):
        """Note what the scanner is at."""
        marked = int(counters[:, Vm.NUMA_PTE_UPDATES].sum())
        state = self.sim.scan_state(self.process)
        self.rows.append((time_ns // MS, *state, marked))

    @property
    def scans(self):
        """[(ms, passes, offset, next scan, entries marked)] of epochs with marks."""
        return [row for row in self.rows if row[4]]


class World:
    """Nodes, a process, and one task for each CPU number given; no scans by default."""

    def __init__(
        self,
        cpus=(0,),
        machine=None,
        nodes=3,
        cpus_per_node=2,
        blocks=16,
        costs=FREE,
        thp="never",
        quantum_ns=MS,
        tick_ns=MS,
        ballast=(),
        swap_bytes=0,
        span=256 * HUGE,
        unit_hinting=True,
        shards=1,
        tlb=False,
        **knobs,
    ):
        knobs = {
            "mode": "normal",
            "scan_delay_ms": NEVER_MS,
            "tick_ns": tick_ns,
        } | knobs
        machine = machine or uniform(nodes, blocks * HUGE, cpus_per_node)
        settings = Settings(
            sequential=shards == 1,
            shards=shards,
            quantum_ns=quantum_ns,
            epoch_ns=quantum_ns,
            thp=Thp(enabled=thp, unit_hinting=unit_hinting),
            balancing=Balancing(**knobs),
            ballast=ballast,
            swap_bytes=swap_bytes,
            tlb=Tlb(enabled=tlb),
        )
        self.watch = Watch()
        self.sim = self.watch.sim = Simulation(
            machine, settings, costs, observer=self.watch
        )
        self.process = self.watch.process = self.sim.spawn(nbytes=span)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in cpus]
        self.task = self.tasks[0]
        self._scratch = np.zeros(end_quantum.SCRATCH, np.int64)

    @property
    def memory(self):
        """The state, with tables that are up to date."""
        return self.sim.memory

    def map(self, pages, process=None):
        """Return a new region."""
        return self.sim.mmap(process or self.process, pages * PAGE)

    def place(self, region, node, first=0, pages=None, by=None):
        """Populate a part of a region from a CPU of a node; the task returns."""
        task = by or self.task
        cpu = task.cpu
        self.sim.move_task(
            task, int(np.flatnonzero(self.sim.machine.cpu_node == node)[0])
        )
        self.sim.populate(task, region, first, pages)
        self.sim.move_task(task, cpu)

    def touch(
        self,
        region,
        first=0,
        pages=1,
        by=None,
        cpu=None,
        write=True,
        refs=1,
        count=None,
    ):
        """Access pages of a region in order."""
        task = by or self.task
        if cpu is not None:
            self.sim.move_task(task, cpu)
        count = pages if count is None else count
        part = {"first": first, "pages": pages, "count": count, "refs": refs}
        region = region.of(task.process)
        self.sim.run([Sweep(task=task, region=region, write=write, **part)])

    def record(self, region, pages, by=None, write=True, refs=1):
        """Access these pages of a region."""
        task = by or self.task
        pages = np.array(pages, np.int64)
        writes = np.full(len(pages), write)
        load = Recorded(
            task=task,
            region=region,
            count=len(pages),
            vpn=pages,
            writes=writes,
            refs=refs,
        )
        self.sim.run([load])

    def hint(self, region, first=0, pages=1):
        """Mark pages as the scanner would."""
        memory, at = self.memory, region.first + region.process.delta + first
        for index in range(at, at + pages):
            block = index >> HPAGE_PMD_ORDER
            if memory.pmd[block] & PMD_LEAF:
                memory.pmd[block] |= PTE_PROTNONE
            else:
                assert memory.pte[index] & PTE_PRESENT
                memory.pte[index] |= PTE_PROTNONE

    def page(self, region, at=0, process=None):
        """Return what a page of a region is."""
        return self.sim.page(process or region.process, region.first + at)

    def nodes(self, region, first=0, pages=None):
        """Return the node of each page."""
        pages = region.pages - first if pages is None else pages
        return [self.page(region, at).node for at in range(first, first + pages)]

    def marked(self, region, first=0, pages=None):
        """Return how many pages are marked."""
        pages = region.pages - first if pages is None else pages
        return sum(self.page(region, at).protnone for at in range(first, first + pages))

    def last(self, region, at=0, process=None):
        """Return (pid, CPU) of a page's last hint fault, or None."""
        word = self.sim.cpupid(process or region.process, region.first + at)
        return ((word - 1) & 255, (word - 1) >> 8) if word else None

    def set_word(self, region, word, at=0):
        """Set a page's word of its last hint fault."""
        page = self.page(region, at)
        if page.huge:
            self.memory.block_cpupid[page.frame >> HPAGE_PMD_ORDER] = word
        else:
            self.memory.frame_cpupid[page.frame] = word

    def set_last(self, region, last, at=0):
        """Let a page's last hint fault be that of (pid, CPU), or None."""
        self.set_word(region, 0 if last is None else 1 + (last[1] << 8 | last[0]), at)

    def set(self, task=None, **columns):
        """Set columns of a task's row, by the names of kernels/state.py."""
        row = self.memory.numa[(task or self.task).id]
        for name, value in columns.items():
            row[st.Numa[name.upper()]] = value

    def grown(self, task=None, preferred=2, seq=5):
        """Let a task's early life be over, with no placement due."""
        self.set(task, preferred=preferred, seq=seq)
        self.memory.mm[self.process.id, st.Mm.SCAN_SEQ] = seq

    def group(self, number, tasks, mem=None, cpu=None, active=1, mask=0):
        """Make tasks a group; mem and cpu: (shared, private) of each node."""
        memory, nodes = self.memory, len(self.sim.machine.memory)
        none = [(0, 0)] * nodes
        mem, cpu = mem or none, cpu or none
        memory.group_faults[number, st.NumaFaults.MEM] = mem
        memory.group_faults[number, st.NumaFaults.CPU] = cpu
        row = memory.group[number]
        row[st.Group.TASKS], row[st.Group.ACTIVE] = len(tasks), active
        row[st.Group.NODES] = mask
        row[st.Group.TOTAL] = int(np.sum(mem))
        row[st.Group.MAX_CPU] = max(sum(pair) for pair in cpu)
        for task in tasks:
            memory.numa[task.id, [st.Numa.GROUP, st.Numa.COUNTED]] = number, 1

    def counts(self, *names):
        """Return counters' totals."""
        return [self.sim.total(name) for name in names]

    def refused(self):
        """Return {name: pages} of what was refused so far."""
        refused = self.sim.refusals()
        return {one.name: int(refused[one]) for one in Refusal if refused[one]}

    def skips(self):
        """Return {name: VMAs} that scans passed over so far."""
        skips = self.sim.scan_skips()
        return {one.name: int(skips[one]) for one in ScanSkip if skips[one]}

    def saw(self, task=None, faults=(), local=0, failed=0):
        """Note hint faults as a quantum would: {(node, priv): pages}."""
        row = self.memory.numa_seen[-1, (task or self.task).id]
        row[st.Seen.LOCAL], row[st.Seen.FAILED] = local, failed
        for (node, priv), pages in dict(faults).items():
            row[st.Seen.FAULTS + 2 * node + priv] = pages

    def met(self, task, other):
        """Note that a task's fault was on a page last used by another."""
        self.memory.numa_met[-1, task.id, task.id] = 1
        self.memory.numa_met[-1, task.id, other.id] = 1

    def running(self, *tasks):
        """Let tasks have accesses left, and others none."""
        self.memory.task[:, st.Task.COUNT] = self.memory.task[:, st.Task.NUMBER]
        for task in tasks:
            self.memory.task[task.id, st.Task.COUNT] += 1

    def end_quantum(self, now_ms, start_ms=None):
        """End a quantum at a time: placement for the tasks that saw faults."""
        start = now_ms if start_ms is None else start_ms
        memory = self.memory
        end_quantum.end_quantum(memory, start * MS, now_ms * MS, self._scratch)
        for task in self.tasks:
            task.cpu = int(memory.task[task.id, st.Task.CPU])
