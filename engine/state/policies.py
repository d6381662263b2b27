"""Memory policies as callers give them."""

from collections.abc import Sequence
from typing import NamedTuple

from ...kernels.knobs import Mode
from ..errors import BadInput, did_you_mean
from ..machines.machine import Machine, node_at


class Policy(NamedTuple):
    """A memory policy: mode, nodes, and weights for weighted interleave.

    ``numa_balancing`` is MPOL_F_NUMA_BALANCING, for bind and preferred_many.  ``home``
    is their home node; only set_mempolicy_home_node gives one.
    """

    mode: Mode
    nodes: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    numa_balancing: bool = False
    home: int | None = None


DEFAULT = Policy(Mode.DEFAULT)
_MODES = {mode.name.lower(): mode for mode in Mode} | {"membind": Mode.BIND}


def policy_of(text: str, machine: Machine) -> Policy:
    """Return the policy that a text means: ``local``, ``interleave``, ``bind:0,2-3``.

    Nodes have the numbers that the machine itself gives them.  A mode that needs nodes
    gets all of them if none are given, or ``all``.  Raises BadInput for what is none.
    """
    mode, _, list_of_nodes = text.strip().lstrip("-").replace("=", ":").partition(":")
    known = mode.strip().lower().replace("-", "_")
    if known not in _MODES:
        raise BadInput(
            f"policy must be one of {', '.join(_MODES)}, with nodes as in bind:0,2-3,"
            f" got {text!r}{did_you_mean(known, _MODES)}"
        )
    found = _MODES[known]
    free = found in (Mode.DEFAULT, Mode.LOCAL, Mode.PREFERRED)
    if list_of_nodes.strip() == "all" or not (list_of_nodes.strip() or free):
        nodes = tuple(range(machine.nodes))
    else:
        nodes = _nodes_at(machine, _node_list(list_of_nodes, text), text)
    return checked_here(Policy(found, nodes), machine.memory)


def _nodes_at(machine: Machine, numbers: Sequence[int], text: str) -> tuple[int, ...]:
    """Return the nodes that the machine itself calls by ``numbers``."""
    nodes = []
    for number in numbers:
        node = node_at(machine, number)
        if node is None:
            raise BadInput(
                f"policy must have nodes of {machine.name},"
                f" {', '.join(map(str, machine.node_numbers))}, got {text!r}"
            )
        nodes.append(node)
    return tuple(nodes)


def _node_list(text: str, whole: str) -> tuple[int, ...]:
    """Return the nodes of a list such as ``0,2-3``."""
    nodes: list[int] = []
    for part in filter(None, text.strip("[]() ").split(",")):
        low, dash, high = part.strip().partition("-")
        ends = (low, high if dash else low)
        if not all(end.isascii() and end.isdigit() and len(end) < 5 for end in ends):
            raise BadInput(f"policy must have nodes such as 0,2-3, got {whole!r}")
        nodes += range(int(ends[0]), int(ends[1]) + 1)
    return tuple(nodes)


def on_memory(policy: Policy, memory: Sequence[int]) -> Policy | None:
    """Return a checked policy with the nodes that have memory; None if none has.

    ``memory`` are bytes of each node.  ``mpol_set_nodemask`` (mm/mempolicy.c, 6.12)
    takes only nodes of N_MEMORY, and what is left empty is EINVAL; ``preferred`` takes
    the first of them (mpol_new_preferred).
    """
    kept = tuple(nid for nid in policy.nodes if memory[nid])
    if policy.mode == Mode.PREFERRED:
        kept = kept[:1]
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
