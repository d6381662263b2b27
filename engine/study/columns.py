"""Columns of the table that a study prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...kernels.counters import Cause
from ..observer import cause_time

_HEADINGS = {
    Cause.ACCESS_LOCAL: "local access",
    Cause.ACCESS_REMOTE: "remote access",
    Cause.COW: "copy on write",
    Cause.SYSCALL: "system calls",
}
_MEANINGS = {
    Cause.ACCESS_LOCAL: "accesses to local memory",
    Cause.ACCESS_REMOTE: "accesses to remote memory",
    Cause.MINOR_FAULT: "first touches of pages",
    Cause.COW: "copies on write",
    Cause.HINT_FAULT: "hint faults",
    Cause.LAZY_FAULT: "faults on parked pages",
    Cause.MIGRATION: "page migration",
    Cause.SWAP_IN: "reading from swap",
    Cause.RECLAIM: "reclaim",
    Cause.SYSCALL: "system calls",
    Cause.HUGE_FAULT: "first touches of huge pages",
    Cause.COMPACTION: "compaction",
    Cause.PAGE_WALK: "page walks",
    Cause.SCAN: "scans of NUMA balancing",
    Cause.LOCK_SLEEP: "waiting asleep for locks",
    Cause.LOCK_SPIN: "spinning on locks",
    Cause.SAMPLE: "samples of accesses",
}


#: How a table may show a column.
STYLES = ("count", "percent", "seconds", "ratio", "cause", "hidden")


@dataclass(frozen=True)
class Column:
    """One variable of ``/summary``, and one column of the table on the screen.

    name       variable name in the file, ``[a-z0-9_]``
    heading    short heading in the table
    unit       ``"1"``, ``"page"``, ``"ns"``, ...
    long_name  one phrase that says what is counted
    dtype      ``"i8"`` or ``"f8"``
    by_reason  whether there is a value for each name of ``kernels.constants.Refusal``
    style      how the table shows it: ``count``, ``percent`` (of a fraction),
               ``seconds`` (of nanoseconds; NaN: never), ``ratio`` (nanoseconds, shown
               in seconds and as a multiple of the smallest), ``cause`` (a part of
               the time, shown in a block of its own) or ``hidden``
    first      whether it is part of the answer, which the table begins with
    """

    name: str
    heading: str
    unit: str
    long_name: str
    dtype: str = "i8"
    by_reason: bool = False
    style: str = "count"
    first: bool = False


@dataclass(frozen=True)
class Field:
    """One variable of a study's own records.

    dtype  ``"i8"``, ``"i1"``, ``"f8"``, or ``"S64"``: UTF-8, cut to that size
    flags  what the values 0, 1, .. mean, if they are not numbers
    """

    name: str
    unit: str
    long_name: str
    dtype: str = "i8"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Records:
    """A group of the file that the study's own steps fill: ``Simulation.record``.

    Each row has the simulated time and the variant before its fields.  Where rows of
    two records belong together, the record that is declared first is written first.
    """

    name: str
    dimension: str
    long_name: str
    fields: tuple[Field, ...]


def _cause(name: str, heading: str, text: str) -> Column:
    return Column(name, heading, "ns", text, style="cause")


#: Where the time of the job went: a mean over its tasks, which sums up to its run time.
TIMES = (
    *(
        _cause(
            cause_time(cause),
            _HEADINGS.get(cause, cause.name.lower().replace("_", " ")),
            f"time of the job in {_MEANINGS[cause]}, mean over its tasks",
        )
        for cause in Cause
    ),
    _cause(
        "time_idle_ns",
        "idle",
        "time of the job in waiting, mean over its tasks",
    ),
    *(
        replace(column, style="hidden")
        for column in (
            Column(
                "alone_ns",
                "alone",
                "ns",
                "time in alone_cause that one task spent and no other did",
            ),
            Column(
                "alone_cause",
                "alone in",
                "1",
                "cause, as in kernels.counters.Cause, of alone_ns",
            ),
            Column(
                "tlb_flush_ns",
                "TLB flushes",
                "ns",
                "most time that system calls of one task spent in TLB flushes",
            ),
            Column(
                "tlb_flushes",
                "TLB flushes",
                "event",
                "TLB flushes that system calls did",
            ),
            Column(
                *("user_time_ns", "user", "ns"),
                "time of all tasks in their program, added up",
            ),
            Column(
                *("system_time_ns", "system", "ns"),
                "time of all tasks in the kernel, spinning included, added up",
            ),
            Column(
                *("idle_time_ns", "idle", "ns"),
                "time in which tasks did not run, but slept or waited, added up",
            ),
            Column(
                *("lock_wait_ns", "lock waits", "ns"),
                "time of all tasks in waiting for locks, asleep or spinning, added up",
            ),
        )
    ),
)

#: The columns that ``Simulation.summary`` fills for every variant.
SUMMARY = (
    Column(
        "run_time_ns",
        "time",
        "ns",
        "simulated time from start to end, none if a process was killed",
        style="ratio",
        first=True,
    ),
    Column(
        "local_fraction",
        "local",
        "1",
        "share of local accesses over the whole run",
        dtype="f8",
        style="percent",
        first=True,
    ),
    Column(
        "local_fraction_end",
        "local at end",
        "1",
        "share of local accesses over the last tenth of the accesses",
        dtype="f8",
        style="percent",
        first=True,
    ),
    Column("accesses", "accesses", "event", "access events served", style="hidden"),
    Column("pages_marked", "marked", "page", "pages marked for lazy migration"),
    Column("pages_refused", "refused", "page", "pages refused, for any reason"),
    Column(
        "pages_refused_by",
        "refused",
        "page",
        "pages refused, by the reason given",
        by_reason=True,
    ),
    Column("swap_slots_peak", "swap peak", "page", "most swap slots in use at once"),
    Column(
        "migcache_entries_peak",
        "migcache peak",
        "page",
        "most migration-cache entries in use at once",
    ),
    Column("faults", "faults", "event", "page faults of every kind"),
    Column("pages_migrated", "migrated", "page", "pages moved to another node"),
    Column(
        "pages_moved",
        "moved",
        "page",
        "pages moved for their users' sake",
        style="hidden",
    ),
    Column(
        *("pages_paid", "paid off", "page"),
        "pages that moved and were used enough to pay for it",
    ),
    Column(
        *("pages_unpaid", "not paid", "page"),
        "pages that moved and were not used enough to pay for it",
    ),
    Column(
        *("pages_moved_back", "moved back", "page"),
        "pages that moved to the node that they had left last",
    ),
    Column(
        "converged_ns",
        "converged",
        "ns",
        "until nine in ten accesses were local for good, NaN: never",
        dtype="f8",
        style="seconds",
    ),
    Column("oom_kills", "OOM kills", "event", "processes killed for want of memory"),
    Column(
        "balancing_unscanned",
        "unscanned",
        "1",
        "1 if NUMA balancing was on and marked no page, otherwise 0",
        style="hidden",
    ),
    Column(
        *("daemon_time_ns", "daemons", "ns"),
        "time of users' daemons in their work, part of system_time_ns",
        style="hidden",
    ),
    *TIMES,
)


def hide(columns: Sequence[Column], *names: str) -> tuple[Column, ...]:
    """Return the columns; those that have nothing to say only in the file."""
    return tuple(
        replace(column, style="hidden") if column.name in names else column
        for column in columns
    )


#: The columns of §5.9, for a scenario whose moves are not for the users' sake.
VERDICT = ("pages_paid", "pages_unpaid", "pages_moved_back", "converged_ns")


THP_SHARE = Column(
    *("thp_share", "THP", "1", "share of mapped pages that are part of huge pages"),
    dtype="f8",
    style="percent",
)
#: What ``Simulation.summary`` says of huge pages at the end.
THP = (
    THP_SHARE,
    Column(
        "huge_local_share",
        "THP local",
        "1",
        "share of huge pages on a node where their process has a task",
        dtype="f8",
        style="percent",
    ),
    Column("thp_splits", "THP splits", "event", "huge pages split (thp_split_page)"),
    Column("thp_collapses", "collapses", "event", "huge pages that khugepaged made"),
)
