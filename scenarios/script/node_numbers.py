"""Nodes of a script by the numbers that its machine gives them (``--machine``)."""

from collections.abc import Mapping
from typing import Any

from ...engine.machines.machine import Machine, node_at

#: Arguments of operations that name a node, or several.
_ONE, _SEVERAL = ("node",), ("nodes", "sources", "targets")
#: Where a run of pages has its node: pages, state, node, huge.
_RUN_NODE = 2


def node_of(machine: Machine, number: int) -> int:
    """Return the node of a number; one beyond the machine's if it has no such node."""
    node = node_at(machine, number)
    return machine.nodes if node is None else node


def with_nodes(machine: Machine, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operation with nodes instead of their numbers."""
    found = dict(arguments)
    for name in found.keys() & set(_ONE):
        found[name] = node_of(machine, found[name])
    for name in found.keys() & set(_SEVERAL):
        found[name] = tuple(node_of(machine, number) for number in found[name])
    return found


def with_numbers(machine: Machine, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the numbers of its nodes."""
    numbers = machine.node_numbers
    if "node" in record:
        record["node"] = numbers[record["node"]]
    if "status" in record:
        record["status"] = [v if v < 0 else numbers[v] for v in record["status"]]
    for run in record.get("runs", ()):
        if run[_RUN_NODE] is not None:
            run[_RUN_NODE] = numbers[run[_RUN_NODE]]
    return record
