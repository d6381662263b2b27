"""Make the file of a killed run a plain one again, of whole rows."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ..errors import BadInput
from .lock import Lock
from .place import RECOVERING, beside
from .reader import HDF5_ERRORS, RunFile, Table, damaged
from .superblock import check_end, clear_flags

#: New shapes of datasets by their paths.
Shapes = dict[str, tuple[int, ...]]


def recover(path: str | os.PathLike) -> None:
    """Make a killed run's file one of whole rows that every reader opens.

    A table is as long as its coordinate, and has no rows of epochs that are not whole.
    ``/run/state`` stays as it is.  A kill meanwhile loses nothing: what is to be cut is
    cut in a copy that takes the file's place.

    Raises BadInput if the file is still being written, cannot be written to, is damaged
    or is not one that lazynuma wrote.
    """
    path = Path(os.path.realpath(path))  # or the copy would replace a link to it
    check_end(path)
    try:
        lock = Lock(path)
        try:
            beside(path, RECOVERING).unlink(missing_ok=True)
            _recover(path)
        finally:
            lock.release()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"file must be writable, got {path}: {reason}") from error


def _recover(path: Path) -> None:
    with RunFile(path, alive=False) as file:
        try:
            shapes = dict(_whole(file))
        except BadInput:
            raise
        except HDF5_ERRORS as error:
            raise damaged(path) from error
    if not shapes:
        _clear(path)
        return
    copy = beside(path, RECOVERING)
    try:
        shutil.copy(path, copy, follow_symlinks=False)
        _clear(copy)
        _cut(copy, shapes)
        os.replace(copy, path)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _clear(path: Path) -> None:
    with path.open("r+b") as file:
        clear_flags(file.fileno())


def _whole(file: RunFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (path, shape of whole rows) of each dataset that has another shape."""
    for name, table in file.tables.items():
        rows = _whole_rows(file, name)
        blocks = [one.shape[1] for one in table.datasets if _has_blocks(one)]
        for dataset in table.datasets:
            shape = dataset.shape
            if _has_blocks(dataset):
                shape = (rows, min(blocks))
            elif _is_block_scale(dataset, table):
                shape = (min(blocks, default=0),)
            elif dataset.maxshape[:1] == (None,):
                shape = (rows, *shape[1:])
            if shape != dataset.shape:
                yield dataset.name, shape


def _whole_rows(file: RunFile, name: str) -> int:
    """Return the rows of a table that are complete, and belong to complete epochs."""
    table = file.tables[name]
    if name != "processes":
        return table.rows
    return int(np.searchsorted(table["epoch"], file.epochs.rows))


def _has_blocks(dataset: h5py.Dataset) -> bool:
    """Whether both dimensions grow: a row a snapshot, and the blocks in it."""
    return dataset.maxshape == (None, None)


def _is_block_scale(dataset: h5py.Dataset, table: Table) -> bool:
    """Whether a dataset stands for the dimension of the blocks."""
    own = dataset.name.rpartition("/")[2]
    return dataset.is_scale and dataset.maxshape == (None,) and own != table.coordinate


def _cut(path: Path, shapes: Shapes) -> None:
    """Give the datasets of a file new shapes, and write it to the disk."""
    with h5py.File(path, "r+") as file:
        for name, shape in shapes.items():
            file[name].resize(shape)
        file["run/epochs_done"][()] = file["epochs/epoch"].shape[0]
    with path.open("rb") as plain:
        os.fsync(plain.fileno())
