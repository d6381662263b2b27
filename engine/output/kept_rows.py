"""Copy rows of one run's file into a new one: those that its checkpoints know.

What came after a checkpoint comes again, so it is left out.
"""

from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from ..errors import BadInput
from .growing import ROWS, Table
from .reader import HDF5_ERRORS, RunFile, damaged
from .snapshot_table import SnapshotTable
from .writer import RunWriter

#: How many of a variant's first rows are kept in each table.
Kept = Mapping[str, int]
#: Bytes that are read at a time, about.
_STEP = 8 << 20


def copy_rows(old: RunFile, new: RunWriter, kept: Sequence[Kept]) -> None:
    """Copy rows of ``old``, variant by variant, into ``new``, which has none yet.

    kept  for each variant: how many rows of each table by its name, none of others

    Raises BadInput if ``old`` is damaged, has another run's shape, or less rows.
    """
    try:
        new.reserve(old.path.stat().st_size)
        chosen = _chosen(old, kept)
        for name, table in new.tables.items():
            _copy_table(old, name, table, chosen)
    except BadInput:
        raise
    except HDF5_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise damaged(old.path) from error


#: The rows of each table that are kept of each variant: int64[rows], ascending.
Chosen = dict[str, list[np.ndarray]]


def _chosen(old: RunFile, kept: Sequence[Kept]) -> Chosen:
    return {
        name: [
            _first_rows(old, name, variant, rows) for variant, rows in enumerate(kept)
        ]
        for name in old.tables
    }


def _first_rows(old: RunFile, name: str, variant: int, kept: Kept) -> np.ndarray:
    """Return the rows of a table that are kept of a variant."""
    table = old.tables[name]
    rows = np.flatnonzero(table["variant"] == variant)
    count = kept.get(name, 0)
    if count > len(rows):
        raise BadInput(
            f"file must have the rows that its checkpoint knows, got {len(rows)} of"
            f" {count} rows of {name} in {old.path}"
        )
    return rows[:count]


def _copy_table(old: RunFile, name: str, table: Table, chosen: Chosen) -> None:
    """Copy the chosen rows of a table."""
    runs = chosen[name]
    source = {one.name.rpartition("/")[2]: one for one in old.tables[name].datasets}
    first = 0
    for rows in runs:
        if isinstance(table, SnapshotTable):
            for row in rows.tolist():
                first = table.copy_blocks(source, row, first)
    total = sum(map(len, runs))
    for own, dataset in table.datasets.items():
        found = source.get(own)
        if found is None or found.dtype != dataset.dtype:
            raise _other_shape(old, name, own)
        if found.shape[1:] != dataset.shape[1:]:
            raise _other_shape(old, name, own)
        dataset.resize(total, axis=0)
        renumbered = name == "processes" and own == "epoch"
        _copy_column(found, dataset, runs, _places(chosen) if renumbered else None)
    table.waiting = total
    table.commit()


def _other_shape(old: RunFile, name: str, own: str) -> BadInput:
    return BadInput(
        f"file must be of this run, got {old.path}, where {name}/{own} is another's"
    )


def _places(chosen: Chosen) -> np.ndarray:
    """Return the new number of each epoch, int64[old epochs], -1 for none."""
    order = np.concatenate(chosen["epochs"])
    places = np.full(order.max(initial=-1) + 1, -1)
    places[order] = np.arange(len(order))
    return places


def _copy_column(
    old: h5py.Dataset,
    new: h5py.Dataset,
    runs: Sequence[np.ndarray],
    places: np.ndarray | None,
) -> None:
    """Copy rows of a dataset, one run of ascending rows after the other.

    places  what the values become, if they are numbers of epochs
    """
    size = max(1, int(np.prod(old.shape[1:])) * old.dtype.itemsize)
    step, at = max(ROWS, _STEP // size), 0
    for rows in runs:
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            values = old[part[0] : part[-1] + 1]
            if len(values) > len(part):
                values = values[part - part[0]]
            new[at : at + len(part)] = values if places is None else places[values]
            at += len(part)
