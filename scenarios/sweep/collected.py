"""Many runs as one dataset: a dimension for each setting that differs, and seeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...engine.errors import BadInput
from ...engine.output.data_tree import imported, open_run
from ...engine.settings.sizes import parse_size
from ..cli.info_text import as_typed
from .cells import Cell, Cells, Reading, value_key

if TYPE_CHECKING:
    import xarray

#: The dimension of settings that go together.
ZIP = "zip"
#: What goes before names of ``/epochs``: ``/summary`` has some of them, too.
EPOCH = "epoch_"
#: What is said of the whole, from the first file.
_ATTRIBUTES = ("title", "scenario", "software", "softwareVersion", "Conventions")


class _Axes(NamedTuple):
    """The dimensions that runs make, and what each run's place is.

    coordinates  (dimension, values, name of the setting) by name
    """

    sizes: dict[str, int]
    coordinates: dict[str, tuple[str, list[Any], str]]
    places: list[tuple[int, ...]]


def collected(
    cells: Cells, epochs: Sequence[str] | None, reading: Reading
) -> tuple["xarray.Dataset", list[tuple[str, str]]]:
    """Return the dataset of all runs, and (name, why) of each that is not in it.

    epochs  names of variables of ``/epochs``, none for all of them; None: without them

    Raises BadInput if no run has a file, or files are of different scenarios.
    """
    xr = imported("collect")
    parts, missing, first = [], [], None
    axes = _axes(cells)
    for cell, place in zip(cells.cells, axes.places, strict=True):
        tree, why = _opened(cell, epochs is not None, reading)
        if tree is None:
            missing.append((cell.name, why))
            continue
        first = first or (cell.name, tree.attrs)
        _check_scenario(first, cell.name, tree.attrs)
        parts.append((place, _part(tree, cell, epochs)))
    if first is None:
        raise BadInput(f"a run must have a file to collect, got {len(missing)} without")
    dataset = _put_together(parts, axes, xr)
    kept = {key: first[1][key] for key in _ATTRIBUTES if key in first[1]}
    return dataset.assign_attrs(kept), missing


def _axes(cells: Cells) -> _Axes:
    """Return the dimensions of runs: zipped settings, the others, seeds."""
    rows = [[cell.settings[key] for key in cells.varied] for cell in cells.cells]
    names = [key.replace(".", "_") for key in cells.varied]
    zipped = cells.zipped
    axes = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    whole: dict[str, list[Any]] = {}
    if zipped:
        whole[names[0] if zipped == 1 else ZIP] = [row[:zipped] for row in rows]
    whole |= {name: axes[name] for name in names[zipped:]}
    whole["seed"] = [cell.seed for cell in cells.cells]
    order = {
        name: list(dict.fromkeys(map(value_key, of))) for name, of in whole.items()
    }
    number = {
        name: [order[name].index(value_key(one)) for one in of]
        for name, of in whole.items()
    }
    seeds = _first(number["seed"], whole["seed"])
    coordinates = {"seed": ("seed", seeds, "seed of all draws")}
    for i, (name, key) in enumerate(zip(names, cells.varied, strict=True)):
        axis = ZIP if zipped > 1 and i < zipped else name
        coordinates[name] = (axis, _typed(_first(number[axis], axes[name])), key)
    sizes = {name: len(keys) for name, keys in order.items()}
    return _Axes(sizes, coordinates, list(zip(*number.values(), strict=True)))


def _first(numbers: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Return the value of each number, in their order."""
    found: dict[int, Any] = {}
    for number, value in zip(numbers, values, strict=True):
        found.setdefault(number, value)
    return [found[number] for number in sorted(found)]


def _typed(values: list[Any]) -> list[Any]:
    """Return numbers, bytes for sizes such as 8GiB, or else texts as they are typed."""
    if all(type(one) in (int, float) for one in values):
        return values
    try:
        return [parse_size(as_typed(one)) for one in values]
    except BadInput:
        return [as_typed(one) for one in values]


def _opened(cell: Cell, epochs: bool, reading: Reading) -> tuple[Any, str]:
    """Return the tree of a run, or None and why there is none."""
    if cell.missing:
        return None, cell.missing
    try:
        with reading(str(cell.path)):
            return open_run(cell.path, [cell.group, *["epochs"] * epochs]), ""
    except BadInput as error:
        return None, str(error)


def _check_scenario(
    first: tuple[str, Mapping], name: str, attributes: Mapping[str, Any]
) -> None:
    was, now = first[1].get("title"), attributes.get("title")
    if was != now:
        raise BadInput(
            f"files must be of one scenario, got {first[0]} ({was}) and {name} ({now})"
        )


def _part(tree: Any, cell: Cell, epochs: Sequence[str] | None) -> "xarray.Dataset":
    """Return what is collected of a run; of epochs the first seed's are known."""
    summary = tree[cell.group].to_dataset()
    if cell.group == "replicas":
        summary = summary.sel(seed=cell.seed, drop=True)
    if epochs is None or cell.seed != tree.attrs.get("seed", cell.seed):
        return summary
    return summary.merge(_epochs(tree["epochs"].to_dataset(), summary, epochs))


def _epochs(
    rows: "xarray.Dataset", summary: "xarray.Dataset", wanted: Sequence[str]
) -> "xarray.Dataset":
    """Return ``/epochs`` by the study's dimensions and the number of the epoch."""
    import xarray as xr

    for name in wanted:
        if name not in rows:
            raise BadInput(f"--epochs must name variables of /epochs, got {name!r}")
    names = [name for name in summary.dims if name != "reason"]
    at = [summary.indexes[name].get_indexer(rows[name].values) for name in names]
    count = [summary.sizes[name] for name in names]
    run = np.ravel_multi_index(at, count) if len(rows.epoch) else np.empty(0, int)
    number = np.zeros(len(run), int)
    for one in np.unique(run):
        number[run == one] = np.arange((run == one).sum())
    most = number.max(initial=-1) + 1
    found = {}
    for name in ("time", *(wanted or rows.data_vars)):
        of, values = rows[name], rows[name].values
        whole = np.full((np.prod(count), most, *values.shape[1:]), np.nan)
        whole[run, number] = values
        shape = (*count, most, *values.shape[1:])
        axes = (*names, "epoch", *of.dims[1:])
        found[EPOCH + name] = (axes, whole.reshape(shape), of.attrs)
    used = {axis for axes, *_ in found.values() for axis in axes} - {"epoch", *names}
    scales = {name: rows[name] for name in rows.dims if name in used}
    return xr.Dataset(found, scales | {"epoch": np.arange(most)})


def _put_together(
    parts: list[tuple[tuple[int, ...], "xarray.Dataset"]], axes: _Axes, xr: Any
) -> "xarray.Dataset":
    """Put datasets at their places; NaN is what none of them has."""
    own = _own_coordinates(parts)
    arrays: dict[str, Any] = {}
    outer = tuple(axes.sizes.values())
    for place, part in parts:
        at = {
            name: [own[name][one] for one in part[name].values.tolist()]
            for name in map(str, part.dims)
        }
        for name, of in ((str(key), part[key]) for key in part.data_vars):
            axes_of = tuple(map(str, of.dims))
            if name not in arrays:
                shape = outer + tuple(len(own[axis]) for axis in axes_of)
                arrays[name] = (axes_of, np.full(shape, np.nan), of.attrs)
            cell = arrays[name][1][place]
            cell[np.ix_(*(at[axis] for axis in axes_of))] = of.values
    called = _without_clash(axes, {*own, *arrays})
    dims = [called[name] for name in axes.sizes]
    coordinates = {
        called[name]: (called[axis], values, {"long_name": key})
        for name, (axis, values, key) in axes.coordinates.items()
    }
    return xr.Dataset(
        {name: ((*dims, *of), *rest) for name, (of, *rest) in arrays.items()},
        {name: list(values) for name, values in own.items()} | coordinates,
    )


def _own_coordinates(parts: list[tuple[Any, "xarray.Dataset"]]) -> dict[str, dict]:
    """Return the place of each value of the runs' own dimensions."""
    own: dict[str, dict[Any, int]] = {}
    for _, part in parts:
        for name in map(str, part.dims):
            values = own.setdefault(name, {})
            for value in part[name].values.tolist():
                values.setdefault(value, len(values))
    return own


def _without_clash(axes: _Axes, taken: set[str]) -> dict[str, str]:
    """Return what dimensions of settings are called: not as what runs have."""
    names = {*axes.sizes, *axes.coordinates}
    return {name: f"set_{name}" if name in taken else name for name in names}
