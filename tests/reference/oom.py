"""Which process dies when there is no memory.

``docs/model/reclaim.md`` states the rules.
"""

from lazynuma.kernels.counters import Vm

from .words import BLOCK


class OutOfMemory:
    """A part of ``Reference`` (``model.py``)."""

    def badness(self, process):
        table = self.tables[process.id]
        blocks = {vpn // BLOCK for vpn in table}
        leaves = self.leaves(process)
        return self._rss[process.id] + self._swapents[process.id] + len(blocks | leaves)

    def oom_kill(self, task):
        alive = [p for p in self.processes if p.alive]
        victim = max(alive, key=lambda p: (self.badness(p), p.id))
        self.add(self.cpu(task), Vm.OOM_KILL)
        self.oom_kills += 1
        self.exit(victim, folding=False)
