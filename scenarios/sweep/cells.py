"""Which runs are looked at together, and in which settings they differ.

A *cell* is a run at its place among others: a point of a sweep, or a file by itself.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...engine.errors import BadInput
from ...engine.output.data_tree import open_run
from ...engine.output.provenance import flat
from .folder import Folder, swept
from .points import Point


class Cell(NamedTuple):
    """A run: what it is called, its settings that vary, its file.

    missing  why there is no file, empty if there is one
    group    of the file which has its values: ``replicas`` if there are several seeds
    """

    name: str
    seed: int
    settings: dict[str, Any]
    path: Path
    missing: str = ""
    group: str = "summary"


class Cells(NamedTuple):
    """Runs, and the settings in which they differ: first those that go together."""

    cells: tuple[Cell, ...]
    varied: tuple[str, ...]
    zipped: int


#: Says which files are read now.
Reading = Callable[..., AbstractContextManager[None]]


def cells_of(paths: Sequence[str], reading: Reading) -> Cells:
    """Return the points of the sweep in a folder, or the runs of several files.

    reading  a context in which a path is read

    Raises BadInput if a folder has no sweep, files differ in nothing, or two of them
    have the same settings and seed.
    """
    if len(paths) == 1 and Path(paths[0]).is_dir():
        return _of_folder(Path(paths[0]))
    return _of_files(paths, reading)


def _of_folder(path: Path) -> Cells:
    folder = swept(path)
    sweep = folder.sweep
    cells = []
    for point in sweep.points:
        varied = {key: point.settings[key] for key in sweep.varied}
        file, name = folder.file(point), f"point {point.number}"
        cells.append(Cell(name, point.seed, varied, file, _missing(folder, point)))
    return Cells(tuple(cells), sweep.varied, sweep.zipped)


def _missing(folder: Folder, point: Point) -> str:
    """Return why a point has no file, empty if it has one."""
    state = folder.state(point)
    if state == "failed":
        return (
            f"failed: {folder.note(point, 'failed').get('message', 'no reason noted')}"
        )
    return "" if state == "done" else state


def _of_files(paths: Sequence[str], reading: Reading) -> Cells:
    found = []
    for path in paths:
        with reading(path):
            found.append(open_run(path, ()).attrs)
    settings = [_settings(one) for one in found]
    varied = _differing(settings)
    cells = tuple(
        Cell(path, seed, {key: own.get(key) for key in varied}, Path(path), "", group)
        for path, one, own in zip(paths, found, settings, strict=True)
        for seed, group in _seeds(one)
    )
    _check_apart(cells)
    values = [len({value_key(cell.settings[key]) for cell in cells}) for key in varied]
    combined = {value_key(cell.settings) for cell in cells}
    is_full = np.prod(values) == len(combined)
    return Cells(cells, varied, 0 if is_full else len(varied))


def _seeds(attributes: Mapping[Any, Any]) -> list[tuple[int, str]]:
    """Return each seed of a file, and the group that has its values."""
    if "seeds" in attributes:
        return [(seed, "replicas") for seed in attributes["seeds"]]
    return [(attributes.get("seed", 0), "summary")]


def _settings(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return all that was set of a run, by full names."""
    common = attributes.get("settings", {}).get("common", {})
    costs = {f"cost.{key}": of for key, of in attributes.get("costs", {}).items()}
    return flat(attributes.get("parameters", {}) or common) | costs


def _differing(settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for one in settings for key in one)
    return tuple(
        k for k in keys if len({value_key(one.get(k)) for one in settings}) > 1
    )


def value_key(value: Any) -> str:
    """Return a value as a text that equal values share."""
    return json.dumps(value, sort_keys=True)


def _check_apart(cells: Iterable[Cell]) -> None:
    seen: dict[str, str] = {}
    for cell in cells:
        key = value_key([cell.settings, cell.seed])
        if key in seen:
            raise BadInput(
                "files must differ in a setting or in the seed, got"
                f" {seen[key]} and {cell.name}"
            )
        seen[key] = cell.name
