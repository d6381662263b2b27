"""The table of ``--uncertainty``: the range of each ratio, and what makes it."""

import textwrap
from collections.abc import Sequence
from math import isnan

from ...engine.study.study import Study, label, named
from .table import Row, aligned

_WIDTH = 80
#: Which change makes a variant better, by whether its ratio is above 1 (a time).
_BETTER = {True: "ratio_low_by", False: "ratio_high_by"}


def ratio_ranges(study: Study, rows: Sequence[Row]) -> str:
    """Return the table of ranges, and a sentence on whether the best stays the best.

    rows  of ``run_study`` with ``uncertainty``
    """
    shown = [row for row in rows if not isnan(row["ratio"])]
    if not shown:
        return "No variant got far enough to be compared."
    names = named(study.dimension, study.dimension)
    columns = [
        (label(study.dimension), [", ".join(row[n] for n in names) for row in shown]),
        ("ratio", [_ratio(row["ratio"]) for row in shown]),
        ("least", [_ratio(row["ratio_low"]) for row in shown]),
        ("by", [_short(row["ratio_low_by"]) for row in shown]),
        ("most", [_ratio(row["ratio_high"]) for row in shown]),
        ("by", [_short(row["ratio_high_by"]) for row in shown]),
    ]
    head = "Ranges, if each cost that is not well known is halved and doubled:"
    return "\n".join([head, "", *aligned(columns), "", _best(study, rows)])


def _short(change: str) -> str:
    """Return a change of a cost without its unit, so that the table is narrow."""
    return change.replace("_ns ", " ") or "-"


def _ratio(value: float) -> str:
    return f"x{value:.2f}"


def _best(study: Study, rows: Sequence[Row]) -> str:
    """Return a sentence on the variants that a change makes the best, or not."""
    rivals = [
        f"{label(variant.name)} ({row[_BETTER[row['ratio'] > 1]]})"
        for variant, row in zip(study.variants, rows, strict=True)
        if row["ratio"] != 1 and (row["ratio_low"] <= 1 <= row["ratio_high"])
    ]
    if not rivals:
        return "No change of one cost makes another one the best."
    text = f"One change of a cost makes these the best: {', '.join(rivals)}."
    return textwrap.fill(text, _WIDTH)
