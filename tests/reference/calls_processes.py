"""Processes and tasks: start, move, fork, and exit.

``docs/model/calls.md`` states the rules.
"""

from lazynuma.engine.state.anon_vma import fork_vmas
from lazynuma.engine.state.process import Process, Task
from lazynuma.kernels.counters import Cause, Worker

from .words import BLOCK, Clock, Pmd, Pte


class ProcessCalls:
    """A part of ``Reference`` (``model.py``)."""

    def spawn(self, name="main", nbytes=None):
        wanted = 4 * sum(self.machine.memory) if nbytes is None else nbytes
        span = -(-wanted // (4096 * BLOCK)) * BLOCK
        first = self.reserve(span)
        family = 1 + max((p.family for p in self.processes), default=-1)
        return self.enter(
            Process(len(self.processes), name, family, first, span, 0, first)
        )

    def reserve(self, span):
        """Return the first of ``span`` indices of PTEs that nobody owns."""
        for i, (first, free) in enumerate(self.holes):
            if free >= span:
                self.holes[i] = (first + span, free - span)
                return first
        self.next_vpn += span
        return self.next_vpn - span

    def enter(self, process):
        self.processes.append(process)
        self.tables[process.id], self.pmds[process.id] = {}, {}
        self._rss[process.id] = self._swapents[process.id] = 0
        self.enter_mm(process)
        return process

    def start_task(self, process, cpu, pinned=False):
        task = Task(len(self.tasks), process, cpu)
        if pinned:
            self.pinned.add(task.id)
        self.init_numa_balancing(task)
        self.tasks.append(task)
        self.clocks.append(Clock(ns=self.now))
        self.spent[task.id] = [0] * len(Cause)
        self.pgd_nid.setdefault(process.id, self.table_node(task))
        return task

    def move_task(self, task, cpu):
        source = self.cpu(task)
        task.cpu = cpu
        self.node_changed(task, source)

    def exit(self, process, folding=True):
        for vma in process.vmas:
            self.zap(process, vma.start, vma.end, None)
        process.alive, process.vmas = False, []
        self.evict_unmapped()
        for task in self.tasks:
            if task.process is process:
                self.leave_group(task)
        self.pmds[process.id] = {}
        if process.delta:
            self.holes.append((process.first_vpn + process.delta, process.span))
        if not self.relatives(process.family):
            self.holes.append((process.first_vpn, process.span))
            if process.family in self.caches:
                self.holes.append((self.caches.pop(process.family), process.span))
        if folding:
            self.fold()

    def fork(self, process, name="child"):
        delta = self.reserve(process.span) - process.first_vpn
        same = process.first_vpn, process.span, delta, process.next_vpn
        child = Process(len(self.processes), name, process.family, *same)
        self.prepare(process)
        child.vmas = fork_vmas(self, process)
        self.enter(child)
        self.mms[child.id].first_nid = None
        for vpn, pte in self.tables[process.id].items():
            if self.vma_of(process, vpn).anon_vma < 0:
                continue
            copy = Pte(**vars(pte))
            copy.owes = 0
            if pte.kind == "present":
                pte.write = copy.write = copy.young = False
                pte.exclusive = copy.exclusive = False
                self.frames[pte.payload].mapcount += 1
                self._rss[child.id] += 1
            elif pte.kind != "zero":
                ids = self.slots if pte.kind == "swap" else self.entries
                ids.count[pte.payload] += 1
                self._swapents[child.id] += 1
            self.tables[child.id][vpn] = copy
        for block, pmd in self.pmds[process.id].items():
            # A table is there if a VMA of the block has pages to copy.
            if all(
                v.anon_vma < 0
                for v in process.vmas
                if v.start // BLOCK <= block < v.end / BLOCK
            ):
                continue
            copy = Pmd(**vars(pmd))
            copy.owes = copy.numa = False
            if pmd.kind == "present":
                pmd.write = copy.write = copy.young = False
                pmd.exclusive = copy.exclusive = False
                self.folios[pmd.payload // BLOCK].mapcount += 1
                self._rss[child.id] += BLOCK
            self.pmds[child.id][block] = copy
        copied = len(self.tables[child.id]) + len(self.leaves(child))
        ns = copied * self.costs.fork_pte_ns + self.costs.syscall_ns
        calls = {"WRITE_CALL": 1, "WRITE_CALL_NS": ns}
        self.worked(Worker.FORK, process.id, **calls, FORK=copied, WORK_NS=ns)
        self.flush_tlbs(process)
        self.fold()
        return child
