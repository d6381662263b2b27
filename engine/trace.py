"""Recorded traces, read as a stream: perf script text and valgrind lackey.

The format is told from the first lines, gzip from its magic bytes.  Memory does not
grow with the trace's length.

page-faults  ``perf script -F [comm,]pid,tid,cpu,time,event,addr[,ip,sym,dso] [--ns]``;
             there is no read/write bit, so ``access`` says what they are
exceptions   ``exceptions:page_fault_user`` and ``_kernel``; bit 1 of error_code is set
             for a write
lackey       ``valgrind --tool=lackey --trace-mem=yes``; a line that crosses a page
             boundary is one access a page, M counts as a write
"""

import gzip
import io
import os
import re
import zlib
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .errors import BadTrace

CHUNK_LINES = 1 << 16
LONGEST_LINE = 1 << 16
PAGE_SHIFT = 12
BLOCK_SHIFT = 9
_SNIFF_LINES = 64
_USER_END = 1 << 47
_WHO = (
    rb"\s*(?:\S.*?\s+)??(?P<pid>\d+)(?:/(?P<tid>\d+))?\s+(?:\[(?P<cpu>\d+)\]\s+)?"
    rb"(?:(?P<s>\d+)\.(?P<fraction>\d{6,9}):\s+)?"
)
_FAULT = re.compile(
    _WHO + rb"(?:page-faults(?::\w+)?:\s+)?(?P<address>[0-9a-f]{1,16})(?:\s.*)?\n?"
)
_EXCEPTION = re.compile(
    _WHO + rb"exceptions:page_fault_(?:user|kernel):\s+address=0x"
    rb"(?P<address>[0-9a-f]{1,16})\s.*error_code=0x(?P<code>[0-9a-f]{1,8})\s*"
)
_LACKEY = re.compile(rb"( ?[LSM]|I ) +?([0-9a-f]{1,16}),(\d{1,9})\s*")
_EXPECTED = {
    "page-faults": "'[COMM] PID/TID [CPU] TIME: page-faults: ADDR'",
    "exceptions": "'exceptions:page_fault_user: address=0x.. .. error_code=0x..'",
    "lackey": "' L|S|M ADDRESS,SIZE' or 'I  ADDRESS,SIZE'",
}


class TraceChunk(NamedTuple):
    """Accesses in the trace's order, one item each: int64 arrays, ``write`` bool.

    ``cpu`` and ``time_ns`` are -1 where the trace does not say; ``vpn`` is the 4 KiB
    page of the address.
    """

    process: np.ndarray
    thread: np.ndarray
    cpu: np.ndarray
    time_ns: np.ndarray
    vpn: np.ndarray
    write: np.ndarray


class Trace:
    """A trace that can be iterated over, once or again; it counts what it reads.

    ``lines``, ``accesses``, ``bad_lines`` and ``skipped`` (comments, instruction
    fetches, kernel addresses) are those of the current or last pass.
    """

    def __init__(self, path, access: str, skip_bad_lines: bool) -> None:
        if access not in ("r", "w"):
            raise BadTrace(f"access must be 'r' or 'w', got {access!r}")
        self.path, self.skip_bad_lines = os.fspath(path), skip_bad_lines
        self.write = access == "w"
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        self.format = _detect(self.path)
        self._parse = self._lackey if self.format == "lackey" else self._perf
        self._pattern = _EXCEPTION if self.format == "exceptions" else _FAULT

    def __iter__(self) -> Iterator[TraceChunk]:
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        rows = array("q")
        for line in _lines(self.path):
            self.lines += 1
            if not self._parse(line, rows):
                self._bad(line)
            if rows and self.lines % CHUNK_LINES == 0:
                yield self._chunk(rows)
                rows = array("q")
        if rows:
            yield self._chunk(rows)

    def _chunk(self, rows: array) -> TraceChunk:
        table = np.frombuffer(rows, np.int64).reshape(-1, 6).T.copy()
        self.accesses += table.shape[1]
        return TraceChunk(*table[:5], table[5] != 0)

    def _bad(self, line: bytes) -> None:
        if not self.skip_bad_lines:
            text = line[:80].decode("ascii", "replace").rstrip("\n")
            raise BadTrace(
                f"{self.path}:{self.lines}: expected {_EXPECTED[self.format]},"
                f" got {text!r}"
            )
        self.bad_lines += 1

    def _perf(self, line: bytes, rows: array) -> bool:
        if line[:1] == b"#" or line.isspace():
            self.skipped += 1
            return True
        match = self._pattern.fullmatch(line)
        if match is None:
            return False
        one = match.groupdict()
        address = int(one["address"], 16)
        if address >= _USER_END:
            self.skipped += 1
            return True
        code = one.get("code")
        write = self.write if code is None else int(code, 16) >> 1 & 1
        pid, cpu = int(one["pid"]), one["cpu"]
        who = (pid, int(one["tid"] or pid), -1 if cpu is None else int(cpu))
        if max(who) >> 31 or len(one["s"] or b"") > 9:
            return False
        rows.extend((*who, _time_ns(one), address >> PAGE_SHIFT, write))
        return True

    def _lackey(self, line: bytes, rows: array) -> bool:
        if line[:2] == b"==":
            self.skipped += 1
            return True
        match = _LACKEY.fullmatch(line)
        if match is None:
            return False
        kind, address, size = match[1], int(match[2], 16), int(match[3])
        if not 0 < size <= 1 << 16:
            return False
        if kind == b"I " or address + size > _USER_END:
            self.skipped += 1
            return True
        last = address + size - 1 >> PAGE_SHIFT
        for vpn in range(address >> PAGE_SHIFT, last + 1):
            rows.extend((0, 0, -1, -1, vpn, b"L" not in kind))
        return True


def open_trace(path, *, access: str = "w", skip_bad_lines: bool = False) -> Trace:
    """Return the trace in a file; ``access`` ("w" or "r") is for page-faults.

    Raises BadInput for a file that is missing, empty or of no known format, and, while
    iterating, at a malformed line unless ``skip_bad_lines``.
    """
    return Trace(path, access, skip_bad_lines)


def _time_ns(one: dict) -> int:
    if one["s"] is None:
        return -1
    return int(one["s"]) * 10**9 + int(one["fraction"].ljust(9, b"0"))


def _lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a plain or gzip file; BadInput where it cannot be read."""
    try:
        with open(path, "rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            text = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
            while line := text.readline(LONGEST_LINE):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadTrace(
            f"trace must be a readable file, got {path} ({reason})"
        ) from None


def _detect(path: str) -> str:
    """Return the format of a trace, from its first lines."""
    number = 0
    for number, line in enumerate(_lines(path), 1):
        if number == 1 and line.startswith(b"PERFILE2"):
            raise BadTrace(
                "trace must be text, got perf.data (write it out with"
                f" perf script -F pid,tid,cpu,time,event,addr -i {path})"
            )
        if _EXCEPTION.fullmatch(line):
            return "exceptions"
        if _LACKEY.fullmatch(line):
            return "lackey"
        if _FAULT.fullmatch(line):
            return "page-faults"
        if number == _SNIFF_LINES:
            break
    what = "one of no known format" if number else "an empty file"
    raise BadTrace(f"trace must be perf script or lackey text, got {what}: {path}")


class AddressMap:
    """Dense 2 MiB blocks for each process, in order of their first appearance."""

    def __init__(self) -> None:
        self._dense: dict[int, dict[int, int]] = {}

    def translate(self, process: int, vpn: np.ndarray) -> np.ndarray:
        """Return dense page numbers int64[n]: block * 512 + page in the block."""
        dense = self._dense.setdefault(process, {})
        blocks, first, inverse = np.unique(
            vpn >> BLOCK_SHIFT, return_index=True, return_inverse=True
        )
        number = np.empty(blocks.size, np.int64)
        for i in np.argsort(first):
            number[i] = dense.setdefault(int(blocks[i]), len(dense))
        within = vpn & ((1 << BLOCK_SHIFT) - 1)
        return (number[inverse.ravel()] << BLOCK_SHIFT) | within

    def blocks(self, process: int) -> int:
        """Return how many blocks a process has touched."""
        return len(self._dense.get(process, ()))

    def ranges(self, process: int) -> list[tuple[int, int]]:
        """Return the recorded pages as merged [first, end) runs of adjacent blocks."""
        runs: list[tuple[int, int]] = []
        for block in sorted(self._dense.get(process, ())):
            first, end = block << BLOCK_SHIFT, block + 1 << BLOCK_SHIFT
            if runs and runs[-1][1] == first:
                first = runs.pop()[0]
            runs.append((first, end))
        return runs


class ThreadMap:
    """Dense numbers for the threads of a trace, in order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[tuple[int, int], int] = {}

    def number(self, process: int, thread: int) -> int:
        """Return the number of a thread of a process."""
        return self._dense.setdefault((process, thread), len(self._dense))
