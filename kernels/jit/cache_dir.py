"""Where compiled kernels are kept, and whether that place can be trusted.

Numba keeps machine code in pickles, so whoever can write there can run code as the
user.  Its own cache sees only the file of a kernel; ours is keyed by all sources of
kernels, so that no stale machine code is ever served, and not by where they lie, so
that all installations of the same sources share it.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

SOURCES = sorted(
    path
    for path in Path(__file__).parents[1].rglob("*")
    if path.suffix in (".py", ".pyx", ".pxd")
)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
#: Of what we create: others may read it.
_MODE = 0o755
FILE_MODE = 0o644


class CacheRefused(Exception):
    """Others can write where compiled kernels are kept."""


def key_of(sources: Sequence[Path]) -> str:
    """Return the key of the machine code of ``sources``."""
    import numba  # a second, and the command line wants CacheRefused alone

    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        digest.update(source.read_bytes())
    digest.update(repr((numba.__version__, numba.config.BOUNDSCHECK)).encode())
    return digest.hexdigest()


def trusted_dir() -> Path:
    """Return the directory of these kernels' code: the user's choice, or the home's.

    It need not exist.  Raises CacheRefused if somebody other than the user and root
    owns it or anything in it, or can write there.
    """
    base = _base()
    ours = base / key_of(SOURCES)
    for path in (base, ours, *ours.rglob("*.nb[ic]"), *ours.glob("**/")):
        _check(path)
    return ours


def make(path: Path) -> bool:
    """Create a directory of the cache; return False if it cannot be written."""
    try:
        for parent in reversed((path, *path.parents)):
            if not parent.is_dir():
                parent.mkdir(_MODE, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


def _base() -> Path:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.path.expanduser("~")).absolute() / ".cache" / "lazynuma"


def _check(path: Path) -> None:
    try:
        found = path.stat()
    except OSError:  # not there, or a file that another process has just replaced
        return
    if found.st_uid not in (0, os.geteuid()):
        raise CacheRefused(
            f"kernel cache must be owned by you or root, got {path} of user"
            f" {found.st_uid} (set NUMBA_CACHE_DIR to a directory of yours)"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise CacheRefused(
            "kernel cache must be writable by you alone, got"
            f" {path} with mode {stat.S_IMODE(found.st_mode):o}"
            " (chmod go-w it, or set NUMBA_CACHE_DIR to a directory of yours)"
        )
