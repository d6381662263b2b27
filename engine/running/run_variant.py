"""Run one variant: its simulation, its steps, what they came to."""

import json
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...kernels.jit.compiling import compiled
from ..checkpoint.keeper import Keeper
from ..errors import BadScenario
from ..observer import Observer
from ..settings.costs import Costs
from ..simulation import Simulation
from ..study.handed import checked_row, checked_values, place
from ..study.lock_records import LOCKS, lock_rows
from ..study.study import Study, Variant, label
from ..study.uncertainty import Note, note_of


@dataclass(frozen=True)
class Setup:
    """What all variants of a run are run with.

    threads  of this host, for each variant
    """

    seed: int = 1
    threads: int = 1
    costs: Costs = Costs()


class Outcome(NamedTuple):
    """What a variant came to.

    row     its values of ``/summary``
    note    what ``--uncertainty`` asks of it
    stages  wall seconds of each of ``STAGES`` but ``output_s``
    """

    row: dict[str, Any]
    note: Note
    stages: dict[str, float]


def run_variant(
    study: Study,
    variant: Variant,
    setup: Setup,
    observer: Observer,
    keeper: Keeper | None = None,
) -> Outcome:
    """Run a variant of a study, or a changed one, and return what it came to.

    keeper  of its checkpoint, from which it goes on if there is one

    Raises BadScenario if its steps are not what they must be, and ``Suspended`` if the
    keeper was asked to end the run.
    """
    observer.progress(0, 0)
    begin, compiled_s = time.perf_counter(), compiled.seconds
    with closing(_simulation(variant, setup, observer)) as simulation:
        ready = time.perf_counter()
        for daemon in variant.daemons:
            simulation.start_daemon(deepcopy(daemon))
        if keeper is None:
            values = _steps(variant, simulation)
        else:
            values = _steps(variant, keeper.stand_in(simulation))
            keeper.steps_ended()
        simulation.flush_epoch()
        for lock in lock_rows(simulation):
            simulation.record(LOCKS.name, lock)
        _warn_of_snapshots(variant, simulation)
        found = {**simulation.summary(), **values}
        row = checked_row(study.columns, found, variant.steps)
        row |= {name: found[name] for name in study.kept if name in found}
        note = note_of(study, simulation, found)
    compiled_s = compiled.seconds - compiled_s
    stages = {
        "setup_s": ready - begin,
        "run_s": time.perf_counter() - ready - compiled_s,
        "compile_s": compiled_s,
    }
    return Outcome(row, note, stages)


def run_kept(
    study: Study, variant: Variant, setup: Setup, observer: Observer, keeper: Keeper
) -> Outcome:
    """Run a variant, or what is left of it; let its keeper keep what it came to.

    Raises as ``run_variant`` does.
    """
    outcome = run_variant(study, variant, setup, observer, keeper)
    try:
        keeper.finish(outcome_text(outcome))
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"what {label(variant.name)} came to could not be kept: {error}",
            stacklevel=2,
        )
    return outcome


def _simulation(variant: Variant, setup: Setup, observer: Observer) -> Simulation:
    return Simulation(
        variant.machine,
        settings=variant.settings,
        costs=_costs(variant, setup.costs),
        seed=setup.seed,
        threads=setup.threads,
        observer=observer,
        policy=variant.policy,
        lazy=variant.lazy,
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


# --- what is kept of an outcome -------------------------------------------------------


_ARRAY = "array of NumPy"


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome as JSON."""
    values = {
        "row": dict(outcome.row),
        "compared": outcome.note.compared,
        "paid": sorted(outcome.note.paid),
        "stages": outcome.stages,
    }
    return json.dumps(values, default=_plain)


def outcome_of(text: str) -> Outcome:
    """Return the outcome of which ``outcome_text`` made a text."""
    found = json.loads(text, object_hook=_as_it_was)
    note = Note(found["compared"], frozenset(found["paid"]))
    return Outcome(found["row"], note, found["stages"])


def _plain(value: Any) -> Any:
    """Return a NumPy value as JSON has it."""
    if isinstance(value, np.ndarray) and value.ndim:
        return {_ARRAY: value.tolist(), "dtype": value.dtype.str}
    return value.tolist()


def _as_it_was(found: dict[str, Any]) -> Any:
    """Return an array, or any other object, of which JSON was made."""
    return np.array(found[_ARRAY], found["dtype"]) if _ARRAY in found else found
