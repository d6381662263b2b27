"""The machine of an XML file that hwloc wrote (`lstopo FILE.xml`), versions 1 and 2."""

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from ..errors import BadInput
from .firmware import Firmware, mask_list
from .machine import MAX_NODE_NUMBERS

_Element = ElementTree.Element
#: Attributes of memory that count, and what one of their units is.
_LATENCY = {"Latency": 1, "ReadLatency": 1}
_BANDWIDTH = {"Bandwidth": 1 << 20, "ReadBandwidth": 1 << 20}


def is_hwloc(text: str) -> bool:
    """Tell whether a text is XML of hwloc."""
    return re.search(r"<topology[\s>]", text[: 1 << 16]) is not None


def hwloc_facts(text: str) -> Firmware:
    """Return what the XML says: sizes, CPUs, distances, memory attributes.

    A CPU is of the node with the lowest number whose cpuset has it: hwloc gives nodes
    without CPUs those that are near them.  Raises BadInput for XML that is malformed,
    that has entities, or that describes no node.
    """
    root = _parsed(text)
    objects = list(root.iter("object"))
    nodes = [one for one in objects if one.get("type") == "NUMANode"]
    if not nodes:
        nodes = [one for one in objects if one.get("type") in ("Machine", "System")][:1]
    if not nodes:
        raise BadInput("hwloc XML must have an object NUMANode or Machine, got none")
    numbers = [_integer(one, "os_index", 0) for one in nodes]
    if len(set(numbers)) < len(numbers) or max(numbers) >= MAX_NODE_NUMBERS:
        raise BadInput(
            f"hwloc XML must have nodes of different numbers below {MAX_NODE_NUMBERS},"
            f" got {numbers}"
        )
    order = sorted(range(len(nodes)), key=numbers.__getitem__)
    rows = _distances(root, numbers)
    latency = _attribute(root, nodes, _LATENCY, min)
    bandwidth = _attribute(root, nodes, _BANDWIDTH, max)
    sizes = [_integer(nodes[i], "local_memory", 0) for i in order]
    return Firmware(
        [numbers[i] for i in order],
        sizes if any(sizes) else None,
        _own_cpus([_cpus(nodes[i]) for i in order]),
        rows and [[rows[a][b] for b in order] for a in order],
        None,
        [latency[i] for i in order],
        [bandwidth[i] for i in order],
    )


def _parsed(text: str) -> _Element:
    if "<!ENTITY" in text:
        raise BadInput("hwloc XML must have no entities, got <!ENTITY")
    try:
        return ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1))
    except (ElementTree.ParseError, ValueError) as error:
        raise BadInput(f"hwloc XML must be well formed, got {error}") from None


def _integer(element: _Element, name: str, default: int) -> int:
    text = element.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise BadInput(
            f"hwloc XML must have whole numbers as {name}, got {text[:40]!r}"
        )
    return int(text)


def _decimal(element: _Element, name: str) -> float:
    text = element.get(name) or "0"
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,15})?", text):
        raise BadInput(f"hwloc XML must have numbers as {name}, got {text[:40]!r}")
    return float(text)


def _cpus(node: _Element) -> list[int]:
    """Return the CPUs of a node's set, or of the PUs in it."""
    text = node.get("cpuset")
    if text is None:
        inside = (one for one in node.iter("object") if one.get("type") == "PU")
        return [_integer(one, "os_index", 0) for one in inside]
    return list(mask_list(text, "cpuset of the hwloc XML"))


def _own_cpus(lists: Sequence[Sequence[int]]) -> list[list[int]]:
    taken: set[int] = set()
    own = []
    for cpus in lists:
        own.append([cpu for cpu in cpus if cpu not in taken])
        taken.update(cpus)
    return own


def _distances(root: _Element, numbers: Sequence[int]) -> list[list[int]] | None:
    """Return the SLIT, in the order of ``numbers``; None if there is none."""
    for table in root.iter("distances2"):
        if table.get("type") == "NUMANode":
            indexes = _numbers(table, "indexes")
            values = [round(v) for v in _numbers(table, "u64values")]
            rows = _rows([int(n) for n in indexes], values, numbers)
            if rows is not None:
                return rows
    for table in root.iter("distances"):
        base = _decimal(table, "latency_base")
        latencies = [_decimal(one, "value") for one in table.iter("latency")]
        rows = _rows(numbers, [round(v * base) for v in latencies], numbers)
        if rows is not None:
            return rows
    return None


def _numbers(table: _Element, tag: str) -> list[float]:
    text = " ".join(one.text or "" for one in table.iter(tag))
    # Indexes may read NUMANode:0.
    parts = [part.rpartition(":")[2] for part in text.split()]
    if not all(re.fullmatch(r"[0-9]{1,15}", part) for part in parts):
        raise BadInput(f"hwloc XML must have whole numbers in {tag}, got {text[:60]!r}")
    return [float(part) for part in parts]


def _rows(
    indexes: Sequence[int], values: Sequence[int], numbers: Sequence[int]
) -> list[list[int]] | None:
    """Return a square table by ``numbers`` if it is a SLIT of these nodes."""
    count = len(indexes)
    if sorted(indexes) != sorted(numbers) or len(values) != count * count:
        return None
    place = {number: i for i, number in enumerate(indexes)}
    at = [place[number] for number in numbers]
    rows = [[values[a * count + b] for b in at] for a in at]
    return rows if all(row[i] == 10 for i, row in enumerate(rows)) else None


def _attribute(
    root: _Element,
    nodes: Sequence[_Element],
    names: dict[str, int],
    best: Callable[[list[int]], int],
) -> list[int | None]:
    """Return the best value of a memory attribute of each node, None if unknown."""
    found: dict[str, list[int]] = {}
    for table in root.iter("memattr"):
        unit = names.get(table.get("name") or "")
        for one in table.iter("memattr_value") if unit else ():
            target = one.get("target_obj_gp_index") or ""
            found.setdefault(target, []).append(_integer(one, "value", 0) * (unit or 1))
    values = [found.get(node.get("gp_index") or "-") for node in nodes]
    return [best(one) or None if one else None for one in values]
