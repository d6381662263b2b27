"""The bytes of a trace through a buffer of constant size, packed or not."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from stat import S_ISREG
from typing import IO, Any, BinaryIO, TypeVar, cast

import numpy as np
import zstandard

from ..errors import BadTrace

T = TypeVar("T")

#: Bytes at a time: small enough for a core's own cache.
WINDOW = 1 << 18
#: How many bytes tell a packed file.
_MAGIC_SIZE = 6
#: Bytes that are unpacked at once, so that few bytes cannot become too many.
_ZSTD_STEP = 512
#: Memory that unpacking may take: what ``zstd --long=31`` needs.
_ZSTD_WINDOW = 1 << 31


class _Zstd(io.RawIOBase):
    """A file of Zstandard frames, unpacked; EOFError if it is cut short."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: Any = None
        self._packed = self._ready = b""
        self._at = self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on to a later place."""
        offset += self._place if whence == io.SEEK_CUR else 0
        if offset < self._place:
            raise OSError("a Zstandard file is read from its start to its end")
        skipped = bytearray(WINDOW)
        while self._place < offset:
            if not self.readinto(memoryview(skipped)[: offset - self._place]):
                break
        return self._place

    def readinto(self, buffer: Any) -> int:
        while self._at == len(self._ready):
            if not self._unpack():
                return 0
        part = self._ready[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        self._place += len(part)
        return len(part)

    def _unpack(self) -> bool:
        """Unpack some more; return whether there was more."""
        self._packed = self._packed or self._file.read(_ZSTD_STEP)
        if not self._packed:
            if self._frame is not None:
                raise EOFError("Zstandard file ended before its end was reached")
            return False
        if self._frame is None:
            self._frame = unpacker()
        self._ready, self._at = self._frame.decompress(self._packed), 0
        self._packed = b""
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return True


def unpacker() -> Any:
    """Return what unpacks one Zstandard stream as it comes."""
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


#: How packed files begin, and what unpacks them.
_UNPACK: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": _Zstd,
}
#: What is raised for a file that cannot be read or unpacked.
READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def _unpacked(file: io.BufferedReader) -> IO[bytes]:
    """Return a file, or what unpacks it."""
    start = file.peek(_MAGIC_SIZE)[:_MAGIC_SIZE]
    for magic, unpack in _UNPACK.items():
        if start.startswith(magic):
            return cast(IO[bytes], io.BufferedReader(unpack(file), WINDOW))
    return file


@contextmanager
def open_unpacked(path: str) -> Iterator[IO[bytes]]:
    """Open a file to be read once more from its start, unpacked; it can be sought."""
    with open(path, "rb") as file:
        yield _unpacked(file)


class Window:
    """The next bytes of a file.

    data   uint8[WINDOW]; ``size`` of them are there, the first at ``offset`` of the
           (unpacked) file
    last   whether the file has no more than these
    regular  whether the file can be read again

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
        self._stream: Any = _unpacked(file)

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
        except READ_ERRORS as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise BadTrace(
                f"trace must be a readable file, got {self.path} ({reason})"
            ) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
