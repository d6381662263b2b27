"""Read memory scripts (``.mm``): one operation on each line, checked before it is
played.

``docs/model/scripts.md`` describes the language; ``player`` plays it.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from ...engine.errors import BadInput, BadTrace, did_you_mean
from ...engine.settings import text_file
from ...engine.settings.numa_balancing import MODES as BALANCING_MODES
from ...engine.settings.settings import Settings
from ...kernels.words import PAGE_SHIFT, PAGE_SIZE
from ..common.block import BLOCK

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
MODES = ("default", "bind", "preferred", "preferred_many", "interleave", "local")
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
_SIZE = re.compile(r"(\d+)([KMGph]?)")
_NAME = re.compile(r"[A-Za-z_]\w*")
#: Numbers and sizes in bytes are below this.
_MOST = 1 << 48


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
            raise _Bad(f"{what}: one of {', '.join(choices)}, got {word!r}")
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
        raise _Bad(f"{what}, got {word!r}")
    return match


def _number(word: str, what: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word) >= _MOST:
        raise _Bad(f"{what} as a number, got {word!r}")
    return int(word)


def _size(word: str, what: str) -> int:
    match = _matched(_SIZE, word, f"{what} as a size such as 4K, 2M, 17p or 3h")
    size = int(match[1]) * _UNITS[match[2]]
    if size >= _MOST:
        raise _Bad(f"{what} below 256T, got {word!r}")
    return size


def _nodes(word: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        low = _number(first, "nodes as 0,2 or 0-3")
        high = _number(last, "nodes as 0,2 or 0-3") if dash else low
        if not low <= high < 64:
            raise _Bad(f"nodes from 0 to 63, lower ones first, got {word!r}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


# --- settings -------------------------------------------------------------------------

_GROUPS = ("thp", "khugepaged", "balancing")
#: Settings whose Linux name differs from ours: by a sysctl, or in a file elsewhere.
_SYSCTLS = {
    "kernel.numa_balancing": "balancing.mode",
    "kernel.numa_balancing_promote_rate_limit_MBps": (
        "balancing.promote_rate_limit_mbps"
    ),
    "vm.zone_reclaim_mode": "khugepaged.node_reclaim",
}
#: Settings without a counterpart: the model never overcommits or reads ahead from swap.
_WITHOUT_EFFECT = ("vm.overcommit_memory", "vm.page-cluster")


def changed(settings: Settings, setting: str, value: str) -> Settings:
    """Return the settings after ``set``; BadInput if Linux has no such setting."""
    if setting in _WITHOUT_EFFECT:
        _convert(int, setting, value)
        return settings
    full = _SYSCTLS.get(setting, setting)
    group, _, name = full.partition(".")
    known = _known()
    if full not in known or (full == setting and full in _SYSCTLS.values()):
        raise BadInput(
            f"setting must be one that Linux has, got"
            f" {setting!r}{did_you_mean(setting, [*known, *_SYSCTLS])}"
        )
    if full == "balancing.mode":
        number = int(_convert(int, setting, value))
        if number >= len(BALANCING_MODES):
            raise BadInput(f"{setting} must be from 0 to 3, got {value}")
        new: bool | int | str = BALANCING_MODES[number]
    else:
        new = _convert(known[full], setting, value)
    return replace(
        settings, **{group: replace(getattr(settings, group), **{name: new})}
    )


def _known() -> dict[str, Any]:
    """Return the types of the settings that scripts may change, by their names."""
    base = Settings()
    return {
        f"{group}.{one.name}": one.type
        for group in _GROUPS
        for one in fields(getattr(base, group))
    }


def _convert(kind: type, name: str, value: str) -> bool | int | str:
    """Return the text of a value as a setting of type ``kind`` takes it."""
    if kind is str:
        return value
    if not value.isascii() or not value.isdigit() or int(value) >= _MOST:
        raise BadInput(f"{name} must be a number, got {value!r}")
    if kind is bool:
        return int(value) != 0
    return int(value)


# --- operations by name: what follows the name ----------------------------------------


def _machine(words: _Words) -> Arguments:
    found: dict[str, str] = {}
    while words.left:
        key, _, value = words.take("").partition("=")
        if key not in ("nodes", "mem", "distance") or not value:
            raise _Bad(f"nodes=N, mem=SIZE[,..] or distance=ROW/.., got {key!r}")
        found[key] = value
    nodes = _number(found.get("nodes", "4"), "nodes=N")
    if not 1 <= nodes <= 62:
        raise _Bad(f"nodes from 1 to 62, got {nodes}")
    memory = [_size(one, "mem") for one in found.get("mem", "512M").split(",")]
    memory = memory * nodes if len(memory) == 1 else memory
    if len(memory) != nodes:
        raise _Bad(f"mem of {nodes} nodes, got {found['mem']!r}")
    return {"memory": tuple(memory), "distance": _distance(found, nodes)}


def _distance(found: dict[str, str], nodes: int) -> tuple[tuple[int, ...], ...]:
    if "distance" not in found:
        row = range(nodes)
        return tuple(tuple(10 if i == j else 20 for j in row) for i in row)
    rows = tuple(
        tuple(_number(one, "distance") for one in row.split(","))
        for row in found["distance"].split("/")
    )
    if len(rows) != nodes or any(len(row) != nodes for row in rows):
        raise _Bad(f"{nodes} rows of {nodes} distances, got {found['distance']!r}")
    return rows


def _set(words: _Words) -> Arguments:
    found = {"setting": words.take("a setting's name"), "value": words.take("a value")}
    try:
        changed(Settings(), **found)
    except BadInput as error:
        raise _Bad(f"a setting that can be: {error}") from None
    return found


def _map(words: _Words) -> Arguments:
    region, length = words.name("a region's name"), words.size("a length")
    if not length:
        raise _Bad("a length of at least one byte, got 0")
    shared = bool(words.left) and words.one_of(("shared",), "the word") == "shared"
    return {"region": region, "length": length, "shared": shared}


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


def _taskpolicy(words: _Words) -> Arguments:
    found = _mode(words)
    balancing = bool(words.left) and bool(words.one_of(("balancing",), "the flag"))
    return found | {"balancing": balancing}


def _touch(words: _Words) -> Arguments:
    found = _sweep(words)
    times = words.number("a number of times") if words.left else 1
    return found | {"times": times}


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
    "fork": lambda words: {"child": words.name("the child's name")},
    "exit": lambda words: {"child": words.name("the child's name")},
    "khugepaged": lambda words: {"scans": words.number("a number of full scans")},
    "settle": lambda words: _sweep(words) | {"seconds": words.number("seconds")},
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

    processes  names of the regions that each living process maps
    gone       names of the processes that have exited
    """

    operations: list[Operation] = field(default_factory=list)
    processes: dict[str, set[str]] = field(default_factory=lambda: {MAIN: set()})
    gone: set[str] = field(default_factory=set)

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
            raise _Bad(f"nothing after {name}'s words, got {' '.join(words.left)!r}")
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

    def _check_child(self, process: str, name: str, child: str) -> None:
        if process != MAIN:
            raise _Bad(f"{name} in {MAIN}, got it in {process!r}")
        if name == "fork":
            if child in self.processes or child in self.gone:
                raise _Bad(f"a name not used before, got {child!r}")
            self.processes[child] = set(self.processes[MAIN])
        elif child == MAIN or child not in self.processes:
            raise _Bad(f"a child that was forked before, got {child!r}")
        else:
            del self.processes[child]
            self.gone.add(child)


def parse(lines: Iterable[str]) -> list[Operation]:
    """Return the operations of a script's lines; the first one is the machine.

    Raises BadInput with the number of the line, its text and what was expected.
    """
    script = _Script()
    for number, text in enumerate(lines, 1):
        try:
            script.add(number, text)
        except _Bad as bad:
            raise refusal(number, text, f"must have {bad}") from None
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
