"""Replicas: each variant with several seeds; its middle, its spread, its rank."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from .columns import Column
from .study import Study

Row = dict[str, Any]
#: Where a row has those of its replicas, each with its ``seed``.
REPLICAS = "replicas"
#: What differs by no more is equal: other seeds give as much.
SAME = 0.01


def middle(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Row:
    """Return the median of each column, of an even number the lower of both.

    NaN, of what never came, is more than any number.  What is no column is that of the
    first row.
    """
    import numpy as np  # here: the command's help needs no NumPy

    found = dict(rows[0])
    for column in columns:
        values = np.sort([row[column.name] for row in rows], axis=0)
        found[column.name] = values[(len(rows) - 1) // 2]
    return found


def spread(name: str, row: Row) -> tuple[Any, Any]:
    """Return the least and the greatest value of a column, NaN as ``middle`` has it."""
    values = [one[name] for one in row[REPLICAS]]
    values.sort(key=lambda value: (value != value, value))
    return values[0], values[-1]


def rank_of_replicas(study: Study, rows: Sequence[Row]) -> str:
    """Say in how many replicas the ranking of ``rows`` holds; nothing without them."""
    if not rows or REPLICAS not in rows[0] or len(rows) < 2:
        return ""
    if study.compared not in rows[0]:
        return ""
    count = len(rows[0][REPLICAS])
    usual = _pairs(study, rows)
    if not usual:
        return f"No order of {count} seeds: all are equal within 1 %."
    holds = sum(
        not any(_before(study, one[late], one[early]) for early, late in usual)
        for one in ([row[REPLICAS][k] for row in rows] for k in range(count))
    )
    return f"This order holds with {holds} of {count} seeds."


def _pairs(study: Study, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return (better, worse) of all rows that can be compared and are not equal."""
    groups = [study.group(row) if study.group else "" for row in rows]
    both = [
        p for p in combinations(range(len(rows)), 2) if groups[p[0]] == groups[p[1]]
    ]
    return [
        (first, second)
        for a, b in both
        for first, second in ((a, b), (b, a))
        if _before(study, rows[first], rows[second])
    ]


def _before(study: Study, one: Row, other: Row) -> bool:
    """Tell whether a row is better than another by more than ``SAME``."""
    a, b = float(one[study.compared]), float(other[study.compared])
    if not study.compared.endswith("_ns"):
        a, b = b, a
    if math.isnan(a) or math.isnan(b):
        return not math.isnan(a)
    return a * (1 + SAME) < b
