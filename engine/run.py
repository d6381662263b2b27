"""Run a study: its variants in order, each in a fresh simulation, streamed to a file.

What can be refused is refused before the output file exists: the file's path, and a
study that needs more memory than the host has.
"""

import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.jit.compiling import compiled
from .errors import BadInput, BadScenario, BadTrace, SimulationError
from .machines.machine import Machine
from .observer import NodeUse
from .output.place import abandon, check_output
from .output.provenance import settings_text
from .output.reader import RunState
from .output.writer import RunWriter
from .settings.costs import Costs
from .simulation import Simulation
from .study.handed import checked_row, checked_values, place
from .study.host_limits import check_memory
from .study.study import Study, Variant, label, named
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
    file = _File()
    if output is not None:
        attributes = _attributes(study, seed, threads, costs) | dict(provenance or {})
        opened = opened or (lambda close: None)
        opened(partial(abandon, Path(output).absolute()))
        file = _File(_create(study, Path(output), attributes, force))
        opened(partial(file.close, RunState.STOPPED))
    return _Runner(study, seed, threads, costs, progress, file, doubt).run_all()


class _File:
    """The file of a run, or none: one thread at a time, nothing once it is closed."""

    def __init__(self, writer: RunWriter | None = None) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self.seconds = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a file that is not closed."""
        return self._writer is not None

    def write(self, put: Callable[[RunWriter], None]) -> None:
        """Let ``put`` write, if there is a file; add its time to ``seconds``."""
        with self._lock:
            if self._writer is None:
                return
            begin = time.perf_counter()
            put(self._writer)
            self.seconds += time.perf_counter() - begin

    def close(self, state: RunState) -> None:
        """Close the file, unless that was done."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close(state)

    def check(self) -> None:
        """Raise OSError if somebody else has taken the file away."""
        with self._lock:
            if self._writer is not None:
                self._writer.check()

    def discard(self) -> None:
        """Close and remove the file, unless that was done."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.discard()


class _Observer:
    """Hands what a simulation reports to the file and to the progress callback."""

    def __init__(
        self, index: int, variant: Variant, file: _File, progress: Progress | None
    ) -> None:
        self.index = index
        self.variant = variant
        self.file = file
        self.callback = progress

    @property
    def keeps(self) -> bool:
        return self.file.is_open

    def progress(self, accesses: int, now_ns: int) -> None:
        self.file.check()
        if self.callback is not None:
            self.callback(self.variant, accesses, now_ns)

    def epoch(
        self,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray,
        use: NodeUse,
    ) -> None:
        values = time_ns, counters, processes, khugepaged, use
        self.file.write(lambda writer: writer.epoch(self.index, *values))

    def event(
        self, time_ns: int, kind: str, node: int, process: int, value: int
    ) -> None:
        values = time_ns, kind, node, process, value
        self.file.write(lambda writer: writer.event(self.index, *values))

    def snapshot(
        self, time_ns: int, process: int, node: np.ndarray, kind: np.ndarray
    ) -> None:
        values = time_ns, process, node, kind
        self.file.write(lambda writer: writer.snapshot(self.index, *values))

    def record(self, time_ns: int, records: str, row: Mapping[str, Any]) -> None:
        self.file.write(lambda writer: writer.record(self.index, time_ns, records, row))


@dataclass(frozen=True)
class _Runner:
    """What the variants of one run have in common."""

    study: Study
    seed: int
    threads: int
    costs: Costs
    progress: Progress | None
    file: _File
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
        variant = self.study.variants[index]
        observer = _Observer(index, variant, self.file, self.progress)
        observer.progress(0, 0)
        begin, written = time.perf_counter(), self.file.seconds
        compiled_s = compiled.seconds
        with closing(self._simulation(variant, observer)) as simulation:
            ready = time.perf_counter()
            values = _steps(variant, simulation)
            simulation.flush_epoch()
            _warn_of_snapshots(variant, simulation)
            found = {**simulation.summary(), **values}
            row = checked_row(self.study.columns, found, variant.steps)
            if self.doubt is not None:
                self.doubt.note(simulation, found)
        compiled_s = compiled.seconds - compiled_s
        end = time.perf_counter() - compiled_s
        writing = self.file.seconds - written
        stages = {
            "setup_s": ready - begin,
            "run_s": end - ready - writing,
            "output_s": writing,
            "compile_s": compiled_s,
        }
        self.file.write(lambda writer: writer.summary(index, row))
        self.file.write(lambda writer: writer.runtime(index, stages))
        names = named(self.study.dimension, variant.name)
        return {**names, **row, "wall_s": end - begin}

    def _vary(self, doubt: Uncertainty, rows: list[dict[str, Any]]) -> None:
        """Run variants with changed costs; write what came of it, and add it to rows.

        Nothing else of these runs goes to the file.
        """
        reruns = doubt.reruns()
        doubt.announce([rerun.variant for rerun in reruns])
        for rerun in reruns:
            observer = _Observer(rerun.at, rerun.variant, _File(), self.progress)
            observer.progress(0, 0)
            with closing(self._simulation(rerun.variant, observer)) as simulation:
                values = rerun.variant.steps(simulation) or {}
                found = simulation.summary() | values
            doubt.take(rerun, doubt.compared(found))
        for index, one in doubt.runs():
            self._record(index, RUNS.name, one)
        for index, (row, span) in enumerate(zip(rows, doubt.ranges(), strict=True)):
            row |= span._asdict()
            self._record(index, RANGES.name, span._asdict())

    def _record(self, index: int, records: str, row: Mapping[str, Any]) -> None:
        self.file.write(lambda writer: writer.record(index, 0, records, row))

    def _simulation(self, variant: Variant, observer: _Observer) -> Simulation:
        return Simulation(
            variant.machine,
            settings=variant.settings,
            costs=_costs(variant, self.costs),
            seed=self.seed,
            threads=self.threads,
            observer=observer,
        )


def _steps(variant: Variant, simulation: Simulation) -> Mapping[str, Any]:
    """Take the steps of a variant; return the values of the study's own columns."""
    try:
        return checked_values(variant.steps(simulation), variant.steps)
    except (SystemExit, GeneratorExit) as error:  # or the run would end in silence
        raise BadScenario(
            f"steps must return, got an exit from Python{place(variant.steps)}"
        ) from error


def _costs(variant: Variant, costs: Costs) -> Costs:
    """Return the costs of a variant."""
    if variant.costs is None:
        return costs
    own = variant.costs(costs)
    if not isinstance(own, Costs):
        got = f"{type(own).__name__}{place(variant.costs)}"
        raise BadScenario(f"costs of a variant must return Costs, got {got}")
    return own


def _warn_of_snapshots(variant: Variant, simulation: Simulation) -> None:
    """Warn of snapshots that were not taken because the run was over before."""
    missed = simulation.settings.snapshots_ns[simulation.epochs.snapshots :]
    if missed:
        times = ", ".join(f"{time / 1e9:g}" for time in missed)
        warnings.warn(
            f"{label(variant.name)} ended at {simulation.now / 1e9:.3g} s,"
            f" before its snapshots at {times} s",
            stacklevel=2,
        )


def _create(study: Study, path: Path, attributes: dict, force: bool) -> RunWriter:
    return RunWriter(
        path,
        title=study.question,
        attributes=attributes,
        nodes=[_node_numbers(variant.machine) for variant in study.variants],
        dimension=study.dimension,
        variants=[variant.name for variant in study.variants],
        columns=study.columns,
        records=study.records,
        force=force,
    )


def _node_numbers(machine: Machine) -> Sequence[int]:
    """Return what a machine itself calls its nodes."""
    return getattr(machine, "node_numbers", range(machine.nodes))


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
    }
