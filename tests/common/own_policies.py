"""Policies of one's own, for tests: one that repeats Linux, one that does anything."""

from dataclasses import replace

import numpy as np

from lazynuma.engine import (
    DEFAULT,
    STAY,
    Own,
    PlacementPolicy,
    Refusal,
    Simulation,
    stay,
)
from reference import Reference

from .pair import Engines, Pair

#: Up to this sequence number of scans, a task's private pages move at once.
EARLY_SEQ = 4


def last_cpupid(fault, mine):
    """Repeat should_numa_migrate_memory (kernel/sched/fair.c, 6.12)."""
    if fault.lazy:
        return DEFAULT
    last, here = fault.last_node, fault.cpu_node
    if fault.node_slow and not fault.tiering and last == -1:
        return stay(Refusal.TWO_STAGE)
    private = fault.last_same_task == 1
    early = fault.preferred_node == -1 or fault.scan_seq <= EARLY_SEQ
    if early and (private or last == -1):
        return here
    if last != -1 and last != here:
        return stay(Refusal.TWO_STAGE)
    if private or fault.group == -1:
        return here
    used, there = fault.group_cpu_here, fault.group_cpu_there
    if used > 3 * there:
        return here
    if used * fault.group_memory_there * 3 > there * fault.group_memory_here * 4:
        return here
    return stay(Refusal.GROUP_WEIGHT)


def usual_node(touch, mine):
    """Repeat the first touch of Linux."""
    return touch.cpu_node


def usual_target(cold, mine):
    """Repeat the demotion of Linux."""
    return cold.target if cold.target >= 0 else DEFAULT


REPEATS = PlacementPolicy(
    hint_fault=last_cpupid, first_touch=usual_node, demote=usual_target
)


def any_fault(fault, mine):
    """Answer anything, and count that it was asked."""
    mine.asked[fault.page] += 1
    mine.block_asked[fault.block] += fault.pages
    mine.faults_new[fault.task] += 1 + fault.write
    mine.latest_new[fault.cpu_node] = max(mine.latest_new[fault.cpu_node], fault.now_ns)
    number = (fault.page + 3 * mine.asked[fault.page] + mine.faults[fault.task]) % 4099
    answer = number * 40503 // 64 % 8 - 2
    return answer if number % 7 else stay(Refusal.COLD)


def any_touch(touch, mine):
    """Begin anywhere."""
    mine.touched[touch.page] += 1
    mine.faults_new[touch.task] += 1
    return (touch.page * 40503 // 64 + touch.cpu_node) % 8 - 2


def any_cold(cold, mine):
    """Demote some pages anywhere."""
    mine.nodes_new[cold.node] += cold.pages
    number = cold.page % 11
    if number < 3:
        return STAY
    return number - 3 if number < 9 else DEFAULT


ANYTHING = PlacementPolicy(
    hint_fault=any_fault,
    promote=any_fault,
    first_touch=any_touch,
    demote=any_cold,
    arrays=(
        Own("asked", "int32", "page"),
        Own("touched", "uint8", "page"),
        Own("block_asked", "int64", "block"),
        Own("faults", "int64", "task"),
        Own("latest", "float64", "node", "max", fill=-1),
        Own("nodes", "int16", "node"),
    ),
)


class Repeated(Pair):
    """The engine with a policy that repeats Linux, and the reference without any."""

    def simulations(self, machine, options, seed):
        balancing = replace(options.balancing, filter="last_cpupid")
        options, costs = replace(options, balancing=balancing), self.costs(seed)
        return [
            Simulation(machine, options, costs, seed, batch=77, policy=REPEATS),
            Reference(machine, options, costs, seed),
        ]


class Anything(Engines):
    """Two engines with a policy that does anything, other threads and batches."""

    def simulations(self, machine, options, seed):
        costs = self.costs(seed)
        usual = Simulation(machine, options, costs, seed, policy=ANYTHING)
        options = dict(threads=2, batch=1, policy=ANYTHING)
        return [usual, Simulation(machine, usual.settings, costs, seed, **options)]

    def compare(self):
        """Demand that the policy's own arrays are equal, too."""
        super().compare()
        for one in ANYTHING.arrays:
            values = [self._values(sim, one) for sim in self.sims]
            assert np.array_equal(*values), one.name

    @staticmethod
    def _values(sim, one):
        values = sim.placement.own.values[one.name]
        return values if one.is_folded else values[: sim._next_vpn]
