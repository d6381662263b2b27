"""The bytes of a trace, plain or gzip, through a buffer of constant size."""

import gzip
import io
import os
import zlib
from collections.abc import Callable
from stat import S_ISREG
from typing import Any, TypeVar

import numpy as np

from ..errors import BadTrace

T = TypeVar("T")

#: Bytes at a time: small enough for a core's own cache.
WINDOW = 1 << 18


class Window:
    """The next bytes of a file.

    data   uint8[WINDOW]; ``size`` of them are there, the first at ``offset`` of the
           (unpacked) file
    last   whether the file has no more than these
    packed, regular  whether the file is gzip; whether it can be read again

    Raises BadTrace if the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = np.empty(WINDOW, np.uint8)
        self.offset = self.size = 0
        self.last = False
        self._file: io.BufferedReader | None = None
        self._guard(self._open)
        self.fill(0)

    def _open(self) -> None:
        self._file = file = open(self.path, "rb")
        self.regular = S_ISREG(os.fstat(file.fileno()).st_mode)
        self.packed = file.peek(2)[:2] == b"\x1f\x8b"
        self._stream: io.BufferedReader | gzip.GzipFile = file
        if self.packed:
            self._stream = io.BufferedReader(gzip.GzipFile(fileobj=file), WINDOW)

    def fill(self, used: int) -> None:
        """Drop the first ``used`` bytes, and read as many as there is room for."""
        kept = self.size - used
        self.data[:kept] = self.data[used : self.size].copy()
        self.offset += used
        self.size = kept + self._guard(self._read, kept)
        self.last = self.size < WINDOW

    def _read(self, kept: int) -> int:
        return self._stream.readinto(self.data[kept:].data)

    def _guard(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what ``work`` returns; BadTrace if the file cannot be read."""
        try:
            return work(*arguments)
        except (OSError, EOFError, zlib.error) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise BadTrace(
                f"trace must be a readable file, got {self.path} ({reason})"
            ) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
