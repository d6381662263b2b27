"""The file that ``lazynuma collect`` makes: many runs as one dataset, drawn as a sweep.

Its variables lie along the settings that vary, ``seed``, and the runs' own dimensions.
"""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import h5py
import numpy as np

from ...engine.errors import BadInput
from .gather import column
from .story import Story
from .swept_points import SEED, Points, Setting, compared_by, named, ordered

#: What this module's data say that they are.
TYPE = "collected"
#: Dimensions that are none of a setting and none of the variants.
_OTHER = ("reason", "epoch", "node", "cpu_node", "scan_result", SEED)


def is_collected(path: str | os.PathLike) -> bool:
    """Tell whether a file is one that collect made."""
    try:
        with h5py.File(path, "r") as file:
            ours = str(file.attrs.get("software", "")) == "lazynuma"
            return ours and "filetype" not in file.attrs and SEED in file
    except OSError:
        return False


def collected(path: str | os.PathLike) -> dict[str, Any]:
    """Return what pictures need of such a file: plain data, ready for JSON.

    settings  (name, values as texts) of those that vary, in the order of dimensions
    own       (name, values) of the runs' own dimensions
    values    of each variable along settings, seeds and own dimensions, flat
    """
    with h5py.File(path, "r") as file:
        datasets = {name: one for name, one in file.items() if _is_plain(one)}
        dims = max((_dims(one) for one in datasets.values()), key=len, default=())
        if SEED not in dims:
            raise BadInput(f"file must have runs of several seeds or settings: {path}")
        at = dims.index(SEED)
        scales = {name: _values(file[name]) for name in dims}
        return {
            "type": TYPE,
            "file": str(path),
            "title": str(file.attrs.get("title", "")),
            "work": str(file.attrs.get("work", "[]")),
            "settings": [_setting(file[name]) for name in dims[:at]],
            "seeds": list(map(str, scales[SEED])),
            "own": [(name, list(map(str, scales[name]))) for name in dims[at + 1 :]],
            "columns": {name: column(one) for name, one in datasets.items()},
            "values": {
                name: [None if v != v else v for v in one[()].ravel().tolist()]
                for name, one in datasets.items()
                if _dims(one) == dims
            },
        }


def _is_plain(dataset: Any) -> bool:
    """Tell whether something is a variable with a number for each variant."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "if":
        return False
    dims = _dims(dataset)
    return len(dims) > 1 and not set(dims) & (set(_OTHER) - {SEED})


def _dims(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Return the names of a variable's dimensions."""
    if "DIMENSION_LIST" not in dataset.attrs:
        return ()
    return tuple(dim[0].name.rpartition("/")[2] for dim in dataset.dims if len(dim))


def _values(dataset: h5py.Dataset) -> list[Any]:
    texts = h5py.check_string_dtype(dataset.dtype) is not None
    return list((dataset.asstr() if texts else dataset)[()].tolist())


def _setting(scale: h5py.Dataset) -> tuple[str, list[str]]:
    name = scale.name.rpartition("/")[2]
    return str(scale.attrs.get("long_name", name)), list(map(str, _values(scale)))


def points_in(found: Mapping[str, Any]) -> Points:
    """Return the runs of what ``collected`` found as points of a sweep."""
    story = _story(found)
    what = compared_by(story)
    if what is None:
        raise BadInput(f"file must have what runs are compared by, got {found['file']}")
    count, seeds = len(story.names), found["seeds"]
    rows = np.array(found["values"][what], object).reshape(-1, count).tolist()
    names = [name for name, _ in found["settings"]]
    every = product(*(values for _, values in found["settings"]), seeds)
    at, amounts = [], []
    for place, row in zip(every, rows, strict=True):
        if any(value is not None for value in row):
            at.append(dict(zip((*names, SEED), place, strict=True)))
            amounts.append(row)
    settings = [_ordered(name, values) for name, values in found["settings"]]
    return Points(story, settings, at, amounts, *named(story, what), len(seeds))


def _ordered(name: str, values: Sequence[str]) -> Setting:
    one = ordered(values)
    return Setting(name, one.values, one.numbers)


def _story(found: Mapping[str, Any]) -> Story:
    """Return a story of the variants, with medians over all runs as their values."""
    names = [name for name, _ in found["own"]]
    variants = list(product(*(values for _, values in found["own"])))
    rows: list[dict[str, Any]] = [
        dict(zip(names, one, strict=True)) | {"ended": True} for one in variants
    ]
    for name, values in found["values"].items():
        table = np.array(values, float).reshape(-1, len(variants))
        for row, column_ in zip(rows, table.T, strict=True):
            known = column_[~np.isnan(column_)]
            row[name] = float(np.median(known)) if len(known) else None
    works = json.loads(found["work"])
    columns = found["columns"]
    return Story(
        {
            "file": found["file"],
            "title": found["title"],
            "dimension": ", ".join(names),
            "rows": rows,
            "columns": columns,
            "units": {name: columns[name]["unit"] for name in found["values"]},
            "work": works if len(works) == len(rows) else [""] * len(rows),
            "series": [{"time_ns": []} for _ in rows],
            "nodes": [],
        }
    )
