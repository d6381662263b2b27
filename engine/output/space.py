"""Room for what closing a run file will write, and a look whether the file is there."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from .superblock import allocated, clear_flags, superblock

#: Bytes for what is created first, for closing, and those taken at a time.
SPACE_FIRST = 1 << 20
SPACE_CLOSE = 1 << 20
_SPACE_STEP = 1 << 20


class Cut(OSError):
    """Somebody else has cut or overwritten the file: it must not be read any more."""


class Space:
    """Disk space taken before HDF5 needs it, which cannot recover from a failed write.

    What is not needed is given back at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fileno = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._least = 0
        self._head = b""
        self._is_cut = False

    def reserve(self, size: int) -> None:
        """Let the file have ``size`` bytes at least; raise OSError if it cannot."""
        # HDF5 may have cut the file to what it needed itself, so its size is asked for.
        have = os.fstat(self.fileno).st_size
        if size <= have:
            return
        size += _SPACE_STEP
        try:
            os.posix_fallocate(self.fileno, have, size - have)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise OSError(error.errno, error.strerror, str(self.path)) from None

    def note(self, end: int) -> None:
        """Remember the file as it is after a flush; it has ``end`` bytes at least."""
        self._least = min(end, os.fstat(self.fileno).st_size)
        self._head = superblock(self.fileno)

    def check(self) -> None:
        """Raise OSError if the file is not at its place any more, or not as it was."""
        ours = os.fstat(self.fileno)
        what = f"output must be left alone while it is written, got {self.path}"
        if ours.st_size < self._least or superblock(self.fileno) != self._head:
            self._is_cut = True
            raise Cut(f"{what} cut short or overwritten")
        try:
            there = os.lstat(self.path)
        except OSError:
            raise OSError(f"{what} {self._new_place(ours.st_nlink)}") from None
        if not os.path.samestat(ours, there):
            raise OSError(f"{what} replaced by another file")

    def _new_place(self, links: int) -> str:
        if not links:
            return "removed"
        return f"moved to {os.readlink(f'/proc/self/fd/{self.fileno}')}"

    def close(self) -> None:
        """Clear the flags if closing failed, and cut the file where HDF5 says it ends.

        The file is known by its descriptor: another one may have its name by now.
        """
        with suppress(OSError):
            if not self._is_cut:
                self._finish()
        os.close(self.fileno)

    def _finish(self) -> None:
        end = allocated(self.fileno)
        clear_flags(self.fileno)
        if end is not None and end < os.fstat(self.fileno).st_size:
            os.ftruncate(self.fileno, end)
