"""One variant's checkpoint: what is loaded from it, when the next one is written."""

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h5py

from ..errors import BadInput
from . import checkpoint_file, image
from .numbered_calls import Inside, NumberedCalls, StandIn
from .plain import WRONG

if TYPE_CHECKING:
    from ..simulation import Simulation

#: What ``due`` returns.
NOTHING, SAVE, SUSPEND = range(3)
#: Seconds of a call after which a run may be suspended though no quantum has ended.
_LONG_S = 1.0


class Suspended(BaseException):
    """The run was asked to end, and its checkpoint is written.

    Not an Exception: steps that catch those must not catch this.
    """


class Keeper:
    """Keeps the checkpoint of one variant.

    path      its file; ``PATH.prev`` is the checkpoint before it
    identity  what must be the same when it is resumed, by name
    due       asked at the end of each quantum and call: NOTHING, SAVE or SUSPEND
    flushed   makes the output hold all rows so far; returns how many rows of this
              variant each table has
    rows      what ``flushed`` returned when the checkpoint was written that is resumed
    outcome   what ``finish`` was given, None if the variant has not ended

    Raises BadInput if there is a checkpoint that is damaged, and none before it, or if
    it is of another run.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        identity: Mapping[str, str],
        *,
        due: Callable[[], int],
        flushed: Callable[[], dict[str, int]],
    ) -> None:
        self._path, self._identity = Path(path), dict(identity)
        self._due, self._flushed = due, flushed
        self.rows: dict[str, int] = {}
        self.outcome: str | None = None
        self._calls: NumberedCalls | None = None
        self._lines: list[str] = []
        self._inside: Inside | None = None
        self._moved = self._over = False
        self._begun = time.perf_counter()
        self._file = _whole(self._path)
        if self._file is not None:
            self._read(self._file)

    @property
    def resumes(self) -> bool:
        """Whether there is a checkpoint that the variant goes on from."""
        return self._file is not None

    # --- a variant's run --------------------------------------------------------------

    def stand_in(self, simulation: "Simulation") -> "Simulation":
        """Return what the steps get in place of a simulation that has done nothing."""
        restore = None if self._file is None else self._restore
        self._calls = NumberedCalls(
            simulation, self._lines, self._inside, restore, self._call_ended
        )
        simulation.pause = self._quantum_ended
        self._begun = time.perf_counter()
        return cast("Simulation", StandIn(self._calls))

    def steps_ended(self) -> None:
        """Take note that the steps have returned; BadScenario if that is too early."""
        assert self._calls is not None
        self._calls.end()

    def finish(self, outcome: str) -> None:
        """Keep what the variant came to, in place of its state."""
        self.rows, self.outcome = self._flushed(), outcome
        self._write(lambda file: None, [], None)
        checkpoint_file.previous(self._path).unlink(missing_ok=True)

    def _quantum_ended(self, where: list[int]) -> None:
        calls = self._calls
        assert calls is not None
        self._moved = True
        self._save_if_due(Inside(*calls.current, where))

    def _call_ended(self) -> None:
        self._moved |= time.perf_counter() - self._begun > _LONG_S
        self._save_if_due(None)

    def _save_if_due(self, inside: Inside | None) -> None:
        if self._over:  # a call of a handler, while the steps are being left
            raise Suspended
        due = self._due()
        if due == NOTHING or (due == SUSPEND and not self._moved):
            return
        self._save(inside)
        if due == SUSPEND:
            self._over = True
            raise Suspended

    # --- the file ---------------------------------------------------------------------

    def _save(self, inside: Inside | None) -> None:
        """Write a checkpoint; warn if there is no room: the one before stays."""
        assert self._calls is not None
        simulation, lines = self._calls.simulation, self._calls.lines
        self.rows = self._flushed()
        try:
            self._write(
                lambda file: image.save(simulation, file.create_group("state")),
                lines,
                inside,
            )
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            warnings.warn(
                f"no checkpoint could be written to {self._path}, the one before"
                f" stays: {reason}",
                stacklevel=2,
            )

    def _write(
        self,
        state: Callable[[h5py.File], None],
        lines: list[str],
        inside: Inside | None,
    ) -> None:
        about = {
            "identity": self._identity,
            "rows": self.rows,
            "outcome": self.outcome,
            "inside": inside,
        }

        def fill(file: h5py.File) -> None:
            image.write_text(file, "about", json.dumps(about))
            image.write_text(file, "calls", "\n".join(lines))
            state(file)

        checkpoint_file.write(self._path, fill)

    def _read(self, path: Path) -> None:
        """Take over all but the state from a checkpoint that is whole."""
        try:
            with h5py.File(path) as file:
                about = json.loads(image.read_text(file, "about"))
                calls = image.read_text(file, "calls")
            self._check_identity(about["identity"])
            self.rows = {str(key): int(rows) for key, rows in about["rows"].items()}
            self.outcome = about["outcome"]
            inside = about["inside"]
            if inside is not None:
                name, digest, where = inside
                self._inside = Inside(name, digest, [int(one) for one in where])
            self._lines = calls.split("\n") if calls else []
        except BadInput:
            raise
        except (*checkpoint_file.HDF5_ERRORS, *WRONG, AttributeError) as error:
            raise checkpoint_file.damaged(path) from error

    def _check_identity(self, kept: Mapping[str, Any]) -> None:
        for key in {**self._identity, **kept}:
            here, there = self._identity.get(key), kept.get(key)
            if here != there:
                raise BadInput(
                    f"{key} must be that of the checkpoint {self._path}, {there}, got"
                    f" {here}"
                )

    def _restore(self) -> None:
        """Give the simulation the state of the checkpoint."""
        assert self._calls is not None and self._file is not None
        try:
            with h5py.File(self._file) as file:
                image.load(self._calls.simulation, file["state"])
        except (*checkpoint_file.HDF5_ERRORS, *WRONG, AttributeError) as error:
            raise checkpoint_file.damaged(self._file) from error


def _whole(path: Path) -> Path | None:
    """Return the newest checkpoint that is whole, or None if there is none at all.

    Warns if the newest is not, and raises BadInput if none is.
    """
    before = checkpoint_file.previous(path)
    if not path.exists():
        if not before.exists():
            return None
        checkpoint_file.check(before)
        return before
    try:
        checkpoint_file.check(path)
    except BadInput as error:
        if not before.exists():
            raise
        checkpoint_file.check(before)
        warnings.warn(f"{error}; the one before it is used", stacklevel=2)
        return before
    return path
