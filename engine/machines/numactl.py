"""The machine that `numactl --hardware` printed, in a file, a mail or a web page."""

import re
from collections.abc import Iterator, Sequence

from ..errors import BadInput
from .firmware import Firmware, from_firmware, number_list, numbers_in
from .machine import MAX_NODE_NUMBERS, MIB, Machine

#: A line of the text: its number, and its words with one space between.
_Line = tuple[int, str]

#: Quote marks of mails; `diff` and forums put others.
_QUOTES = re.compile(r"^(?:[>|]\s?)+")
#: What stands between the lines that matter: shells, fences, libraries' complaints.
_NOISE = re.compile(
    r"```.*|~~~.*|(?:libnuma|numactl|warning)\b.*|[#$%]( .*)?"
    r"|\[?[\w.-]+@.*[#$%>]( .*)?|\[.*\][#$%]( .*)?|[\w.:~/@-]*[#$%] ?numactl.*"
    r"|policy: .*|preferred node: .*|(?:physcpu|cpu|node|mem)bind: .*",
    re.IGNORECASE,
)
#: A remark that somebody wrote behind a line.
_REMARK = re.compile(r"\s+(?:[<#(;*←\[]|//|-+>|=+>|--).*$")
_FACT = re.compile(r"node ([0-9]{1,4}) (cpus|size|free):\s*(.*)", re.IGNORECASE)
_DISTANCES = re.compile(r"node distances:.*", re.IGNORECASE)
_NO_DISTANCES = re.compile(r"no distance information available\.?.*", re.IGNORECASE)
_AVAILABLE = re.compile(r"available: ([0-9]{1,4}) nodes?(?: \((.*?)\))?.*", re.I)
_UNITS = {"KB": 1 << 10, "MB": MIB, "GB": 1 << 30}
#: What numactl prints as <not available>.
_UNKNOWN = -1
_EXPECTED = "'node N cpus: 0 1 ...', 'node N size: X MB' or 'node distances:'"


def is_numactl(text: str) -> bool:
    """Tell whether a text has what `numactl --hardware` prints of a node."""
    return re.search(r"\bnode +[0-9]+ +(cpus|size|free) *:", text, re.I) is not None


def from_numactl(text: str, name: str = "numactl") -> Machine:
    """Return the machine that ``text``, the output of ``numactl --hardware``, shows.

    Nodes and CPUs keep their numbers.  Quote marks, prompts, fences, remarks behind a
    line and warnings of libnuma are passed over, and so is all that stands before the
    nodes or behind the distances; lines that a mail wrapped are put together.  Without
    distances they are 10 and 20, as in Linux.  Raises BadInput, with the line's number
    and what was expected there, for text that is not such output.
    """
    return from_firmware(name, numactl_facts(text))


def numactl_facts(text: str) -> Firmware:
    """Return what ``text`` says of the nodes; BadInput as ``from_numactl``."""
    lines = _lines(text)
    titles = [i for i, (_, line) in enumerate(lines) if _DISTANCES.fullmatch(line)]
    if len(titles) > 1:
        raise _unexpected(*lines[titles[1]], "the only one: this is a second machine")
    without = [i for i, (_, line) in enumerate(lines) if _NO_DISTANCES.fullmatch(line)]
    if not titles and not without:
        raise BadInput(
            "numactl text must have a line 'node distances:' or"
            " 'No distance information available.', got none"
        )
    end = titles[0] if titles else without[0]
    facts = _nodes(lines[:end])
    distance = None
    if titles:
        numbers, distance = _distances(lines[end:])
    else:
        numbers = sorted(facts)
        _refuse_cut(lines[:end], numbers)
        _refuse_more(lines[end + 1 :])
    if not any("cpus" in one for one in facts.values()):
        # As numactl printed before 2.0; ``from_firmware`` says what to do.
        facts = {node: {"cpus": ()} | one for node, one in facts.items()}
    _refuse_unequal(facts, numbers)
    for node in numbers:
        if facts[node]["size"] == _UNKNOWN:
            if facts[node]["cpus"]:
                raise BadInput(f"numactl text must have a size of node {node}")
            facts[node]["size"] = 0
    return _in_order(
        Firmware(
            numbers,
            [facts[node]["size"] for node in numbers],
            [facts[node]["cpus"] for node in numbers],
            distance,
        )
    )


def _in_order(found: Firmware) -> Firmware:
    """Return the nodes in the order of their numbers."""
    order = sorted(range(len(found.numbers)), key=found.numbers.__getitem__)
    rows = found.distance and [[found.distance[a][b] for b in order] for a in order]
    sizes = found.sizes or ()
    return Firmware(
        [found.numbers[i] for i in order],
        [sizes[i] for i in order],
        [found.cpu_lists[i] for i in order],
        rows,
    )


def _lines(text: str) -> list[_Line]:
    """Return the lines that may matter, without what mails and shells put around."""
    lines = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = " ".join(_QUOTES.sub("", line.strip()).split())
        if line and not _NOISE.fullmatch(line):
            lines.append((number, line))
    return lines


def _unexpected(number: int, line: str, expected: str) -> BadInput:
    return BadInput(
        f"line {number} of the numactl text must be {expected}, got {line[:80]!r}"
    )


def _nodes(lines: Sequence[_Line]) -> dict[int, dict]:
    """Return {node: {"cpus": CPU numbers, "size": bytes, "free": bytes}}."""
    facts: dict[int, dict] = {}
    for number, line in _joined(lines):
        if _AVAILABLE.fullmatch(line):
            continue
        match = _FACT.fullmatch(line)
        if match is None:
            if not facts and not line.lower().startswith("node "):
                continue
            raise _unexpected(number, line, _EXPECTED)
        what = match[2].lower()
        node = facts.setdefault(int(match[1]), {})
        if what in node:
            raise _unexpected(number, line, f"the only one of node {match[1]}")
        node[what] = _fact(number, line, what, _REMARK.sub("", " " + match[3]).strip())
    return facts


def _joined(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Yield the lines, with the rest of a wrapped list of CPUs behind its beginning."""
    held: _Line | None = None
    for number, line in lines:
        if held and re.fullmatch(r"[0-9 ,-]+", line):
            held = held[0], f"{held[1]} {line}"
            continue
        if held:
            yield held
        held = number, line
        match = _FACT.fullmatch(line)
        if match is None or match[2].lower() != "cpus":
            yield held
            held = None
    if held:
        yield held


def _fact(number: int, line: str, what: str, value: str) -> int | tuple[int, ...]:
    if what == "cpus":
        if "..." in line or "…" in line:
            raise _unexpected(number, line, "a whole list of CPUs")
        return number_list(value, f"line {number} of the numactl text")
    if "<not available>" in line:
        return _UNKNOWN
    match = re.match(r"([0-9]{1,12}) ?([kKMG]B)\b", value, re.IGNORECASE)
    if match is None:
        raise _unexpected(number, line, f"'node N {what}: X MB'")
    return int(match[1]) * _UNITS[match[2].upper()]


def _distances(lines: Sequence[_Line]) -> tuple[list[int], list[list[int]]]:
    """Return the node numbers and the rows of the table below its title."""
    (title_number, title), *lines = lines
    if not lines:
        raise _unexpected(title_number, title, "followed by the table of distances")
    (head_number, head), *rest = lines
    wrapped = _leading_numbers(rest)
    head = " ".join([_REMARK.sub("", head), *(line for _, line in rest[:wrapped])])
    numbers = numbers_in(head.removeprefix("node"))
    if not numbers or not head.startswith("node") or len(set(numbers)) < len(numbers):
        raise _unexpected(head_number, head, "'node 0 1 ...'")
    if max(numbers) >= MAX_NODE_NUMBERS:
        raise _unexpected(head_number, head, f"nodes below {MAX_NODE_NUMBERS}")
    rows, left = _rows(rest[wrapped:], numbers)
    if len(rows) < len(numbers):
        last_number, last = lines[len(lines) - len(left) - 1]
        expected = f"followed by the distances of node {numbers[len(rows)]}"
        raise _unexpected(last_number, last, expected)
    _refuse_more(left)
    return numbers, rows


def _leading_numbers(lines: Sequence[_Line]) -> int:
    """Return how many lines of numbers alone a sequence of lines begins with."""
    return next(
        (i for i, (_, line) in enumerate(lines) if numbers_in(line) is None),
        len(lines),
    )


def _rows(
    lines: Sequence[_Line], numbers: Sequence[int]
) -> tuple[list[list[int]], Sequence[_Line]]:
    """Return the rows of distances, and the lines behind them."""
    rows: list[list[int]] = []
    while lines and len(rows) < len(numbers):
        node, count = numbers[len(rows)], len(numbers)
        (number, line), *lines = lines
        left, _, right = line.partition(":")
        row = _leading(right, count)
        while row is not None and len(row) < count and _leading_numbers(lines):
            row += numbers_in(lines[0][1]) or []
            lines = lines[1:]
        if left != str(node) or row is None or len(row) != count:
            raise _unexpected(number, line, f"'{node}:' and {count} distances")
        rows.append(row)
    return rows, lines


def _leading(text: str, count: int) -> list[int] | None:
    """Return the numbers of a row; a remark may stand behind ``count`` of them."""
    words = text.split()
    behind = words[count : count + 1]
    if behind and not behind[0][0].isdigit():
        words = words[:count]
    return numbers_in(" ".join(words))


def _refuse_more(lines: Sequence[_Line]) -> None:
    """Raise BadInput if a machine goes on behind what should be its end."""
    for number, line in lines:
        if re.match(r"[0-9]+:|node\b", line) or _AVAILABLE.fullmatch(line):
            raise _unexpected(number, line, "absent: the table of distances is full")


def _refuse_cut(lines: Sequence[_Line], numbers: Sequence[int]) -> None:
    """Raise BadInput if the text announces other nodes than it has."""
    for number, line in lines:
        match = _AVAILABLE.fullmatch(line)
        if match and int(match[1]) != len(numbers):
            raise _unexpected(number, line, f"of the {len(numbers)} nodes that follow")


def _refuse_unequal(facts: dict[int, dict], numbers: Sequence[int]) -> None:
    """Raise BadInput if a node lacks its CPUs, its size or its distances."""
    for node in numbers:
        for what in ("cpus", "size"):
            if what not in facts.get(node, {}):
                raise BadInput(
                    f"numactl text must have a line 'node {node} {what}:', got none"
                )
    for node in facts:
        if node not in numbers:
            raise BadInput(f"numactl text must have distances of node {node}, got none")
