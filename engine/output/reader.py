"""Read the file of a run: finished, still being written, or left by a killed process.

Any HDF5 or netCDF-4 reader does for a finished file; what is here also opens the
others, and ``recover`` makes a killed run's file a plain one again.
"""

import os
from collections.abc import Iterator, Mapping
from enum import IntEnum
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import BadInput
from ..study.study import Name
from .lock import Lock
from .superblock import check_end, clear_flags, is_flagged

FILETYPE = "lazynuma-run"
VERSION = (2, 0)
#: Major versions that this reader reads.
READABLE = (1, 2)
TABLES = ("epochs", "processes", "events", "snapshots")
ATTRIBUTES = ("command", "date", "host", "seed", "threads")


class RunState(IntEnum):
    """How far a run has come: ``/run/state``."""

    RUNNING = 0
    DONE = 1
    STOPPED = 2
    FAILED = 3


class Table(Mapping):
    """A group as a mapping from names to arrays, each read when it is asked for.

    If the group grows, the arrays have the rows that are complete now.
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
        if dataset.dtype == "S1" and dataset.ndim == 2:
            return _texts(dataset[:rows])
        if h5py.check_string_dtype(dataset.dtype) is not None:
            dataset = dataset.asstr()
        return dataset[()] if self._coordinate is None else dataset[:rows]

    def unit(self, name: str) -> str:
        """Return the unit of a variable; the empty text if it has none."""
        return str(self._group[name].attrs.get("units", ""))

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)


def _texts(characters: np.ndarray) -> np.ndarray:
    """Return the texts, [rows], of characters, S1[rows, size] of UTF-8."""
    size = characters.shape[1]
    return np.char.decode(characters.view(f"S{size}")[:, 0], "utf-8")


class RunFile:
    """The file of a run, open for reading; a context manager.

    Raises BadInput if ``path`` is missing, cut short or no file of this version.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        check_end(self.path)
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
        if not version or version[0] not in READABLE:
            found = ".".join(map(str, version)) or "none"
            wanted = " or ".join(f"{major}.x" for major in READABLE)
            raise BadInput(
                f"file must have format version {wanted}, got {found} in {self.path}"
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
        """One value a variant; -1 or NaN if it has not ended."""
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
        """Return int16[blocks]: the node of each 2 MiB block in a snapshot, or -1."""
        return self._blocks("block_node", snapshot)

    def kinds(self, snapshot: int) -> np.ndarray:
        """Return int8[blocks]: the ``snapshot.BlockKind`` of each block."""
        return self._blocks("block_kind", snapshot)

    def _blocks(self, name: str, snapshot: int) -> np.ndarray:
        count = int(self.snapshots["count"][snapshot])
        blocks = self._file["snapshots"][name]
        blocks.id.refresh()
        return blocks[snapshot, :count]


def _open(path: Path) -> h5py.File:
    """Open a file: as one that is being written if its flags say so."""
    try:
        try:
            return h5py.File(path, "r")
        except OSError:
            # Without a writer HDF5 would wait for one to mend what is wrong.
            if not is_flagged(path):
                raise
            return h5py.File(path, "r", swmr=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"file must be one that lazynuma wrote, got {path}: {error}"
        ) from error


# --- flags that a killed writer left behind -------------------------------------------


def recover(path: str | os.PathLike) -> None:
    """Clear the flags of a killed writer, so that every reader opens the file.

    Values stay as they are, ``/run/state`` too.  Raises BadInput if the file is
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
