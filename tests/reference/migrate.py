"""A page or a folio moves to another frame or block.

``docs/model/placement.md`` and ``docs/model/thp.md`` state the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm

from .words import BLOCK


class Migration:
    """A part of ``Reference`` (``model.py``)."""

    def migrate(self, task, old, new):
        frame, mappings = self.frames[old], self.mappings(old)
        self.frames[new] = frame
        for process, pte in mappings:
            self.remake(process, frame.vpn, pte, new)
        self.copy_content(old, new)
        self.take_over(frame, self.node_of(old), self.node_of(new))
        if frame.cache:
            self.cache(frame.cache).frame[frame.entry] = new
        if frame.shmem:
            self.page_cache[frame.family, frame.vpn] = "present", new
        self.add(self.node_of(new), Vm.PGMIGRATE_SUCCESS)
        if task is not None:
            copy = self.copy_ns(self.node_of(old), self.node_of(new))
            self.charge(task, Cause.MIGRATION, self.costs.migrate_page_ns + copy)
            self.took(task, Op.MIGRATE)
        self.release(old)

    def remake(self, process, vpn, entry, pfn):
        """Let an entry map another frame; a hinting mark is lost."""
        stays = self.stays(process, vpn, entry)
        shared = pfn in self.frames and self.frames[pfn].shmem
        if entry.protnone and self.knobs.write_bit == "lost_at_move" and not shared:
            entry.exclusive |= entry.write
            entry.write = False
        entry.payload, entry.protnone = pfn, stays

    def stays(self, process, vpn, entry):
        """Tell whether an entry has PROTNONE and keeps it: its VMA's protection."""
        return entry.protnone and not self.vma_of(process, vpn).read

    def migrate_huge(self, task, old, new):
        """Move a folio from block to block."""
        folio, was, now = self.folios[old], old * BLOCK, new * BLOCK
        n, target = self.node_of(was), self.node_of(now)
        if folio.compound and self.unmapping_defers(old):
            self.defer(old)
        thp, deferred, folio.deferred = self.settings.thp, folio.deferred, False
        folio.remapped = thp.double_map and folio.compound and folio.mapcount > 0
        folio.queued &= thp.deferred_moves
        self.copy_contents(old, new)
        self.forget_contents(old)
        for process, pmd in self.pmd_mappings(old):
            self.remake(process, folio.vpn, pmd, now)
        if folio.compound:
            for i in range(BLOCK):
                for process, pte in self.mappings(was + i):
                    self.remake(process, folio.vpn + i, pte, now + i)
                self.frames[now + i] = self.frames.pop(was + i)
        self.folios[new] = self.folios.pop(old)
        if deferred and thp.deferred_moves:
            self.defer(new)
        self.add(target, Vm.PGMIGRATE_SUCCESS, BLOCK)
        self.add(target, Vm.THP_MIGRATION_SUCCESS)
        self.take_over(folio, n, target)
        if task is not None:
            copy = BLOCK * self.copy_ns(n, target)
            self.charge(task, Cause.MIGRATION, self.costs.migrate_page_ns + copy)
            self.took(task, Op.MIGRATE_HUGE)
        self.release_huge(old)
