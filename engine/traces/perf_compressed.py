"""Records that perf record -z compressed: one Zstandard stream over all of them.

Source: PERF_RECORD_COMPRESSED and _COMPRESSED2 of
tools/perf/Documentation/perf.data-file-format.txt.
"""

import numpy as np

from ..errors import BadTrace
from . import perf_samples as ps  # type: ignore[attr-defined]
from .window import READ_ERRORS, unpacker

_HEADER = 8
#: Bytes that are unpacked at once, so that few bytes cannot become too many.
_STEP = 512
#: Bytes of a record when it is unpacked: those of perf's buffer for a CPU, at most.
_MOST = 1 << 28


class Unpacked:
    """What compressed records held and has not been read yet: ``data``, uint8[n].

    A record may begin in one of them and end in the next.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stream = unpacker()
        self.data = np.empty(0, np.uint8)

    def add(self, records: np.ndarray) -> int:
        """Unpack the whole record at the start of ``records``; return its size.

        Raises BadTrace if it is not what perf writes.
        """
        head = records[: 2 * _HEADER].tobytes()
        size = int.from_bytes(head[6:8], "little")
        packed = records[_HEADER:size].tobytes()
        if int.from_bytes(head[:4], "little") == ps.COMPRESSED2_RECORD:
            length = int.from_bytes(packed[:8], "little")
            packed = packed[8 : 8 + length]
        parts = [self.data.tobytes()]
        left = _MOST
        try:
            for at in range(0, len(packed), _STEP):
                parts.append(self._stream.decompress(packed[at : at + _STEP]))
                left -= len(parts[-1])
                if left < 0:
                    raise EOFError(f"more than {_MOST} bytes in a record")
        except READ_ERRORS as error:
            raise BadTrace(
                "perf.data must have compressed records of one Zstandard stream, got"
                f" {error}: {self._path}"
            ) from None
        self.data = np.frombuffer(b"".join(parts), np.uint8)
        return size

    def drop(self, count: int) -> None:
        """Drop the first ``count`` bytes of ``data``."""
        self.data = self.data[count:]
