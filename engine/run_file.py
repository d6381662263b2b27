"""Read the file of a run: finished, still being written, or left by a killed process.

Any HDF5 or netCDF-4 reader does for a finished file; what is here also opens the
others, and ``recover`` makes a killed run's file a plain one again.
"""

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import BadInput
from .study import Name, named

FILETYPE = "lazynuma-run"
VERSION = (1, 0)

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 file format 3.0, superblock version 3: where its fields are.
_SUPERBLOCK = 48
_FLAGS = 11
_END = slice(28, 36)
_CHECKSUM = slice(44, 48)
_U32 = 0xFFFFFFFF
_TABLES = ("epochs", "processes", "events", "snapshots")
_ATTRIBUTES = ("command", "date", "host", "seed", "threads")


class RunState(IntEnum):
    """How far a run has come: ``/run/state``."""

    RUNNING = 0
    DONE = 1
    STOPPED = 2
    FAILED = 3


class Table(Mapping):
    """A group as a mapping from names to arrays, each read when it is asked for.

    Where the group grows, the arrays hold its complete rows, as many as there are now.
    """

    def __init__(self, group: h5py.Group, coordinate: str | None = None) -> None:
        self._group = group
        self._coordinate = coordinate

    @property
    def rows(self) -> int:
        """The number of complete rows; 1 for a group that does not grow."""
        if self._coordinate is None:
            return 1
        scale = self._group[self._coordinate]
        scale.id.refresh()
        return scale.shape[0]

    def __getitem__(self, name: str) -> np.ndarray:
        rows = self.rows  # first: the coordinate is the last that is written
        dataset = self._group[name]
        dataset.id.refresh()
        if h5py.check_string_dtype(dataset.dtype) is not None:
            dataset = dataset.asstr()
        return dataset[()] if self._coordinate is None else dataset[:rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)


class RunFile:
    """The file of a run, open for reading; a context manager.

    Raises BadInput where ``path`` is missing, cut short or no file of this version.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        _check_end(self.path)
        self._file = _open(self.path)
        try:
            self._check_type()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "RunFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; tables that it gave are of no use any more."""
        self._file.close()

    def _check_type(self) -> None:
        found = self._file.attrs.get("filetype")
        if not isinstance(found, str) or found != FILETYPE:
            raise BadInput(f"file must be one that lazynuma wrote, got {self.path}")
        version = tuple(np.ravel(self._file.attrs.get("version", ())).tolist())
        if version[:1] != VERSION[:1]:
            found = ".".join(map(str, version)) or "none"
            raise BadInput(
                f"file must have format version {VERSION[0]}.x, got {found} in"
                f" {self.path}"
            )

    @property
    def attributes(self) -> dict[str, Any]:
        """The root attributes."""
        return dict(self._file.attrs)

    @property
    def state(self) -> RunState:
        """How far the run has come; RUNNING in a killed run's file too."""
        return RunState(int(self.run["state"]))

    @property
    def dimension(self) -> Name:
        """The name of the dimension of ``summary``, or of its two."""
        names = self._file["summary"].attrs["dimension"].split()
        return names[0] if len(names) == 1 else tuple(names)

    @property
    def variants(self) -> list[Name]:
        """The names of the variants, in the order of their numbers."""
        if isinstance(self.dimension, str):
            return self.summary[self.dimension].tolist()
        return list(product(*(self.summary[name] for name in self.dimension)))

    @property
    def summary(self) -> Table:
        """One value a variant; -1 or NaN where it has not ended."""
        return Table(self._file["summary"])

    @property
    def run(self) -> Table:
        """State and progress: scalars."""
        return Table(self._file["run"])

    @property
    def runtime(self) -> Table:
        """Wall seconds of each stage, by variant."""
        return Table(self._file["runtime"])

    @property
    def epochs(self) -> Table:
        """Counters, (epoch, node), of each epoch."""
        return Table(self._file["epochs"], "epoch")

    @property
    def processes(self) -> Table:
        """One row a process and epoch."""
        return Table(self._file["processes"], "row")

    @property
    def events(self) -> Table:
        """Rare things with their time."""
        return Table(self._file["events"], "event")

    @property
    def snapshots(self) -> Table:
        """One row a snapshot; ``placement`` and ``kinds`` give what it shows."""
        return Table(self._file["snapshots"], "snapshot")

    @property
    def records(self) -> dict[str, Table]:
        """The tables of the study's own, by name."""
        return {
            name: Table(group, group.attrs["dimension"])
            for name, group in self._file.items()
            if "dimension" in group.attrs and name != "summary"
        }

    def placement(self, snapshot: int) -> np.ndarray:
        """Return int8[blocks]: the node of each 2 MiB block in a snapshot, or -1."""
        return self._blocks("block_node", snapshot)

    def kinds(self, snapshot: int) -> np.ndarray:
        """Return int8[blocks]: the ``snapshot.BlockKind`` of each block."""
        return self._blocks("block_kind", snapshot)

    def _blocks(self, name: str, snapshot: int) -> np.ndarray:
        count = int(self.snapshots["count"][snapshot])
        blocks = self._file["snapshots"][name]
        blocks.id.refresh()
        return blocks[snapshot, :count]


def describe(path: str | os.PathLike) -> str:
    """Return what ``lazynuma info`` prints; raise BadInput as RunFile does."""
    with RunFile(path) as file:
        attributes = file.attributes
        lines = [
            ("file", path),
            ("title", attributes["title"]),
            ("state", _state(file)),
            ("written by", f"{attributes['software']} {attributes['softwareVersion']}"),
            ("format", ".".join(map(str, attributes["version"]))),
            *((key, attributes[key]) for key in _ATTRIBUTES if key in attributes),
            *((name, getattr(file, name).rows) for name in _TABLES),
            *((name, one.rows) for name, one in file.records.items()),
        ]
        wide = max(12, *(len(name) + 2 for name, _ in lines))
        head = "\n".join(f"{name:<{wide}}{value}" for name, value in lines)
        return f"{head}\n\n{_summary(file)}"


def _state(file: RunFile) -> str:
    state = file.state
    if state != RunState.RUNNING or is_locked(file.path):
        return state.name.lower()
    return "killed, or running on another host"


def _summary(file: RunFile) -> str:
    """Return the variables of ``/summary``, a line each, and a column a variant."""
    summary = file.summary
    names = [named(file.dimension, variant) for variant in file.variants]
    dimensions = list(names[0])
    rows = [[name, *(one[name] for one in names)] for name in dimensions]
    rows += [
        [name, *map(str, values.ravel().tolist())]
        for name, values in summary.items()
        if name not in (*dimensions, "reason") and values.ndim == len(dimensions)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(
            f"  {cell:>{width}}"
            for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        for row in rows
    )


def _open(path: Path) -> h5py.File:
    """Open a file: as one that is being written where its flags say so."""
    try:
        try:
            return h5py.File(path, "r")
        except OSError:
            # Without a writer HDF5 would wait for one to mend what is wrong.
            if not _is_flagged(path):
                raise
            return h5py.File(path, "r", swmr=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"file must be one that lazynuma wrote, got {path}: {error}"
        ) from error


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


# --- flags that a killed writer left behind -------------------------------------------


def recover(path: str | os.PathLike) -> None:
    """Clear the flags of a killed writer, so that every reader opens the file.

    Values stay as they are, ``/run/state`` too.  Raises BadInput where the file is
    still being written, cannot be written to, or is not one that lazynuma wrote.
    """
    path = Path(path)
    RunFile(path).close()
    try:
        lock = Lock(path)
    except OSError as error:
        raise BadInput(f"file must be writable, got {path}: {error}") from error
    try:
        clear_flags(path)
    except OSError as error:
        raise BadInput(f"file must be writable, got {path}: {error}") from error
    finally:
        lock.release()


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


def _check_end(path: Path) -> None:
    """Raise BadInput where a file is missing, no HDF5 file, or shorter than it says."""
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


def _is_flagged(path: Path) -> bool:
    """Whether a writer has, or had, the file open."""
    with path.open("rb") as file:
        block = file.read(_SUPERBLOCK)
    return _is_version_3(block) and block[_FLAGS] != 0


def _is_version_3(block: bytes) -> bool:
    """Whether these are an intact superblock of version 3, with 8-byte addresses."""
    if len(block) < _SUPERBLOCK or block[:8] != _SIGNATURE or block[8:10] != b"\3\10":
        return False
    checksum = lookup3(bytes(block[: _CHECKSUM.start]))
    return checksum == int.from_bytes(block[_CHECKSUM], "little")


def _end(block: bytes) -> int:
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
