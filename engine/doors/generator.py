"""A generator of a user's file: accesses from a function of his own.

What kernels call is a loop over the accesses of a chunk around it, which writes their
words; the user's function is inlined, so that it costs no call an access.
"""

# mypy: allow-untyped-defs

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numba import types

from ...kernels.jit.arrays import from_start
from ...kernels.jit.by_address import arrays_of
from ...kernels.quantum.accesses import within
from ...kernels.quantum.own_accesses import Call
from ...kernels.words import (
    ACCESS_REFS_SHIFT,
    ACCESS_WRITE_SHIFT,
    NONE,
    REFS_CLASSES,
)
from .user_function import RAISED, MineField, Role, compiled, failure, where

#: Why an access was refused, besides RAISED.
WRONG_PAGE: Final = 2
WRONG_REFS: Final = 3


class Access(NamedTuple):
    """What a generator gets of an access: each an int64.

    task    its number in the simulation
    number  of the access: 0, 1, 2, .. of the task's workload in this run
    key     of the task's random numbers in this run, for ``random_page`` and others
    pages   4 KiB pages that the workload covers; the result is one of them
    now_ns  simulated time when the quantum began
    run_ns  the same, since the run began
    """

    task: int
    number: int
    key: int
    pages: int
    now_ns: int
    run_ns: int


class _Layout(NamedTuple):
    layout: np.ndarray


_layout_of = arrays_of(_Layout, (("int64", True),), Call.LAYOUT)
_STATUS, _NUMBER, _AT = int(Call.STATUS), int(Call.NUMBER), int(Call.AT)
_COUNT, _BITS = int(Call.COUNT), int(Call.BITS)
_PAGE, _REFS = int(Call.WRONG_PAGE), int(Call.WRONG_REFS)


def _part(function: Callable) -> Callable:
    """Compile a part of the loop; without the JIT it stays as it is."""
    return numba.njit(function)


@_part
def _numbered(access, number):
    return Access(
        access.task, number, access.key, access.pages, access.now_ns, access.run_ns
    )


def _threefold(function: Callable, refs: int) -> Callable:
    """Return a function that returns ``refs``, too."""

    def threefold(access, mine):
        page, write = function(access, mine)
        return page, write, refs

    return _part(threefold)


def _classes_of(classes: tuple[int, ...]) -> tuple[Callable, Callable]:
    """Return functions of refs: which of the classes it is, and whether it is none."""
    c0, c1, c2, c3, c4, c5, c6, c7 = (*classes, *[NONE] * (REFS_CLASSES - len(classes)))

    @_part
    def class_of(refs):
        few = (refs == c1) + 2 * (refs == c2) + 3 * (refs == c3)
        more = 4 * (refs == c4) + 5 * (refs == c5) + 6 * (refs == c6) + 7 * (refs == c7)
        return np.int64(few + more)

    @_part
    def is_unknown(refs):
        return (refs < 1) | ((class_of(refs) == 0) & (refs != c0))

    return class_of, is_unknown


def _loop(classes: tuple[int, ...]) -> Callable:
    """Return what makes the loop over a chunk of a user's function."""
    class_of, is_unknown = _classes_of(classes)

    def make(function: Callable, arguments: Callable, mine: Callable) -> Callable:
        called = _threefold(function, classes[0]) if len(classes) == 1 else function

        def entry(words, tables):
            first, own = arguments(words), mine(tables, 0)
            layout = from_start(_layout_of(words, 0).layout)
            at, bits, last = words[_AT], words[_BITS], first.pages - 1
            number, outside, unknown = first.number, np.int64(0), False
            try:
                for k in range(words[_COUNT]):
                    number = first.number + k
                    page, write, refs = called(_numbered(first, number), own)
                    page, refs = np.int64(page), np.int64(refs)
                    outside |= page | (last - page)
                    unknown |= is_unknown(refs)
                    word = bits + within(page, first.pages)
                    word |= np.int64(write != 0) << ACCESS_WRITE_SHIFT
                    layout[at + k] = word | class_of(refs) << ACCESS_REFS_SHIFT
                    words[_PAGE], words[_REFS] = page, refs
            except Exception:
                words[_STATUS], words[_NUMBER] = RAISED, number
                return 0
            if outside < 0 or unknown:
                words[_STATUS] = WRONG_PAGE if outside < 0 else WRONG_REFS
            return 0

        return entry

    return make


def _is_result(count: int) -> Callable[[Any], bool]:
    """Return what tells whether a type of Numba is that of ``count`` values."""

    def is_result(kind: Any) -> bool:
        if not isinstance(kind, types.BaseTuple) or len(kind) != count:
            return False
        parts: Any = kind
        page, write, *refs = parts
        whole = all(isinstance(one, types.Integer) for one in (page, *refs))
        return whole and isinstance(write, types.Boolean | types.Integer)

    return is_result


def _is_value(count: int) -> Callable[[Any], bool]:
    """Return what tells whether a value of Python is ``count`` integers."""

    def is_value(value: Any) -> bool:
        whole = (int, np.integer, np.bool_)
        if not isinstance(value, tuple) or len(value) != count:
            return False
        return all(isinstance(one, whole) for one in value)

    return is_value


@cache
def role_of(classes: tuple[int, ...]) -> Role:
    """Return the role of a generator whose accesses have these ``refs``."""
    returns = ("page", "write", "refs")[: 2 if len(classes) == 1 else 3]
    return Role(
        name="generate",
        parameters=("access", "mine"),
        fields=Access._fields,
        returns=f"({', '.join(returns)}), integers and a truth value",
        is_result=_is_result(len(returns)),
        is_value=_is_value(len(returns)),
        entry=_loop(classes),
    )


class Generator:
    """A user's function that makes accesses, with what it reads.

    function    ``generate(access, mine)``
    classes     the values that ``refs`` of an access may have
    arrays      by name, of one dimension, in one piece
    parameters  by name: whole numbers and others

    address, row  what kernels call, and what it reads
    Raises BadInput, with the function's file, line and name, if that is wrong.
    """

    def __init__(
        self,
        function: Callable,
        classes: Sequence[int],
        arrays: Mapping[str, np.ndarray],
        parameters: Mapping[str, int | float],
    ) -> None:
        kept = dict(arrays)
        fields: list[MineField] = [(k, str(x.dtype), False) for k, x in kept.items()]
        for name, value in parameters.items():
            whole = isinstance(value, int | np.integer)
            kept[name] = np.array([value], np.int64 if whole else np.float64)
            fields.append((name, str(kept[name].dtype), None))
        self.classes, self._kept = tuple(classes), kept
        self._user = compiled(function, role_of(self.classes), given=fields)
        self.address = self._user.address
        words = [[x.ctypes.data, x.size, 0] for x in kept.values()]
        self.row = np.array(words, np.int64).ravel()

    def refusal(self, call: np.ndarray) -> str:
        """Return one line of what was wrong with an access.

        call  the row of ``Work.calls`` that says so
        """
        words, row = call.copy(), self.row if self.row.size else np.zeros(1, np.int64)
        if words[_STATUS] == RAISED:
            line = failure(self._user, words, row)
            return f"{line} (access {words[_NUMBER]} of task {words[Call.TASK]})"
        status, words[_COUNT] = int(words[_STATUS]), 1
        for _ in range(int(call[_COUNT])):
            words[_STATUS] = 0
            self._user.call(words, row)
            if words[_STATUS] == status:
                break
            words[_NUMBER] += 1
        got = f"at access {words[_NUMBER]} of task {words[Call.TASK]}"
        name = where(self._user.function)
        if status == WRONG_PAGE:
            rule = f"{name} must return a page from 0 to {words[Call.PAGES] - 1}"
            return f"{rule}, got {words[_PAGE]} {got}"
        known = ", ".join(str(one) for one in self.classes)
        return f"{name} must return refs of {known}, got {words[_REFS]} {got}"
