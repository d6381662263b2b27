"""A sweep: one scenario, settings that are fixed, and lists of those that vary.

The file is TOML: ``scenario``, ``seeds``, and tables ``[set]`` of fixed settings,
``[grid]`` of lists that are combined, ``[zip]`` of lists that go together.  Values are
read as those of ``--set``.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ...engine.errors import BadInput
from ..cli.find import find_scenario
from ..common.toml_settings import (
    as_typed,
    check_keys,
    read_toml,
    scenario_beside,
    settings_table,
)
from ..common.typed import typed

_KEYS = ("scenario", "seeds", "set", "grid", "zip")
#: A sweep of a million points is a mistake: each is a file.
MOST_POINTS = 100_000


class Point(NamedTuple):
    """One run of a sweep; ``settings`` are all of it, fixed ones too."""

    number: int
    seed: int
    settings: dict[str, Any]


class Sweep(NamedTuple):
    """A sweep as it was read.

    scenario  name or path, as find_scenario takes it
    varied    names of the settings that vary, in the order of the file
    digest    changes with whatever a point's result depends on
    """

    scenario: str
    varied: tuple[str, ...]
    points: tuple[Point, ...]
    digest: str


def read_sweep(path: str | os.PathLike) -> Sweep:
    """Return the sweep of a file, its points checked.

    Raises BadInput, with the file and the key, for what makes no sense.
    """
    try:
        found, _ = read_toml(Path(path), "sweep")
        return _sweep(found, Path(path).parent)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _sweep(found: Mapping[str, Any], folder: Path) -> Sweep:
    check_keys(found, _KEYS)
    scenario = scenario_beside(found.get("scenario"), folder)
    module = find_scenario(scenario)
    fixed = settings_table(found, "set")
    grid = {key: _values(key, of) for key, of in settings_table(found, "grid").items()}
    zipped = {key: _values(key, of) for key, of in settings_table(found, "zip").items()}
    _check_tables(found, fixed, grid, zipped)
    seeds = _seeds(found.get("seeds", [1]))
    points = _points(as_typed(fixed), grid, zipped, seeds)
    for point in points:
        _check(module, point)
    return Sweep(scenario, (*zipped, *grid), points, _digest(module, points))


def _values(key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise BadInput(f"{key} must be a list of values, got {values!r}")
    return [as_typed({key: value})[key] for value in values]


def _check_tables(
    found: Mapping, fixed: Mapping, grid: Mapping, zipped: Mapping
) -> None:
    if "grid" in found and not grid:
        raise BadInput("grid must have at least one list, got none")
    keys = [*fixed, *grid, *zipped]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise BadInput(f"{twice[0]} must stand in one table, got two")
    lengths = {key: len(values) for key, values in zipped.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput(f"lists of zip must be of one length, got {lengths}")


def _seeds(seeds: Any) -> list[int]:
    ok = isinstance(seeds, list) and seeds and all(type(s) is int for s in seeds)
    if not ok or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise BadInput(
            f"seeds must be a list of different integers from 0 on, got {seeds!r}"
        )
    return seeds


def _points(
    fixed: dict[str, Any],
    grid: Mapping[str, list],
    zipped: Mapping[str, list],
    seeds: list[int],
) -> tuple[Point, ...]:
    """Return all points: zipped lists first, seeds fastest."""
    rows = [
        dict(zip(zipped, row, strict=True))
        for row in zip(*zipped.values(), strict=True)
    ]
    cells = [dict(zip(grid, cell, strict=True)) for cell in product(*grid.values())]
    count = max(1, len(rows)) * len(cells) * len(seeds)
    if count > MOST_POINTS:
        raise BadInput(f"points must be at most {MOST_POINTS}, got {count}")
    combined = product(rows or [{}], cells, seeds)
    return tuple(
        Point(number, seed, fixed | row | cell)
        for number, (row, cell, seed) in enumerate(combined)
    )


def _check(module: ModuleType, point: Point) -> None:
    """Raise BadInput if a point's settings are not the scenario's."""
    typed(module, point.settings)


def _digest(module: ModuleType, points: tuple[Point, ...]) -> str:
    """Return a digest of the points and of the scenario's code."""
    digest = hashlib.blake2b(Path(str(module.__file__)).read_bytes(), digest_size=8)
    digest.update(json.dumps(points).encode())
    return digest.hexdigest()
