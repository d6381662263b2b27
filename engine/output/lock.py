"""The lock that says that a run file is being written."""

import fcntl
import os
from pathlib import Path

from ..errors import BadInput

# --- the lock beside a file that is being written -------------------------------------


class Lock:
    """``FILE.lock``, locked as long as the file has a writer.

    HDF5 gives its own lock back when SWMR mode begins.  Raises BadInput where another
    process holds the lock, and OSError where the lock file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = _lock_path(path)
        self.fileno = -1
        while self.fileno < 0:
            self.fileno = self._try(path)

    def _try(self, path: Path) -> int:
        """Return the descriptor, or -1 where the last owner removed the file."""
        fileno = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(fileno, self.path):
                return fileno
        except BlockingIOError:
            os.close(fileno)
            raise BadInput(
                f"file must not be in use, got {path}, which is being written"
            ) from None
        os.close(fileno)
        return -1

    def release(self) -> None:
        """Remove the lock file and give the lock back."""
        self.path.unlink(missing_ok=True)
        os.close(self.fileno)


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _is_file(fileno: int, path: Path) -> bool:
    """Whether ``path`` still is the open file."""
    try:
        return os.path.samestat(os.fstat(fileno), os.stat(path))
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Return whether a process of this host writes the file."""
    try:
        fileno = os.open(_lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fileno, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fileno)
    return False
