"""The table of a page: the answer first, then what else was counted, sorted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..cli.info_text import figure
from .story import Story

#: What the answer is, if the file does not say so.
_FIRST = ("run_time_ns", "local_fraction", "local_fraction_end")
_UNITS = {"page": "pages", "event": "", "1": "", "ns": "", "byte": ""}


class Cell(NamedTuple):
    """A figure for people, and how long its bar is, in percent; None: no bar."""

    text: str
    bar: float | None = None


class Rows(NamedTuple):
    """A table: (heading, meaning) of each column, and a row of cells a variant."""

    heads: list[tuple[str, str]]
    rows: list[tuple[str, str, list[Cell]]]


def answer(story: Story) -> Rows:
    """Return the columns that answer the question."""
    return _rows(story, [name for name in _plain(story) if _is_first(story, name)])


def others(story: Story) -> Rows:
    """Return all other columns in which a variant has more than nothing."""
    names = [
        name
        for name in _plain(story)
        if not _is_first(story, name) and any(row[name] for row in story.rows)
    ]
    return _rows(story, names)


def _plain(story: Story) -> list[str]:
    """Return the columns that are shown and no parts of the time."""
    columns: Mapping[str, Mapping[str, Any]] = story.found["columns"]
    return [
        name
        for name in story.found["units"]
        if columns[name]["style"] not in ("hidden", "cause")
        and not (name.startswith("time_") and name.endswith("_ns"))
        and not any(isinstance(row[name], Mapping) for row in story.rows)
    ]


def _is_first(story: Story, name: str) -> bool:
    columns = story.found["columns"]
    if any(column["first"] for column in columns.values()):
        return bool(columns[name]["first"])
    return name in _FIRST


def _rows(story: Story, names: Sequence[str]) -> Rows:
    columns, units = story.found["columns"], story.found["units"]
    names = sorted(names, key=lambda name: columns[name]["style"] != "ratio")
    heads = []
    for name in names:
        unit = _UNITS.get(units[name], units[name])
        head = columns[name]["heading"] + (f" ({unit})" if unit else "")
        heads.append((head, columns[name]["meaning"]))
    cells = {name: _cells(story, name) for name in names}
    return Rows(
        heads,
        [
            (story.names[i], story.colour(i), [cells[name][i] for name in names])
            for i in story.order
        ],
    )


def _cells(story: Story, name: str) -> list[Cell]:
    """Return a column; times and shares have bars."""
    unit = story.found["units"][name]
    values = [row[name] for row in story.rows]
    known = [value for value in values if value is not None]
    share = name.endswith(("_share", "_fraction", "_fraction_end"))
    bars = unit == "ns" or share
    top = 1.0 if share else max(known, default=0) or 1
    cells = []
    for row, value in zip(story.rows, values, strict=True):
        text = figure(name, unit, value, row["ended"])
        bar = 100 * value / top if bars and value is not None else None
        cells.append(Cell(text, bar))
    return cells
