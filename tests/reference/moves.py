"""The verdict on a move: how many uses must pay for it, and when it has paid.

``docs/model/placement.md`` states the rules.
"""

from lazynuma.kernels.counters import Vm

from .words import BLOCK


class Moves:
    """A part of ``Reference`` (``model.py``)."""

    def judge(self, task, page, old, target, pages):
        """Count a move; return how many uses of the page must pay for it."""
        self.add(target, Vm.PAGES_MOVED, pages)
        if page.moved_from == 1 + target:
            self.add(target, Vm.PAGES_MOVED_BACK, pages)
        page.moved_from = 1 + old
        most = (1 << 14) - 1 if pages == 1 else 1 << 30
        latency = self.machine.latency_ns[target]
        gain = self.clocks[task.id].refs * int(latency[old] - latency[target])
        if gain <= 0 or not self.machine.cpus[target]:
            return most
        cost = self.costs.migrate_page_ns + pages * self.copy_ns(old, target)
        return min(max(-(-cost // gain), 1), most)

    def moved_page(self, task, pfn, old, entry=None):
        """Let the entry through which a page moved owe its uses (first of rmap)."""
        mappings = self.mappings(pfn)
        for _, pte in mappings:
            pte.owes = 0
        uses = self.judge(task, self.frames[pfn], old, self.node_of(pfn), 1)
        if entry is None and mappings:
            entry = mappings[0][1]
        if entry is not None:
            entry.owes = uses
        return uses

    def moved_folio(self, task, b, old, entry=None):
        """The same of a folio."""
        folio, mappings = self.folios[b], self.pmd_mappings(b)
        for _, pmd in mappings:
            pmd.owes = False
        folio.owes = self.judge(task, folio, old, self.node_of(b * BLOCK), BLOCK)
        if entry is None and mappings:
            entry = mappings[0][1]
        if entry is not None:
            entry.owes = True

    def pay(self, entry, c):
        """A local hit on an entry that owes."""
        if entry.owes is True:
            folio = self.folios[entry.payload // BLOCK]
            folio.owes -= 1
            if folio.owes == 0:
                entry.owes = False
                self.add(c, Vm.PAGES_PAID, BLOCK)
        elif entry.owes:
            entry.owes -= 1
            if entry.owes == 0:
                self.add(c, Vm.PAGES_PAID)
