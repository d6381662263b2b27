"""Which text format a trace has."""

import numpy as np

from ..errors import BadTrace
from . import trace_text
from .window import Window

_SNIFF_LINES = 64
#: In the order in which they are tried: an exception's line could be a page fault's.
FORMATS = {
    "exceptions": trace_text.EXCEPTIONS,
    "lackey": trace_text.LACKEY,
    "page-faults": trace_text.PAGE_FAULTS,
}
EXPECTED = {
    "page-faults": "'[COMM] PID/TID [CPU] TIME: page-faults: ADDR'",
    "exceptions": "'exceptions:page_fault_user: address=0x.. .. error_code=0x..'",
    "lackey": "' L|S|M ADDRESS,SIZE' or 'I  ADDRESS,SIZE'",
}


def detect(window: Window) -> str:
    """Return the format of a text, from its first lines."""
    lines = window.data[: window.size].tobytes().split(b"\n", _SNIFF_LINES)
    for line in lines[:_SNIFF_LINES]:
        for name, number in FORMATS.items():
            if _is_access(line + b"\n", number):
                return name
    what = "one of no known format" if window.size else "an empty file"
    raise BadTrace(
        f"trace must be perf.data, perf script or lackey text, got {what}:"
        f" {window.path}"
    )


def _is_access(line: bytes, number: int) -> bool:
    """Return whether a line that is no comment is one of this format."""
    if line.isspace() or line.startswith((b"#", b"==")):
        return False
    info = np.zeros(trace_text.INFO, np.int64)
    info[[trace_text.FORMAT, trace_text.LAST, trace_text.LIMIT]] = number, 1, 1
    info[trace_text.SIZE], info[trace_text.BAD] = len(line), -1
    table = np.empty((5, trace_text.SPAN), np.int64)
    writes = np.empty(trace_text.SPAN, np.uint8)
    trace_text.parse(np.frombuffer(line, np.uint8), table, writes, info)
    return info[trace_text.BAD] < 0
