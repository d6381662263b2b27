"""Latencies and bandwidths between nodes, as Intel's Memory Latency Checker shows them.

Numa node            0       1
       0         108.2   195.7
       1         195.2   108.4
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import BadInput
from .known import with_measured_tiers
from .machine import Machine

#: What the title of a matrix says, and the factor to ns or bytes/s.
_LATENCY, _BANDWIDTH = "latency", "bandwidth"
_UNIT = {_LATENCY: 1.0, _BANDWIDTH: 1e6}

_Cells = dict[tuple[int, int], float]


def with_mlc(machine: Machine, text: str) -> Machine:
    """Return the machine with the matrices of ``text``.

    Rows are nodes with CPUs, columns nodes with memory, by the machine's numbers.  What
    they lack stays estimated.  With both matrices the tiers are those that Linux would
    make of such figures (``with_measured_tiers``).  Raises BadInput if there is no
    matrix, or one of other nodes.
    """
    found = dict(_matrices(text))
    if not found:
        raise BadInput(
            "mlc text must have a matrix that begins with 'Numa node 0 1 ...' below a"
            " line about latencies or bandwidths, got none"
        )
    if _LATENCY in found:
        latency = _filled(machine, machine.latency_ns, found[_LATENCY])
        machine = replace(machine, latency_ns=latency)
    if _BANDWIDTH in found:
        bandwidth = _filled(machine, machine.bandwidth, found[_BANDWIDTH])
        for node in range(machine.nodes):
            if not machine.cpus[node]:
                # What the nearest CPUs get is all that the memory gives.
                cpus = np.flatnonzero(machine.cpus)
                bandwidth[node, node] = bandwidth[cpus, node].max()
        machine = replace(machine, bandwidth=bandwidth)
    return with_measured_tiers(machine) if len(found) == len(_UNIT) else machine


def _matrices(text: str) -> Iterator[tuple[str, _Cells]]:
    """Yield the first matrix of each kind, in ns or bytes/s, by node numbers."""
    kind, seen = "", set()
    columns: list[int] = []
    cells: _Cells = {}
    for line in [*text.splitlines(), ""]:
        words = line.replace("|", " ").lower().split()
        numbers = [
            word for word in words if re.fullmatch(r"-|[0-9]{1,9}(\.[0-9]{1,9})?", word)
        ]
        if columns and len(numbers) == len(words) == len(columns) + 1:
            row = zip(columns, numbers[1:], strict=True)
            known = {c: float(v) * _UNIT[kind] for c, v in row if v not in ("-", "0")}
            cells |= {(_node(numbers[0]), c): v for c, v in known.items() if v > 0}
            continue
        if columns and cells:
            if kind not in seen:
                seen.add(kind)
                yield kind, cells
            columns, cells = [], {}
        if words[:2] == ["numa", "node"] and words[2:]:
            columns = [_node(word) for word in words[2:]] if kind else []
        elif "latenc" in line.lower():
            kind = _LATENCY
        elif "bandwidth" in line.lower():
            kind = _BANDWIDTH


def _node(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", word):
        raise BadInput(f"mlc text must have node numbers, got {word[:40]!r}")
    return int(word)


def _filled(machine: Machine, matrix: np.ndarray, cells: _Cells) -> np.ndarray:
    """Return a matrix with the cells that were measured."""
    matrix = matrix.copy()
    place = {number: i for i, number in enumerate(machine.node_numbers)}
    for (row, column), value in cells.items():
        for node in (row, column):
            if node not in place:
                raise BadInput(
                    f"mlc text must be of the nodes of {machine.name},"
                    f" {', '.join(map(str, place))}, got node {node}"
                )
        matrix[place[row], place[column]] = max(1, round(value))
    return matrix
