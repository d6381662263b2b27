"""Which nodes are fast, which slow."""

from ...engine.errors import BadInput
from ...engine.machines.machine import Machine


def fast_nodes(machine: Machine) -> list[int]:
    """Return the nodes of the fastest tier.

    If all memory is of one tier, as Linux has it where firmware says no more, they are
    the nodes with CPUs.  Raises BadInput if there is no other memory.
    """
    full = [node for node, size in enumerate(machine.memory) if size]
    best = min(machine.tier[node] for node in full)
    fast = [node for node in full if machine.tier[node] == best]
    if fast == full:
        fast = [node for node in full if machine.cpus[node]]
    if not fast or fast == full:
        raise BadInput(
            "machine must have memory of two tiers, or nodes without CPUs beside those"
            f" with CPUs, got {machine.name} with tiers {machine.tier}"
        )
    return fast
