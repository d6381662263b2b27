"""Memory policies: the nodes that an allocation tries, what it counts, and which pages
are misplaced.

``docs/model/placement.md`` states the rules.
"""

from itertools import compress

from lazynuma.kernels.counters import Vm
from lazynuma.kernels.knobs import Mode

from .words import BLOCK, NoMemory, SetAside

INTERLEAVES = (Mode.INTERLEAVE, Mode.WEIGHTED_INTERLEAVE)


class Placement:
    """A part of ``Reference`` (``model.py``)."""

    def cpu(self, task):
        return self.cpu_node[self.cpu_of(task)]

    def cpu_of(self, task):
        """Return the CPU of the access that a task makes now."""
        return self.on_cpu.get(task.id, task.cpu)

    def table_node(self, task):
        """The node of a new page table."""
        return self.zonelist[self.cpu(task)][0]

    def with_memory(self, policy):
        """A policy without the nodes that have no memory; None if none is left.

        preferred has one node.
        """
        there = [bool(self.machine.memory[n]) for n in policy.nodes]
        if not policy.nodes:
            return policy
        if not any(there):
            return None
        if policy.mode == Mode.PREFERRED:
            return policy._replace(nodes=(policy.nodes[there.index(True)],))
        nodes = tuple(compress(policy.nodes, there))
        return policy._replace(
            nodes=nodes, weights=tuple(compress(policy.weights, there))
        )

    def policy_of(self, task, vma):
        return task.policy if vma.policy.mode == Mode.DEFAULT else vma.policy

    def interleave_index(self, vma, vpn, order):
        """Return what a page, or a huge one, is interleaved by."""
        if not order:
            return vpn + vma.pgoff
        haddr = max(vpn // BLOCK * BLOCK, vma.start)
        return (vma.start + vma.pgoff) // BLOCK + (haddr - vma.start) // BLOCK

    def interleave(self, policy, ilx):
        if policy.mode == Mode.INTERLEAVE:
            return policy.nodes[ilx % len(policy.nodes)]
        order = [
            n
            for n, weight in zip(policy.nodes, policy.weights, strict=True)
            for _ in range(weight)
        ]
        return order[ilx % len(order)]

    def passes(self, task, vma, vpn, order=0, near=None, ilx=None):
        """Return the candidates of each pass of an allocation by policy.

        near    the node that a policy without one begins at; None: the CPU's
        ilx     what is interleaved by; None: as the VMA says
        """
        policy = self.policy_of(task, vma)
        base, only = self.cpu(task) if near is None else near, [None]
        if policy.home is not None:
            base = policy.home
        if policy.mode == Mode.PREFERRED:
            base = policy.nodes[0]
        elif policy.mode == Mode.BIND:
            only = [policy.nodes]
        elif policy.mode == Mode.PREFERRED_MANY:
            only = [policy.nodes, None]
        elif policy.mode in INTERLEAVES:
            if ilx is None:
                ilx = self.interleave_index(vma, vpn, order)
            base = self.interleave(policy, ilx)
        return [
            [
                n
                for n in self.zonelist[base]
                if self.nodes[n].online and (mask is None or n in mask)
            ]
            for mask in only
        ]

    def statistics(self, n, preferred, c, interleaved=False, pages=1):
        self.add(n, Vm.PGALLOC_NORMAL, pages)
        if n == preferred:
            self.add(n, Vm.NUMA_HIT)
            if interleaved:
                self.add(n, Vm.NUMA_INTERLEAVE)
        else:
            self.add(n, Vm.NUMA_MISS)
            self.add(preferred, Vm.NUMA_FOREIGN)
        self.add(n, Vm.NUMA_LOCAL if n == c else Vm.NUMA_OTHER)

    def allocate(self, task, vma, vpn, wake=True, near=None, ilx=None):
        """Allocate by policy, serially or from the shard's allotment."""
        passes = self.passes(task, vma, vpn, near=near, ilx=ilx)
        if self.shard is not None:
            passes = passes[:1]
        n, candidates = self.choose(passes, wake)
        pfn = self.take(n)
        interleaved = self.policy_of(task, vma).mode == Mode.INTERLEAVE
        self.statistics(n, candidates[0], self.cpu(task), interleaved)
        return pfn

    def choose(self, passes, wake):
        for candidates in passes:
            above = [n for n in candidates if self.nodes[n].free > self.nodes[n].low]
            if above:
                return above[0], candidates
            if self.shard is not None:
                raise SetAside
            for n in candidates:
                self.nodes[n].woken |= wake
            above = [n for n in candidates if self.nodes[n].free > self.nodes[n].min]
            if above:
                return above[0], candidates
        raise NoMemory

    def allocate_on(self, n, mark, c):
        """Allocate on exactly one node with more than ``mark`` frames free."""
        node = self.nodes[n]
        if not node.online or node.free <= mark:
            raise NoMemory
        pfn = self.take(n)
        self.statistics(n, n, c)
        return pfn

    def unless_full(self, allocate, *args):
        """Allocate; None where there is no memory."""
        try:
            return allocate(*args)
        except NoMemory:
            return None

    def misplaced(self, task, vma, vpn, pfn):
        policy = self.policy_of(task, vma)
        c, mode, page_node = self.cpu(task), policy.mode, self.node_of(pfn)
        target = c
        if mode in INTERLEAVES:
            order = 9 if pfn // BLOCK in self.folios else 0
            ilx = self.interleave_index(vma, vpn, order)
            target = self.interleave(policy, ilx)
        elif mode not in (Mode.DEFAULT, Mode.LOCAL):
            if page_node in policy.nodes:
                return None
            target = policy.nodes[0]
            if mode != Mode.PREFERRED:
                near = [n for n in self.zonelist[c] if n in policy.nodes]
                online = [n for n in near if self.nodes[n].online]
                target = online[0] if online else None
        return None if target == page_node else target
