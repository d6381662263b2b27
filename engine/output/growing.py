"""Datasets that grow by a row, and the scales that they lie on."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import h5py
import numpy as np

from ..errors import BadInput
from ..study.columns import Field, Records
from .schema import TIME, VARIANT, Variable

#: Rows in a chunk, and the most that wait in memory.
ROWS = 256
# Disk space: for a dataset's index, for what is created first, for closing, and what is
# taken at a time.
INDEX = 4096


class Table:
    """A group whose first dimension grows: rows wait in ``buffers`` to be written.

    The coordinate is written after all else, so that it counts complete rows.
    """

    def __init__(self, group: h5py.Group, dimension: str, long_name: str) -> None:
        self.group = group
        self.scale = dimension_scale(group, dimension, long_name)
        self.columns: list[tuple[h5py.Dataset, np.ndarray]] = []
        self.written = 0
        self.waiting = 0

    def add(
        self, variable: Variable, buffer: np.ndarray, *scales: h5py.Dataset
    ) -> None:
        """Create a variable whose next rows lie in ``buffer``, [ROWS, ...]."""
        scales = (self.scale, *scales)
        self.columns.append((_create(self.group, variable, scales), buffer))

    def add_all(self, variables: Sequence[Variable]) -> np.ndarray:
        """Create variables of one value a row; return their buffer, int64[ROWS, n]."""
        buffer = np.empty((ROWS, len(variables)), np.int64)
        for variable, column in zip(variables, buffer.T, strict=True):
            self.add(variable, column)
        return buffer

    def room(self) -> int:
        """Return the bytes that ``ROWS`` rows may take: two chunks and their index."""
        datasets = [self.scale, *(dataset for dataset, _ in self.columns)]
        chunks = (2 * prod(one.chunks) * one.dtype.itemsize for one in datasets)
        return sum(chunks) + INDEX * len(datasets)

    def write(self) -> None:
        """Write the waiting rows, their coordinate excepted."""
        if self.waiting:
            for dataset, buffer in self.columns:
                _append(dataset, self.written, buffer[: self.waiting])

    def commit(self) -> None:
        """Write the coordinate of the rows written."""
        if self.waiting:
            total = self.written + self.waiting
            _append(self.scale, self.written, np.arange(self.written, total))
            self.written, self.waiting = total, 0


class RecordsTable(Table):
    """A table of the study's own."""

    def __init__(self, group: h5py.Group, records: Records) -> None:
        super().__init__(group, records.dimension, records.long_name)
        self.name = records.name
        variables = (TIME, VARIANT, *map(_variable, records.fields))
        self.buffers = {
            one.name: np.empty(ROWS, np.dtype(one.dtype)) for one in variables
        }
        for one in variables:
            self.add(one, self.buffers[one.name])

    def fill(self, at: int, row: Mapping[str, Any]) -> None:
        """Let row ``at`` of the buffers be ``row``, which has a value for each."""
        if set(row) != set(self.buffers):
            raise BadInput(
                f"row of {self.name} must have {', '.join(self.buffers)},"
                f" got {', '.join(row)}"
            )
        for name, buffer in self.buffers.items():
            value = row[name]
            texts = buffer.dtype.kind == "S"
            buffer[at] = cut_text(value, buffer.itemsize) if texts else value


def _variable(field: Field) -> Variable:
    """Return how a field of a study's own records is declared."""
    kind = np.dtype(field.dtype)
    texts = kind.kind == "S"
    attributes: dict[str, Any] = {}
    if field.flags:
        attributes["flag_values"] = np.arange(len(field.flags), dtype=kind)
        attributes["flag_meanings"] = " ".join(field.flags)
    return Variable(
        field.name,
        field.unit,
        field.long_name,
        h5py.string_dtype("utf-8", kind.itemsize) if texts else kind,
        attributes,
    )


def cut_text(text: str, size: int) -> bytes:
    """Return ``text`` in at most ``size`` bytes of UTF-8, no character cut in two."""
    return text.encode()[:size].decode(errors="ignore").encode()


def _append(dataset: h5py.Dataset, start: int, rows: np.ndarray) -> None:
    """Let ``dataset`` end with ``rows``, which begin at ``start``."""
    stop = start + len(rows)
    dataset.resize(stop, axis=0)
    dataset[start:stop] = rows


def _label(dataset: h5py.Dataset, unit: str, long_name: str, **more: Any) -> None:
    for name, value in {"units": unit, "long_name": long_name, **more}.items():
        dataset.attrs[name] = value


def dimension_scale(
    group: h5py.Group, name: str, long_name: str, values: np.ndarray | None = None
) -> h5py.Dataset:
    """Create a dimension and its coordinate, which grows where no values are given."""
    if values is None:
        scale = group.create_dataset(
            name, (0,), "i8", maxshape=(None,), chunks=(ROWS,), fillvalue=-1
        )
    else:
        scale = group.create_dataset(name, data=values)
    scale.make_scale(name)
    _label(scale, "1", long_name)
    return scale


def name_scale(
    group: h5py.Group, name: str, values: Sequence[str], long_name: str
) -> h5py.Dataset:
    """Create a dimension whose coordinate is strings."""
    scale = group.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
    scale.make_scale(name)
    _label(scale, "1", long_name)
    return scale


def variant_scales(
    group: h5py.Group, values: Mapping[str, Sequence[str]]
) -> tuple[h5py.Dataset, ...]:
    """Create the dimensions that the variants differ in."""
    text = "value of what the variants differ in"
    return tuple(name_scale(group, name, values[name], text) for name in values)


def fill_value(dtype: Any) -> Any:
    """Return what stands where nothing was written: -1, NaN or the empty text."""
    kind = np.dtype(dtype).kind
    return {"i": -1, "f": np.nan, "S": b""}[kind]


def _create(
    group: h5py.Group,
    variable: Variable,
    scales: Sequence[h5py.Dataset],
) -> h5py.Dataset:
    """Create a variable whose first dimension grows."""
    shape = tuple(scale.shape[0] for scale in scales)
    dataset = group.create_dataset(
        variable.name,
        shape,
        variable.dtype,
        maxshape=(None, *shape[1:]),
        chunks=(ROWS, *shape[1:]),
        fillvalue=fill_value(variable.dtype),
    )
    return finish_variable(dataset, variable, scales)


def fixed_variable(
    group: h5py.Group, variable: Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    """Create a variable that never grows, and write its fill value everywhere."""
    shape = tuple(scale.shape[0] for scale in scales)
    fill = fill_value(variable.dtype)
    dataset = group.create_dataset(
        variable.name, shape, variable.dtype, data=np.full(shape, fill), fillvalue=fill
    )
    return finish_variable(dataset, variable, scales)


def finish_variable(
    dataset: h5py.Dataset, variable: Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)
    _label(dataset, variable.unit, variable.long_name, **variable.attributes)
    return dataset
