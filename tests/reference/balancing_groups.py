"""Groups of tasks that share memory.

``docs/model/balancing.md`` states the rules.
"""

from .balancing_words import CPU, MEM, Group


class Groups:
    """A part of ``Reference`` (``model.py``)."""

    def task_numa_group(self, p, met):
        """Step 2: a task makes a group of its own, or moves to a bigger one."""
        numa = self.numas[p.id]
        if numa.group is None:
            faults = [[list(row) for row in numa.faults[kind]] for kind in (MEM, CPU)]
            numa.group = self.groups[p.id] = Group(p.id, faults, numa.total)
            numa.group.nodes.add(self.cpu(p))
        shared = {t.id for t, on_shared in met if on_shared}
        for t in sorted({t for t, _ in met}, key=lambda one: one.id):
            if t is p or not self.smaller(p, t):
                continue
            if t.process is not p.process and t.id not in shared:
                continue
            mine, theirs = numa.group, self.numas[t.id].group
            self.take_from(mine, numa)
            self.add_faults(theirs, numa, 1)
            theirs.total += numa.total
            theirs.tasks += 1
            numa.group = theirs
