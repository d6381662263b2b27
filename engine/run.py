"""Run a study: its variants, each in a fresh simulation, streamed to a file.

They run one after the other in this process, or side by side in others.

What can be refused is refused before the output file exists: the file's path, and a
study that needs more memory than the host has.
"""

import json
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .errors import BadInput, BadScenario, BadTrace, SimulationError
from .output.place import abandon, check_output
from .output.provenance import settings_text
from .output.reader import RunState
from .output.writer import RunWriter
from .running.checkpoints import Checkpoints, identity
from .running.desk import Findings, Progress, one_by_one
from .running.executors import Processes
from .running.lasting import Lasting
from .running.run_variant import Setup
from .running.shared_file import SharedFile
from .running.side_by_side import Workers, pickled, side_by_side
from .running.unit import Unit
from .settings.costs import Costs
from .study.figures import listed
from .study.host_limits import check_memory, most_at_once
from .study.lock_records import with_locks
from .study.study import Study, Variant, label
from .study.study_rows import Rows
from .study.uncertainty import RANGES, RUNS, Uncertainty
from .study.verdict import verdict_of

_LIBRARIES = ("lazynuma", "numpy", "numba", "h5py")


def run_study(
    study: Study,
    *,
    output: str | os.PathLike | Lasting | None = None,
    force: bool = False,
    seed: int | Sequence[int] = 1,
    threads: int = 1,
    costs: Costs = Costs(),
    provenance: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    opened: Callable[[Callable[[], None]], None] | None = None,
    uncertainty: Callable[[list[Variant]], None] | None = None,
    jobs: int | Executor = 1,
    make: Callable[[], Study] | None = None,
) -> Rows:
    """Run every variant of ``study`` and return its summary rows, ``wall_s`` added.

    The rows are a list of dicts, which a notebook shows as a table.

    output      HDF5 file that is written as the run goes on (``docs/format.md``), or a
                ``Lasting`` one, which can be left: then this raises ``Suspended``
    force       whether ``output`` may replace a file
    seed        of all draws; several: each variant runs with each of them, its columns
                are medians, and its row has all rows as ``replicas``
    threads     of each process
    costs       the cost model
    provenance  root attributes that say where the study came from
    progress    called with (variant, accesses served since the last call, simulated ns)
                from between two kernel calls, first of all with 0 and 0; its method
                ``ended``, if it has one, with each variant that has ended
    opened      called, before the file is created and once it is there, with a function
                by which another thread removes it, or closes it as stopped, to end the
                process without waiting for this one
    uncertainty  run variants again with uncertain costs halved and doubled, after a
                call with these runs; rows then have the fields of ``Range``
    jobs        processes of this host, or any Executor, that run variants side by side;
                the results are the same
    make        returns ``study`` in another process, so it must be a function that can
                be pickled; not needed if the study itself can

    Raises BadInput before there is an output file, and SimulationError if the model
    cannot go on.  Whatever ends the run, the file is closed and readable.  Raises
    ``Finished`` if a run is to be resumed which is done.
    """
    seeds = _seeds(seed, uncertainty)
    force = force or (isinstance(output, Lasting) and output.resume)
    check_output(output.path if isinstance(output, Lasting) else output, force)
    if not isinstance(jobs, Executor):  # who may have other hosts
        check_memory(study)
    _compile_policies(study)
    study, doubt = _doubted(with_locks(study), uncertainty)
    runs = len(study.variants) * len(seeds)
    with _workers(study, make, jobs, runs) as workers:
        file, checkpoints = SharedFile(), None
        if output is not None:
            attributes = _attributes(study, seeds, threads, costs)
            attributes |= dict(provenance or {})
            create = partial(_create, study, seeds, force)
            file, checkpoints = _open(create, study, output, attributes, opened)
        findings = Findings(study, file, seeds, progress or _ignore, checkpoints)
        setup = Setup(seeds[0], threads, costs)
        return Rows(study, _Runner(findings, setup, workers, doubt).run_all())


def _compile_policies(study: Study) -> None:
    """Raise BadInput if a function of a user's file is not what it must be."""
    for variant in study.variants:
        if variant.policy is not None:
            variant.policy.compiled()


@dataclass(frozen=True)
class _Runner:
    """What the variants of one run have in common.

    workers  run the units; None: this process does, one after the other
    """

    findings: Findings
    setup: Setup
    workers: Workers | None = None
    doubt: Uncertainty | None = None

    def run_all(self) -> list[dict[str, Any]]:
        """Run every variant, close the file, and return the rows."""
        state, file = RunState.STOPPED, self.findings.file  # unless it ends by itself
        checkpoints = self.findings.checkpoints
        try:
            rows = self._rows()
            verdict = verdict_of(self.findings.study, rows)
            file.write(lambda writer: writer.verdict(verdict))
            state = RunState.DONE
        except BadTrace:
            file.discard()
            if checkpoints is not None:
                checkpoints.end()
            raise
        except BadScenario:
            state = RunState.FAILED
            raise
        except BadInput as error:  # too late to refuse: the file exists
            state = RunState.FAILED
            raise SimulationError(str(error)) from error
        except Exception:
            state = RunState.FAILED
            raise
        finally:
            in_order = self.workers is not None or checkpoints is not None
            file.close(state, in_order)
        if checkpoints is not None:
            checkpoints.end()
        return rows

    def _rows(self) -> list[dict[str, Any]]:
        findings = self.findings
        self._run(findings.units())
        findings.relate()
        rows = findings.rows()
        if self.doubt is not None:
            self._vary(self.doubt, rows)
        return rows

    def _run(self, units: Sequence[Unit]) -> None:
        """Run units; raise SimulationError if the process of one has died."""
        study, findings = self.findings.study, self.findings
        units = self._take_kept(units)
        if self.workers is None:
            one_by_one(study, units, self.setup, findings)
            return
        lost = side_by_side(study, units, self.setup, self.workers, findings)
        if lost:
            names = listed([label(findings.variant(unit).name) for unit in lost])
            raise SimulationError(
                f"{len(lost)} of {len(units)} runs ended with their process (killed,"
                f" perhaps for want of memory, or it could not begin): {names}"
            )

    def _take_kept(self, units: Sequence[Unit]) -> list[Unit]:
        """Take what is known of units that had ended before; return the others."""
        checkpoints, left = self.findings.checkpoints, []
        for unit in units:
            outcome = None if checkpoints is None else checkpoints.outcome(unit)
            if outcome is None:
                left.append(unit)
            else:
                self.findings.end(unit, outcome)
        return left

    def _vary(self, doubt: Uncertainty, rows: list[dict[str, Any]]) -> None:
        """Run variants with changed costs; write what came of it, and add it to rows.

        Nothing else of these runs goes to the file.
        """
        findings = self.findings
        for unit in findings.units():
            doubt.note(unit.index, findings.outcomes[unit].note)
        reruns = doubt.reruns()
        units = [Unit(one.at, self.setup.seed, one.change) for one in reruns]
        doubt.announce([findings.variant(unit) for unit in units])
        self._run(units)
        for rerun, unit in zip(reruns, units, strict=True):
            doubt.take(rerun, findings.outcomes[unit].note.compared)
        for index, one in doubt.runs():
            self._record(index, RUNS.name, one)
        for index, (row, span) in enumerate(zip(rows, doubt.ranges(), strict=True)):
            row |= span._asdict()
            self._record(index, RANGES.name, span._asdict())

    def _record(self, index: int, records: str, row: Mapping[str, Any]) -> None:
        self.findings.file.write(lambda writer: writer.record(index, 0, records, row))


@contextmanager
def _workers(
    study: Study, make: Callable[[], Study] | None, jobs: int | Executor, runs: int
) -> Iterator[Workers | None]:
    """Give those who run ``runs`` units, None if it is this process alone."""
    if isinstance(jobs, Executor):
        yield Workers(pickled(make, study), jobs, runs)
        return
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise BadInput(f"jobs must be an integer of at least 1, got {jobs!r}")
    if min(jobs, runs) == 1:
        yield None
        return
    most = most_at_once(study.variants, jobs, runs)
    if most < min(jobs, runs):
        warnings.warn(
            f"{most} at once, not {jobs}: this host has no memory for more",
            stacklevel=3,
        )
    made = pickled(make, study)
    with Processes() as processes:
        yield Workers(made, processes, most)


def _doubted(
    study: Study, announce: Callable[[list[Variant]], None] | None
) -> tuple[Study, Uncertainty | None]:
    """Return a study with the records of its uncertainty, if that is asked for."""
    if announce is None:
        return study, None
    study = replace(study, records=(*study.records, RUNS, RANGES))
    return study, Uncertainty(study, announce)


def _seeds(seed: int | Sequence[int], uncertainty: object) -> tuple[int, ...]:
    """Return the seeds of the replicas; BadInput if they are none."""
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise BadInput(f"seeds must be different integers, got {seeds}")
    if len(seeds) > 1 and uncertainty is not None:
        raise BadInput(f"seeds must be one with uncertainty, got {len(seeds)}")
    return seeds


def _ignore(_variant: Variant, _accesses: int, _now_ns: int) -> None:
    """Ignore progress."""


def _open(
    create: Callable[..., RunWriter],
    study: Study,
    output: str | os.PathLike | Lasting,
    attributes: dict[str, Any],
    opened: Callable[[Callable[[], None]], None] | None,
) -> tuple[SharedFile, Checkpoints | None]:
    """Create the file of a run, or go on with it; return its checkpoints as well."""
    opened, checkpoints = opened or (lambda close: None), None
    if isinstance(output, Lasting):
        checkpoints = Checkpoints(output, identity(study, attributes))
        attributes = attributes | checkpoints.attributes
        output = output.path
    opened(partial(abandon, Path(output).absolute()))
    file = SharedFile(create(Path(output), attributes, checkpoints))
    opened(partial(file.close, RunState.STOPPED))
    if checkpoints is not None:
        try:
            checkpoints.begin(file.sync)
        except BaseException:
            file.close(RunState.FAILED)
            raise
    return file, checkpoints


def _create(
    study: Study,
    seeds: Sequence[int],
    force: bool,
    path: Path,
    attributes: dict[str, Any],
    checkpoints: Checkpoints | None,
) -> RunWriter:
    fill = partial(checkpoints.fill, study, seeds[0]) if checkpoints else None
    return RunWriter(
        path,
        title=study.question,
        attributes=attributes,
        nodes=[variant.machine.node_numbers for variant in study.variants],
        dimension=study.dimension,
        variants=[variant.name for variant in study.variants],
        columns=study.columns,
        records=study.records,
        seeds=seeds,
        force=force,
        fill=fill,
    )


def _attributes(
    study: Study, seeds: Sequence[int], threads: int, costs: Costs
) -> dict[str, Any]:
    """Return the root attributes: how the file came to be, so that it can again."""
    several = {"seeds": list(seeds)} if len(seeds) > 1 else {}
    return several | {
        "settings": settings_text(study.variants),
        "seed": seeds[0],
        "threads": threads,
        "costs": json.dumps(asdict(costs)),
        "versions": json.dumps({name: version(name) for name in _LIBRARIES}),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        **_work(study),
    }


def _work(study: Study) -> dict[str, str]:
    """Return what work each variant does, if not all do the same."""
    works = [study.work_of(variant.name) for variant in study.variants]
    return {"work": json.dumps(works)} if len(set(works)) > 1 else {}
