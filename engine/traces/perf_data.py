"""perf.data files, as perf writes them.

Samples of three kinds are read: page faults (``perf record -e page-faults -c 1 -d``);
the tracepoints ``exceptions:page_fault_user`` and ``_kernel``, whose error code says
what is a write; memory accesses (``perf mem record``).  ``perf record -z`` and what it
wrote to a pipe are read, too.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import BadTrace
from . import trace_chunk
from .perf_header import MAGIC, SWAPPED, Recording
from .perf_order import Samples
from .trace_chunk import TraceChunk
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "perf.data"


def is_mine(window: Window) -> bool:
    """Return whether a file begins as those of perf record do."""
    return window.data[: min(len(MAGIC), window.size)].tobytes() in (MAGIC, SWAPPED)


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a file; ``trace.lines`` counts its samples.

    Raises BadTrace at once if the header has no samples that can be read.
    """
    recording = Recording(window)
    samples = Samples(recording, window, trace.write, trace_chunk.CHUNK)
    trace.other = recording.other
    return _chunks(samples, trace)


def _chunks(samples: Samples, trace: "Trace") -> Iterator[TraceChunk]:
    for columns in samples:
        trace.lines, trace.skipped = samples.counts
        yield TraceChunk(*columns)
    trace.lines, trace.skipped = samples.counts
    if samples.cut is None:
        return
    if not trace.skip_bad_lines:
        raise BadTrace(f"{trace.path}: {samples.cut}")
    trace.bad_lines += 1
