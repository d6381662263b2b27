"""The rule of Linux for hint faults, as a user's file would have it."""

from typing import Any

from lazynuma.engine import DEFAULT, PlacementPolicy, Refusal, stay

#: Up to this sequence number of scans, a task's private pages move at once.
EARLY_SEQ = 4
#: ACTIVE_NODE_FRACTION
FRACTION = 3


def last_cpupid(fault: Any, mine: Any) -> int:
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
    if used > FRACTION * there:
        return here
    # 3/4 is hysteresis.
    if used * fault.group_memory_there * 3 > there * fault.group_memory_here * 4:
        return here
    return stay(Refusal.GROUP_WEIGHT)


LAST_CPUPID = PlacementPolicy(hint_fault=last_cpupid)
