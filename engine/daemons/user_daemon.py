"""A daemon of a user's: checked when it is started, and each time that it has worked.

``docs/model/daemons.md`` 1 to 5.
"""

import inspect
import os
import traceback
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, SimulationError, printable
from . import NEVER

if TYPE_CHECKING:
    from ..simulation import Simulation

#: ``wakes_ns`` of a daemon that is woken at each quantum's end, and never in idle time.
EACH_QUANTUM = -1


class UserDaemon:
    """What stands in the list of daemons for one of a user's.

    mine     the user's object
    woken    how many times it was woken
    owed     whether a quantum has ended since
    busy_ns  until when its last work lasts, ns
    given    its attributes when it was started
    kept     for checkpoints: (woken, its attributes as JSON) when they last asked
    """

    def __init__(self, mine: Any) -> None:
        check_daemon(mine)
        self.mine, self.woken, self.owed, self.busy_ns = mine, 0, False, 0
        self.given = attributes(mine)
        self.kept: tuple[int, Any] | None = None

    @property
    def name(self) -> str:
        """The name of its class."""
        return type(self.mine).__name__

    @property
    def wakes_ns(self) -> int:
        """When it is due, ns: not before its last work is done."""
        wakes = _wakes(self.mine)
        if wakes == EACH_QUANTUM:
            return self.busy_ns if self.owed else NEVER
        return max(wakes, self.busy_ns)

    @property
    def cuts(self) -> bool:
        """Whether quanta end when it is due."""
        return _wakes(self.mine) not in (EACH_QUANTUM, NEVER)

    def owe(self) -> None:
        """Note that a quantum is over."""
        self.owed = True

    def wake(self, simulation: "Simulation") -> None:
        """Let it work; SimulationError if it fails, or would be woken for ever."""
        before, self.owed = simulation.daemon_time_ns, False
        self.woken += 1
        simulation.waking = self.name
        try:
            self.mine.wake(simulation)
        except SimulationError:
            raise
        except Exception as error:
            raise SimulationError(self._failed(error)) from error
        finally:
            simulation.waking = ""
        worked = simulation.daemon_time_ns - before
        self.busy_ns = simulation.now + worked if worked else 0
        self._check_moves_on(simulation.now)

    def _check_moves_on(self, now: int) -> None:
        try:
            wakes = _wakes(self.mine)
        except BadInput as error:
            raise SimulationError(str(error)) from None
        if wakes != EACH_QUANTUM and wakes <= now:
            raise SimulationError(
                f"{place(self.mine)} must set wakes_ns to a later time than now, {now},"
                f" got {wakes}"
            )

    def _failed(self, error: Exception) -> str:
        """Return one line that says where and how it has failed."""
        code = self.mine.wake.__code__
        frames = traceback.extract_tb(error.__traceback__)
        own = [one.lineno for one in frames if one.filename == code.co_filename]
        what = printable(f"{type(error).__name__}: {error}")
        return f"{place(self.mine, own[-1] if own else None)} must not fail, got {what}"


def attributes(mine: Any) -> dict[str, Any]:
    """Return the attributes of an object, by name, those in slots, too."""
    slots = [
        name for kind in type(mine).__mro__ for name in vars(kind).get("__slots__", ())
    ]
    found = {name: getattr(mine, name) for name in slots if hasattr(mine, name)}
    return found | getattr(mine, "__dict__", {})


def place(mine: Any, line: int | None = None) -> str:
    """Return ``FILE.py:LINE: CLASS.wake`` of a daemon."""
    code = getattr(type(mine).wake, "__code__", None)
    name = f"{type(mine).__name__}.wake"
    if code is None:
        return name
    file = printable(os.path.basename(code.co_filename))
    return f"{file}:{line or code.co_firstlineno}: {name}"


def check_daemon(mine: Any) -> None:
    """Raise BadInput unless an object has ``wakes_ns`` and ``wake(simulation)``."""
    kind = mine if isinstance(mine, type) else type(mine)
    wake = getattr(kind, "wake", None)
    if isinstance(mine, type) or not callable(wake) or not hasattr(mine, "wakes_ns"):
        got = f"the class {kind.__name__}" if kind is mine else kind.__name__
        raise BadInput(
            f"a daemon must be an object with wakes_ns and wake(simulation), got {got}"
        )
    if len(inspect.signature(wake).parameters) != 2:
        got = str(inspect.signature(wake))
        raise BadInput(f"{place(mine)} must take one argument, simulation, got {got}")
    _wakes(mine)


def _wakes(mine: Any) -> int:
    """Return the ``wakes_ns`` of a user's daemon; raise BadInput if it is no time."""
    wakes = mine.wakes_ns
    whole = isinstance(wakes, Integral) and not isinstance(wakes, bool)
    if not whole or not EACH_QUANTUM <= wakes <= NEVER:
        raise BadInput(
            f"{place(mine)} must set wakes_ns to an integer, a time in ns, NEVER or"
            f" EACH_QUANTUM, got {printable(repr(wakes))[:80]}"
        )
    return int(wakes)


def start_daemon(simulation: "Simulation", daemon: Any) -> None:
    """Let an object with ``wakes_ns`` and ``wake(simulation)`` work from now on.

    ``wakes_ns``: the simulated time from which on it is due, ns; a quantum ends there,
    and idle time is cut there.  EACH_QUANTUM (-1): at each quantum's end; NEVER: not.
    ``wake`` sets it to a later time; it asks and acts by the calls of the simulation.
    ``begin(simulation)`` is called first, if it has one: it may raise BadInput.
    Raises BadInput if it is no such object, or was started before.
    """
    if any(one.mine is daemon for one in simulation.user_daemons):
        raise BadInput(f"{place(daemon)} must be started once, got it again")
    one = UserDaemon(daemon)
    if callable(getattr(daemon, "begin", None)):
        daemon.begin(simulation)
    simulation.user_daemons.append(one)
    simulation.daemons.append(one)
