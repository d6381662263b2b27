"""The folder of a sweep: which points are taken, done or failed.

``DIR/point-0007.h5`` is a point's file.  What is known of it lies in ``DIR/.sweep``:
``0007.claim`` while a process runs it, then ``0007.done`` or ``0007.failed``; the
points themselves are in ``points.json``.  All of it holds on NFS: a claim is a file
that only one process can create, and its owner writes to it again and again, so a claim
that has grown old is nobody's.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...engine.errors import BadInput
from .points import Point, Sweep

_HEARTBEAT_S = 20
#: A claim without a sign of life for so long is nobody's.
_STALE_S = 300
#: How long a process takes at most to end when it is killed.
_GONE_S = 10
#: How often a point is taken before it counts as failed: its process was killed.
MOST_TRIES = 2
_POINTS = "points.json"


class Folder:
    """What is known of the points of ``sweep`` in the directory ``path``.

    Creates it.  Raises BadInput if another sweep lies there.
    """

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path, self.sweep = path, sweep
        self.notes = path / ".sweep"
        self._width = max(4, len(str(len(sweep.points) - 1)))
        try:
            if not (self.notes / "digest").exists():
                self.notes.mkdir(parents=True, exist_ok=True)
                _create(self.notes / "digest", sweep.digest)
            self._check_same()
        except FileExistsError:
            self._check_same()
        except OSError as error:
            raise BadInput(f"output must be a folder to write to: {error}") from error
        if not (self.notes / _POINTS).exists():
            _replace(self.notes / _POINTS, sweep._asdict())

    def _check_same(self) -> None:
        found = (self.notes / "digest").read_text()
        if found != self.sweep.digest:
            raise BadInput(
                f"output must be a folder of this sweep, got {self.path}, which has"
                " another sweep's points (or the scenario has changed since)"
            )

    def file(self, point: Point) -> Path:
        """Return the path of a point's HDF5 file."""
        return self.path / f"point-{self._name(point)}.h5"

    def state(self, point: Point) -> str:
        """Return ``done``, ``failed``, ``running`` or ``waiting``."""
        if self._note(point, "done").exists() and self.file(point).exists():
            return "done"
        if self._note(point, "failed").exists():
            return "failed"
        return "running" if _is_alive(self._note(point, "claim")) else "waiting"

    def note(self, point: Point, kind: str) -> dict[str, Any]:
        """Return what the note ``done`` or ``failed`` of a point says."""
        return _read(self._note(point, kind))

    def forget_failures(self) -> None:
        """Let the points which failed be run again."""
        for path in self.notes.glob("*.failed"):
            path.unlink(missing_ok=True)

    @contextmanager
    def taken(self, point: Point) -> Iterator[bool]:
        """Take a point, give it back at the end; False if it is not to be had."""
        claim, tries = self._note(point, "claim"), 1
        if self.state(point) != "waiting":
            yield False
            return
        if claim.exists():  # of a process that ended without a word
            tries = 1 + _read(claim).get("tries", 1)
            if not _take_away(claim):
                yield False
                return
        if tries > MOST_TRIES:
            self.fail(point, f"its process was killed {MOST_TRIES} times", 0.0)
            yield False
            return
        pid = os.getpid()
        owner = {"host": _host(), "pid": pid, "born": _born(pid), "tries": tries}
        try:
            _create(claim, json.dumps(owner))
        except FileExistsError:
            yield False
            return
        stop = threading.Event()
        beat = threading.Thread(target=_beat, args=(claim, stop), daemon=True)
        beat.start()
        try:
            yield True
        finally:
            stop.set()
            beat.join()
            claim.unlink(missing_ok=True)

    def finish(self, point: Point, seconds: float) -> None:
        """Note that a point is done."""
        _replace(self._note(point, "done"), {"seconds": seconds, "host": _host()})

    def lose(self, point: Point) -> None:
        """Wait until the process is gone that had a point and was killed.

        The pipe to it ends before it does.  A point which it had not taken fails.
        """
        patience = time.monotonic() + _GONE_S
        while self.state(point) == "running" and time.monotonic() < patience:
            time.sleep(0.01)
        if not self._note(point, "claim").exists():
            self.fail(point, "its process was killed before it began", 0.0)

    def fail(self, point: Point, message: str, seconds: float) -> None:
        """Note that a point has failed, and why."""
        what = {"message": message, "seconds": seconds, "host": _host()}
        _replace(self._note(point, "failed"), what)

    def _name(self, point: Point) -> str:
        return f"{point.number:0{self._width}}"

    def _note(self, point: Point, kind: str) -> Path:
        return self.notes / f"{self._name(point)}.{kind}"


def swept(path: Path) -> Folder:
    """Return the folder of a sweep that has begun; BadInput if ``path`` is none."""
    found = _read(path / ".sweep" / _POINTS)
    try:
        points = tuple(Point(*one) for one in found["points"])
        sweep = Sweep(**(found | {"varied": tuple(found["varied"]), "points": points}))
    except (TypeError, LookupError) as error:
        raise BadInput(
            f"folder must be one of a sweep, got {path}, which has no .sweep/{_POINTS}"
            " (lazynuma sweep .. --status writes it)"
        ) from error
    return Folder(path, sweep)


def _host() -> str:
    return socket.gethostname()


def _create(path: Path, text: str) -> None:
    """Create a file with all of its text at once; FileExistsError if it is there."""
    whole = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    whole.write_text(text)
    try:
        os.link(whole, path)
    finally:
        whole.unlink()


def _replace(path: Path, what: dict[str, Any]) -> None:
    whole = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    whole.write_text(json.dumps(what))
    os.replace(whole, path)


def _read(path: Path) -> dict[str, Any]:
    """Return the object in a note, empty if it has gone or is damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_alive(claim: Path) -> bool:
    """Tell whether the process of a claim still runs."""
    owner = _read(claim)
    if not owner:
        return False
    if owner.get("host") == _host():
        return _born(owner["pid"]) == owner["born"]
    return _age(claim) < _STALE_S


def _born(pid: int) -> int:
    """Return when a process began, in ticks since the machine did, or 0: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    state, *_, born = stat.rpartition(")")[2].split()[:20]
    return 0 if state == "Z" else int(born)


def _age(claim: Path) -> float:
    """Return the seconds since a claim's last sign of life, by the server's clock."""
    now = claim.with_name(f"now.{uuid.uuid4().hex}")
    try:
        now.touch()
        return now.stat().st_mtime - claim.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        now.unlink(missing_ok=True)


def _take_away(claim: Path) -> bool:
    """Remove a dead claim; False if another process was quicker."""
    away = claim.with_name(f"{claim.name}.{uuid.uuid4().hex}")
    try:
        os.rename(claim, away)
    except OSError:
        return False
    stolen = _is_alive(away)  # taken anew while we looked at the old one
    if stolen:
        with suppress(FileExistsError):
            os.link(away, claim)
    away.unlink()
    return not stolen


def _beat(claim: Path, stop: threading.Event) -> None:
    """Give signs of life until ``stop``."""
    while not stop.wait(_HEARTBEAT_S):
        try:
            os.utime(claim)
        except OSError:
            return
