"""The checkpoints of a run: a folder beside its file, and in it one of each unit.

``FILE.checkpoint/run.json`` says which file it belongs to, and what must be the same
when the run goes on.  A unit that has ended keeps there what it came to.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...kernels.jit.cache_dir import SOURCES, key_of
from ..checkpoint.keeper import Keeper
from ..errors import BadInput
from ..output.in_order import put_in_order
from ..output.kept_rows import copy_rows
from ..output.lock import Lock, is_locked
from ..output.place import keep
from ..output.reader import RunFile, RunState
from ..output.writer import RunWriter
from ..study.study import Study
from .lasting import Lasting, When
from .run_variant import Outcome, outcome_of
from .unit import Unit

_FOLDER, _ABOUT, _BUSY = ".checkpoint", "run.json", ".busy"
#: How long a worker may take to see that the process which waited for it has gone.
_PATIENCE_S = 30
#: The root attribute that says to which run a file belongs, and how often it went on.
RUN_ID, RESUMED = "run_id", "resumed"


class KeeperOrder(NamedTuple):
    """What makes the keeper of a unit in the process that runs it."""

    path: Path
    identity: dict[str, str]
    every_s: float | None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Have a unit's checkpoint for this process: others wait until it is over."""
    descriptor = os.open(path.with_suffix(_BUSY), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _wait_for_others(folder: Path) -> None:
    """Wait until no worker of a run that was killed is at work on a checkpoint.

    Raises BadInput if one still is after ``_PATIENCE_S``.
    """
    end = time.monotonic() + _PATIENCE_S
    for path in sorted(folder.glob(f"*{_BUSY}")):
        with path.open("r+b") as file:
            while not _is_free(file.fileno()):
                if time.monotonic() > end:
                    raise BadInput(f"checkpoint must not be in use, got {path}")
                time.sleep(0.02)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


class Finished(Exception):
    """There is nothing to go on with: the run of this file is done."""


def checkpoint_folder(path: str | os.PathLike) -> Path:
    """Return where the checkpoints of a run file lie."""
    path = Path(path).absolute()
    return path.with_name(path.name + _FOLDER)


class Checkpoints:
    """The checkpoints of one run.

    identity    what must be the same when it goes on: texts by name
    attributes  root attributes of its file: a run that goes on keeps those of its start
    resumes     whether it goes on with an old file

    Raises BadInput if it is to go on with what is another run's, is in use, or is not
    whole, and ``Finished`` if the run is done.
    """

    def __init__(self, lasting: Lasting, identity: Mapping[str, str]) -> None:
        self.lasting = lasting
        self.path = Path(lasting.path).absolute()
        self.folder = checkpoint_folder(self.path)
        self.identity = {**identity, **lasting.identity}
        self.when = When(lasting.every_s, lasting.is_over)
        self._keepers: dict[Unit, Keeper] = {}
        self._id, self.resumed = uuid.uuid4().hex, 0
        self._sync: Callable[[], None] = lambda: None
        self._counts: dict[Unit, dict[str, int]] = {}
        self.resumes = False
        self._found: str | None = None
        self.attributes: dict[str, Any] = {}
        if lasting.resume:
            self._find()
        self.attributes |= {RUN_ID: self._id, RESUMED: self.resumed}

    # --- what is there ----------------------------------------------------------------

    def _find(self) -> None:
        """Look whether there is a run to go on with."""
        try:
            self.resumes = self._goes_on()
        except Finished:
            self._tidy()
            raise
        except BadInput:
            if not self.lasting.replace:
                raise

    def _goes_on(self) -> bool:
        about = _read(self.folder / _ABOUT)
        if not self.path.exists():
            if about is not None:
                raise BadInput(
                    f"output must be there to be resumed, got no {self.path}, but its"
                    f" checkpoints in {self.folder} (remove them to start afresh)"
                )
            return False
        with RunFile(self.path, alive=is_locked(self.path)) as file:
            return self._goes_on_with(file, about)

    def _tidy(self) -> None:
        """Do what a run did not come to that was killed when all else was done."""
        if not self.folder.exists():
            return
        with suppress(BadInput, OSError):  # it is about to do so itself, or may not be
            lock = Lock(self.path)
            try:
                put_in_order(self.path)
                self.end()
            finally:
                lock.release()

    def _goes_on_with(self, file: RunFile, about: dict[str, Any] | None) -> bool:
        attributes, state = file.attributes, file.state
        if state == RunState.DONE:
            self._check_same(_identity_of(attributes), of_program=False)
            raise Finished
        self._found = found = attributes.get(RUN_ID)
        if about is None or about.get("run") != found:
            if _is_empty(file):
                return False  # it was killed before it had anything to lose
            got = "none" if about is None else "those of another run"
            raise BadInput(
                f"output must have its checkpoints beside it to be resumed, got {got}"
                f" in {self.folder}"
            )
        self._check_same(about.get("identity"))
        self._id = str(found)
        self.resumed = int(attributes.get(RESUMED, 0)) + 1
        self.attributes = {
            name: attributes[name] for name in ("date", "host") if name in attributes
        }
        return True

    def _check_same(self, kept: Any, of_program: bool = True) -> None:
        """Raise BadInput if the run was another: with other settings, say."""
        kept = kept if isinstance(kept, dict) else {}
        for name, here in self.identity.items():
            there = kept.get(name)
            if here == there or not (of_program or name in _OF_FILE):
                continue
            raise BadInput(
                f"{name} must be as when the run of {self.path} began,"
                f" {_difference(there, here)}"
            )

    # --- the file ---------------------------------------------------------------------

    def fill(self, study: Study, seed: int, new: RunWriter) -> None:
        """Copy into a new file the rows that are known; ``seed`` is the first one."""
        if not self.resumes:
            self._check_still(self._found)
            return
        self._check_still(self._id)
        _wait_for_others(self.folder)
        units = [Unit(i, seed, keeps=True) for i in range(len(study.variants))]
        kept = [self.keeper(unit).rows for unit in units]
        with RunFile(self.path, alive=False) as old:
            copy_rows(old, new, kept)

    def _check_still(self, found: str | None) -> None:
        """Raise BadInput if another run took the file before we had its lock."""
        if not self.lasting.resume or self.lasting.replace or not self.path.exists():
            return
        with RunFile(self.path, alive=False) as file:
            same = file.attributes.get(RUN_ID) == found
            if not same or file.state == RunState.DONE:
                raise BadInput(f"file must not be in use, got {self.path}")

    def begin(self, sync: Callable[[], None]) -> None:
        """Begin, now that the file is there: ``sync`` writes all its rows to disk."""
        self._sync = sync
        if self.resumes:
            keep(self.path)  # the old file, of which all that counts is in the new one
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        about = {"run": self._id, "identity": self.identity}
        _write(self.folder / _ABOUT, json.dumps(about))

    def end(self) -> None:
        """Remove the checkpoints: the run is done, or its file is no more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- units ------------------------------------------------------------------------

    def keeper(self, unit: Unit) -> Keeper:
        """Return what keeps the checkpoint of a unit, the same one each time."""
        if unit not in self._keepers:
            keeper = Keeper(
                *self.order(unit)[:2],
                due=self.when.due,
                flushed=lambda: self.flushed(unit),
            )
            self._keepers[unit] = keeper
            self._counts[unit] = dict(keeper.rows)
        return self._keepers[unit]

    def outcome(self, unit: Unit) -> Outcome | None:
        """Return what a unit has come to, None if it has not ended."""
        text = self.keeper(unit).outcome
        return None if text is None else outcome_of(text)

    def order(self, unit: Unit) -> "KeeperOrder":
        """Return what makes the keeper of a unit in another process."""
        path = self.folder / f"{name_of(unit)}.h5"
        return KeeperOrder(path, self.identity_of(unit), self.lasting.every_s)

    def identity_of(self, unit: Unit) -> dict[str, str]:
        """Return what must be the same when a unit goes on."""
        text = json.dumps(self.identity, sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return {"run": self._id, "variant": name_of(unit), "settings": digest}

    def flushed(self, unit: Unit) -> dict[str, int]:
        """Write all rows to disk; return how many a unit has in each table."""
        self._sync()
        return dict(self._counts[unit])

    def count(self, unit: Unit, method: str, values: tuple[Any, ...]) -> None:
        """Take note of a row of a unit: a method of ``RunWriter`` with its values."""
        count_rows(self._counts[unit], method, values)


def count_rows(counts: dict[str, int], method: str, values: tuple[Any, ...]) -> None:
    """Add what a method of ``RunWriter`` writes to the rows of each table."""
    name = values[1] if method == "record" else f"{method}s"
    counts[name] = counts.get(name, 0) + 1
    if method == "epoch":
        counts["processes"] = counts.get("processes", 0) + len(values[2])


def name_of(unit: Unit) -> str:
    """Return the name of a unit's checkpoint."""
    change = "" if unit.change is None else f"-{unit.change.cost}-{unit.change.up}"
    return f"{unit.index:04}-{unit.seed}{change}"


# --- what must be the same ------------------------------------------------------------

#: What a file itself says of its run, by the name of the root attribute.
_OF_FILE = {
    "scenario": "scenario",
    "parameters": "parameters",
    "settings": "settings",
    "costs": "costs",
    "seed": "seed",
    "seeds": "seeds",
}


def identity(study: Study, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what must be the same when a run goes on: texts by name."""
    machines = repr([variant.machine for variant in study.variants])
    return {
        **_identity_of(attributes),
        "version": str(json.loads(attributes["versions"])["lazynuma"]),
        "kernels": key_of(SOURCES),
        "sources": _engine_key(),
        "machines": hashlib.blake2b(machines.encode(), digest_size=8).hexdigest(),
        "records": ", ".join(records.name for records in study.records),
    }


def _identity_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what the root attributes of a file say of its run."""
    return {
        name: str(np.ravel(attributes[key]).tolist())
        if name == "seeds"
        else str(attributes[key])
        for name, key in _OF_FILE.items()
        if key in attributes
    }


def _engine_key() -> str:
    """Return a digest of the sources of the engine: what is loaded is theirs."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parents[1].rglob("*.py*")):
        if path.suffix in (".py", ".pyx"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _difference(there: Any, here: str) -> str:
    """Say in short how two texts differ: of JSON objects, the first value that does."""
    try:
        old, new = _flat(json.loads(there)), _flat(json.loads(here))
    except (TypeError, ValueError, AttributeError):
        return f"{_short(there)}, got {_short(here)}"
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            was, now = _short(old.get(name)), _short(new.get(name))
            return f"{name}={was}, got {name}={now}"
    return f"{_short(there)}, got {_short(here)}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    found: dict[str, Any] = {}
    for name, one in value.items():
        within = "" if name in ("common", "variants") and not prefix else f"{name}."
        found |= _flat(one, prefix + within)
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- files ----------------------------------------------------------------------------


def _is_empty(file: RunFile) -> bool:
    """Whether a file has no row of any table, and no variant that has ended."""
    no_rows = not any(table.rows for table in file.tables.values())
    return no_rows and bool(np.isnan(file.runtime["run_s"]).all())


def _read(path: Path) -> dict[str, Any] | None:
    """Return the object in a file; None if there is no file, BadInput if it is bad."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"checkpoint must be whole, got {path}: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"checkpoint must be whole, got {path}, which is damaged")
    return found


def _write(path: Path, text: str) -> None:
    """Write a small file that is there whole or not at all, and on the disk."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
