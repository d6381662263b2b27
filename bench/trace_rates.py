"""How fast traces are read, beside the programs that write them: perf and valgrind.

The perf.data file is made here, as perf record makes it on two CPUs, because recording
needs a permission.  The text is what perf script makes of that file.  Without perf or
valgrind the text is a few lines repeated, and there is nothing to compare with.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from lazynuma.engine.traces.trace import open_trace

from .cases import REPEATS

#: Samples of a recording, and of one round of perf through its buffers.
SAMPLES, ROUND = 1_000_000, 1000
#: Lines of a text if the program that writes it is not installed.
LINES = 2_000_000
_FIELDS = "comm,pid,tid,cpu,time,event,addr,ip"
_FAULT = (
    b"      wl 10563/10563 [001]   758.907651870: page-faults: 7f3ec0fb5000 556ce70\n"
)
_LACKEY = (
    b"I  0401ab70,3\nI  0401ab73,5\nI  0401ab78,2\n S 1fff000758,8\n L 0944f455,1\n"
)
#: A program that runs for some seconds under lackey, which writes millions of lines.
_TRACED = ("/bin/ls", "-lR", "/sys/kernel/mm")
#: The bytes of a sample with the fields of _SAMPLE_TYPE.
_SAMPLE = np.dtype(
    [
        ("type", "<u4"),
        ("misc", "<u2"),
        ("size", "<u2"),
        ("ip", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("time", "<u8"),
        ("addr", "<u8"),
        ("cpu", "<u4"),
        ("reserved", "<u4"),
        ("data_src", "<u8"),
    ]
)
#: PERF_SAMPLE_IP, TID, TIME, ADDR, CPU and DATA_SRC.
_SAMPLE_TYPE = 1 | 2 | 4 | 8 | 1 << 7 | 1 << 15
_SAMPLE_ID_ALL = 1 << 18
_ROUND_RECORD = np.array([68, 8 << 16], "<u4").tobytes()


class Made(NamedTuple):
    """A trace, and the lines/s of the program that writes it, None without it."""

    path: Path
    against: float | None


@dataclass(frozen=True)
class TraceCase:
    """A reader: ``make`` writes its trace into a folder, as ``program`` writes it."""

    name: str
    program: str
    make: Callable[[Path], Made]

    def measure(self) -> dict[str, Any]:
        """Return the result of a case, as ``bench.__main__`` shows it."""
        with TemporaryDirectory() as folder:
            made = self.make(Path(folder))
            lines, seconds = _read(made.path)
        rate = lines / seconds
        return {
            "name": self.name,
            "threads": 1,
            "events": lines,
            "seconds": seconds,
            "events_per_s": rate,
            "against": self.program,
            "ceiling_per_s": made.against,
            "ratio": rate / made.against if made.against else None,
            "bytes_per_page": None,
            "nbytes": None,
        }


def _read(path: Path) -> tuple[int, float]:
    """Return the lines or samples of a trace, and the fewest seconds to read it."""
    best = float("inf")
    for _ in range(REPEATS):
        trace = open_trace(path)
        begin = time.perf_counter()
        for _ in trace:
            pass
        best = min(best, time.perf_counter() - begin)
    return trace.lines, best


def _recording(folder: Path) -> Path:
    """Write a perf.data file: two threads that touch page after page."""
    samples = np.zeros(SAMPLES, _SAMPLE)
    at = np.arange(SAMPLES)
    samples["type"], samples["misc"], samples["size"] = 9, 2, _SAMPLE.itemsize
    samples["ip"], samples["pid"] = 0x556CE70830D0, 10563
    # Each round holds the buffer of one CPU, then the buffer of the other.
    samples["cpu"] = at % ROUND >= ROUND // 2
    samples["tid"] = 10563 + samples["cpu"]
    within = at % (ROUND // 2) * 2 + samples["cpu"]
    samples["time"] = 758 * 10**9 + (at // ROUND * ROUND + within) * 1000
    samples["addr"] = 0x7F3EC0000000 + (at << 12)
    path = folder / "perf.data"
    with path.open("wb") as file:
        size = samples.nbytes + SAMPLES // ROUND * len(_ROUND_RECORD)
        file.write(_head(size))
        for first in range(0, SAMPLES, ROUND):
            file.write(samples[first : first + ROUND].tobytes() + _ROUND_RECORD)
    return path


def _head(size: int) -> bytes:
    """Return the header of ``size`` bytes of records: one event, page-faults."""
    attr = np.zeros(18, "<u8")
    attr[0] = 1 | 128 << 32  # PERF_TYPE_SOFTWARE and the size of the attributes
    attr[1], attr[2] = 2, 1  # PERF_COUNT_SW_PAGE_FAULTS, a sample for each
    attr[3], attr[5] = _SAMPLE_TYPE, _SAMPLE_ID_ALL
    attr[16] = 104  # no identifiers
    start = 104 + attr.nbytes
    head = np.zeros(12, "<u8")
    head[:7] = 104, attr.nbytes, 104, attr.nbytes, start, size, 0
    return b"PERFILE2" + head.tobytes() + attr.tobytes()


def _script(recording: Path, text: Path) -> float | None:
    """Write a recording as text; return the lines/s of perf, None without perf."""
    command = ["perf", "script", "--ns", "-F", _FIELDS, "-i", str(recording)]
    try:
        return SAMPLES / min(_seconds(command, text) for _ in range(REPEATS))
    except (FileNotFoundError, subprocess.CalledProcessError):
        text.write_bytes(_FAULT * LINES)
        return None


def _seconds(command: list[str], output: Path) -> float:
    """Return how long a program takes to write its output to a file."""
    with output.open("wb") as file:
        begin = time.perf_counter()
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin


def _perf_data(folder: Path) -> Made:
    path = _recording(folder)
    return Made(path, _script(path, folder / "text"))


def _perf_script(folder: Path) -> Made:
    return Made(folder / "text", _script(_recording(folder), folder / "text"))


def _lackey(folder: Path) -> Made:
    path = folder / "text"
    if not shutil.which("valgrind"):
        path.write_bytes(_LACKEY * (LINES // _LACKEY.count(b"\n")))
        return Made(path, None)
    tool = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={path}"]
    begin = time.perf_counter()
    subprocess.run([*tool, *_TRACED], capture_output=True)
    seconds = time.perf_counter() - begin
    return Made(path, path.read_bytes().count(b"\n") / seconds)


TRACES = (
    TraceCase("trace_perf_data", "perf script", _perf_data),
    TraceCase("trace_perf_script", "perf script", _perf_script),
    TraceCase("trace_lackey", "valgrind lackey", _lackey),
)
