"""What differs between two runs of a sweep, point by point."""

from collections.abc import Iterable, Mapping
from typing import Any

from ...engine.errors import BadInput
from ...engine.output.differences import (
    Values,
    both,
    pairs,
    ranked,
    settings_differ,
    shared,
    size_of,
)
from ..cli.info_text import as_typed
from .cells import Cell, Reading, cells_of

#: What the files of one point say in either folder.
Pair = tuple[dict[str, Any], dict[str, Any]]


def sweeps_differ(a: str, b: str, reading: Reading) -> dict[str, Any]:
    """Return what differs between the sweeps of two folders, as ``differences`` does.

    Points with the same varied settings are compared over the seeds that both have.
    ``points`` in ``only`` are those, with their seeds, which one of both has not done.

    Raises BadInput if they have no point in common.
    """
    ours, theirs = _done(a, reading), _done(b, reading)
    if not ours.keys() & theirs.keys():
        raise BadInput(f"folders must have points in common, got {a} and {b}")
    places: dict[str, list[Pair]] = {}
    tables: dict[str, Any] = {}
    for name in [name for name in ours if name in theirs]:
        paths = [side[name].path for side in (ours, theirs)]
        with reading(*map(str, paths)):
            one, other, differ = both(*paths)
        places.setdefault(_place(ours[name]), []).append((one, other))
        if differ:
            tables[name] = differ
    results = [one for name, of in places.items() for one in _ranked(name, of)]
    only = [_missing(ours, theirs), _missing(theirs, ours)]
    first, second = next(iter(places.values()))[0]
    return {
        "files": [a, b],
        "equal": not (results or tables or any(only)),
        "provenance": pairs(first["sources"], second["sources"]),
        "settings": settings_differ(first["settings"], second["settings"]),
        "only": {"points": only},
        "compared": sum(shared(*_over_seeds(of)) for of in places.values()),
        "results": [
            one._asdict() for one in sorted(results, key=size_of, reverse=True)
        ],
        "tables": tables,
    }


def _done(path: str, reading: Reading) -> dict[str, Cell]:
    """Return the points that are done, by what they are called in both folders."""
    cells = cells_of([path], reading).cells
    return {
        f"{_place(cell)} seed {cell.seed}".strip(): cell
        for cell in cells
        if not cell.missing
    }


def _place(cell: Cell) -> str:
    return " ".join(f"{key}={as_typed(of)}" for key, of in cell.settings.items())


def _missing(ours: Iterable[str], theirs: Mapping[str, Cell]) -> list[str]:
    return [name for name in ours if name not in theirs]


def _ranked(place: str, of: list[Pair]) -> list[Any]:
    first, second = _over_seeds(of)
    return ranked(first, second, of[0][0]["units"], place)


def _over_seeds(of: list[Pair]) -> tuple[Values, Values]:
    """Return the values of both sides with the seeds of all files in one list."""
    return _joined([one["values"] for one, _ in of]), _joined(
        [b["values"] for _, b in of]
    )


def _joined(each: list[Values]) -> Values:
    first, *others = each
    return {
        variant: {
            variable: [value for one in each for value in one[variant][variable]]
            for variable in first[variant]
            if all(variable in one[variant] for one in others)
        }
        for variant in first
        if all(variant in one for one in others)
    }
