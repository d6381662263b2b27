"""What is shown of the rows of a study: columns of headings and cells, for people.

First the answer, then where the time went, then the rest.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...kernels.counters import Refusal
from .columns import Column
from .figures import count, percent, ratio, seconds
from .replicas import REPLICAS, spread
from .study import Study, label, named
from .verdict import UNENDED, name_of, unscanned, was_killed

#: A row of ``run_study``: the columns of one variant, and its name.
Row = dict[str, Any]

_GAP = "  "
#: A cause that takes less of the time of every variant is one of the others.
_SMALL = 0.01
#: What the heading of a count says of its unit.
_UNITS = {"page": "pages", "byte": "bytes"}


class Shown(NamedTuple):
    """A column on the screen: its heading, a cell for each row, what it means."""

    heading: str
    cells: list[str]
    meaning: str = ""


def groups(study: Study, rows: Sequence[Row]) -> list[tuple[str, list[Shown]]]:
    """Return (title, columns) of the answer, of the time by cause, and of the rest."""
    columns = [one for one in study.columns if one.style != "hidden"]
    plain = [one for one in columns if not one.by_reason and one.style != "cause"]
    first = [one for one in plain if one.first] or plain
    first.sort(key=lambda one: one.style != "ratio")
    rest = [one for one in plain if one not in first]
    wall = Shown(
        "wall time",
        [seconds(row["wall_s"] * 1e9) for row in rows],
        "time that this machine took",
    )
    return [
        ("", [shown for one in first for shown in _with_spread(study, one, rows)]),
        (
            "Where the time of the job went, a mean over its tasks:",
            _by_cause([one for one in columns if one.style == "cause"], rows),
        ),
        ("", [*(shown for one in rest for shown in _shown(study, one, rows)), wall]),
    ]


def names_of(study: Study, rows: Sequence[Row]) -> Shown:
    """Return the names of the variants; each dimension is in a column of its own."""
    dimensions = list(named(study.dimension, study.dimension))
    names = [[str(row[name]) for name in dimensions] for row in rows]
    widths = [max(map(len, column)) for column in zip(*names, strict=True)]
    padded = [
        _GAP.join(text.ljust(width) for text, width in zip(name, widths, strict=True))
        for name in names
    ]
    return Shown(label(study.dimension), [name.rstrip() for name in padded])


def _shown(study: Study, column: Column, rows: Sequence[Row]) -> list[Shown]:
    """Return what ``column`` shows: one column, two for a ratio, or none if all is 0.

    The answer is shown whatever it is.
    """
    values = [_plain(row[column.name]) for row in rows]
    if not column.first and not any(value and value == value for value in values):
        return []
    if column.style == "count":
        unit = _UNITS.get(column.unit)
        heading = f"{column.heading} ({unit})" if unit else column.heading
        return [Shown(heading, [count(value) for value in values], column.long_name)]
    if column.style == "percent":
        cells = [
            "-" if was_killed(row) and column.name in UNENDED else percent(value)
            for row, value in zip(rows, values, strict=True)
        ]
        return [Shown(column.heading, cells, column.long_name)]
    times = [
        "killed" if was_killed(row) and column.name in UNENDED else _until(value)
        for row, value in zip(rows, values, strict=True)
    ]
    shown = Shown(column.heading, times, column.long_name)
    if column.style != "ratio" or len(rows) == 1:
        return [shown]
    return [shown, _against(study, column.name, rows)]


def _with_spread(study: Study, column: Column, rows: Sequence[Row]) -> list[Shown]:
    """Return what ``column`` shows, and how far its value hangs on the seed."""
    shown = _shown(study, column, rows)
    if not shown or REPLICAS not in rows[0]:
        return shown
    text = {"count": count, "percent": percent}.get(column.style, _until)
    cells = []
    for row in rows:
        low, high = (text(_plain(value)) for value in spread(column.name, row))
        number, _, unit = low.rpartition(" ")
        begin = number if number and high.endswith(f" {unit}") else low
        cells.append("same" if low == high else f"{begin}-{high}")
    meaning = f"least and greatest {column.heading} of {len(rows[0][REPLICAS])} seeds"
    return [*shown, Shown(f"{column.heading} (spread)", cells, meaning)]


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.tolist() if hasattr(value, "tolist") else value


def _against(study: Study, name: str, rows: Sequence[Row]) -> Shown:
    """Return the times against the shortest of those that they are compared with."""
    best: dict[str, float] = {}
    of = [study.group(row) if study.group else "" for row in rows]
    for group, row in zip(of, rows, strict=True):
        if not was_killed(row) and not unscanned(row):
            best[group] = min(row[name], best.get(group, math.inf))
    cells = []
    for group, row in zip(of, rows, strict=True):
        if was_killed(row):
            cells.append("-")
        elif unscanned(row):
            cells.append("no scan")
        else:
            first = row[name] == best[group]
            cells.append("best" if first else ratio(row[name], best[group]))
    return Shown("against best", cells, "time as a multiple of the shortest one")


def _by_cause(columns: Sequence[Column], rows: Sequence[Row]) -> list[Shown]:
    """Return the causes that take a part of the time, and all others as one column."""
    shown, others = [], [0] * len(rows)
    for column in columns:
        times = [int(row[column.name]) for row in rows]
        parts = zip(times, _took(columns, rows), strict=True)
        if any(part >= _SMALL * took > 0 for part, took in parts):
            cells = [seconds(time) if time else "-" for time in times]
            shown.append(Shown(column.heading, cells, column.long_name))
        else:
            others = [sum(pair) for pair in zip(others, times, strict=True)]
    if shown and any(others):
        cells = [seconds(time) if time else "-" for time in others]
        shown.append(Shown("others", cells, "time of the job in all other causes"))
    return shown


def _took(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """Return the time of each row, the sum of its causes."""
    return [sum(int(row[column.name]) for column in columns) for row in rows]


def _until(nanoseconds: float) -> str:
    """Return a time, or ``never`` for NaN."""
    return "never" if math.isnan(nanoseconds) else seconds(nanoseconds)


def refusals(study: Study, rows: Sequence[Row]) -> list[str]:
    """Return lines that say why pages were refused, none if none were."""
    lines = []
    for column in study.columns:
        for row in rows if column.by_reason else ():
            counts = zip(Refusal, row[column.name], strict=True)
            said = [f"{count(int(n))} {why.name.lower()}" for why, n in counts if n]
            if said:
                lines.append(
                    f"{name_of(study, row)} {column.heading}: {', '.join(said)}"
                )
    return lines
