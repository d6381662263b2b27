"""The flags in an HDF5 superblock, which a killed writer leaves set."""

import os
import struct
from pathlib import Path

from ..errors import BadInput

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 file format 3.0, superblock version 3: where its fields are.
_SUPERBLOCK = 48
_FLAGS = 11
_END = slice(28, 36)
_CHECKSUM = slice(44, 48)
_U32 = 0xFFFFFFFF


def clear_flags(path: Path) -> None:
    """Clear the consistency flags of a file with a superblock of version 3.

    The end of the allocated space grows to the end of the file, which a writer may
    have reached without saying so.
    """
    with path.open("r+b") as file:
        block = bytearray(file.read(_SUPERBLOCK))
        if not _is_version_3(block) or not block[_FLAGS]:
            return
        size = os.fstat(file.fileno()).st_size
        block[_FLAGS] = 0
        block[_END] = struct.pack("<Q", max(size, _end(block)))
        block[_CHECKSUM] = struct.pack("<I", lookup3(bytes(block[: _CHECKSUM.start])))
        file.seek(0)
        file.write(block)


def allocated(path: Path) -> int | None:
    """Return where the allocated space of a file ends, or None for other versions."""
    with path.open("rb") as file:
        block = file.read(_SUPERBLOCK)
    return _end(block) if _is_version_3(block) else None


def check_end(path: Path) -> None:
    """Raise BadInput if a file is missing, no HDF5 file, or shorter than it says."""
    try:
        end = allocated(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            signature = file.read(len(_SIGNATURE))
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"file must be readable, got {path}: {reason}") from error
    if signature != _SIGNATURE:
        raise BadInput(f"file must be an HDF5 file, got {path}")
    if end is not None and size < end:
        raise BadInput(f"file must have {end} bytes, got {size} in {path} (cut short)")


def is_flagged(path: Path) -> bool:
    """Whether a writer has, or had, the file open."""
    with path.open("rb") as file:
        block = file.read(_SUPERBLOCK)
    return _is_version_3(block) and block[_FLAGS] != 0


def _is_version_3(block: bytes | bytearray) -> bool:
    """Whether these are an intact superblock of version 3, with 8-byte addresses."""
    if len(block) < _SUPERBLOCK or block[:8] != _SIGNATURE or block[8:10] != b"\3\10":
        return False
    checksum = lookup3(bytes(block[: _CHECKSUM.start]))
    return checksum == int.from_bytes(block[_CHECKSUM], "little")


def _end(block: bytes | bytearray) -> int:
    return int.from_bytes(block[_END], "little")


def lookup3(key: bytes) -> int:
    """Return Bob Jenkins' lookup3 hash, initial value 0: HDF5's metadata checksum."""
    a = b = c = (0xDEADBEEF + len(key)) & _U32
    whole = max(len(key) - 1, 0) // 12 * 12
    for offset in range(0, whole, 12):
        x, y, z = struct.unpack_from("<III", key, offset)
        a, b, c = _mix((a + x) & _U32, (b + y) & _U32, (c + z) & _U32)
    if not key:
        return c
    x, y, z = struct.unpack("<III", key[whole:].ljust(12, b"\0"))
    return _final((a + x) & _U32, (b + y) & _U32, (c + z) & _U32)


def _rotate(x: int, by: int) -> int:
    return (x << by | x >> (32 - by)) & _U32


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Mix three words in full and reversibly."""
    for first, second in ((4, 6), (8, 16), (19, 4)):
        a, c = (a - c & _U32) ^ _rotate(c, first), c + b & _U32
        b, a = (b - a & _U32) ^ _rotate(a, second), a + c & _U32
        a, b, c = c, a, b
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    """Return ``c``, which every bit of the three words has reached."""
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotate(b, by) & _U32
        a, b, c = b, c, a
    return b
