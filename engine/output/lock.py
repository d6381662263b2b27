"""The lock beside a run file that is being written."""

import errno
import fcntl
import os
from pathlib import Path

from ..errors import BadInput


class Lock:
    """``FILE.lock``, locked as long as the file has a writer.

    HDF5 gives its own lock back when SWMR mode begins.  Raises BadInput if another
    process has the lock, and OSError if the lock file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = _lock_path(path)
        self.fileno = -1
        while self.fileno < 0:
            self.fileno = self._try(path)

    def _try(self, path: Path) -> int:
        """Return the descriptor, or -1 if the last owner removed the file."""
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


def claim(path: Path, force: bool) -> Lock:
    """Lock ``path`` for writing; raise BadInput if it may not be written."""
    try:
        existed = path.exists()
        if existed and not force:
            raise BadInput(f"output must not exist unless --force is given, got {path}")
        lock = Lock(path)
    except OSError as error:
        raise unwritable(path, error) from error
    if existed:
        try:
            _check_unused(path)
        except BaseException:
            lock.release()
            raise
    return lock


def _check_unused(path: Path) -> None:
    """Raise BadInput if HDF5 would cut a file to nothing and then find it locked."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInput(f"output must not be open elsewhere, got {path}") from error
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise unwritable(path, error) from error


def unwritable(path: Path, error: Exception) -> BadInput:
    """Return the refusal of a path that cannot be written."""
    return BadInput(f"output must be writable, got {path}: {error}")
