"""Memory policies as callers give them."""

from typing import NamedTuple

from ...kernels.knobs import Mode
from ..errors import BadInput, did_you_mean


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


def policy_of(text: str, nodes: int) -> Policy:
    """Return the policy that a text means: ``local``, ``interleave``, ``bind:0,2-3``.

    A mode that needs nodes gets all of the machine's ``nodes`` if none are given, or
    ``all``.  Raises BadInput for what is none.
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
        return checked(Policy(found, tuple(range(nodes))), nodes)
    return checked(Policy(found, _node_list(list_of_nodes, text)), nodes)


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
