"""The calls of a variant's steps, numbered, and what they returned.

Steps are a user's Python, which cannot be saved.  They are run again instead: calls
that were made before get what they returned then, and simulate nothing.
"""

import builtins
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import errors
from ..errors import BadInput, BadScenario
from ..quantum.loop import GO_ON
from . import objects
from .plain import WRONG, digest_of, told, untold

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Python's own exceptions that a call may raise and steps may catch.
_CAUGHT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Inside(NamedTuple):
    """The call in which a simulation was saved.

    where  numbers that ``GO_ON`` takes
    """

    name: str
    digest: str
    where: list[int]


class NumberedCalls:
    """The calls of one variant: those that are kept, then those that are made.

    lines    a line of JSON for each call that has ended
    inside   the call in which the simulation was saved; None: between two calls
    restore  gives the simulation its state, once the kept calls are handed out
    ended    called after each call that was made
    """

    def __init__(
        self,
        simulation: "Simulation",
        lines: list[str],
        inside: Inside | None,
        restore: Callable[[], None] | None,
        ended: Callable[[], None],
    ) -> None:
        self.simulation, self.lines, self.made = simulation, lines, 0
        #: Name and digest of the call that is being made.
        self.current = "", ""
        self._inside, self._restore, self._ended = inside, restore, ended
        self._before: objects.Values | None = None
        self._refusal: BadInput | None = None

    def call(self, name: str, do: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a call, or hand out what it returned or raised before."""
        if self._refusal is not None:  # steps have caught it, and cannot go on
            raise self._refusal
        self.current = name, digest_of(name, args, named)
        try:
            if self.made < len(self.lines):
                value, error = self._hand_out(args, named)
                do = partial(_again, value, error)
            else:
                do = partial(self._make, self._begun(do), *args, **named)
        except BadInput as refusal:
            self._refusal = refusal
            raise
        return do()

    def _make(self, do: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a call, and keep what comes of it."""
        try:
            value = do(*args, **named)
        except (errors.LazyNumaError, *_CAUGHT) as error:
            self._keep("raised", [type(error).__name__, str(error), _own(error)])
            raise
        self._keep("returned", value)
        return value

    def _begun(self, do: Callable[..., Any]) -> Callable[..., Any]:
        """Return what makes the current call, or what goes on in its middle."""
        if self._before is None:
            self._before = objects.values_of(self.simulation)
        if self._restore is None or self._inside is None:
            return do
        self._check(self._inside.name, self._inside.digest)
        self.restore()
        return _going_on(self.simulation, self._inside)

    def restore(self) -> None:
        """Give the simulation its state."""
        restore, self._restore = self._restore, None
        if restore is not None:
            restore()

    def end(self) -> None:
        """Take note that the steps have ended; BadScenario if calls are left over."""
        if self._refusal is not None:
            raise self._refusal
        if self.made < len(self.lines) or self._restore is not None:
            raise BadScenario(
                "steps must be the same when a run is resumed, got their end after"
                f" call {self.made}"
            )

    def _keep(self, how: str, value: Any) -> None:
        assert self._before is not None
        before, self._before = self._before, objects.values_of(self.simulation)
        changes = objects.changed(before, self._before)
        line = [*self.current, how, told(value), changes]
        self.lines.append(json.dumps(line, separators=(",", ":")))
        self.made += 1
        self._ended()

    def _hand_out(
        self, args: tuple, named: Mapping[str, Any]
    ) -> tuple[Any, Exception | None]:
        """Return what the current call returned, and what it raised, if it did."""
        try:
            kept, digest, how, value, changes = json.loads(self.lines[self.made])
            self._check(kept, digest)
            if kept == "start_daemon" and how == "returned":
                self.simulation.start_daemon(*args, **named)
            objects.put(self.simulation, changes)
            value = untold(value, self.simulation)
            error = _made_again(*value) if how == "raised" else None
        except BadInput:
            raise
        except WRONG as wrong:
            raise BadInput(
                f"checkpoint must hold what call {self.made + 1} returned, got"
                " something else"
            ) from wrong
        if kept == "configure" and error is None:
            self.simulation.settings = args[0] if args else named["settings"]
        self.made += 1
        if self.made == len(self.lines) and self._inside is None:
            self.restore()
        return value, error

    def _check(self, kept: str, kept_digest: str) -> None:
        """Raise BadScenario if the current call is not what it was the first time."""
        name, digest = self.current
        rule = f"call {self.made + 1} of the steps must be the same when a run is"
        if name != kept:
            raise BadScenario(f"{rule} resumed, {kept}, got {name}")
        if digest != kept_digest:
            raise BadScenario(f"{rule} resumed, got {name} with other arguments")


def _again(value: Any, error: Exception | None) -> Any:
    if error is not None:
        raise error
    return value


def _going_on(simulation: "Simulation", inside: Inside) -> Callable[..., Any]:
    if inside.name not in GO_ON:
        got = inside.name
        raise BadInput(f"checkpoint must be of a call that can go on, got {got}")
    go_on = GO_ON[inside.name]
    return lambda *args, **named: go_on(simulation, inside.where, *args, **named)


def _own(error: BaseException) -> dict[str, Any]:
    """Return the attributes of an exception, as far as they are numbers and texts."""
    values = vars(error).items()
    return {k: v for k, v in values if isinstance(v, int | float | str)}


def _made_again(name: str, text: str, values: Mapping[str, Any]) -> Exception:
    """Return an exception that a call raised."""
    kind = getattr(errors, name, None) or getattr(builtins, name)
    if not issubclass(kind, (errors.LazyNumaError, *_CAUGHT)):
        raise TypeError(name)
    error = kind.__new__(kind, text)
    error.args = (text,)
    vars(error).update(values)
    return error


#: What steps may read as it is: it is the same in a resumed run, or put back.
_SAME = frozenset(
    "now processes tasks objects machine costs seed threads batch policy settings"
    " oom_kills runs played places balances daemon_time_ns".split()
)
#: Parts that have calls of their own.
_PARTS = frozenset({"khugepaged"})
#: What nobody could hand out a second time.
_CLOSED = frozenset(
    "memory daemons user_daemons waking team prices observer task_ticks epochs locality"
    " tables inodes pause close forget".split()
)


class StandIn:
    """What steps get for a simulation, or a part of it: the same calls, numbered."""

    def __init__(self, calls: NumberedCalls, part: str = "") -> None:
        vars(self).update(_calls=calls, _part=part)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        calls, part = self._calls, self._part
        real = getattr(calls.simulation, part) if part else calls.simulation
        if not part and name in _SAME:
            return getattr(real, name)
        if not part and name in _PARTS:
            return StandIn(calls, name)
        if not part and name in _CLOSED or name.startswith("_"):
            raise BadScenario(
                "steps must ask by calls of Simulation if checkpoints are kept, got a"
                f" look at {name}"
            )
        full = f"{part}.{name}" if part else name
        if callable(getattr(type(real), name, None)):
            do = getattr(real, name)
            return lambda *args, **named: calls.call(full, do, *args, **named)
        return calls.call(full, lambda: _copied(getattr(real, name)))

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self._calls.simulation), name) or name in _SAME | _CLOSED:
            raise BadScenario(
                "steps must change a simulation by calls if checkpoints are kept, got"
                f" a new {name}"
            )
        vars(self)[name] = value


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
