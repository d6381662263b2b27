"""Compaction: a block is emptied into the blocks above it.

``docs/model/placement.md`` and ``docs/model/thp.md`` state the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm, Worker

from .words import BLOCK


class Compaction:
    """A part of ``Reference`` (``model.py``)."""

    def compact(self, n, task):
        """Try to empty a block, at the expense of a task (None: nobody's)."""
        node = self.nodes[n]
        if node.considered + 1 < 1 << node.defer_shift:
            node.considered += 1
            return
        if node.free <= node.low + 2 * BLOCK:
            return
        self.add(n, Vm.COMPACT_STALL)
        node.considered = 0
        first = node.first // BLOCK
        target = first + node.span // BLOCK - 1 - node.target
        source = self.find_source(n, first + node.source, target)
        if source is None:
            node.source = node.target = 0
            node.defer_shift = min(6, node.defer_shift + 1)
            self.add(n, Vm.COMPACT_FAIL)
            return
        target = self.empty_block(n, source, target, task)
        node.source = source + 1 - first
        node.target = first + node.span // BLOCK - 1 - target
        node.defer_shift = 0
        self.add(n, Vm.COMPACT_SUCCESS)

    def room(self, n, b):
        """Return the free frames of a block if it is partial, else 0."""
        return BLOCK - self.blocks[b].used if b in self.nodes[n].partial else 0

    def find_source(self, n, source, target):
        for b in range(source, target):
            self.add(n, Vm.COMPACT_MIGRATE_SCANNED, BLOCK)
            if b not in self.nodes[n].partial:
                continue
            frames = [self.frames[pfn] for pfn in self.frames_of(b)]
            above = sum(self.room(n, other) for other in range(b + 1, target + 1))
            if len(frames) > above or any(f.wedged or f.cache for f in frames):
                continue
            return b
        return None

    def empty_block(self, n, source, target, task):
        """Move a block's pages up; return where the free scanner stands."""
        node = self.nodes[n]
        for pfn in self.frames_of(source):
            while self.room(n, target) == 0:
                target -= 1
                self.add(n, Vm.COMPACT_FREE_SCANNED, BLOCK)
            self.add(n, Vm.COMPACT_ISOLATED)
            new = self.take_frame(target)
            if self.blocks[target].used == BLOCK:
                node.partial.remove(target)
            node.free -= 1
            self.migrate(None, pfn, new)
            cost = self.costs.migrate_page_ns + self.copy_ns(n, n)
            if task is not None:
                self.charge(task, Cause.COMPACTION, cost)
                self.took(task, Op.MIGRATE)
            else:
                self.worked(Worker.KCOMPACTD, n, MIGRATE=1, WORK_NS=cost)
        return target
