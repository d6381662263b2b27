"""The machine that `numactl --hardware` printed."""

import os
import re
from collections.abc import Sequence

from ..errors import BadInput, did_you_mean
from .firmware import from_firmware, number_list, numbers_in
from .machine import MIB, Machine
from .presets import PRESETS

#: A line of the text: its number, and its words with one space between.
_Line = tuple[int, str]


def from_numactl(text: str, name: str = "numactl") -> Machine:
    """Return the machine that ``text``, the output of ``numactl --hardware``, shows.

    Nodes are numbered anew, and what the text does not say is filled in, as in
    ``from_sysfs``.  Raises BadInput, with the line's number and what was expected
    there, for text that is not such output.
    """
    lines = [
        (number, " ".join(line.split()))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    titles = [i for i, (_, line) in enumerate(lines) if line == "node distances:"]
    if len(titles) != 1:
        raise BadInput(
            f"numactl text must have one line 'node distances:', got {len(titles)}"
        )
    facts = _numactl_nodes(lines[: titles[0]])
    numbers, distance = _numactl_distances(lines[titles[0] :])
    _refuse_unequal(facts, numbers)
    sizes = [facts[node]["size"] for node in numbers]
    cpu_lists = [facts[node]["cpus"] for node in numbers]
    return from_firmware(name, sizes, cpu_lists, distance)


def numactl_file(spec: str) -> str:
    """Return the text of a file; raise BadInput if it cannot be read."""
    if not os.path.isfile(spec):
        raise BadInput(
            f"machine must be one of {', '.join(PRESETS)}, host or a file with the "
            f"output of numactl --hardware, "
            f"got {str(spec)!r}{did_you_mean(str(spec), (*PRESETS, 'host'))}"
        )
    try:
        with open(spec, encoding="utf-8") as file:
            return file.read(MIB)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise BadInput(
            f"machine must be a file with the output of numactl --hardware, "
            f"got {str(spec)!r}: {reason}"
        ) from None


def _unexpected(number: int, line: str, expected: str) -> BadInput:
    return BadInput(
        f"line {number} of the numactl text must be {expected}, got {line[:80]!r}"
    )


def _numactl_nodes(lines: Sequence[_Line]) -> dict[int, dict]:
    """Return {node: {"cpus": CPU numbers, "size": bytes, "free": bytes}}."""
    facts: dict[int, dict] = {}
    for number, line in lines:
        if re.fullmatch(r"available: [0-9]+ nodes?( \(.*\))?", line):
            continue
        match = re.fullmatch(r"node ([0-9]{1,4}) (cpus|size|free):(.*)", line)
        if match is None:
            expected = (
                "'node N cpus: 0 1 ...', 'node N size: X MB' or 'node distances:'"
            )
            raise _unexpected(number, line, expected)
        node = facts.setdefault(int(match[1]), {})
        if match[2] in node:
            raise _unexpected(number, line, f"the only one of node {match[1]}")
        node[match[2]] = _numactl_fact(number, line, match[2], match[3].strip())
    return facts


def _numactl_fact(
    number: int, line: str, what: str, value: str
) -> int | tuple[int, ...]:
    if what == "cpus":
        return number_list(value, f"line {number} of the numactl text")
    match = re.fullmatch(r"([0-9]{1,12}) MB", value)
    if match is None:
        raise _unexpected(number, line, f"'node N {what}: X MB'")
    return int(match[1]) * MIB


def _numactl_distances(
    lines: Sequence[_Line],
) -> tuple[list[int], list[list[int]]]:
    """Return the node numbers and the rows of the table below its title."""
    (title_number, title), *lines = lines
    if not lines:
        raise _unexpected(title_number, title, "followed by the table of distances")
    (head_number, head), *rows = lines
    numbers = numbers_in(head.removeprefix("node"))
    if not numbers or not head.startswith("node"):
        raise _unexpected(head_number, head, "'node 0 1 ...'")

    distance = []
    for (number, line), node in zip(rows, numbers, strict=False):
        left, _, right = line.partition(":")
        row = numbers_in(right)
        if left != str(node) or row is None or len(row) != len(numbers):
            raise _unexpected(number, line, f"'{node}:' and {len(numbers)} distances")
        distance.append(row)
    if len(rows) > len(numbers):
        number, line = rows[len(numbers)]
        raise _unexpected(number, line, "absent: the table of distances is full")
    if len(rows) < len(numbers):
        last_number, last = lines[-1]
        expected = f"followed by the distances of node {numbers[len(rows)]}"
        raise _unexpected(last_number, last, expected)
    return numbers, distance


def _refuse_unequal(facts: dict[int, dict], numbers: list[int]) -> None:
    for node in numbers:
        for what in ("cpus", "size"):
            if what not in facts.get(node, {}):
                raise BadInput(
                    f"numactl text must have a line 'node {node} {what}:', got none"
                )
    for node in facts:
        if node not in numbers:
            raise BadInput(f"numactl text must have distances of node {node}, got none")
