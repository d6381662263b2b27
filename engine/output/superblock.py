"""The flags in an HDF5 superblock, which a killed writer leaves set."""

import os
import stat
import struct
from pathlib import Path

from ..errors import BadInput

#: The flag of a file that readers may open while it is written.
SWMR = 4
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 file format 3.0, superblock version 3: where its fields are.
_SUPERBLOCK = 48
_FLAGS = 11
_END = slice(28, 36)
_CHECKSUM = slice(44, 48)
_U32 = 0xFFFFFFFF


def clear_flags(fileno: int) -> None:
    """Clear the consistency flags of an open file with a superblock of version 3.

    The end of the allocated space grows to the end of the file, which a writer may
    have reached without saying so.
    """
    block = without_flags(os.pread(fileno, _SUPERBLOCK, 0), os.fstat(fileno).st_size)
    if block is not None:
        os.pwrite(fileno, block, 0)


def without_flags(block: bytes, size: int) -> bytes | None:
    """Return a superblock without flags, of a file of ``size`` bytes.

    Returns None if it has none, or is of another version.
    """
    if not _is_version_3(block) or not block[_FLAGS]:
        return None
    new = bytearray(block)
    new[_FLAGS] = 0
    new[_END] = struct.pack("<Q", max(size, _end(block)))
    new[_CHECKSUM] = struct.pack("<I", lookup3(bytes(new[: _CHECKSUM.start])))
    return bytes(new)


def superblock(fileno: int) -> bytes:
    """Return the superblock of an open file."""
    return os.pread(fileno, _SUPERBLOCK, 0)


def allocated(fileno: int) -> int | None:
    """Return where the allocated space of a file ends, or None for other versions."""
    block = superblock(fileno)
    return _end(block) if _is_version_3(block) else None


def check_end(path: Path) -> None:
    """Raise BadInput if a file is missing, no HDF5 file, or shorter than it says.

    What is no regular file is refused unread.
    """
    try:
        # Without O_NONBLOCK the open of a pipe would wait for somebody to write to it.
        fileno = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_end(fileno, path)
        finally:
            os.close(fileno)
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"file must be readable, got {path}: {reason}") from error


def _check_end(fileno: int, path: Path) -> None:
    state = os.fstat(fileno)
    if not stat.S_ISREG(state.st_mode):
        raise BadInput(f"file must be a regular file, got {path}")
    if os.pread(fileno, len(_SIGNATURE), 0) != _SIGNATURE:
        raise BadInput(f"file must be an HDF5 file, got {path}")
    end = allocated(fileno)
    if end is not None and state.st_size < end:
        raise BadInput(
            f"file must have {end} bytes, got {state.st_size} in {path} (cut short)"
        )


def flags(path: Path) -> int:
    """Return the flags that a writer has set, or had when it was killed: 0 for none."""
    with path.open("rb") as file:
        block = superblock(file.fileno())
    return block[_FLAGS] if _is_version_3(block) else 0


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
