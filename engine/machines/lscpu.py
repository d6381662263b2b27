"""The machine that `lscpu` printed: as text, as a table, as JSON."""

import json
import re
from collections.abc import Iterable
from typing import Any

from ..errors import BadInput
from .firmware import Firmware, number_list
from .machine import MAX_NODE_NUMBERS

_NODE = re.compile(r"NUMA node\s?([0-9]{1,4}) CPU\(s\)")
_ONLINE = "On-line CPU(s) list"
#: Names of the columns of CPUs and nodes, in capitals.
_CPU, _NODE_COLUMN = "CPU", "NODE"


def is_lscpu(text: str) -> bool:
    """Tell whether a text has a field, a table or the JSON of lscpu."""
    return (
        _NODE.search(text) is not None
        or _ONLINE in text
        or _header(text) is not None
        or re.match(r"\s*\{\s*\"cpus\"", text) is not None
    )


def lscpu_facts(text: str) -> Firmware:
    """Return what lscpu says of the nodes: which CPUs they have.

    It is the text of ``lscpu``, of ``lscpu -p``, ``-e`` or ``-J``.  Without nodes, as
    in many containers, all CPUs are on node 0.  Raises BadInput if it is none of them.
    """
    if re.match(r"\s*\{", text):
        return _json_facts(text)
    header = _header(text)
    if header is not None:
        return _by_cpu(_table(text, *header))
    return _fields(_lines(text))


def _lines(text: str) -> Iterable[tuple[str, str]]:
    """Yield the fields and values of the text, wrapped lists put together."""
    name, value = "", ""
    for line in text.splitlines():
        line = re.sub(r"^(?:[>|]\s?)+", "", line.strip()).strip()
        if name and re.fullmatch(r"[0-9 ,-]+", line):
            value = f"{value},{line.strip(',')}"
            continue
        if name:
            yield name, value
        name, _, value = (part.strip() for part in line.partition(":"))
    if name:
        yield name, value


def _fields(fields: Iterable[tuple[str, str]]) -> Firmware:
    """Return the facts of lscpu's fields and their values."""
    nodes: dict[int, tuple[int, ...]] = {}
    online: tuple[int, ...] = ()
    for name, value in fields:
        match = _NODE.search(name)
        if match:
            number = int(match[1])
            if number in nodes:
                raise BadInput(f"lscpu text must have node {number} once, got it twice")
            nodes[number] = number_list(
                value, f"CPUs of node {number} of the lscpu text"
            )
        elif _ONLINE in name:
            online = number_list(value, f"{_ONLINE} of the lscpu text")
    return _facts(nodes or {0: online})


def _facts(nodes: dict[int, tuple[int, ...]]) -> Firmware:
    if max(nodes) >= MAX_NODE_NUMBERS:
        raise BadInput(
            f"lscpu text must have nodes below {MAX_NODE_NUMBERS}, got {max(nodes)}"
        )
    numbers = sorted(nodes)
    return Firmware(numbers, None, [nodes[number] for number in numbers])


def _header(text: str) -> tuple[str | None, int, int] | None:
    """Return the separator of a table, and the columns of CPUs and nodes, or None."""
    for line in text.splitlines():
        line = line.strip()
        for separator in (",", None):
            names = line.lstrip("# ").upper().split(separator)
            if _CPU in names and _NODE_COLUMN in names:
                return separator, names.index(_CPU), names.index(_NODE_COLUMN)
    return None


def _table(
    text: str, separator: str | None, cpu: int, node: int
) -> Iterable[tuple[object, object]]:
    """Yield the CPU and the node of each row."""
    for line in text.splitlines():
        parts = [part.strip() for part in line.strip().split(separator)]
        if len(parts) > max(cpu, node) and re.fullmatch("[0-9]+", parts[cpu]):
            yield parts[cpu], parts[node]


def _by_cpu(rows: Iterable[tuple[object, object]]) -> Firmware:
    """Return the facts of pairs of a CPU and its node, '' or '-' if there is none."""
    nodes: dict[int, tuple[int, ...]] = {}
    for cpu, node in rows:
        number = 0 if node in ("", "-", None) else _number(node, "node")
        nodes[number] = (*nodes.get(number, ()), _number(cpu, "CPU"))
    if not nodes:
        raise BadInput("lscpu text must have rows of CPUs, got none")
    return _facts(nodes)


def _number(value: object, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", str(value)):
        raise BadInput(
            f"{name} of the lscpu text must be a number, got {str(value)[:40]!r}"
        )
    return int(str(value))


def _json_facts(text: str) -> Firmware:
    """Return the facts of ``lscpu -J``, and of ``-J -e`` or ``-J -p``."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"lscpu text must be whole JSON, got {error}") from None
    rows = data.get("cpus") if isinstance(data, dict) else None
    if isinstance(rows, list):
        pairs = [row for row in rows if isinstance(row, dict) and "cpu" in row]
        return _by_cpu((row["cpu"], row.get("node")) for row in pairs)
    return _fields(
        _json_fields(data.get("lscpu", []) if isinstance(data, dict) else [])
    )


def _json_fields(entries: Any) -> Iterable[tuple[str, str]]:
    """Yield the fields and values of the JSON, those below others too."""
    left = list(entries) if isinstance(entries, list) else []
    while left:
        entry = left.pop(0)
        if isinstance(entry, dict):
            yield str(entry.get("field", "")), str(entry.get("data") or "")
            children = entry.get("children")
            left.extend(children if isinstance(children, list) else [])
