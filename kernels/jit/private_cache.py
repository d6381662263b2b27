"""The cache of kernels: one process compiles a kernel, the others wait and load it.

A kernel that is not in the cache is compiled under a lock of its own, which the kernel
of the operating system drops when a process ends, however it ends.  Where there are no
locks, or where nothing can be written, a process compiles for itself.
"""

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
)

from .cache_dir import FILE_MODE, key_of, make, trusted_dir
from .compiling import Compiling, compiled

KERNELS_DIR = Path(__file__).parents[1]
CACHE_DIR = trusted_dir()
#: Every kernel's cache, in the order of import.
CACHES: list["KernelCache"] = []

_POLL_S = 0.1
#: A compilation takes seconds: a process that holds a lock for longer is stopped.
_PATIENCE_S = 600


def _folder(file):
    if file.is_relative_to(KERNELS_DIR):
        return file.parent.relative_to(KERNELS_DIR)
    return Path("others") / key_of([file])


class _Locator(_CacheLocator):
    """Finds a kernel's files by its folder: the cache's key covers our sources.

    A kernel of somebody else's file, such as the bench's, goes by what is in that file.
    """

    def __init__(self, py_func, py_file):
        self._py_file = py_file
        self._line = py_func.__code__.co_firstlineno
        self._folder = _folder(Path(py_file).resolve())

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)

    def get_cache_path(self):
        return str(CACHE_DIR / self._folder)

    def get_source_stamp(self):
        return CACHE_DIR.name

    def get_disambiguator(self):
        return str(self._line)


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Files(IndexDataCacheFile):
    """Files of the cache that the user alone can write, whatever the umask."""

    @contextmanager
    def _open_for_write(self, filepath):
        with super()._open_for_write(filepath) as file:
            os.fchmod(file.fileno(), FILE_MODE)
            yield file


class KernelCache(FunctionCache):
    """Keeps a kernel's machine code; Numba asks it before and after a compilation."""

    _impl_class = _Impl

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, CACHE_DIR.name
        )
        self._turn: IO | None = None
        self._begin = 0.0
        CACHES.append(self)
        compiled.unused.add(py_func.__name__)

    def is_kept(self) -> bool:
        """Return whether there is machine code of the kernel for any machine."""
        return os.path.exists(self._cache_file._index_path)

    def load_overload(self, sig, target_context):
        """Return the kept machine code, or None when it is ours to compile it."""
        target_context.refresh()
        compiled.unused.discard(self._py_func.__name__)
        found = self._load(sig, target_context)
        if found is not None:
            return found
        begin = time.perf_counter()
        most = compiled.kernels + sum(not cache.is_kept() for cache in CACHES)
        self._take_turn(most)
        found = self._load(sig, target_context)  # another process may have compiled it
        if found is not None:
            self._end_turn()
            compiled.seconds += time.perf_counter() - begin
            return found
        compiled.kernels += 1
        compiled.tell(Compiling(compiled.kernels, max(most, compiled.kernels), False))
        self._begin = begin
        return None

    def save_overload(self, sig, data):
        """Keep the machine code that was compiled, if there is a place for it."""
        try:
            if self._turn is not None:
                super().save_overload(sig, data)
        except OSError:
            pass  # the disk is full: the code in memory serves this process
        finally:
            self._end_turn()
            compiled.seconds += time.perf_counter() - self._begin

    def _load(self, sig, target_context):
        try:
            return self._load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle raises
            if make(Path(self._cache_path)):
                Path(self._cache_file._index_path).unlink(missing_ok=True)
            return None

    def _take_turn(self, most):
        """Wait until no other process compiles the kernel."""
        if not make(Path(self._cache_path)):
            return
        path = f"{self._cache_file._index_path}.lock"
        turn = open(os.open(path, os.O_CREAT | os.O_WRONLY, FILE_MODE), "ab")
        patience = time.monotonic() + _PATIENCE_S
        while not _locked(turn) and time.monotonic() < patience:
            compiled.tell(Compiling(compiled.kernels + 1, most, True))
            time.sleep(_POLL_S)
        self._turn = turn

    def _end_turn(self):
        if self._turn is not None:
            self._turn.close()
            self._turn = None


def _locked(turn):
    """Lock a file; return False if another process has it."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: everybody compiles
    return True
