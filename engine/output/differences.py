"""What differs between two runs: in how they came to be, what was set, what came out.

The *values* of a run are those of ``/summary``, by variant and variable, a list with
one for each seed.
"""

import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..study.study import label
from .describe import described, parsed, plain, safe, scalar
from .provenance import flat
from .reader import HDF5_ERRORS, RunFile, Table, damaged

_SOURCES = ("command", "date", "host", "threads")
#: Variables that number rows over all variants.
_NUMBERS = ("epoch", "variant", "variant_name")

Values = Mapping[str, Mapping[str, Sequence[float | None]]]


class Difference(NamedTuple):
    """A value of ``/summary`` that differs.

    place     which point of a sweep it is, empty for a file by itself
    a, b      the values, medians over the seeds; None for what is not written
    relative  what b is more than a, as a part of a; None if a is 0 or either is none
    within    whether the ranges over the seeds overlap; None without several seeds
    """

    variant: str
    variable: str
    unit: str
    a: float | None
    b: float | None
    relative: float | None
    within: bool | None
    place: str = ""


def differences(a: str | os.PathLike, b: str | os.PathLike) -> dict[str, Any]:
    """Return what differs between two files, ready for JSON.

    ``equal`` is whether both have the same variants, and of what both have all of
    ``/summary`` (or ``/replicas``) and of the tables is the same.  Lists of two have
    what ``a`` and ``b`` say, None for what one of them does not.

    Raises BadInput as RunFile does.
    """
    first, second, tables = both(a, b)
    results = ranked(first["values"], second["values"], first["units"])
    variants = _only_one(first["variants"], second["variants"])
    variables = [set().union(*of["values"].values()) for of in (first, second)]
    return {
        "files": [first["file"], second["file"]],
        "equal": not (results or tables or any(variants)),
        "provenance": pairs(first["sources"], second["sources"]),
        "settings": settings_differ(first["settings"], second["settings"]),
        "only": {"variants": variants, "variables": _only_one(*variables)},
        "compared": shared(first["values"], second["values"]),
        "results": [one._asdict() for one in results],
        "tables": tables,
    }


def both(
    a: str | os.PathLike, b: str | os.PathLike
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what two files say, as plain data, and in what their tables differ."""
    with RunFile(a) as one, RunFile(b) as other:
        first, second = _read(one), _read(other)
        try:
            return first, second, safe(tables_differ(one, other))
        except HDF5_ERRORS as error:
            raise damaged(one.path) from error


def _read(file: RunFile) -> dict[str, Any]:
    try:
        return safe(_side(file))
    except BadInput:
        raise
    except HDF5_ERRORS as error:
        raise damaged(file.path) from error


def _side(file: RunFile) -> dict[str, Any]:
    """Return what is compared of a file, but its tables."""
    attributes, found = file.attributes, described(file)
    versions = parsed(attributes.get("versions"))
    sources = {key: scalar(attributes[key]) for key in _SOURCES if key in attributes}
    return {
        "file": str(file.path),
        "sources": {
            "software": found["software"],
            "format": found["format"],
            **{f"version of {key}": value for key, value in versions.items()},
            "state": found["state"],
            **sources,
        },
        "settings": _settings(attributes),
        "units": found["units"],
        "variants": [label(variant) for variant in file.variants],
        "values": _values(file),
    }


def _settings(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was asked and set, by where it is said."""
    settings, parameters, costs = (
        parsed(attributes.get(key)) for key in ("settings", "parameters", "costs")
    )
    each = {
        f"{key} of {variant}": value
        for variant, own in settings.get("variants", {}).items()
        for key, value in flat(own).items()
    }
    asked = {
        "question": scalar(attributes.get("title", "")),
        "seed": scalar(attributes.get("seeds", attributes.get("seed"))),
    }
    return {
        "asked": asked,
        "parameters": parameters,
        "settings": flat(settings.get("common", {})) | each,
        "costs": {f"cost.{key}": value for key, value in costs.items()},
    }


def settings_differ(
    first: Mapping[str, Mapping], second: Mapping[str, Mapping]
) -> dict[str, list]:
    """Return settings that differ; a file that says none of a kind differs in none."""
    found: dict[str, list] = {}
    for kind, one in first.items():
        if one and second[kind]:
            found |= pairs(one, second[kind])
    return found


def pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list]:
    """Return both values of each key whose values differ."""
    return {
        key: [first.get(key), second.get(key)]
        for key in {**first, **second}
        if first.get(key) != second.get(key)
    }


def _only_one(first: Iterable[str], second: Iterable[str]) -> list[list[str]]:
    """Return names that the first has alone, and those that the second has."""
    return [sorted({*first} - {*second}), sorted({*second} - {*first})]


# --- values ---------------------------------------------------------------------------


def _values(file: RunFile) -> dict[str, dict[str, list[float | None]]]:
    """Return the values of a run; refusals are a variable for each reason."""
    table = file.replicas or file.summary
    names, reasons = list(map(label, file.variants)), file.summary["reason"].tolist()
    found: dict[str, dict[str, list[float | None]]] = {name: {} for name in names}
    for name in table:
        axes = table.dimensions(name)
        if axes == (name,):
            continue
        parts = reasons if "reason" in axes else [""]
        values = table[name].reshape(len(names), -1, len(parts)).tolist()
        for variant, of_seeds in zip(names, values, strict=True):
            for part, *of in zip(parts, *of_seeds, strict=True):
                found[variant][f"{name} {part}".rstrip()] = [plain(one) for one in of]
    return found


def shared(first: Values, second: Values) -> int:
    """Return how many values both have."""
    both = first.keys() & second.keys()
    return sum(len(first[one].keys() & second[one].keys()) for one in both)


def ranked(
    first: Values, second: Values, units: Mapping[str, str], place: str = ""
) -> list[Difference]:
    """Return the values that differ and both have, the largest difference first."""
    found = []
    for variant in [name for name in first if name in second]:
        theirs = second[variant]
        for variable, ours in first[variant].items():
            if variable in theirs and list(ours) != list(theirs[variable]):
                unit = units.get(variable.partition(" ")[0], "1")
                of = _difference(ours, theirs[variable])
                found.append(Difference(variant, variable, unit, *of, place))
    return sorted(found, key=size_of, reverse=True)


def _difference(
    ours: Sequence[float | None], theirs: Sequence[float | None]
) -> tuple[float | None, float | None, float | None, bool | None]:
    a, b = middle(ours), middle(theirs)
    relative = (b - a) / abs(a) if a and b is not None else None
    return a, b, relative, _overlap(ours, theirs)


def size_of(one: Difference) -> float:
    """Return how large a difference is; from nothing it is the largest."""
    return math.inf if one.relative is None else abs(one.relative)


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median, the lower of two; what is not written is more than all."""
    known = sorted(math.inf if one is None else one for one in values)
    found = statistics.median_low(known)
    return None if found == math.inf else found


def _overlap(first: Sequence, second: Sequence) -> bool | None:
    """Tell whether the ranges of two lists overlap; None if both have one value."""
    if max(len(first), len(second)) < 2:
        return None
    known = [[one for one in side if one is not None] for side in (first, second)]
    if not all(known):
        return False
    (low, high), (other_low, other_high) = ((min(one), max(one)) for one in known)
    return low <= other_high and other_low <= high


# --- tables ---------------------------------------------------------------------------


def tables_differ(one: RunFile, other: RunFile) -> dict[str, dict[str, list]]:
    """Return what differs in tables that both have, of variants that both have.

    ``rows``: how many there are of both, if variants have not as many in both, or else
    the names of the ``variables`` that differ.
    """
    found: dict[str, dict[str, list]] = {}
    theirs = {label(variant) for variant in other.variants}
    variants = [name for name in map(label, one.variants) if name in theirs]
    for name in [name for name in one.tables if name in other.tables]:
        rows = [_rows(file, name, variants) for file in (one, other)]
        counts = [list(map(len, side)) for side in rows]
        if counts[0] != counts[1]:
            found[name] = {"rows": list(map(sum, counts))}
            continue
        at = [np.concatenate([*side, np.empty(0, int)]).astype(int) for side in rows]
        differ = _variables_differ(name, (one, other), at)
        if differ:
            found[name] = {"variables": differ}
    return found


def _rows(file: RunFile, name: str, variants: Sequence[str]) -> list[np.ndarray]:
    """Return which rows of a table are of each of ``variants``."""
    numbers, names = file.tables[name]["variant"], list(map(label, file.variants))
    return [np.flatnonzero(numbers == names.index(variant)) for variant in variants]


def _variables_differ(
    name: str, files: tuple[RunFile, RunFile], at: Sequence[np.ndarray]
) -> list[str]:
    """Return the variables of a table that differ in the rows ``at`` of two files."""
    tables = [file.tables[name] for file in files]
    known = {*_NUMBERS, tables[0].coordinate}
    shared = [
        key
        for key in tables[0]
        if key in tables[1] and key not in known and not tables[0].is_bare(key)
    ]
    same = _same_blocks if name == "snapshots" else _same
    return [key for key in shared if not same(key, files, tables, at)]


def _same_blocks(
    name: str, files: Sequence[RunFile], tables: Sequence[Table], at: Sequence
) -> bool:
    """Tell whether a variable of snapshots is the same: blocks are read row by row."""
    if name not in ("block_node", "block_kind"):
        return _same(name, files, tables, at)
    read = RunFile.placement if name == "block_node" else RunFile.kinds
    return all(
        np.array_equal(read(files[0], i), read(files[1], j))
        for i, j in zip(*at, strict=True)
    )


def _same(
    name: str, _: Sequence[RunFile], tables: Sequence[Table], at: Sequence
) -> bool:
    first, second = (
        table[name][rows] if table.grows(name) else table[name]
        for table, rows in zip(tables, at, strict=True)
    )
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
