"""Read memory scripts (``.mm``): one operation on each line, checked before it is
played.

``docs/model/scripts.md`` describes the language; ``player`` plays it.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...engine.errors import BadInput, BadTrace
from ...engine.settings import text_file
from ...kernels.words import PAGE_SHIFT, PAGE_SIZE
from ..common.block import BLOCK
from .linux_settings import MOST, NotModelled, check, shown, whole

ADVICES = (
    "hugepage",
    "nohugepage",
    "dontneed",
    "free",
    "pageout",
    "cold",
    "populate_read",
    "populate_write",
    "collapse",
)
MODES = (
    "default",
    "bind",
    "preferred",
    "preferred_many",
    "interleave",
    "weighted_interleave",
    "local",
)
#: Modes that take no nodes.
NODELESS = ("default", "local")
PROTECTIONS = ("none", "r", "rw")
FLAGS = ("move", "move_all", "strict", "lazy")
MAIN = "main"

_UNITS = {
    "": 1,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "p": PAGE_SIZE,
    "h": BLOCK,
}
_SIZE = re.compile(r"([0-9]+)([KMGph]?)")
#: The file of a run keeps 64 bytes of a name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
#: What a script may ask for: accesses of an operation, scans, milliseconds of sleep and
#: settle in all (a day: a file has a row for each second).
_MOST_ACCESSES = 1 << 32
_MOST_SCANS = 1 << 16
_MOST_MS = 24 * 3600 * 1000


#: Arguments of an operation by their names.
Arguments = dict[str, Any]


class Operation(NamedTuple):
    """One line of a script: what is done, and by which process.

    line       number of the line, from 1; 0 for the machine of a script without one
    text       the line itself
    process    the process that does it
    name       the operation, a key of ``_OPERATIONS``
    arguments  by their names in ``docs/model/scripts.md``; offsets and sizes in bytes
    """

    line: int
    text: str
    process: str
    name: str
    arguments: Arguments


class _Bad(Exception):
    """What a line must have instead of what it has."""

    def __str__(self) -> str:
        return f"must have {super().__str__()}"


class _Missing(_Bad):
    """What a line asks for and nobody has built."""

    def __str__(self) -> str:
        return f"cannot be played: {self.args[0]}"


@dataclass
class _Words:
    """The words of a line that have not been read yet."""

    left: list[str]

    def take(self, expected: str) -> str:
        """Return the next word; ``expected`` says what it should be."""
        if not self.left:
            raise _Bad(f"{expected}, got nothing")
        return self.left.pop(0)

    def one_of(self, choices: tuple[str, ...], what: str) -> str:
        """Return the next word, which must be one of ``choices``."""
        word = self.take(f"{what}: one of {', '.join(choices)}")
        if word not in choices:
            raise _Bad(f"{what}: one of {', '.join(choices)}, got {shown(word)}")
        return word

    def name(self, what: str) -> str:
        """Return the next word, which must be a name."""
        return _matched(_NAME, self.take(what), what)[0]

    def number(self, what: str) -> int:
        """Return the next word as a number."""
        return _number(self.take(what), what)

    def size(self, what: str) -> int:
        """Return the next word as a size in bytes."""
        return _size(self.take(what), what)

    def nodes(self) -> tuple[int, ...]:
        """Return the next word as node numbers; it reads as ``0,2`` or ``0-3``."""
        return _nodes(self.take("nodes as 0,2 or 0-3"))


def _matched(pattern: re.Pattern[str], word: str, what: str) -> re.Match[str]:
    match = pattern.fullmatch(word)
    if match is None:
        raise _Bad(f"{what}, got {shown(word)}")
    return match


def _number(word: str, what: str) -> int:
    number = whole(word)
    if number is None:
        raise _Bad(f"{what} as a number, got {shown(word)}")
    return number


def _size(word: str, what: str) -> int:
    match = _matched(_SIZE, word, f"{what} as a size such as 4K, 2M, 17p or 3h")
    number = whole(match[1])
    if number is None or number * _UNITS[match[2]] >= MOST:
        raise _Bad(f"{what} below 256T, got {shown(word)}")
    return number * _UNITS[match[2]]


def _nodes(word: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        low = _number(first, "nodes as 0,2 or 0-3")
        high = _number(last, "nodes as 0,2 or 0-3") if dash else low
        if not low <= high < 64:
            raise _Bad(f"nodes from 0 to 63, lower ones first, got {shown(word)}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


# --- operations by name: what follows the name ----------------------------------------


#: The words of a machine.
_MACHINE = {
    "nodes": "nodes=N",
    "mem": "mem=SIZE[,..]",
    "cpus": "cpus=N[,..]",
    "tier": "tier=N[,..]",
    "distance": "distance=ROW/..",
}


def _machine(words: _Words) -> Arguments:
    found: dict[str, str] = {}
    while words.left:
        key, _, value = words.take("").partition("=")
        if key not in _MACHINE or not value:
            raise _Bad(f"{', '.join(_MACHINE.values())}, got {shown(key)}")
        if key in found:
            raise _Bad(f"each of its words once, got {key}= twice")
        found[key] = value
    nodes = _number(found.get("nodes", "4"), "nodes=N")
    if not 1 <= nodes <= 62:
        raise _Bad(f"nodes from 1 to 62, got {nodes}")
    memory = _each(_size, "mem", found.get("mem", "512M"), nodes)
    cpus = _each(_number, "cpus", found.get("cpus", "1"), nodes)
    tier = _each(_number, "tier", found.get("tier", "0"), nodes)
    for node in range(nodes):
        if tier[node] and cpus[node]:
            raise _Bad(f"tier 0 of node {node}, which has CPUs, got {tier[node]}")
    distance = _distance(found, nodes)
    return {"memory": memory, "distance": distance, "cpus": cpus, "tier": tier}


def _each(
    read: Callable[[str, str], int], what: str, text: str, nodes: int
) -> tuple[int, ...]:
    """Return a number for each node; one alone is that of all."""
    values = tuple(read(one, what) for one in text.split(","))
    values = values * nodes if len(values) == 1 else values
    if len(values) != nodes:
        raise _Bad(f"{what} of {nodes} nodes, got {shown(text)}")
    return values


def _distance(found: dict[str, str], nodes: int) -> tuple[tuple[int, ...], ...]:
    if "distance" not in found:
        row = range(nodes)
        return tuple(tuple(10 if i == j else 20 for j in row) for i in row)
    rows = tuple(
        tuple(_number(one, "distance") for one in row.split(","))
        for row in found["distance"].split("/")
    )
    if len(rows) != nodes or any(len(row) != nodes for row in rows):
        raise _Bad(f"{nodes} rows of {nodes} distances, got {shown(found['distance'])}")
    return rows


def _set(words: _Words) -> Arguments:
    found = {"setting": words.take("a setting's name"), "value": words.take("a value")}
    try:
        check(**found)
    except NotModelled as error:
        raise _Missing(str(error)) from None
    except BadInput as error:
        raise _Bad(f"a setting that can be: {error}") from None
    return found


def _map(words: _Words) -> Arguments:
    region, length = words.name("a region's name"), words.size("a length")
    if not length:
        raise _Bad("a length of at least one byte, got 0")
    found: Arguments = {"region": region, "length": length}
    found |= {"shared": False, "offset": 0}
    while words.left:
        word = words.one_of(("shared", "at"), "the word")
        found |= {"shared": True} if word == "shared" else {"offset": _above(words)}
    return found


def _above(words: _Words) -> int:
    """Return how far above 2 MiB alignment a mapping begins."""
    offset = words.size("an offset from 2 MiB alignment")
    if offset % PAGE_SIZE or offset >= BLOCK:
        raise _Bad(f"whole pages below 2M as offset from alignment, got {offset} bytes")
    return offset


def _range(words: _Words) -> Arguments:
    offset, length = words.size("an offset"), words.size("a length")
    if offset % PAGE_SIZE:
        raise _Bad(f"an offset in whole pages of {PAGE_SIZE} bytes, got {offset} bytes")
    return {"offset": offset, "length": length}


def _optional_range(words: _Words) -> Arguments:
    return _range(words) if words.left else {"offset": 0, "length": None}


def _unmap(words: _Words) -> Arguments:
    return {"region": words.name("a region's name")} | _optional_range(words)


def _advise(words: _Words) -> Arguments:
    region = words.name("a region's name")
    advice = words.one_of(ADVICES, "the advice")
    return {"region": region, "advice": advice} | _optional_range(words)


def _mode(words: _Words) -> Arguments:
    mode = words.one_of(MODES, "the policy")
    nodeless = mode in NODELESS and not (words.left and words.left[0][0].isdigit())
    return {"mode": mode, "nodes": () if nodeless else words.nodes()}


def _policy(words: _Words) -> Arguments:
    found: Arguments = {"region": words.name("a region's name")} | _mode(words)
    found |= dict.fromkeys(FLAGS, False) | {"offset": 0, "length": None}
    while words.left:
        word = words.one_of((*FLAGS, "at"), "the flag")
        found |= _range(words) if word == "at" else {word: True}
    return found


def _home(words: _Words) -> Arguments:
    found = {"region": words.name("a region's name"), "node": words.number("a node")}
    found |= {"offset": 0, "length": None}
    if words.left and words.one_of(("at",), "the word"):
        found |= _range(words)
    return found


def _taskpolicy(words: _Words) -> Arguments:
    found = _mode(words)
    balancing = bool(words.left) and bool(words.one_of(("balancing",), "the flag"))
    return found | {"balancing": balancing}


def _touch(words: _Words) -> Arguments:
    found = _sweep(words)
    times = words.number("a number of times") if words.left else 1
    _check_accesses(found, times)
    return found | {"times": times}


def _settle(words: _Words) -> Arguments:
    found = _sweep(words)
    _check_accesses(found, 1)
    return found | {"seconds": words.number("seconds")}


def _check_accesses(sweep: Arguments, times: int) -> None:
    accesses = -(-sweep["length"] // sweep["stride"]) * times
    if accesses >= _MOST_ACCESSES:
        raise _Bad(f"fewer than {_MOST_ACCESSES} accesses, got {accesses}")


def _khugepaged(words: _Words) -> Arguments:
    scans = words.number("a number of full scans")
    if scans > _MOST_SCANS:
        raise _Bad(f"at most {_MOST_SCANS} full scans, got {scans}")
    return {"scans": scans}


def _sweep(words: _Words) -> Arguments:
    region = words.name("a region's name")
    # An access need not start at a page.
    offset, length = words.size("an offset"), words.size("a length")
    stride = words.size("a stride")
    if not stride:
        raise _Bad("a stride of at least one byte, got 0")
    write = words.one_of(("r", "w"), "the access") == "w"
    found = {"region": region, "offset": offset, "length": length}
    return found | {"stride": stride, "write": write}


def _move(words: _Words) -> Arguments:
    found = {"region": words.name("a region's name")} | _range(words)
    return found | {"node": words.number("a node")}


def _protect(words: _Words) -> Arguments:
    found = {"region": words.name("a region's name")} | _range(words)
    return found | {"protection": words.one_of(PROTECTIONS, "the protection")}


_OPERATIONS: dict[str, Callable[[_Words], Arguments]] = {
    "machine": _machine,
    "set": _set,
    "map": _map,
    "unmap": _unmap,
    "advise": _advise,
    "policy": _policy,
    "taskpolicy": _taskpolicy,
    "cpu": lambda words: {"cpu": words.number("a CPU")},
    "touch": _touch,
    "move": _move,
    "migrate": lambda words: {"sources": words.nodes(), "targets": words.nodes()},
    "protect": _protect,
    "home": _home,
    "thread": lambda words: {"thread": words.name("the thread's name")},
    "fork": lambda words: {"child": words.name("the child's name")},
    "exit": lambda words: {"child": words.name("the child's name")},
    "khugepaged": _khugepaged,
    "settle": _settle,
    "swapon": lambda words: {},
    "swapoff": lambda words: {},
    "observe": lambda words: {"region": words.name("a region's name")},
    "counters": lambda words: {},
    "nodefree": lambda words: {},
    "drop": lambda words: {},
    "sleep": lambda words: {"milliseconds": words.number("milliseconds")},
}


@dataclass
class _Script:
    """The script up to now, which later lines are checked against.

    processes  names of the regions that each living process maps; a thread shares the
               set of its process
    threads    of which process each thread is
    gone       names of the processes that have exited
    ms         how long the script sleeps and settles
    """

    operations: list[Operation] = field(default_factory=list)
    processes: dict[str, set[str]] = field(default_factory=lambda: {MAIN: set()})
    threads: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    ms: int = 0

    def add(self, line: int, text: str) -> None:
        """Read one line."""
        words = _Words(text.partition("#")[0].split())
        if not words.left:
            return
        process = MAIN
        if words.left[0] == "in":
            words.take("")
            process = words.name("the child's name")
        name = words.one_of(tuple(_OPERATIONS), "the operation")
        arguments = _OPERATIONS[name](words)
        if words.left:
            rest = shown(" ".join(words.left))
            raise _Bad(f"nothing after {name}'s words, got {rest}")
        self._check(process, name, arguments)
        self.operations.append(Operation(line, text.strip(), process, name, arguments))

    def _check(self, process: str, name: str, arguments: Arguments) -> None:
        if process not in self.processes:
            raise _Bad(f"a process that was forked before, got {process!r}")
        regions = self.processes[process]
        if name == "machine" and (self.operations or process != MAIN):
            raise _Bad("the machine before everything else, got it later")
        if name == "map":
            if arguments["region"] in regions:
                raise _Bad(f"a name not used before, got {arguments['region']!r}")
            regions.add(arguments["region"])
        elif "region" in arguments and arguments["region"] not in regions:
            raise _Bad(f"a region that {process} maps, got {arguments['region']!r}")
        if name in ("fork", "exit"):
            self._check_child(process, name, arguments["child"])
        if name == "thread":
            self._check_thread(process, arguments["thread"])
        self.ms += arguments.get("milliseconds", 0) + 1000 * arguments.get("seconds", 0)
        if self.ms > _MOST_MS:
            raise _Bad(f"at most {_MOST_MS} ms of sleep and settle in all")

    def _check_unused(self, name: str) -> None:
        if name in self.processes or name in self.gone:
            raise _Bad(f"a name not used before, got {name!r}")

    def _check_thread(self, process: str, thread: str) -> None:
        self._check_unused(thread)
        self.processes[thread] = self.processes[process]
        self.threads[thread] = self.threads.get(process, process)

    def _check_child(self, process: str, name: str, child: str) -> None:
        if process != MAIN:
            raise _Bad(f"{name} in {MAIN}, got it in {process!r}")
        if name == "fork":
            self._check_unused(child)
            self.processes[child] = set(self.processes[MAIN])
            return
        if child in (MAIN, *self.threads) or child not in self.processes:
            raise _Bad(f"a child that was forked before, got {child!r}")
        for name in (
            child,
            *(t for t, owner in self.threads.items() if owner == child),
        ):
            self.processes.pop(name, None)
            self.gone.add(name)


def parse(lines: Iterable[str]) -> list[Operation]:
    """Return the operations of a script's lines; the first one is the machine.

    Raises BadInput with the number of the line, its text and what was expected.
    """
    script = _Script()
    for number, text in enumerate(lines, 1):
        try:
            script.add(number, text)
        except _Bad as bad:
            raise refusal(number, text, str(bad)) from None
    if not script.operations or script.operations[0].name != "machine":
        machine = Operation(0, "machine", MAIN, "machine", _machine(_Words([])))
        script.operations.insert(0, machine)
    return script.operations


def refusal(line: int, text: str, why: str) -> BadTrace:
    """Return the error that names a line and says why it is refused."""
    return BadTrace(f"line {line} {text.strip()[:120]!r} {why}")


def read(path: str | os.PathLike) -> list[Operation]:
    """Return the operations of a file; raises BadInput as ``parse`` does."""
    return parse(read_text(path).splitlines())


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a file; raises BadInput if it cannot be read as text."""
    return text_file.read_text(path, "file")


def pages(offset: int, length: int) -> tuple[int, int]:
    """Return (first page, number of pages) of a range of bytes; part pages count."""
    first = offset >> PAGE_SHIFT
    return first, -(-(offset + length) >> PAGE_SHIFT) - first
