"""Columns that several questions make or hide."""

from collections.abc import Sequence
from dataclasses import replace

from ...engine.study.columns import Column

#: Columns of ``SUMMARY`` that say nothing if no page is marked or parked by a
#: mechanism, as with NUMA balancing.
ONLY_LAZY = ("pages_marked", "swap_slots_peak", "migcache_entries_peak", "oom_kills")


def share(name: str, heading: str, text: str) -> Column:
    """Return a column of fractions from 0 to 1, which the table shows as percent."""
    return Column(name, heading, "1", text, dtype="f8", style="percent")


def hidden_share(name: str, text: str) -> Column:
    """Return a column of fractions that only the file has."""
    return Column(name, name, "1", text, dtype="f8", style="hidden")


def moment(name: str, heading: str, text: str) -> Column:
    """Return a column of times in ns, NaN if what ``text`` says never happened."""
    return Column(name, heading, "ns", text, dtype="f8", style="seconds")


def first(columns: Sequence[Column], *names: str) -> tuple[Column, ...]:
    """Return the columns; those of ``names``, or all of them, are the answer."""
    return tuple(
        replace(column, first=True) if column.name in names or not names else column
        for column in columns
    )


def later(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns, none of them part of the answer, times without ratios.

    For questions that the scenario's own columns answer.
    """
    return tuple(replace(one, first=False) for one in without_best(columns))


def without_best(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns, times without a comparison against the best of all rows.

    For questions whose variants do different work: none of them is the best.
    """
    return tuple(
        replace(column, style="seconds") if column.style == "ratio" else column
        for column in columns
    )
