"""Memory policies as callers give them."""

from collections.abc import Sequence
from typing import NamedTuple

from ...kernels.knobs import Mode
from ..errors import BadInput


class Policy(NamedTuple):
    """A memory policy: mode, nodes, and weights for weighted interleave.

    ``numa_balancing`` is MPOL_F_NUMA_BALANCING, for bind and preferred_many.
    """

    mode: Mode
    nodes: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    numa_balancing: bool = False


DEFAULT = Policy(Mode.DEFAULT)


def on_memory(policy: Policy, memory: Sequence[int]) -> Policy | None:
    """Return a checked policy with the nodes that have memory; None if none has.

    ``memory`` are bytes of each node.  ``mpol_set_nodemask`` (mm/mempolicy.c, 6.12)
    takes only nodes of N_MEMORY, and what is left empty is EINVAL.
    """
    kept = tuple(nid for nid in policy.nodes if memory[nid])
    if kept == policy.nodes:
        return policy
    weights = dict(zip(policy.nodes, policy.weights, strict=False))
    left = tuple(weights[nid] for nid in kept if weights)
    return policy._replace(nodes=kept, weights=left) if kept else None


def checked_here(policy: Policy, memory: Sequence[int]) -> Policy:
    """Return ``policy`` as a machine takes it; BadInput if no node has memory."""
    kept = on_memory(checked(policy, len(memory)), memory)
    if kept is None:
        raise BadInput(f"policy nodes must have memory, got {policy.nodes}")
    return kept


def checked(policy: Policy, nodes: int) -> Policy:
    """Return ``policy`` with its nodes sorted; BadInput if it makes no sense."""
    mode, mask = Mode(policy.mode), tuple(sorted(set(policy.nodes)))
    if any(not 0 <= nid < nodes for nid in mask):
        raise BadInput(f"policy nodes must be below {nodes}, got {policy.nodes}")
    if mode in (Mode.DEFAULT, Mode.LOCAL) and mask:
        raise BadInput(f"policy {mode.name.lower()} must have no nodes, got {mask}")
    if mode not in (Mode.DEFAULT, Mode.LOCAL, Mode.PREFERRED) and not mask:
        raise BadInput(f"policy {mode.name.lower()} must have nodes, got none")
    if policy.numa_balancing and mode not in (Mode.BIND, Mode.PREFERRED_MANY):
        raise BadInput(
            "numa_balancing must go with policy bind or preferred_many,"
            f" got {mode.name.lower()}"
        )
    if mode == Mode.PREFERRED and not mask:
        return Policy(Mode.LOCAL)
    if mode != Mode.WEIGHTED_INTERLEAVE:
        return Policy(mode, mask, numa_balancing=policy.numa_balancing)
    weights = policy.weights or (1,) * len(policy.nodes)
    if len(weights) != len(policy.nodes) or any(not 1 <= w <= 255 for w in weights):
        raise BadInput(
            f"policy weights must be {len(policy.nodes)} numbers from 1 to 255,"
            f" got {policy.weights}"
        )
    order = dict(zip(policy.nodes, weights, strict=True))
    return Policy(mode, mask, tuple(order[nid] for nid in mask))
