"""Tables of HDF5: datasets that grow by rows, and the scales that they lie on."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import h5py
import numpy as np

from .schema import VARIANT_NAME, WHEN, Variable

#: Rows that wait in memory at most, and most bytes of a chunk that is that long.
ROWS = 256
CHUNK = 1 << 20
#: How xarray and netCDF know that characters are text.
TEXT = {"_Encoding": "utf-8"}
#: How netCDF-4 marks the scale of a dimension that has no coordinate.
_NO_COORDINATE = "This is a netCDF dimension but not a netCDF variable.%10d"
_TEXT_DTYPE = h5py.string_dtype()
_UTF_8 = h5py.h5t.py_create(_TEXT_DTYPE, logical=True)
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)
#: Disk space for a dataset's index, in bytes.
INDEX = 4096


class Table:
    """A group whose first dimension grows: rows wait in buffers to be written.

    The coordinate is written last, so that it counts complete rows.  Each row has the
    number of a variant, whose name, one of ``names``, goes with it.
    """

    #: The auxiliary coordinates of all other variables.
    coordinates: tuple[str, ...] = WHEN

    def __init__(
        self,
        group: h5py.Group,
        names: Sequence[str],
        dimension: str,
        long_name: str,
        variables: Sequence[Variable] = (),
    ) -> None:
        self.group = group
        self.scale = dimension_scale(group, dimension, long_name)
        self.written = 0
        self.waiting = 0
        self._columns: list[tuple[h5py.Dataset, np.ndarray]] = []
        #: The buffer of each variable that has one value a row, [ROWS].
        self.buffers: dict[str, np.ndarray] = {}
        self._names = [name.encode() for name in names]
        text = f"S{max(1, *map(len, self._names))}"
        self._named = np.empty(ROWS, text)
        self.add(Variable(VARIANT_NAME, "1", "name of the variant", text), self._named)
        self.add_values(variables)

    def add_values(self, variables: Sequence[Variable]) -> None:
        """Create variables of one value a row, which ``put`` takes by name."""
        for one in variables:
            self.buffers[one.name] = np.empty(ROWS, one.dtype)
            self.add(one, self.buffers[one.name])

    def add(
        self, variable: Variable, buffer: np.ndarray, *scales: h5py.Dataset
    ) -> None:
        """Create a variable whose next rows lie in ``buffer``, [ROWS, ...]."""
        size = np.dtype(variable.dtype).itemsize
        if np.dtype(variable.dtype).kind == "S":
            scales = (*scales, _text_scale(self.group, size))
            buffer = buffer.view("S1").reshape(*buffer.shape, size)
            variable = variable._replace(dtype="S1", attributes=TEXT)
        dataset = _growing_variable(self.group, variable, (self.scale, *scales))
        self.say_coordinates(dataset, variable)
        self._columns.append((dataset, buffer))

    def say_coordinates(self, dataset: h5py.Dataset, variable: Variable) -> None:
        """Name the auxiliary coordinates of a variable that is none itself."""
        if variable.name not in self.coordinates and "coordinates" not in dataset.attrs:
            _say(dataset, "coordinates", " ".join(self.coordinates))

    @property
    def full(self) -> bool:
        """Whether rows have to be written before there is room for one more."""
        return self.waiting == ROWS

    def put(self, row: Mapping[str, Any]) -> None:
        """Let a row wait: its variant, a value for each of ``buffers``, texts cut."""
        self._named[self.waiting] = self._names[row["variant"]]
        for name, buffer in self.buffers.items():
            value = row[name]
            texts = buffer.dtype.kind == "S"
            buffer[self.waiting] = cut(value, buffer.itemsize) if texts else value
        self.waiting += 1

    def room(self) -> int:
        """Return the bytes that ``ROWS`` rows may take: chunks and their index."""
        datasets = [self.scale, *(dataset for dataset, _ in self._columns)]
        sizes = (
            (-(-ROWS // one.chunks[0]) + 1) * prod(one.chunks) * one.dtype.itemsize
            for one in datasets
        )
        return sum(sizes) + INDEX * len(datasets)

    @property
    def datasets(self) -> dict[str, h5py.Dataset]:
        """What HDF5 has of each variable but the coordinate."""
        return {one.name.rpartition("/")[2]: one for one, _ in self._columns}

    def write(self) -> None:
        """Write the waiting rows, their coordinate excepted."""
        if self.waiting:
            for dataset, buffer in self._columns:
                _append(dataset, self.written, buffer[: self.waiting])

    def commit(self) -> None:
        """Write the coordinate of the rows written."""
        if self.waiting:
            total = self.written + self.waiting
            _append(self.scale, self.written, np.arange(self.written, total))
            self.written, self.waiting = total, 0


def cut(text: str, size: int) -> bytes:
    """Return ``text`` in at most ``size`` bytes of UTF-8, no character cut in two."""
    return text.encode()[:size].decode(errors="ignore").encode()


def _append(dataset: h5py.Dataset, start: int, rows: np.ndarray) -> None:
    """Let ``dataset`` end with ``rows``, of its dtype, which begin at ``start``."""
    dataset.id.set_extent((start + len(rows), *rows.shape[1:]))
    put_block(dataset.id, (start,), rows)


def put_block(dataset: h5py.h5d.DatasetID, at: tuple[int, ...], block: Any) -> None:
    """Write a block, an array of the dataset's rank and dtype, at ``at``, then zeros.

    ``dataset[...] = block`` does the same, and takes ten times as long.
    """
    space = dataset.get_space()
    space.select_hyperslab((*at, *[0] * (block.ndim - len(at))), block.shape)
    block = np.ascontiguousarray(block)
    dataset.write(h5py.h5s.create_simple(block.shape), space, block)


# --- dimensions -----------------------------------------------------------------------
#
# All of these return what is there already: a new file may be a copy of one that is.


def dimension_scale(
    group: h5py.Group, name: str, long_name: str, values: np.ndarray | None = None
) -> h5py.Dataset:
    """Create a dimension and its coordinate, which grows if there are no ``values``."""
    if name in group:
        return group[name]
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
    if name in group:
        return group[name]
    scale = group.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
    scale.make_scale(name)
    _label(scale, "1", long_name)
    return scale


def bare_dimension(group: h5py.Group, name: str, **shape: Any) -> h5py.Dataset:
    """Create a dimension that has no coordinate; ``shape`` as h5py takes it."""
    if name in group:
        return group[name]
    scale = group.create_dataset(name, dtype=">f4", **shape)
    scale.make_scale(_NO_COORDINATE % scale.shape[0])
    return scale


def _text_scale(group: h5py.Group, size: int) -> h5py.Dataset:
    """Return the dimension of the characters of texts of ``size`` bytes.

    Texts are arrays of characters: netCDF-C crashes at texts of fixed length (4.9.0 at
    all, 4.10.1 at those with a fill value), and no others may be written under SWMR.
    """
    name = f"text{size}"
    return bare_dimension(group, name, shape=(size,))


# --- variables ------------------------------------------------------------------------


def _growing_variable(
    group: h5py.Group, variable: Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    """Create a variable whose first dimension grows."""
    if variable.name in group:
        return group[variable.name]
    shape = tuple(scale.shape[0] for scale in scales)
    row = prod(shape[1:]) * np.dtype(variable.dtype).itemsize
    dataset = group.create_dataset(
        variable.name,
        shape,
        variable.dtype,
        maxshape=(None, *shape[1:]),
        chunks=(max(1, min(ROWS, CHUNK // row)), *shape[1:]),
        fillvalue=fill_value(variable.dtype),
    )
    return finish_variable(dataset, variable, scales)


def fixed_variable(
    group: h5py.Group, variable: Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    """Create a variable that never grows, and write its fill value everywhere."""
    if variable.name in group:
        return group[variable.name]
    shape = tuple(scale.shape[0] for scale in scales)
    fill = fill_value(variable.dtype)
    dataset = group.create_dataset(
        variable.name, shape, variable.dtype, data=np.full(shape, fill), fillvalue=fill
    )
    return finish_variable(dataset, variable, scales)


def finish_variable(
    dataset: h5py.Dataset, variable: Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    """Attach the scales of a new variable, and say what it is."""
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)
    is_amount = variable.unit != "1" or np.dtype(variable.dtype).kind == "f"
    may_lack = is_amount and variable.name not in WHEN
    missing = missing_value(variable.dtype) if may_lack else {}
    attributes = missing | dict(variable.attributes)
    _label(dataset, variable.unit, variable.long_name, **attributes)
    return dataset


def missing_value(dtype: Any) -> dict[str, np.ndarray]:
    """Return the attribute that tells readers which value is none."""
    return {"_FillValue": np.array([fill_value(dtype)], dtype)}


def fill_value(dtype: Any) -> Any:
    """Return the value that means "not written": -1, NaN, or no character."""
    kind = np.dtype(dtype).kind
    return {"i": -1, "f": np.nan, "S": b""}[kind]


def _label(dataset: h5py.Dataset, unit: str, long_name: str, **more: Any) -> None:
    for name, value in {"units": unit, "long_name": long_name, **more}.items():
        if isinstance(value, str):
            _say(dataset, name, value)
        else:
            dataset.attrs[name] = value


def _say(dataset: h5py.Dataset, name: str, text: str) -> None:
    """Give a new dataset a text as an attribute.

    ``attrs[name] = text`` does the same, by way of another name, which it then changes.
    """
    attribute = h5py.h5a.create(dataset.id, name.encode(), _UTF_8, _SCALAR)
    attribute.write(np.array(text, _TEXT_DTYPE))
