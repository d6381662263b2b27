"""The Heterogeneous Memory Attribute Table of ACPI, as `iasl -d` prints it."""

import re
from dataclasses import replace

import numpy as np

from ..errors import BadInput
from .known import MOST, with_measured_tiers
from .machine import Machine

#: Data types of a table (ACPI 6.5, 5.2.27.4), the best source of each figure first.
_LATENCY, _BANDWIDTH = (1, 0), (4, 3)
#: A latency's base unit is in ps, a bandwidth's in MB/s.
_PS_PER_NS = 1000
_MB = 1_000_000
#: "entry not provided" and "unreachable".
_UNKNOWN = (0, 0xFFFF)

#: A line of iasl: ``[028h 0040   2]   Structure Type : 0001 [..]``.
_FIELD = re.compile(r"\s*(?:\[[^\]]*\])?\s*(?P<name>[^:]*?)\s*:\s*(?P<value>.*)")


class _Table:
    """One structure of localities: its fields as they are read."""

    def __init__(self) -> None:
        self.kind, self.base = -1, 1
        self.initiators: list[int] = []
        self.targets: list[int] = []
        self.entries: list[int] = []


def with_hmat(machine: Machine, text: str) -> Machine:
    """Return the machine with the read latencies and bandwidths of the table.

    Proximity domains are taken to be the machine's node numbers.  Pairs that the table
    lacks stay estimated.  The tiers are those that Linux makes of the figures
    (``with_measured_tiers``) if it has both.  Raises BadInput if it has none.
    """
    tables = {table.kind: table for table in _tables(text)}
    latency = next((tables[kind] for kind in _LATENCY if kind in tables), None)
    bandwidth = next((tables[kind] for kind in _BANDWIDTH if kind in tables), None)
    if latency is None and bandwidth is None:
        raise BadInput(
            "HMAT text must have a structure of latencies or bandwidths, as iasl -d"
            " prints it ('Data Type : 01'), got none"
        )
    if latency is not None:
        filled = _filled(machine, machine.latency_ns, latency, 1, _PS_PER_NS)
        machine = replace(machine, latency_ns=filled)
    if bandwidth is not None:
        filled = _filled(machine, machine.bandwidth, bandwidth, _MB, 1)
        cpus = np.flatnonzero(machine.cpus)
        for node in range(machine.nodes):
            if not machine.cpus[node]:
                filled[node, node] = filled[cpus, node].max()
        machine = replace(machine, bandwidth=filled)
    return with_measured_tiers(machine) if latency and bandwidth else machine


def _tables(text: str) -> list[_Table]:
    """Return the structures of latency and bandwidth."""
    tables: list[_Table] = []
    for line in text.splitlines():
        match = _FIELD.fullmatch(line)
        if match is None:
            continue
        name = " ".join(match["name"].lower().split())
        if name == "structure type":
            tables.append(_Table())
        elif tables:
            _read(tables[-1], name, match["value"])
    return [table for table in tables if table.entries]


def _read(table: _Table, name: str, value: str) -> None:
    """Take a field of a structure."""
    words = re.match(r"[0-9A-Fa-f]{1,16}\b", value.strip())
    if words is None:
        return
    number = int(words[0], 16)
    if name == "data type":
        table.kind = number
    elif name == "entry base unit":
        table.base = number
    elif name == "initiator proximity domain list":
        table.initiators.append(number)
    elif name == "target proximity domain list":
        table.targets.append(number)
    elif name == "entry":
        table.entries.append(number)


def _filled(
    machine: Machine, matrix: np.ndarray, table: _Table, unit: int, divisor: int
) -> np.ndarray:
    """Return a matrix with what the structure says."""
    matrix, count = matrix.copy(), len(table.targets)
    if len(table.entries) != len(table.initiators) * count:
        raise BadInput(
            f"HMAT text must have {len(table.initiators) * count} entries in the"
            f" structure of data type {table.kind}, got {len(table.entries)}"
        )
    place = {number: i for i, number in enumerate(machine.node_numbers)}
    for i, entry in enumerate(table.entries):
        row = place.get(table.initiators[i // count])
        column = place.get(table.targets[i % count])
        if row is not None and column is not None and entry not in _UNKNOWN:
            value = max(1, entry * table.base * unit // divisor)
            if value > MOST:
                raise BadInput(
                    f"HMAT text must have an entry base unit that makes sense,"
                    f" got {table.base}"
                )
            matrix[row, column] = value
    return matrix
