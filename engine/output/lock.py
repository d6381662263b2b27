"""The lock beside a run file that is being written."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput

_SUFFIX = ".lock"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Holder(NamedTuple):
    """Who took a lock: the text of the lock file."""

    process: int
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it ran on this host, whose locks tell whether it still does."""
        return self.host == os.uname().nodename


class Lock:
    """``FILE.lock``, locked as long as the file has a writer; it says who that is.

    HDF5 gives its own lock back when SWMR mode begins.  A kill leaves the lock file
    behind, but not locked: the next writer takes it over.  Where a file system keeps
    the locks of each host apart, a lock of another host tells nothing: it is taken over
    with ``force`` only.

    Raises BadInput if another process has the lock, or may have it on another host, and
    OSError if the lock file cannot be created.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        self.path = _lock_path(path)
        self.fileno = -1
        while self.fileno < 0:
            self.fileno = self._try(path, force)

    def _try(self, path: Path, force: bool) -> int:
        """Return the descriptor, or -1 if the last owner removed the file."""
        _check_regular(self.path)
        fileno = os.open(self.path, _READ | os.O_RDWR | os.O_CREAT, 0o666)
        try:
            tells = _flock(fileno, fcntl.LOCK_EX)
            if _is_file(fileno, self.path):
                _check_holder(path, _holder(fileno), force, tells)
                os.ftruncate(fileno, 0)
                os.pwrite(fileno, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
                return fileno
        except BlockingIOError:
            os.close(fileno)
            raise BadInput(
                f"file must not be in use, got {path}, which is being written"
            ) from None
        except BaseException:
            os.close(fileno)
            raise
        os.close(fileno)
        return -1

    def release(self) -> None:
        """Remove the lock file and give the lock back."""
        if _is_file(self.fileno, self.path):
            self.path.unlink(missing_ok=True)
        os.close(self.fileno)


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _check_regular(lock: Path) -> None:
    """Raise BadInput if what has the lock's name is no regular file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(lock).st_mode):
            raise BadInput(f"lock must be a regular file, got {lock}")


def _flock(fileno: int, how: int) -> bool:
    """Lock a file; return False if its file system has no locks.

    Raises BlockingIOError if somebody else has it.
    """
    try:
        fcntl.flock(fileno, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        return False
    return True


def _check_holder(path: Path, holder: Holder | None, force: bool, tells: bool) -> None:
    """Raise BadInput if who took the lock last may live; ``tells``: locks say so."""
    if holder is None:
        return
    if holder.is_here and not tells and Path(f"/proc/{holder.process}").exists():
        raise BlockingIOError
    if not holder.is_here and not force:
        raise BadInput(
            f"file must not be in use, got {path}, which process {holder.process} on"
            f" {holder.host} may be writing: if it is not, remove {_lock_path(path)}"
        )


def _holder(fileno: int) -> Holder | None:
    """Return who took the lock last, None if the file does not say."""
    process, _, host = (
        os.pread(fileno, 512, 0).decode("utf-8", "replace").partition(" ")
    )
    if not (process.isascii() and process.isdigit() and host.strip()):
        return None
    return Holder(int(process[:18]), host.strip())


def _is_file(fileno: int, path: Path) -> bool:
    """Whether ``path`` still is the open file."""
    try:
        return os.path.samestat(os.fstat(fileno), os.lstat(path))
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Return whether a process of this host writes the file."""
    try:
        fileno = os.open(_lock_path(path), _READ)
    except OSError:
        return False
    try:
        return not _flock(fileno, fcntl.LOCK_SH)
    except BlockingIOError:
        return True
    finally:
        os.close(fileno)


def other_host(path: Path) -> str:
    """Return the host that left the lock of a file, empty if it was this one."""
    holder = _last_holder(path)
    return "" if holder is None or holder.is_here else holder.host


def is_ours(path: Path) -> bool:
    """Return whether this process has the lock of a file."""
    return _last_holder(path) == Holder(os.getpid(), os.uname().nodename)


def forget(path: Path) -> None:
    """Remove the lock file of this process, which ends at once."""
    _lock_path(path).unlink(missing_ok=True)


def _last_holder(path: Path) -> Holder | None:
    try:
        fileno = os.open(_lock_path(path), _READ)
    except OSError:
        return None
    try:
        return _holder(fileno)
    finally:
        os.close(fileno)
