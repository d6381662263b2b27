"""A checkpoint's file: whole or not there, checked before it is opened.

An HDF5 file behind a user block, which says how long the rest is and what its checksum
is.  ``FILE.saving`` is what is being written, ``FILE.prev`` the one before.
"""

import os
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import h5py

from ..errors import BadInput

VERSION = 1
#: Bytes of the user block.
_HEAD = 512
_FORM = "lazynuma checkpoint {} {} {:016x}\n"
_READ = re.compile(rb"lazynuma checkpoint ([0-9]{1,9}) ([0-9]{1,18}) ([0-9a-f]{16})\n")
#: Bytes of which a checksum is made at once.
_BLOCK = 1 << 24
#: What h5py raises if a file cannot be read or written.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def previous(path: Path) -> Path:
    """Return the name of the checkpoint before that at ``path``."""
    return path.with_name(path.name + ".prev")


def write(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Write the file at ``path``: what was there becomes the one before.

    Raises OSError or RuntimeError if there is no room; what was there stays, then.
    """
    new = path.with_name(path.name + ".saving")
    try:
        new.unlink(missing_ok=True)
        with h5py.File(new, "w", userblock_size=_HEAD) as file:
            fill(file)
        with new.open("r+b") as plain:
            size = os.fstat(plain.fileno()).st_size - _HEAD
            head = _FORM.format(VERSION, size, _checksum(plain.fileno(), size))
            plain.write(head.encode().ljust(_HEAD, b"\0"))
            plain.flush()
            os.fsync(plain.fileno())
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    with suppress(FileNotFoundError):
        os.replace(path, previous(path))
    os.replace(new, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems know no fsync of directories
        pass
    finally:
        os.close(descriptor)


def _checksum(descriptor: int, size: int) -> int:
    """Return the checksum of what is behind the user block, 64 bits.

    That of the blocks' own checksums, which threads make side by side.
    """

    def of_block(at: int) -> bytes:
        block = os.pread(descriptor, min(_BLOCK, size - at), _HEAD + at)
        return len(block).to_bytes(4, "big") + zlib.crc32(block).to_bytes(4, "big")

    threads = min(4, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        each = b"".join(pool.map(of_block, range(0, size, _BLOCK)))
    return zlib.crc32(each) << 32 | zlib.adler32(each)


def check(path: Path) -> None:
    """Raise BadInput, in one line, if a file is no whole checkpoint of this version."""
    try:
        with path.open("rb") as plain:
            head = _READ.match(plain.read(_HEAD))
            size = os.fstat(plain.fileno()).st_size - _HEAD
            if head is None:
                raise BadInput(
                    f"checkpoint must be one that lazynuma wrote, got {path}"
                )
            if int(head[1]) != VERSION:
                raise BadInput(
                    f"checkpoint must have version {VERSION}, got {int(head[1])}:"
                    f" {path}"
                )
            if size != int(head[2]):
                raise BadInput(
                    f"checkpoint must have {int(head[2])} bytes, got {size}: {path}"
                )
            if _checksum(plain.fileno(), size) != int(head[3], 16):
                raise damaged(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"checkpoint must be readable, got {path}: {reason}") from error


def damaged(path: Path) -> BadInput:
    """Return the refusal of a file that holds something else than was written."""
    return BadInput(f"checkpoint must be as it was written, got an altered one: {path}")


def remove(path: Path) -> None:
    """Remove a checkpoint, the one before, and what a kill left of a next one."""
    for one in (path, previous(path), path.with_name(path.name + ".saving")):
        one.unlink(missing_ok=True)
