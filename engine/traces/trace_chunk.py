"""What every reader of traces yields: accesses, some ten thousand at a time."""

from typing import NamedTuple

import numpy as np

#: Accesses in a chunk, a few more if a line crosses a page boundary.
CHUNK = 1 << 16


class TraceChunk(NamedTuple):
    """Accesses in the trace's order, one item each: int64 arrays, ``write`` bool.

    ``cpu`` and ``time_ns`` are -1 if the trace does not say; ``vpn`` is the 4 KiB page
    of the address.
    """

    process: np.ndarray
    thread: np.ndarray
    cpu: np.ndarray
    time_ns: np.ndarray
    vpn: np.ndarray
    write: np.ndarray
