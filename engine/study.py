"""What a scenario hands to the runner: one question, several variants, some columns.

A study is plain data.  Its variants differ in one thing (the mechanism, the swap size
...) and are run one after the other by ``engine.run.run_study``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from .errors import BadInput

if TYPE_CHECKING:
    from .costs import Costs
    from .settings import Settings
    from .simulation import Simulation
    from .topology import Machine


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
               in seconds and as a multiple of the smallest) or ``hidden``
    """

    name: str
    heading: str
    unit: str
    long_name: str
    dtype: str = "i8"
    by_reason: bool = False
    style: str = "count"


@dataclass(frozen=True)
class Field:
    """One variable of a study's own records.

    dtype  ``"i8"``, ``"i1"``, ``"f8"``, or ``"S64"``: UTF-8, cut to so many bytes
    flags  what the values 0, 1, .. mean, where they are not numbers
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


#: A name, or one for each of two dimensions.
Name = str | tuple[str, str]


def scales(dimension: Name, variants: Sequence[Name]) -> dict[str, list[str]]:
    """Return the dimensions, and the values of each in order.

    Raises BadInput where variants of two dimensions are not every value of the first
    with every value of the second, the second running fastest.
    """
    if isinstance(dimension, str):
        return {dimension: list(variants)}
    values = [list(dict.fromkeys(names)) for names in zip(*variants, strict=True)]
    if list(product(*values)) != list(variants):
        raise BadInput(
            f"{label(dimension)} must have every value of the one with every value of"
            f" the other, in order, got {', '.join(map(label, variants))}"
        )
    return dict(zip(dimension, values, strict=True))


def named(dimension: Name, variant: Name) -> dict[str, str]:
    """Return a variant's value of each dimension."""
    if isinstance(dimension, str):
        return {dimension: variant}
    return dict(zip(dimension, variant, strict=True))


def label(name: Name) -> str:
    """Return a name as one text."""
    return name if isinstance(name, str) else ", ".join(name)


@dataclass(frozen=True)
class Variant:
    """One run of a study.

    ``name`` is its value of the study's dimension, or its two where that has two.
    ``steps`` drives the simulation and returns the values of the study's own columns,
    by name, if it has any.  ``accesses`` (events expected) feeds the progress bar,
    ``mapped_pages`` (most 4 KiB pages mapped at once) the estimate of the host memory
    needed.  ``costs`` changes the cost model of the run for this variant alone.
    """

    name: Name
    machine: Machine
    settings: Settings
    steps: Callable[[Simulation], dict | None]
    accesses: int
    mapped_pages: int
    costs: Callable[[Costs], Costs] | None = None


@dataclass(frozen=True)
class Study:
    """A question, the variants that answer it, and what is shown of each.

    ``question`` is one sentence: the title of the file and of the table.
    ``dimension`` names what the variants differ in, and the dimension of ``/summary``.
    It may be two: the variants then are every value of the first with every value of
    the second, in that order.
    ``report`` makes the text for the screen where the plain table will not do.
    ``records`` are more groups of the file.
    Raises BadInput where there is no variant, two have one name, or one of two
    dimensions lacks a value of the other.
    """

    question: str
    dimension: Name
    variants: tuple[Variant, ...]
    columns: tuple[Column, ...]
    report: Callable[[Study, list[dict]], str] | None = None
    records: tuple[Records, ...] = ()

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if not names:
            raise BadInput(
                f"{label(self.dimension)} must have at least one value, got none"
            )
        if len(set(names)) < len(names):
            raise BadInput(
                f"{label(self.dimension)} must have different values, got {names}"
            )
        scales(self.dimension, names)


#: The columns that ``Simulation.summary`` fills for every variant.
SUMMARY = (
    Column("accesses", "accesses", "1", "access events served", style="hidden"),
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
    Column("faults", "faults", "1", "page faults of every kind"),
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
    Column(
        "local_fraction",
        "local",
        "1",
        "share of local accesses over the last tenth of the accesses",
        dtype="f8",
        style="percent",
    ),
    Column("oom_kills", "OOM kills", "1", "processes killed for want of memory"),
    Column(
        "run_time_ns",
        "simulated time",
        "ns",
        "simulated time from start to end",
        style="ratio",
    ),
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
    Column("thp_splits", "THP splits", "1", "huge pages split (thp_split_page)"),
    Column("thp_collapses", "collapses", "1", "huge pages that khugepaged made"),
)
