"""How far the ratios of a study hang on costs that nobody has measured well.

Each uncertain cost is halved and doubled, one at a time, and the variants that pay it
run again.  A variant's ratio is what it is compared by over that of the best variant of
the same work; its range is that over all changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ...kernels.counters import Cause
from ..settings.costs import Costs, uncertain_costs
from .columns import Field, Records
from .study import Study, Variant, label
from .verdict import unscanned, was_killed

if TYPE_CHECKING:
    from ..simulation import Simulation

#: A cost that makes up less of a run's time than this is not worth another run.
LEAST = 1e-4

RUNS = Records(
    "uncertainty",
    "changed_run",
    "runs with an uncertain cost halved or doubled",
    (
        Field("cost", "1", "the cost that was changed", "S64"),
        Field("factor", "1", "what it was multiplied by", "f8"),
        Field("compared", "1", "what variants are compared by, in its own unit", "f8"),
        Field("ratio", "1", "that over the best one's of the same change", "f8"),
    ),
)
RANGES = Records(
    "ratios",
    "ranged_variant",
    "ratios of the variants and their range over all changes",
    (
        Field("ratio", "1", "what is compared over the best one's", "f8"),
        Field("ratio_low", "1", "least ratio over all changes", "f8"),
        Field("ratio_high", "1", "greatest ratio over all changes", "f8"),
        Field("ratio_low_by", "1", "the change that gives the least", "S64"),
        Field("ratio_high_by", "1", "the change that gives the greatest", "S64"),
    ),
)


class Change(NamedTuple):
    """A cost that is halved (1, 2) or doubled (2, 1)."""

    cost: str
    up: int
    down: int

    @property
    def factor(self) -> float:
        """What the cost is multiplied by."""
        return self.up / self.down

    def __str__(self) -> str:
        return f"{self.cost} {'x2' if self.up > self.down else 'x1/2'}"


def halved_and_doubled(costs: Iterable[str]) -> list[Change]:
    """Return both changes of each cost."""
    return [Change(cost, *scale) for cost in costs for scale in ((1, 2), (2, 1))]


def scaled(change: Change, costs: Costs) -> Costs:
    """Return ``costs`` with one of them halved or doubled, and at least 1."""
    value = getattr(costs, change.cost) * change.up // change.down
    return replace(costs, **{change.cost: max(1, value)})


def most_paid(simulation: Simulation) -> dict[str, int]:
    """Return the most ns that each uncertain cost can have taken of all tasks."""
    ns = dict(zip(Cause, simulation.spent.sum(axis=0).tolist(), strict=True))
    costs, flushes = simulation.costs, simulation.total("tlb_flushes")
    parked = max(simulation.slots_peak, simulation.entries_peak)
    receivers = len(simulation.tasks)
    return {
        "cache_lookup_ns": ns[Cause.LAZY_FAULT],
        "swap_in_ns": ns[Cause.SWAP_IN],
        "swap_out_ns": ns[Cause.RECLAIM],
        "queueing_permille": ns[Cause.ACCESS_LOCAL] + ns[Cause.ACCESS_REMOTE],
        "park_page_ns": ns[Cause.SYSCALL] if parked else 0,
        "fork_pte_ns": 0,  # measured, but fork is charged to nobody
        "walk_ns": ns[Cause.PAGE_WALK],
        "tlb_flush_ns": flushes * costs.tlb_flush_ns,
        "tlb_flush_cpu_ns": flushes * costs.tlb_flush_cpu_ns * receivers,
        "syscall_ns": ns[Cause.SYSCALL],
        "reclaim_page_ns": ns[Cause.RECLAIM],
    }


class Note(NamedTuple):
    """What a variant is compared by, NaN if unfair, and the costs that it has paid."""

    compared: float
    paid: frozenset[str]


def note_of(study: Study, simulation: Simulation, values: Mapping[str, Any]) -> Note:
    """Return the note of a simulation that has ended."""
    least = LEAST * simulation.now
    paid = (cost for cost, ns in most_paid(simulation).items() if ns > least)
    return Note(_compared(study, values), frozenset(paid))


def _compared(study: Study, values: Mapping[str, Any]) -> float:
    """Return what a variant is compared by; NaN if it was killed or not scanned."""
    value = float(values[study.compared])
    fair = not was_killed(dict(values)) and not unscanned(dict(values))
    return value if fair and value > 0 else float("nan")


class Rerun(NamedTuple):
    """A variant with a changed cost."""

    change: Change
    at: int
    variant: Variant


class Range(NamedTuple):
    """The ratio of a variant, its range, and which changes make the range."""

    ratio: float
    ratio_low: float
    ratio_high: float
    ratio_low_by: str
    ratio_high_by: str


class Uncertainty:
    """What a run finds of its variants, and of those with changed costs.

    announce  called with the variants that run again, before they do
    """

    def __init__(self, study: Study, announce: Callable[[list[Variant]], None]) -> None:
        self.announce = announce
        self._study = study
        self._notes: dict[int, Note] = {}
        self._changed: dict[Change, dict[int, float]] = {}

    def note(self, index: int, note: Note) -> None:
        """Take the note of a variant, which has ended."""
        self._notes[index] = note

    def reruns(self) -> list[Rerun]:
        """Return what runs again: what pays a cost, and changes none by itself."""
        return [
            Rerun(change, index, changed(variant, change))
            for change in halved_and_doubled(uncertain_costs())
            for index, variant in enumerate(self._study.variants)
            if change.cost in self._notes[index].paid and variant.costs is None
        ]

    def take(self, rerun: Rerun, value: float) -> None:
        """Take what a variant with a changed cost is compared by."""
        self._changed.setdefault(rerun.change, {})[rerun.at] = value

    def runs(self) -> list[tuple[int, dict[str, Any]]]:
        """Return (variant, row of ``RUNS``) of each run, by the order of variants."""
        rows = []
        for change, values in self._changed.items():
            ratios = self._ratios(values)
            for index, value in values.items():
                how = {"cost": change.cost, "factor": change.factor}
                rows.append((index, how | {"compared": value, "ratio": ratios[index]}))
        return sorted(rows, key=lambda row: row[0])

    def ranges(self) -> list[Range]:
        """Return the range of each variant."""
        usual = self._ratios({})
        found = [(str(change), self._ratios(v)) for change, v in self._changed.items()]
        return [
            _range(ratio, [(ratios[i], by) for by, ratios in found])
            for i, ratio in enumerate(usual)
        ]

    def _ratios(self, changed: Mapping[int, float]) -> list[float]:
        notes = sorted(self._notes.items())
        values = [changed.get(index, note.compared) for index, note in notes]
        return ratios_of(self._study, values)


def ratios_of(study: Study, values: Sequence[float]) -> list[float]:
    """Return each variant's value over the best one's of the same work.

    The best time is the shortest; of anything else the most is best.
    """
    best_of = min if study.compared.endswith("_ns") else max
    groups = [study.work_of(variant.name) for variant in study.variants]
    best = {
        group: best_of(
            (v for v, g in zip(values, groups, strict=True) if g == group and v == v),
            default=float("nan"),
        )
        for group in groups
    }
    return [value / best[group] for value, group in zip(values, groups, strict=True)]


def changed(variant: Variant, change: Change) -> Variant:
    """Return a variant with a cost changed, under a name that tells it."""
    return replace(
        variant,
        name=f"{label(variant.name)}, {change}",
        costs=lambda costs: scaled(change, costs),
    )


def _range(ratio: float, others: Sequence[tuple[float, str]]) -> Range:
    """Return the range of a ratio; ``others``: (ratio, change) of each change."""
    known = [(ratio, ""), *(one for one in others if not math.isnan(one[0]))]
    low = min(known, key=lambda one: one[0])
    high = max(known, key=lambda one: one[0])
    return Range(ratio, low[0], high[0], low[1], high[1])
