"""What every reader of traces yields: accesses, some ten thousand at a time."""

from typing import NamedTuple

import numpy as np

#: Accesses in a chunk, a few more if a line crosses a page boundary.
CHUNK = 1 << 16


class TraceChunk(NamedTuple):
    """Accesses in the trace's order, one item each: int64 arrays, ``write`` bool.

    cpu      the CPU it was on, -1 if the trace does not say
    time_ns  nanoseconds on the clock of the recording, at least 0, -1 if the trace does
             not say; text of microseconds ends in three zeros
    vpn      the 4 KiB page of its address
    """

    process: np.ndarray
    thread: np.ndarray
    cpu: np.ndarray
    time_ns: np.ndarray
    vpn: np.ndarray
    write: np.ndarray
