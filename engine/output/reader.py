"""Read the file of a run: finished, still being written, or left by a killed process.

Any HDF5 or netCDF-4 reader does for a finished file; what is here also opens the
others.  ``recovery`` makes a killed run's file a plain one again.
"""

import io
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
from .lock import is_locked, other_host
from .superblock import SWMR, check_end, flags, superblock, without_flags

FILETYPE = "lazynuma-run"
VERSION = (2, 0)
#: Major versions that this reader reads.
READABLE = (1, 2)
#: The tables of every file, and the coordinate that counts the rows of each.
TABLES = {
    "epochs": "epoch",
    "processes": "row",
    "events": "event",
    "snapshots": "snapshot",
}
ATTRIBUTES = ("command", "date", "host", "seed", "threads")
#: What netCDF calls a dimension without values.
_BARE = b"This is a netCDF dimension but not a netCDF variable"
#: Attributes with which HDF5 and netCDF bind variables to dimensions.
_OF_HDF5 = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "coordinates")

#: What h5py and NumPy raise for what they cannot read.
HDF5_ERRORS = (
    *(OSError, RuntimeError, ValueError, TypeError, AttributeError),
    *(LookupError, ArithmeticError, MemoryError, AssertionError),
)


def damaged(path: Path) -> BadInput:
    """Return the refusal of a file that cannot be read as it should."""
    return BadInput(f"file must be whole, got {path}, which is damaged")


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
        self.coordinate = coordinate

    @property
    def rows(self) -> int:
        """The number of complete rows; 1 for a group that does not grow."""
        if self.coordinate is None:
            return 1
        scale = self._group[self.coordinate]
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
        return dataset[:rows] if self.grows(name) else dataset[()]

    def grows(self, name: str) -> bool:
        """Tell whether a variable has a value for each row."""
        return self.dimensions(name)[:1] == (self.coordinate,)

    @property
    def datasets(self) -> list[h5py.Dataset]:
        """What HDF5 has of each variable."""
        return list(self._group.values())

    def unit(self, name: str) -> str:
        """Return the unit of a variable; the empty text if it has none."""
        return str(self._group[name].attrs.get("units", ""))

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a variable, without those that HDF5 needs."""
        found = self._group[name].attrs
        return {key: found[key] for key in found if key not in _OF_HDF5}

    def labels(self) -> set[str]:
        """Return which variables are coordinates of the others, beside dimensions."""
        found = (one.attrs.get("coordinates", "") for one in self.datasets)
        return {name for names in found for name in str(names).split()}

    def is_bare(self, name: str) -> bool:
        """Tell whether a variable is only the name of a dimension without values."""
        return bool(self._group[name].attrs.get("NAME", b"").startswith(_BARE))

    def dimensions(self, name: str) -> tuple[str, ...]:
        """Return the names of a variable's dimensions; texts have none of their own."""
        dataset = self._group[name]
        if dataset.is_scale:
            return (name,)
        axes = dataset.dims if dataset.dtype != "S1" else list(dataset.dims)[:1]
        return tuple(_scale_name(axis, f"{name}_{i}") for i, axis in enumerate(axes))

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)


def _scale_name(axis: Any, otherwise: str) -> str:
    return str(axis[0].name).rpartition("/")[2] if len(axis) else otherwise


def _texts(characters: np.ndarray) -> np.ndarray:
    """Return the texts, [rows], of characters, S1[rows, size] of UTF-8."""
    size = characters.shape[1]
    return np.char.decode(characters.view(f"S{size}")[:, 0], "utf-8")


class RunFile:
    """The file of a run, open for reading; a context manager.

    alive  whether a process writes the file; None: as its lock says

    Raises BadInput if ``path`` is missing, cut short, damaged or no file of this
    version, or if it leads to data elsewhere.
    """

    def __init__(self, path: str | os.PathLike, alive: bool | None = None) -> None:
        self.path = Path(path)
        check_end(self.path)
        if alive is None:
            alive = is_locked(self.path) or bool(other_host(self.path))
        self._file = _open(self.path, alive)
        try:
            self._check_type()
            _check_inside(self._file)
        except BadInput:
            self._file.close()
            raise
        except HDF5_ERRORS as error:
            self._file.close()
            raise damaged(self.path) from error

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
    def has_fill_values(self) -> bool:
        """Whether variables say by ``_FillValue`` what is not written: since 2.0."""
        return bool(self._file.attrs["version"][0] >= 2)

    @property
    def state(self) -> RunState:
        """How far the run has come; RUNNING in a killed run's file too."""
        return RunState(int(self.run["state"]))

    @property
    def dimension(self) -> Name:
        """The name of the dimension of ``summary``, or of its several."""
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
    def replicas(self) -> Table | None:
        """The columns of ``summary`` for each seed, if there are several seeds."""
        found = self._file.get("replicas")
        return None if found is None else Table(found)

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
        return self._table("epochs")

    @property
    def processes(self) -> Table:
        """One row a process and epoch."""
        return self._table("processes")

    @property
    def events(self) -> Table:
        """Rare things with their time."""
        return self._table("events")

    @property
    def snapshots(self) -> Table:
        """One row a snapshot; ``placement`` and ``kinds`` give what it shows."""
        return self._table("snapshots")

    def _table(self, name: str) -> Table:
        return Table(self._file[name], TABLES[name])

    @property
    def records(self) -> dict[str, Table]:
        """The tables of the study's own, by name."""
        return {
            name: Table(group, group.attrs["dimension"])
            for name, group in self._file.items()
            if "dimension" in group.attrs and name != "summary"
        }

    @property
    def tables(self) -> dict[str, Table]:
        """All groups that grow, by name."""
        return {name: self._table(name) for name in TABLES} | self.records

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


def _open(path: Path, alive: bool) -> h5py.File:
    """Open a file: as one that is being written if its writer is ``alive``."""
    found = flags(path)
    try:
        if not found:
            return h5py.File(path, "r")
        if alive:
            return h5py.File(path, "r", swmr=True)
        # Without a writer HDF5 would wait for one to mend what is wrong.
        return h5py.File(_Unflagged(path), "r")
    except HDF5_ERRORS as error:
        if found and not found & SWMR:
            raise BadInput(
                f"file must have been created whole, got {path}, whose writer was"
                " killed before that: nothing is lost with it"
            ) from error
        raise BadInput(f"file must be one that lazynuma wrote, got {path}") from error


class _Unflagged(io.FileIO):
    """The bytes of a killed writer's file, its flags cleared."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        size = os.fstat(self.fileno()).st_size
        self._head = without_flags(superblock(self.fileno()), size) or b""

    def readinto(self, buffer: Any) -> int:
        """Read as a file does."""
        at = self.tell()
        count = super().readinto(buffer) or 0
        stop = min(at + count, len(self._head))
        if at < stop:
            memoryview(buffer)[: stop - at] = self._head[at:stop]
        return count


# --- what may be in a file ------------------------------------------------------------


def _check_inside(file: h5py.File) -> None:
    """Raise BadInput if a file leads out of itself, or is not of our shape.

    HDF5 would follow links to other files, and read the bytes of any file as a dataset.
    """
    for name, group in _members(file):
        if not isinstance(group, h5py.Group):
            raise BadInput(f"file must have groups alone, got {name}")
        for inner, dataset in _members(group):
            _check_dataset(f"{name}/{inner}", dataset)


def _members(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise BadInput(f"file must have no links out of it, got {name!r}")
        yield name, group[name]


def _check_dataset(name: str, dataset: Any) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise BadInput(f"file must have datasets in its groups, got {name}")
    made = dataset.id.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
        raise BadInput(f"file must hold its data itself, got {name!r} elsewhere")
