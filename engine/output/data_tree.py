"""The file of a run as an xarray DataTree: labelled arrays for analysis and notebooks.

Everything is read at once and the file is closed, so that a run that still writes it is
not held up, and what was read stays as it is.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..study.study import label, named
from .describe import JSON_ATTRIBUTES, parsed_whole, scalar, state_of
from .reader import HDF5_ERRORS, RunFile, Table, damaged

if TYPE_CHECKING:
    import xarray

_GROUPS = ("summary", "runtime", "run")
_TIME = {"units": "s", "long_name": "simulated time since the start of the variant"}
_VARIANT = {"long_name": "name of the variant"}


def open_run(
    path: str | os.PathLike, groups: Iterable[str] | None = None
) -> "xarray.DataTree":
    """Return what the file of a run holds: of one that ended, still runs or was killed.

    groups  names of the groups to read, such as ``summary``; all, if it is left out

    Groups and variables have the names of docs/format.md.  What is not written is NaN,
    so that integers which may lack are float64.  Tables (``epochs``, ``processes``,
    ``events``, ``snapshots`` and a study's own) have the rows that are complete, and
    the coordinates ``time`` (s), ``variant`` (names) and the study's own dimensions;
    these names are indexes: ``tree["epochs"].dataset.sel(variant="hinting")``.  Flags
    of one dimension are decoded to their names.  Attributes that are JSON are dicts;
    ``state`` is what ``lazynuma info`` calls it.

    Raises BadInput as RunFile does, if xarray is not installed, or if there is no such
    group.
    """
    xr = imported("open_run")
    with RunFile(path) as file:
        try:
            wanted = _wanted(file, groups)
            found = {name: _dataset(file, name) for name in wanted}
            found["/"] = xr.Dataset(attrs=_attributes(file))
        except BadInput:
            raise
        except HDF5_ERRORS as error:
            raise damaged(file.path) from error
    return xr.DataTree.from_dict(found)


def imported(who: str) -> Any:
    """Return xarray; BadInput, which says how to install it, if it is not there."""
    try:
        import xarray
    except ImportError as error:
        raise BadInput(
            f"{who} must have xarray: pip install 'lazynuma[xarray]'"
        ) from error
    return xarray


def _wanted(file: RunFile, groups: Iterable[str] | None) -> list[str]:
    replicas = [] if file.replicas is None else ["replicas"]
    there = [*_GROUPS, *replicas, *file.tables]
    wanted = there if groups is None else list(groups)
    for name in wanted:
        if name not in there:
            raise BadInput(f"group must be one of {', '.join(there)}, got {name!r}")
    return wanted


def _attributes(file: RunFile) -> dict[str, Any]:
    """Return the root attributes, those parsed that are JSON, and the state."""
    found = {name: scalar(value) for name, value in file.attributes.items()}
    for name in JSON_ATTRIBUTES:
        if name in found:
            found[name] = parsed_whole(found[name])
    return found | {"state": state_of(file)}


def _dataset(file: RunFile, name: str) -> "xarray.Dataset":
    if name in file.tables:
        return _rows(file, name, file.tables[name])
    return _plain(file, getattr(file, name))


def _plain(file: RunFile, table: Table) -> "xarray.Dataset":
    """Return a group that does not grow."""
    import xarray as xr

    masked = file.has_fill_values
    variables = {name: _variable(table, name, table[name], masked) for name in table}
    return xr.Dataset(variables)


def _rows(file: RunFile, name: str, table: Table) -> "xarray.Dataset":
    """Return a group that grows, with the rows that are complete now."""
    import xarray as xr

    from .variant_index import VariantIndex

    rows, row = table.rows, str(table.coordinate)
    blocks = _blocks(file, rows) if name == "snapshots" else {}
    variables: dict[str, Any] = {}
    for one in _variables(table):
        values = blocks[one] if one in blocks else table[one]
        values = values[:rows] if table.grows(one) else values
        variables[one] = _variable(table, one, values, file.has_fill_values)
    numbers = variables.pop("variant")[1]
    labels = {"time_ns", *table.labels(), *_scales(table)}
    coordinates = {key: variables.pop(key) for key in [*variables] if key in labels}
    if "time_ns" in coordinates:
        coordinates["time"] = (row, coordinates["time_ns"][1] / 1e9, _TIME)
    own = _names(file, numbers)
    names = {key: own[key] for key in own if key not in {*variables, *coordinates}}
    coordinates |= {key: (row, values, _VARIANT) for key, values in names.items()}
    dataset = xr.Dataset(variables, coordinates)
    for key in names:
        dataset = dataset.set_xindex(key, VariantIndex)
    return dataset


def _variables(table: Table) -> Iterator[str]:
    """Yield the names of a table's variables that have values of their own."""
    for name in table:
        if name != "variant_name" and not table.is_bare(name):
            yield name


def _scales(table: Table) -> list[str]:
    """Return the variables that number something, beside the rows themselves."""
    return [name for name in table if table.dimensions(name) == (name,)]


def _names(file: RunFile, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Return the name of each row's variant: the whole, and by the study's dimensions.

    A dimension which is called ``variant`` itself has its own values.
    """
    variants, empty = file.variants, np.empty(0, "U1")
    whole = [{"variant": label(one)} | named(file.dimension, one) for one in variants]
    return {
        key: np.array([one[key] for one in whole])[numbers] if len(numbers) else empty
        for key in whole[0]
    }


def _blocks(file: RunFile, rows: int) -> dict[str, np.ndarray]:
    """Return the snapshots' blocks, [rows, most blocks], -1 after the last of each."""
    most = int(file.snapshots["count"][:rows].max(initial=0))
    node, kind = np.full((rows, most), -1, "i2"), np.full((rows, most), -1, "i1")
    for i in range(rows):
        of, kinds = file.placement(i), file.kinds(i)
        node[i, : len(of)], kind[i, : len(kinds)] = of, kinds
    return {"block_node": node, "block_kind": kind}


def _variable(
    table: Table, name: str, values: Any, has_fill_values: bool
) -> tuple[tuple[str, ...], np.ndarray, Mapping[str, Any]]:
    """Return (dimensions, values, attributes) of a variable for xarray."""
    dimensions, attributes = table.dimensions(name), table.attributes(name)
    values = np.asarray(values)
    fill = attributes.pop("_FillValue", None)
    attributes.pop("_Encoding", None)
    if values.dtype == object:
        values = values.astype(str)
    if "flag_meanings" in attributes and values.ndim < 2:
        values = _decoded(values, attributes)
    elif np.issubdtype(values.dtype, np.integer):
        if fill is None and not has_fill_values and _may_lack(table, name, values):
            fill = -1
        if fill is not None:
            values = np.where(values == np.ravel(fill)[0], np.nan, values)
    return dimensions, values, {key: scalar(one) for key, one in attributes.items()}


def _may_lack(table: Table, name: str, values: np.ndarray) -> bool:
    """Tell whether -1 in a file of format 1.x is an amount that is not written."""
    counted = table.coordinate is None or values.ndim > 1
    amount = counted or table.unit(name) != "1"
    return amount and values.dtype.itemsize == 8 and name != "time_ns"


def _decoded(values: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    """Return flags by their names, and drop the attributes which say what they mean."""
    meanings = str(attributes.pop("flag_meanings")).split()
    names = dict(zip(attributes.pop("flag_values").tolist(), meanings, strict=True))
    flat = [names.get(value, str(value)) for value in values.ravel().tolist()]
    return np.array(flat, dtype=str if flat else "U1").reshape(values.shape)
