"""Where the findings of a run come together: rows go to the file, outcomes are kept."""

from collections.abc import Callable, Sequence
from typing import Any

from ..checkpoint.keeper import Suspended
from ..study.handed import checked_row
from ..study.replicas import REPLICAS, middle
from ..study.study import Study, Variant, named
from .checkpoints import Checkpoints
from .row_observer import Put, RowObserver
from .run_variant import Outcome, Setup, run_kept, run_variant
from .shared_file import SharedFile
from .unit import Unit, with_seed

#: Called with (variant, accesses served since the last call, simulated ns).
Progress = Callable[[Variant, int, int], None]


class Findings:
    """What the units of a run have found so far.

    seeds     of the replicas; the rows of the first one alone are kept
    progress  may have a method ``ended``, which is called with each variant that has
    checkpoints  those of the run, if it has any
    """

    def __init__(
        self,
        study: Study,
        file: SharedFile,
        seeds: Sequence[int],
        progress: Progress,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.study, self.file, self.seeds = study, file, tuple(seeds)
        self.checkpoints = checkpoints
        self.outcomes: dict[Unit, Outcome] = {}
        self._progress, self._keeps = progress, file.is_open
        self._ended: Callable[[Variant], None] = getattr(progress, "ended", _ignore)
        self._variants: dict[Unit, Variant] = {}
        self._writing_s: dict[Unit, float] = {}

    def units(self) -> list[Unit]:
        """Return all units of the study itself."""
        return [
            self._unit(index, seed)
            for index in range(len(self.study.variants))
            for seed in self.seeds
        ]

    def _unit(self, index: int, seed: int) -> Unit:
        return Unit(index, seed, keeps=self._keeps and seed == self.seeds[0])

    def variant(self, unit: Unit) -> Variant:
        """Return the variant of a unit, the same one each time."""
        if unit not in self._variants:
            variant = unit.variant(self.study)
            first = unit.seed == self.seeds[0]
            self._variants[unit] = variant if first else with_seed(variant, unit.seed)
        return self._variants[unit]

    # --- what units tell --------------------------------------------------------------

    def put(self, unit: Unit) -> Put | None:
        """Return what writes the rows of a unit, None if they are not kept."""
        if not unit.keeps:
            return None
        return lambda method, values: self._put(unit, method, values)

    def _put(self, unit: Unit, method: str, values: tuple[Any, ...]) -> None:
        self._write(unit, method, unit.index, *values)
        if self.checkpoints is not None:
            self.checkpoints.count(unit, method, values)

    def progress(self, unit: Unit, accesses: int, now_ns: int) -> None:
        """Hand on the progress of a unit, and look after the file."""
        self.file.check()
        self._progress(self.variant(unit), accesses, now_ns)

    def end(self, unit: Unit, outcome: Outcome) -> None:
        """Keep an outcome, and write what can be written of its variant."""
        self.outcomes[unit] = outcome
        self._ended(self.variant(unit))
        if unit.change is not None:
            return
        if len(self.seeds) > 1:
            at = self.seeds.index(unit.seed)
            self._write(unit, "replica", unit.index, at, outcome.row)
        if all(one in self.outcomes for one in self._replicas(unit.index)):
            self._write(unit, "summary", unit.index, self._middle(unit.index))
            self._write(unit, "runtime", unit.index, self._stages(unit.index))

    def _write(self, unit: Unit, method: str, *values: Any) -> None:
        before = self.file.seconds
        self.file.write(lambda writer: getattr(writer, method)(*values))
        took = self.file.seconds - before
        self._writing_s[unit] = self._writing_s.get(unit, 0.0) + took

    # --- what they come to ------------------------------------------------------------

    def relate(self) -> None:
        """Let the study say what hangs on several rows, and write that."""
        if self.study.related is None:
            return
        count = len(self.study.variants)
        for at, seed in enumerate(self.seeds):
            units = [self._unit(index, seed) for index in range(count)]
            rows = [self._names(u.index) | self.outcomes[u].row for u in units]
            for unit, values in zip(units, self.study.related(rows), strict=True):
                self._replace(unit, at, values)
        for index in range(count):
            unit = self._replicas(index)[0]
            self._write(unit, "summary", index, self._middle(index))

    def _replace(self, unit: Unit, at: int, values: dict[str, Any]) -> None:
        """Let values take the place of those of a unit."""
        outcome = self.outcomes[unit]
        row = outcome.row | values
        checked_row(self.study.columns, row, self.study.related)
        self.outcomes[unit] = outcome._replace(row=row)
        if len(self.seeds) > 1:
            self._write(unit, "replica", unit.index, at, row)

    def rows(self) -> list[dict[str, Any]]:
        """Return the row of each variant: its names, its columns, ``wall_s``.

        With several seeds its columns are medians, and ``replicas`` are all rows.
        """
        return [self._row(index) for index in range(len(self.study.variants))]

    def _row(self, index: int) -> dict[str, Any]:
        found = self._names(index) | self._middle(index)
        found["wall_s"] = sum(self._wall_s(unit) for unit in self._replicas(index))
        if len(self.seeds) > 1:
            found[REPLICAS] = [
                {"seed": one.seed, **self.outcomes[one].row}
                for one in self._replicas(index)
            ]
        return found

    def _names(self, index: int) -> dict[str, str]:
        return named(self.study.dimension, self.study.variants[index].name)

    def _replicas(self, index: int) -> list[Unit]:
        return [self._unit(index, seed) for seed in self.seeds]

    def _middle(self, index: int) -> dict[str, Any]:
        rows = [self.outcomes[unit].row for unit in self._replicas(index)]
        return rows[0] if len(rows) == 1 else middle(self.study.columns, rows)

    def _wall_s(self, unit: Unit) -> float:
        stages = self.outcomes[unit].stages
        return stages["setup_s"] + stages["run_s"]

    def _stages(self, index: int) -> dict[str, float]:
        """Return the wall seconds of each stage, of all replicas."""
        units = self._replicas(index)
        all_of = [
            self.outcomes[one].stages | {"output_s": self._writing_s.get(one, 0.0)}
            for one in units
        ]
        return {name: sum(one[name] for one in all_of) for name in all_of[0]}


def one_by_one(
    study: Study, units: Sequence[Unit], setup: Setup, findings: Findings
) -> None:
    """Run units in this process, in their order.

    Raises ``Suspended`` if the run is to be left.
    """
    kept = findings.checkpoints
    for number, unit in enumerate(units):
        if number and kept is not None and kept.lasting.is_over():
            raise Suspended
        findings.end(unit, _run(study, unit, setup, findings))


def _run(study: Study, unit: Unit, setup: Setup, findings: Findings) -> Outcome:
    written = findings.file.seconds
    variant = findings.variant(unit)
    own = Setup(unit.seed, setup.threads, setup.costs)
    observer = RowObserver(
        findings.put(unit),
        lambda accesses, now_ns: findings.progress(unit, accesses, now_ns),
    )
    if findings.checkpoints is None:
        outcome = run_variant(study, variant, own, observer)
    else:
        keeper = findings.checkpoints.keeper(unit)
        outcome = run_kept(study, variant, own, observer, keeper)
    run_s = outcome.stages["run_s"] - (findings.file.seconds - written)
    return outcome._replace(stages=outcome.stages | {"run_s": run_s})


def _ignore(_variant: Variant) -> None:
    """Ignore the end of a variant."""
