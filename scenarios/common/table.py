"""The table that a run ends with: one line for each variant, numbers for people."""

import math
from collections.abc import Sequence
from dataclasses import fields
from itertools import zip_longest
from typing import Any

from ...engine.settings.cost_file import Finding
from ...engine.settings.costs import Costs
from ...engine.study.columns import Column
from ...engine.study.study import Study, label, named
from ...kernels.counters import Refusal

#: A row of ``run_study``: the columns of one variant, and its name.
Row = dict[str, Any]

_GAP = "  "
# Unit of time, its length in ns, the smallest number of units that is shown in it.
_UNITS = (
    ("days", 86_400e9, 1),
    ("h", 3_600e9, 2),
    ("s", 1e9, 1),
    ("ms", 1e6, 1),
    ("us", 1e3, 1),
)


def table(study: Study, rows: Sequence[Row]) -> str:
    """Return the table of ``rows``, which ``engine.run.run_study`` returned.

    Counts that are 0 in all rows are left out; the file has them.
    """
    columns = [_names(study, rows)]
    for column in study.columns:
        if column.style != "hidden" and not column.by_reason:
            values = [row[column.name] for row in rows]
            if column.style != "count" or any(values):
                columns += _cells(column, values)
    columns.append(("wall time", [seconds(row["wall_s"] * 1e9) for row in rows]))

    head, *lines = aligned(columns)
    shown = [head]
    for line, row in zip(lines, rows, strict=True):
        shown += [line, *_refusals(study.columns, row)]
    return "\n".join([study.question, "", *shown])


def _names(study: Study, rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return (heading, names) of the variants; two dimensions are in two columns."""
    dimensions = list(named(study.dimension, study.dimension))
    names = [[str(row[name]) for name in dimensions] for row in rows]
    widths = [max(map(len, column)) for column in zip(*names, strict=True)]
    padded = [
        _GAP.join(text.ljust(width) for text, width in zip(name, widths, strict=True))
        for name in names
    ]
    return label(study.dimension), [name.rstrip() for name in padded]


def aligned(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the head of a table of (heading, cells), and a line for each row."""
    headings = [heading.split(" ", 1) for heading, _ in columns]
    widths = [
        max(map(len, (*heading, *cells)))
        for heading, (_, cells) in zip(headings, columns, strict=True)
    ]
    upper = zip_longest(*(heading[::-1] for heading in headings), fillvalue="")
    head = [_line(words, widths) for words in reversed(list(upper))]
    head.append(_GAP.join("-" * width for width in widths))
    rows = zip(*(cells for _, cells in columns), strict=True)
    return ["\n".join(head), *(_line(cells, widths) for cells in rows)]


def cost_table(findings: Sequence[Finding], source: str) -> str:
    """Return the table of all costs, with ``-`` for those that were not measured."""
    known = {field.name: field for field in fields(Costs)}
    lines = aligned(
        [
            ("cost", [finding.name for finding in findings]),
            ("measured", [_measured(finding.value) for finding in findings]),
            ("default", [f"{known[f.name].default:,}" for f in findings]),
            ("unit", [known[f.name].metadata["unit"] for f in findings]),
        ]
    )
    rows = [f"{row}  {f.how}" for row, f in zip(lines[1:], findings, strict=True)]
    return "\n".join([source, "", lines[0], *rows])


def _measured(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def count(number: float) -> str:
    """Return a number for people: ``12,345``, ``33.6 M``, ``0.25``."""
    if abs(number) < 1_000_000:
        return f"{number:,}" if isinstance(number, int) else _three_digits(number)
    power = 0
    while abs(number) >= 999.5 and power < 5:
        number /= 1000
        power += 1
    return f"{_three_digits(number)} {' kMGTP'[power]}"


def seconds(nanoseconds: float) -> str:
    """Return a time for people: ``7.59 days``, ``1,203 s``, ``3.40 ms``."""
    for unit, length, least in _UNITS:
        if nanoseconds >= least * length:
            return f"{_three_digits(nanoseconds / length)} {unit}"
    return f"{nanoseconds:.0f} ns" if nanoseconds >= 0 else "-"


def _three_digits(number: float) -> str:
    """Return ``number`` with at least three digits and at most two decimals."""
    size = abs(number)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{number:,.{decimals}f}"


def _cells(column: Column, values: list[Any]) -> list[tuple[str, list[str]]]:
    """Return the (heading, cells) that ``column`` shows: one, or two for a ratio."""
    values = [getattr(value, "tolist", lambda v=value: v)() for value in values]
    if column.style == "percent":
        return [(column.heading, [percent(value) for value in values])]
    if column.style == "count":
        return [(column.heading, [count(value) for value in values])]
    times = (column.heading, [_until(value) for value in values])
    if column.style == "seconds":
        return [times]
    return [times, ("against best", _against(min(values), values))]


def _until(nanoseconds: float) -> str:
    """Return a time, or ``never`` for NaN."""
    return "never" if math.isnan(nanoseconds) else seconds(nanoseconds)


def percent(fraction: float) -> str:
    """Return a fraction for people: ``12.5 %``, ``-`` for NaN."""
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f} %"


def _against(best: float, values: list[float]) -> list[str]:
    return [
        "best" if v == best else f"x{v / best:.2f}" if best else "-" for v in values
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line: the name aligned to the left, numbers to the right."""
    name, *numbers = cells
    padded = [name.ljust(widths[0])]
    padded += [n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True)]
    return _GAP.join(padded).rstrip()


def _refusals(columns: Sequence[Column], row: Row) -> list[str]:
    """Return a line that says why pages were refused, nothing if none were."""
    lines = []
    for column in columns:
        if column.by_reason:
            counts = zip(Refusal, row[column.name], strict=True)
            said = [
                f"{count(int(n))} {reason.name.lower()}" for reason, n in counts if n
            ]
            lines += [f"  {column.heading}: {', '.join(said)}"] if said else []
    return lines
