"""Where an output file comes to lie: it is made beside its place, and moved when whole.

``FILE.creating`` is what is being made, ``FILE.replaced`` the second name of what it
takes the place of, ``FILE.recovering`` a copy that is mended, ``FILE.ordering`` one
whose rows are put in order.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import BadInput
from .lock import Lock, forget, is_ours

_CREATING, _REPLACED, RECOVERING = ".creating", ".replaced", ".recovering"
ORDERING = ".ordering"
#: What a file system answers that is shared and refuses locks, to us or to HDF5.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
#: What a file system without hard links answers.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check_output(output: str | os.PathLike | None, force: bool) -> None:
    """Raise BadInput if ``output`` cannot be created, or is not to be replaced.

    Only a regular file is ever replaced: no link, device, pipe or directory.
    """
    if output is None:
        return
    path = Path(output)
    try:
        there = _mode(path)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    if there is not None:
        _check_regular(path, there)
        if not force:
            raise BadInput(f"output must not exist unless --force is given, got {path}")
    if not path.parent.is_dir():
        raise BadInput(f"output must lie in a directory that exists, got {path}")
    if not all(os.access(p, os.W_OK) for p in (path, path.parent) if p.exists()):
        raise BadInput(f"output must be writable, got {path}")


def _mode(path: Path) -> int | None:
    """Return the mode of what has a name, None if nothing has."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise BadInput(f"output must be a file, got the directory {path}")
    if stat.S_ISLNK(mode):
        raise BadInput(f"output must be a file itself, got the symbolic link {path}")
    if not stat.S_ISREG(mode):
        raise BadInput(f"output must be a regular file, got {path}, which is none")


def unwritable(path: Path, error: Exception) -> BadInput:
    """Return the refusal of a path that cannot be written."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else str(error).partition("(")[0].strip()
    if number in _NO_LOCKS:
        return BadInput(
            f"output must lie where files can be locked, got {path}: {reason} (write to"
            " a local disk, and move the file when it is done)"
        )
    return BadInput(f"output must be writable, got {path}: {reason}")


def claim(path: Path, force: bool) -> Lock:
    """Lock ``path`` and remove what a kill left beside it; BadInput if it is in use."""
    check_output(path, force)
    try:
        lock = Lock(path, force)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        sweep(path)
        check_output(path, force)  # again, now that nobody else writes it
        if path.exists():
            _check_unread(path)
    except OSError as error:
        lock.release()
        raise unwritable(path, error) from error
    except BaseException:
        lock.release()
        raise
    return lock


def _check_unread(path: Path) -> None:
    """Raise BadInput if somebody has the file open in HDF5, for reading or writing."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInput(f"output must not be open elsewhere, got {path}") from error
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise unwritable(path, error) from error


def sweep(path: Path) -> None:
    """Remove what a kill left beside ``path``; the lock must be ours."""
    for suffix in (_CREATING, _REPLACED, RECOVERING, ORDERING):
        left = beside(path, suffix)
        with suppress(FileNotFoundError):
            mode = os.lstat(left).st_mode
            _check_regular(left, mode)
            left.unlink()


def beside(path: Path, suffix: str) -> Path:
    """Return the name of a file beside ``path``."""
    return path.with_name(path.name + suffix)


def create(path: Path) -> Path:
    """Create an empty file beside ``path`` and return its name."""
    new = beside(path, _CREATING)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(new, flags, 0o666))
    return new


def publish(path: Path, force: bool) -> None:
    """Give what ``create`` made its name; what it replaces keeps a second one.

    Raises BadInput if there is something that must not be replaced.
    """
    check_output(path, force)
    new = beside(path, _CREATING)
    if force:
        with suppress(OSError):  # there is none, or it cannot have two names
            os.link(path, beside(path, _REPLACED), follow_symlinks=False)
        os.rename(new, path)
        return
    try:
        os.link(new, path, follow_symlinks=False)  # unlike rename it replaces nothing
    except FileExistsError:
        check_output(path, force)
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(new, path)
    else:
        new.unlink()


def abandon(path: Path) -> None:
    """Remove what this process has begun to create, because it ends at once."""
    if is_ours(path):
        beside(path, _CREATING).unlink(missing_ok=True)
        forget(path)


def keep(path: Path) -> None:
    """Let go of what ``path`` replaced."""
    beside(path, _REPLACED).unlink(missing_ok=True)


def withdraw(path: Path) -> None:
    """Remove ``path``, and put back what it replaced."""
    old = beside(path, _REPLACED)
    if old.exists():
        os.rename(old, path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, force: bool) -> None:
    """Write a text file that is there whole or not at all; raise as ``claim`` does."""
    with placed(path, force) as new:
        new.write_text(text, encoding="utf-8")


@contextmanager
def placed(path: Path, force: bool) -> Iterator[Path]:
    """Give the name of a new file, which takes its place if nothing is raised.

    Raises BadInput as ``claim`` does, and if the file cannot be written.
    """
    lock = claim(path, force)
    try:
        new = create(path)
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        publish(path, force)
        keep(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        beside(path, _CREATING).unlink(missing_ok=True)
        lock.release()
