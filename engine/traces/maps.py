"""The mappings of a recorded program: what its addresses are of.

They are read from the text of ``/proc/PID/maps``, from that of ``perf script
--show-mmap-events``, or from a perf.data file.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import BadTrace
from . import perf_header, perf_maps
from .window import Window

PAGE_SHIFT = 12
_MAPS = re.compile(
    r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-][w-][x-][ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+"
    r" +\d+ *(.*)"
)
_SCRIPT = re.compile(
    r".*PERF_RECORD_MMAP2? (-?\d+)/-?\d+: \[0x([0-9a-f]{1,16})\(0x([0-9a-f]{1,16})\)"
    r" [^\]]*\]: \S+ (.*)"
)
#: Longest text that is looked at for mappings, in lines.
_LINES = 10_000_000


class Mapping(NamedTuple):
    """A range of virtual pages, ``first`` to before ``end``, and its name.

    process  None: of every process of the trace
    """

    process: int | None
    first: int
    end: int
    name: str


def read_maps(path: str) -> list[Mapping]:
    """Return the mappings in a file, in its order: a later one hides an earlier one.

    Raises BadTrace if it has none.
    """
    window = Window(path)
    try:
        start = window.data[: min(8, window.size)].tobytes()
        if start in (perf_header.MAGIC, perf_header.SWAPPED):
            rows = list(perf_maps.mappings(window))
        else:
            rows = list(_text(window))
    finally:
        window.close()
    found = [
        Mapping(process, first >> PAGE_SHIFT, -(-end >> PAGE_SHIFT), name)
        for process, first, end, name in rows
        if end > first and end <= 1 << 63 and (process is None or process >= 0)
    ]
    if not found:
        raise BadTrace(
            "maps must have mappings, as /proc/PID/maps, perf script"
            f" --show-mmap-events or perf record have, got none: {path}"
        )
    return found


def _text(window: Window) -> Iterator[perf_maps.Row]:
    for number, line in enumerate(_lines(window)):
        match = _MAPS.fullmatch(line)
        if match:
            first, end = int(match[1], 16), int(match[2], 16)
            yield None, first, end, match[3]
        elif match := _SCRIPT.fullmatch(line):
            first = int(match[2], 16)
            yield int(match[1]), first, first + int(match[3], 16), match[4]
        if number > _LINES:
            return


def _lines(window: Window) -> Iterator[str]:
    """Yield the lines of a text that have a mapping, and others."""
    kept = b""
    while True:
        block = kept + window.data[: window.size].tobytes()
        *lines, kept = block.split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip()
        kept = kept[-(1 << 16) :]
        if window.last:
            yield kept.decode("utf-8", "replace").rstrip()
            return
        window.fill(window.size)
