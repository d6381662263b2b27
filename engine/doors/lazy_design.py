"""A design of lazy migration of a user's own, as kernels call it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from ...kernels import state as st
from ...kernels.jit.by_address import number_of
from ...kernels.lazy.own import ARGUMENTS, FAILED, STATUS, VERB, Status, Verb
from ..errors import BadInput, SimulationError, printable
from .running import watch
from .user_function import Role, check_function, python_of, where

#: What each verb gets, after ``m``, and whether it returns an integer.
PARAMETERS = {
    "mark": ("pfn",),
    "fault": ("s", "task", "at", "v", "vpn", "write"),
    "fork": ("s", "pte"),
    "zap": ("s", "pte", "vpn", "exiting"),
    "reclaim": ("n", "pfn"),
}
_MESSAGE_MAX = 300


@dataclass(frozen=True)
class LazyDesign:
    """A design of lazy migration: how pages are parked until their next touch.

    name     of the design, in messages
    mark     (m, pfn) -> 1, or 0 if the page is refused: take a page out of its PTEs
    fault    (m, s, task, at, v, vpn, write) -> SERVED, NO_MEMORY or PUT_ASIDE: map the
             page of the parked PTE at index ``at`` again, here or on another node
    fork     (m, s, pte): a child's page table has got a copy of a parked PTE
    zap      (m, s, pte, vpn, exiting) -> 1 if the page is lost, 0: a parked PTE is gone
    reclaim  (m, n, pfn) -> 1, or 0 if there is no slot: put a page of node ``n`` into
             the swap cache, from which it is swapped out

    They are functions that Numba can compile, of the state (``kernels/state.py``) and
    of int64: ``s`` the shard (the last row of tables of shards: serial work), ``v`` the
    row of the VMA, ``vpn`` the virtual page.  A parked PTE is of ``Kind.OWN`` and holds
    an identity; ``m.own_frame`` leads from it to the frame, ``m.frame_entry`` back.
    ``m.own_count`` is the design's own.

    Raises BadInput if one of them is not a function of these parameters.
    """

    name: str
    mark: Callable[..., int]
    fault: Callable[..., int]
    fork: Callable[..., None]
    zap: Callable[..., int]
    reclaim: Callable[..., int]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise BadInput(f"name of a lazy design must be a text, got {self.name!r}")
        for verb, parameters in PARAMETERS.items():
            role = Role(verb, ("m", *parameters), (), "an integer")
            check_function(getattr(self, verb), role)


class _Compiled(NamedTuple):
    """A verb that kernels can call at an address, as long as ``kept`` lives."""

    address: int
    kept: Any


class UserDesign:
    """A design whose verbs the kernels of one simulation call.

    Raises BadInput with file, line and name of a verb that Numba cannot compile.
    """

    def __init__(self, design: LazyDesign, memory: st.Memory) -> None:
        kind = None if _is_plain() else numba.typeof(memory)
        self.design, self._words = design, memory.verb_words
        self._verbs = [_compiled(getattr(design, one), one, kind) for one in PARAMETERS]
        for verb, one in zip(Verb, self._verbs, strict=True):
            memory.verbs[verb] = one.address
        watch(self)

    def check(self) -> None:
        """Raise SimulationError if a verb has done something wrong."""
        failed = np.flatnonzero(self._words[:, STATUS])
        if not failed.size:
            return
        words = self._words[failed[0]]
        verb = self._verb(words)
        got = tuple(int(one) for one in words[ARGUMENTS:][: len(PARAMETERS[verb])])
        wrong = _WRONG[Status(int(words[STATUS]))]
        name = printable(self.design.name)
        raise SimulationError(
            f"{where(getattr(self.design, verb))} {wrong} (lazy design {name},"
            f" arguments {got})"
        )

    def running(self) -> str | None:
        """Return ``FILE.py:LINE: NAME`` of the verb that runs now, or None."""
        busy = np.flatnonzero(self._words[:, VERB])
        if not busy.size:
            return None
        return where(getattr(self.design, self._verb(self._words[busy[0]])))

    @staticmethod
    def _verb(words: np.ndarray) -> str:
        return Verb(int(words[VERB]) - 1).name.lower()


def _is_plain() -> bool:
    return bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


@cache
def _compiled(function: Callable, verb: str, kind: Any) -> _Compiled:
    count = len(PARAMETERS[verb])
    if kind is None:
        plain = _plain_entry(python_of(function), count)
        return _Compiled(number_of(plain), plain)
    made = numba.njit(nogil=True)(python_of(function))
    words = types.CPointer(types.int64)
    try:
        made.compile((kind, *[types.int64] * count))
        entry = _entry(numba.njit(nogil=True)(_spread(made, count)), verb)
        called = numba.cfunc(types.int64(kind, words))(entry)
    except numba.core.errors.NumbaError as error:
        raise BadInput(
            f"{where(function)} must be what Numba can compile, got: {_said(error)}"
        ) from None
    _check_result(function, made, verb)
    assert called.address is not None
    return _Compiled(called.address, (called, made))


def _plain_entry(function: Callable, count: int) -> Callable:
    """Return what kernels call without the JIT."""

    def ask(m: Any, words: Any) -> int:
        try:
            return function(m, *map(int, words[ARGUMENTS:][:count]))
        except Exception as error:
            said = printable(f"{type(error).__name__}: {error}")[:_MESSAGE_MAX]
            raise SimulationError(
                f"{where(function)} must raise no exception, got {said}"
            ) from error

    return ask


def _spread(function: Callable, count: int) -> Callable:
    """Return a function of the words of a verb, which calls it with its arguments."""
    calls = {
        1: lambda m, words: function(m, words[2]),
        2: lambda m, words: function(m, words[2], words[3]),
        4: lambda m, words: function(m, words[2], words[3], words[4], words[5]),
        6: lambda m, words: function(
            m, words[2], words[3], words[4], words[5], words[6], words[7]
        ),
    }
    return calls[count]


def _entry(call: Callable, verb: str) -> Callable:
    """Return what kernels call for one call of a verb."""

    def tell(m: Any, words: Any) -> int:
        try:
            call(m, words)
            return 0
        except Exception:
            words[STATUS] = Status.RAISED
            return FAILED

    def ask(m: Any, words: Any) -> int:
        try:
            return call(m, words)
        except Exception:
            words[STATUS] = Status.RAISED
            return FAILED

    return tell if verb == "fork" else ask


def _check_result(function: Callable, made: Any, verb: str) -> None:
    for one in made.overloads.values():
        kind = one.signature.return_type
        if verb != "fork" and not isinstance(kind, types.Integer):
            raise BadInput(f"{where(function)} must return an integer, got {kind}")


def _said(error: Exception) -> str:
    """Return one line of what Numba says of a function that it cannot compile."""
    lines = [printable(one.strip()) for one in str(error).splitlines()]
    said = [one for one in lines if one and not one.startswith(("Failed in", "File"))]
    return (said[0] if said else type(error).__name__)[:_MESSAGE_MAX]


_WRONG = {
    Status.RAISED: "must raise no exception, got one",
    Status.LEFT: "must map the page, got SERVED and the PTE as it was",
    Status.UNKNOWN: "must return SERVED, NO_MEMORY or PUT_ASIDE, got something else",
}
