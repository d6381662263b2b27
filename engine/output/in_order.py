"""Put the rows of variants that ran side by side into the order of the variants."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from .place import ORDERING, beside, keep
from .reader import HDF5_ERRORS, TABLES

#: What refers to rows of another table: the variable, and whose rows it counts.
_REFERS = {("processes", "epoch"): "epochs"}
#: Most bytes that are in memory at once.
_PART = 64 << 20


def put_in_order(path: Path) -> None:
    """Replace a file that is closed by one whose rows go by variants.

    A reader that has it open keeps the old one.  If the disk is full the file stays as
    it is, with a warning: all rows are in it.
    """
    keep(path)
    new = beside(path, ORDERING)
    try:
        orders = _orders(path)
        if all(np.array_equal(one, np.arange(one.size)) for one in orders.values()):
            return
        shutil.copyfile(path, new)
        shutil.copymode(path, new)
        with h5py.File(path, "r") as old, h5py.File(new, "r+") as file:
            for name, order in orders.items():
                _reorder(old[name], file[name], name, order, orders)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except HDF5_ERRORS as error:
        warnings.warn(
            f"rows of {path.name} stay in the order in which they came: {error}",
            stacklevel=2,
        )
    finally:
        new.unlink(missing_ok=True)


def _orders(path: Path) -> dict[str, np.ndarray]:
    """Return of each table which old row each new row is."""
    with h5py.File(path, "r") as file:
        return {
            name: np.argsort(group["variant"][:], kind="stable")
            for name, group in file.items()
            if name in TABLES or ("dimension" in group.attrs and name != "summary")
        }


def _reorder(
    old: h5py.Group,
    new: h5py.Group,
    name: str,
    order: np.ndarray,
    orders: dict[str, np.ndarray],
) -> None:
    """Write the rows of a table in another order."""
    coordinate = TABLES.get(name) or old.attrs["dimension"]
    for key, dataset in _growing(old):
        if key == coordinate:
            continue
        if dataset.compression is not None:
            _reorder_chunks(dataset, new[key], order)
            continue
        other = _REFERS.get((name, key))
        places = None if other is None else np.argsort(orders[other])
        _reorder_rows(dataset, new[key], order, places)


def _growing(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the variables that have a row for each of the table."""
    for key, dataset in group.items():
        if dataset.ndim and dataset.maxshape[0] is None and key != "block":
            yield key, dataset


def _reorder_rows(
    old: h5py.Dataset, new: h5py.Dataset, order: np.ndarray, places: np.ndarray | None
) -> None:
    """Write rows in another order; ``places``: where what they refer to is now."""
    size = max(1, old.dtype.itemsize * int(np.prod(old.shape[1:])))
    step = max(1, _PART // size)
    for begin in range(0, order.size, step):
        rows = order[begin : begin + step]
        known, back = np.unique(rows, return_inverse=True)
        values = old[known][back]
        new[begin : begin + step] = values if places is None else places[values]


def _reorder_chunks(old: h5py.Dataset, new: h5py.Dataset, order: np.ndarray) -> None:
    """Move the blocks of snapshots, compressed as they are."""
    width = old.chunks[1]
    held = [
        [old.id.get_chunk_info(i).chunk_offset for i in range(old.id.get_num_chunks())]
    ][0]
    by_row: dict[int, list[int]] = {}
    for row, first in held:
        by_row.setdefault(row, []).append(first)
    for at, row in enumerate(order.tolist()):
        for first in range(0, old.shape[1], width):
            if first in by_row.get(row, []):
                mask, chunk = old.id.read_direct_chunk((row, first))
                new.id.write_direct_chunk((at, first), chunk, mask)
            elif first in by_row.get(at, []):
                new[at, first : first + width] = new.fillvalue
