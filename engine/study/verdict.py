"""The verdict of a study: one or two sentences, made from the rows of its table.

A scenario may give a verdict of its own (``Study.verdict``); the one here is for
scenarios whose variants do the same work, so that the fastest is the best.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...kernels.counters import Cause
from ..observer import cause_time
from .columns import TIMES
from .figures import count, listed, percent, ratio, seconds
from .replicas import SAME, rank_of_replicas
from .study import Study, named

Row = dict[str, Any]
#: Columns that say nothing of a job that was killed.
UNENDED = ("run_time_ns", "local_fraction", "local_fraction_end")
#: A part of the time that is worth a word.
MOST = 0.5
_MEANING = {
    column.name: column.long_name.removeprefix("time of the job in ").split(",")[0]
    for column in TIMES
}


class Rank(NamedTuple):
    """Rows that can be compared, fastest first, and the names of those that cannot."""

    rows: list[Row]
    killed: list[str]
    unscanned: list[Row]


def verdict_of(study: Study, rows: Sequence[Row]) -> str:
    """Return the verdict of ``study`` on its rows, ``""`` if it has none."""
    text = (study.verdict or fastest)(study, list(rows))
    fair = [row for row in rows if not unscanned(row)]
    return sentences(text, rank_of_replicas(study, fair)) if text else text


def name_of(study: Study, row: Row) -> str:
    """Return the name of a row's variant."""
    return ", ".join(str(row[name]) for name in named(study.dimension, study.dimension))


def was_killed(row: Row) -> bool:
    """Tell whether the job of a row was killed, so that it has no time."""
    return bool(row.get("oom_kills"))


def unscanned(row: Row) -> bool:
    """Tell whether NUMA balancing was to run, and the job ended before it could."""
    return bool(row.get("balancing_unscanned"))


def ranked(study: Study, rows: Sequence[Row]) -> Rank:
    """Return the rows by their time, those apart that cannot be compared."""
    killed = [name_of(study, row) for row in rows if was_killed(row)]
    late = [row for row in rows if unscanned(row) and not was_killed(row)]
    fair = [row for row in rows if not was_killed(row) and not unscanned(row)]
    return Rank(sorted(fair, key=lambda row: row["run_time_ns"]), killed, late)


def fastest(study: Study, rows: Sequence[Row]) -> str:
    """Say which variant is fastest, by how much, and what takes the time."""
    if "run_time_ns" not in (column.name for column in study.columns):
        return ""
    rank = ranked(study, rows)
    return sentences(
        _winner(study, rank.rows), *_causes(study, rank.rows), *apart(study, rank)
    )


def sentences(*texts: str) -> str:
    """Return texts as one paragraph, empty ones left out."""
    return " ".join(text for text in texts if text)


def apart(study: Study, rank: Rank) -> list[str]:
    """Return a sentence on the variants that cannot be compared."""
    texts = []
    if rank.killed:
        one = len(rank.killed) == 1
        so = "was killed, and so has" if one else "were killed, and so have"
        texts.append(f"{listed(rank.killed)} {so} no time.")
    return texts + [
        f"{name_of(study, row)} marked no page in {seconds(row['run_time_ns'])}: the"
        " job ended before its first scan, so this size says nothing about it."
        for row in rank.unscanned
    ]


def _winner(study: Study, rows: list[Row]) -> str:
    """Say which of ``rows``, fastest first, wins, and by how much."""
    if not rows:
        return ""
    best = rows[0]["run_time_ns"]
    close = [row for row in rows if not _slower(row, rows[0])]
    names, others = [name_of(study, row) for row in close], rows[len(close) :]
    if len(rows) == 1:
        return f"{names[0]} takes {seconds(best)}{_local(rows[0])}."
    if not others:
        return f"All take the same time within 1 %: {seconds(best)}."
    what = "is fastest" if len(names) == 1 else "are fastest, within 1 %"
    behind = [
        f"{name_of(study, row)} {ratio(row['run_time_ns'], best)}" for row in others
    ]
    if len(behind) > 4:
        behind = [behind[0], f"{len(behind) - 2} others", behind[-1]]
    return f"{listed(names)} {what}: {seconds(best)}; {listed(behind)} of that."


def _slower(row: Row, best: Row) -> bool:
    return bool(row["run_time_ns"] > best["run_time_ns"] * (1 + SAME))


def _local(row: Row) -> str:
    share = row.get("local_fraction", math.nan)
    return (
        "" if math.isnan(share) else f", and {percent(share)} of its accesses are local"
    )


def _causes(study: Study, rows: list[Row]) -> list[str]:
    """Say what takes the time of the fastest, and of the slowest if it is slower."""
    said = []
    for row in [*rows[:1], *(row for row in rows[-1:] if _slower(row, rows[0]))]:
        text = dominant(row)
        if text:
            said.append(f"{text[0]} of {name_of(study, row)}'s time is {text[1]}")
    return [f"{'; '.join(said)}."] if said else []


def dominant(row: Row) -> tuple[str, str] | None:
    """Return (share, what) of that which takes most of a row's time, None if nothing.

    What one task does while the others wait comes first, as it hides in a mean.
    """
    took = row.get("run_time_ns", math.nan)
    if not took > 0 or "alone_ns" not in row:
        return None
    for part, text in (_flushes(row), _alone(row), _mean(row)):
        if part >= MOST * took:
            return f"{100 * part / took:.0f} %", text
    return None


def _flushes(row: Row) -> tuple[float, str]:
    """Return (ns, what) of the TLB flushes of one caller."""
    moved = max(row.get("pages_migrated", 0), row.get("pages_marked", 0))
    pages = moved / row["tlb_flushes"] if row["tlb_flushes"] else 0
    each = "one a page" if 0 < pages < 1.5 else f"one for {count(round(pages))} pages"
    return row["tlb_flush_ns"], f"one caller's TLB flushes, {each}"


def _alone(row: Row) -> tuple[float, str]:
    """Return (ns, what) of that which one task does while others wait."""
    name = cause_time(Cause(int(row["alone_cause"])))
    return row["alone_ns"], f"{_MEANING[name]} by one task, while the others wait"


def _mean(row: Row) -> tuple[float, str]:
    """Return (ns, what) of the largest cause, in the mean over the tasks."""
    names: list[str] = [column.name for column in TIMES if column.style == "cause"]
    name = max(names, key=lambda one: row[one])
    return row[name], _MEANING[name]
