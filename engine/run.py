"""Run a study: its variants in order, each in a fresh simulation, streamed to a file.

What can be refused is refused before the output file exists: the file's path, and a
study that needs more memory than the host has.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..kernels.jit.compiling import compiled
from .errors import BadInput, BadScenario, BadTrace, SimulationError
from .output.place import abandon, check_output
from .output.provenance import settings_text
from .output.reader import RunState
from .output.writer import RunWriter
from .running.row_observer import Put, RowObserver
from .running.run_variant import Outcome, Setup, run_variant
from .running.shared_file import SharedFile, file_rows
from .settings.costs import Costs
from .study.host_limits import check_memory
from .study.study import Study, Variant, named
from .study.uncertainty import RANGES, RUNS, Uncertainty
from .study.verdict import verdict_of

_LIBRARIES = ("lazynuma", "numpy", "numba", "h5py")

Progress = Callable[[Variant, int, int], None]


def run_study(
    study: Study,
    *,
    output: str | os.PathLike | None = None,
    force: bool = False,
    seed: int = 1,
    threads: int = 1,
    costs: Costs = Costs(),
    provenance: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    opened: Callable[[Callable[[], None]], None] | None = None,
    uncertainty: Callable[[list[Variant]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run every variant of ``study`` and return its summary rows, ``wall_s`` added.

    output      HDF5 file that is written as the run goes on (``docs/format.md``)
    force       whether ``output`` may replace a file
    costs       the cost model
    provenance  root attributes that say where the study came from
    progress    called with (variant, accesses served since the last call, simulated ns)
                from between two kernel calls, first of all with 0 and 0
    opened      called, before the file is created and once it is there, with a function
                by which another thread removes it, or closes it as stopped, to end the
                process without waiting for this one
    uncertainty  run variants again with uncertain costs halved and doubled, after a
                call with these runs; rows then have the fields of ``Range``

    Raises BadInput before there is an output file, and SimulationError if the model
    cannot go on.  Whatever ends the run, the file is closed and readable.
    """
    check_output(output, force)
    check_memory(study)
    doubt = None
    if uncertainty is not None:
        study = replace(study, records=(*study.records, RUNS, RANGES))
        doubt = Uncertainty(study, uncertainty)
    file = SharedFile()
    if output is not None:
        attributes = _attributes(study, seed, threads, costs) | dict(provenance or {})
        opened = opened or (lambda close: None)
        opened(partial(abandon, Path(output).absolute()))
        file = SharedFile(_create(study, Path(output), attributes, force))
        opened(partial(file.close, RunState.STOPPED))
    setup = Setup(seed, threads, costs)
    return _Runner(study, setup, file, progress or _ignore, doubt).run_all()


@dataclass(frozen=True)
class _Runner:
    """What the variants of one run have in common."""

    study: Study
    setup: Setup
    file: SharedFile
    progress: Progress
    doubt: Uncertainty | None = None

    def run_all(self) -> list[dict[str, Any]]:
        """Run every variant, close the file, and return the rows."""
        state = RunState.STOPPED  # unless it ends, or fails, by itself
        try:
            rows = [self.run(index) for index in range(len(self.study.variants))]
            if self.doubt is not None:
                self._vary(self.doubt, rows)
            verdict = verdict_of(self.study, rows)
            self.file.write(lambda writer: writer.verdict(verdict))
            state = RunState.DONE
        except BadTrace:
            self.file.discard()
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
            self.file.close(state)
        return rows

    def run(self, index: int) -> dict[str, Any]:
        """Run variant ``index`` and return its row."""
        variant, written = self.study.variants[index], self.file.seconds
        put = file_rows(self.file, index) if self.file.is_open else None
        begin, compiled_s = time.perf_counter(), compiled.seconds
        outcome = run_variant(
            self.study, variant, self.setup, self._observer(variant, put)
        )
        wall_s = time.perf_counter() - begin - (compiled.seconds - compiled_s)
        if self.doubt is not None:
            self.doubt.note(outcome.note)
        self._end(index, outcome, self.file.seconds - written)
        names = named(self.study.dimension, variant.name)
        return {**names, **outcome.row, "wall_s": wall_s}

    def _end(self, index: int, outcome: Outcome, writing_s: float) -> None:
        """Write what a variant that has ended came to."""
        run_s = outcome.stages["run_s"] - writing_s
        stages = outcome.stages | {"run_s": run_s, "output_s": writing_s}
        self.file.write(lambda writer: writer.summary(index, outcome.row))
        self.file.write(lambda writer: writer.runtime(index, stages))

    def _observer(self, variant: Variant, put: Put | None) -> RowObserver:
        def progress(accesses: int, now_ns: int) -> None:
            self.file.check()
            self.progress(variant, accesses, now_ns)

        return RowObserver(put, progress)

    def _vary(self, doubt: Uncertainty, rows: list[dict[str, Any]]) -> None:
        """Run variants with changed costs; write what came of it, and add it to rows.

        Nothing else of these runs goes to the file.
        """
        reruns = doubt.reruns()
        doubt.announce([rerun.variant for rerun in reruns])
        for rerun in reruns:
            observer = self._observer(rerun.variant, None)
            outcome = run_variant(self.study, rerun.variant, self.setup, observer)
            doubt.take(rerun, outcome.note.compared)
        for index, one in doubt.runs():
            self._record(index, RUNS.name, one)
        for index, (row, span) in enumerate(zip(rows, doubt.ranges(), strict=True)):
            row |= span._asdict()
            self._record(index, RANGES.name, span._asdict())

    def _record(self, index: int, records: str, row: Mapping[str, Any]) -> None:
        self.file.write(lambda writer: writer.record(index, 0, records, row))


def _ignore(_variant: Variant, _accesses: int, _now_ns: int) -> None:
    """Ignore progress."""


def _create(study: Study, path: Path, attributes: dict, force: bool) -> RunWriter:
    return RunWriter(
        path,
        title=study.question,
        attributes=attributes,
        nodes=[variant.machine.node_numbers for variant in study.variants],
        dimension=study.dimension,
        variants=[variant.name for variant in study.variants],
        columns=study.columns,
        records=study.records,
        force=force,
    )


def _attributes(study: Study, seed: int, threads: int, costs: Costs) -> dict[str, Any]:
    """Return the root attributes: how the file came to be, so that it can again."""
    return {
        "settings": settings_text(study.variants),
        "seed": seed,
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
