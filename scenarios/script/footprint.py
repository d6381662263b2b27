"""How much of the host's memory a script may take, before it is played."""

from collections.abc import Callable
from typing import NamedTuple

from ...engine.machines.machine import Machine
from ...engine.study.host_limits import BYTES_PER_PAGE
from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .grammar import MAIN, Arguments, Operation, pages

#: Host bytes of an entry, which each process has, and of a frame, of which there are no
#: more than RAM has (``host_limits.BYTES_PER_PAGE``).
_PER_ENTRY, _PER_FRAME = 8, 12
#: Host bytes of the status of a page that is moved.
_PER_STATUS = 8


class _Part(NamedTuple):
    """Pages of a region, and most of them that may have an entry."""

    pages: int
    entries: int

    def more(self, entries: int) -> "_Part":
        return self._replace(entries=min(self.pages, self.entries + entries))


#: The regions of a process or of its thread, by their names.
_Regions = dict[str, _Part]


def mapped_pages(operations: list[Operation], machine: Machine) -> int:
    """Return the pages of ``BYTES_PER_PAGE`` host bytes that a script may take.

    An upper bound: a page that is touched may have an entry in each process that
    inherits it, whether it lies in a huge page or not.
    """
    processes: dict[str, _Regions] = {MAIN: {}}
    peak = moved = 0
    for operation in operations:
        follow = _FOLLOW.get(operation.name, _accessed)
        follow(processes, operation.process, operation.arguments)
        own = {id(regions): regions for regions in processes.values()}
        entries = sum(part.entries for one in own.values() for part in one.values())
        peak = max(peak, entries)
        if operation.name == "move":
            region = processes[operation.process][operation.arguments["region"]]
            moved = max(moved, _within(region, operation.arguments))
    frames = min(peak, sum(machine.memory) // PAGE_SIZE)
    size = peak * _PER_ENTRY + frames * _PER_FRAME + moved * _PER_STATUS
    return -(-size // BYTES_PER_PAGE)


def _map(processes: dict[str, _Regions], name: str, found: Arguments) -> None:
    _, count = pages(0, found["length"])
    processes[name][found["region"]] = _Part(count, 0)


def _fork(processes: dict[str, _Regions], name: str, found: Arguments) -> None:
    processes[found["child"]] = dict(processes[name])


def _thread(processes: dict[str, _Regions], name: str, found: Arguments) -> None:
    processes[found["thread"]] = processes[name]


def _exit(processes: dict[str, _Regions], name: str, found: Arguments) -> None:
    processes[found["child"]].clear()


def _accessed(processes: dict[str, _Regions], name: str, found: Arguments) -> None:
    """Count what ``touch`` and ``settle`` access, and ``advise`` populates."""
    populates = str(found.get("advice", "")).startswith("populate")
    if "stride" not in found and not populates:
        return
    region = processes[name][found["region"]]
    count = _within(region, found)
    if "stride" in found:
        # The host's memory has pages too: each has the entries of a whole block.
        count = min(count, -(-found["length"] // found["stride"]) * HPAGE_PMD_NR)
    processes[name][found["region"]] = region.more(count)


def _within(region: _Part, found: Arguments) -> int:
    """Return the pages of a range that lie in its region."""
    if found["length"] is None:
        return region.pages
    first, count = pages(found["offset"], found["length"])
    return max(0, min(count, region.pages - first))


_FOLLOW: dict[str, Callable[[dict[str, _Regions], str, Arguments], None]] = {
    "map": _map,
    "fork": _fork,
    "thread": _thread,
    "exit": _exit,
}
