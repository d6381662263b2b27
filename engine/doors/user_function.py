"""A function of a user's file as kernels call it: compiled, checked, and never trusted.

The function that a kernel calls (``kernels/jit/by_address.py``) makes the arguments and
``mine`` of rows of int64, calls the user's, and catches what that raises.
"""

import ctypes
import inspect
import os
import re
import traceback
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numba import types

from ...kernels.doors import FAILED, Asked
from ...kernels.jit.by_address import arrays_at, arrays_of, number_of, tuple_of
from ..errors import BadInput, printable
from .own_array import Own, fields_of

#: The first words of what a user's function is called with (``kernels/doors.py``).
STATUS, ROW, ARGUMENTS = int(Asked.STATUS), int(Asked.ROW), int(Asked.ARGUMENTS)
_FAILED: Final = int(FAILED)
#: What STATUS is once it raised an exception.
RAISED = 1
_WORDS = types.CPointer(types.int64)
_POINTER = ctypes.POINTER(ctypes.c_int64)
_MESSAGE_MAX = 300


def plain_entry(function: Callable, arguments: Callable, mine: Callable) -> Callable:
    """Return what kernels call: one call of a user's function, for one result.

    function   the user's
    arguments  makes its first argument of the words
    mine       makes its second of (tables, row)
    """

    def entry(words: Any, tables: Any) -> Any:
        try:
            return function(arguments(words), mine(tables, words[ROW]))
        except Exception:
            words[STATUS] = RAISED
            return _FAILED

    return entry


@dataclass(frozen=True)
class Role:
    """What a user's function is for.

    name        of the role: ``hint_fault``
    parameters  names of its parameters, for messages
    fields      of its first argument, each an int64: the words from ARGUMENTS on
    returns     what it must return, in words
    is_result   tells whether a type of Numba is that
    is_value    tells whether a value of Python is that
    entry       makes what kernels call, as ``plain_entry``
    """

    name: str
    parameters: tuple[str, ...]
    fields: tuple[str, ...]
    returns: str
    is_result: Callable[[Any], bool] = lambda kind: isinstance(kind, types.Integer)
    is_value: Callable[[Any], bool] = lambda value: (
        isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    )
    entry: Callable[[Callable, Callable, Callable], Callable] = plain_entry

    @property
    def tuple_kind(self) -> type:
        """The class of the first argument."""
        return _tuple_kind(self.parameters[0], self.fields)


@cache
def _tuple_kind(name: str, fields: tuple[str, ...]) -> type:
    return namedtuple(name, fields)


#: (name, dtype, whether it may be written, or None: a number) of what ``mine`` holds.
MineField = tuple[str, str, bool | None]


class UserFunction(NamedTuple):
    """A function that kernels can call.

    fields   what its ``mine`` holds
    address  what they call; valid as long as this object lives
    kept     what must live as long
    """

    role: Role
    function: Callable
    arrays: tuple[Own, ...]
    fields: tuple[MineField, ...]
    address: int
    kept: Any

    def call(self, words: np.ndarray, tables: np.ndarray) -> int:
        """Call it as kernels do."""
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return self.kept(words, tables)
        return self.kept[0].ctypes(
            *(one.ctypes.data_as(_POINTER) for one in (words, tables))
        )


def python_of(function: Any) -> Callable:
    """Return the Python function of one that Numba has compiled, or the same."""
    return getattr(function, "py_func", function)


def where(function: Any) -> str:
    """Return ``FILE.py:LINE: NAME`` of a function."""
    code = python_of(function).__code__
    name = printable(os.path.basename(code.co_filename))
    return f"{name}:{code.co_firstlineno}: {code.co_name}"


def check_function(function: Any, role: Role) -> None:
    """Raise BadInput unless it is a function of the role's parameters."""
    plain = python_of(function)
    if not inspect.isfunction(plain):
        got = printable(repr(function))[:80]
        raise BadInput(f"{role.name} must be a function, got {got}")
    expected = ", ".join(role.parameters)
    rule = f"{where(function)} must be a function of ({expected})"
    if inspect.isgeneratorfunction(plain) or inspect.iscoroutinefunction(plain):
        raise BadInput(f"{rule}, got a generator or coroutine")
    signature = inspect.signature(plain)
    kinds = [one.kind for one in signature.parameters.values()]
    simple = [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(role.parameters)
    if kinds != simple:
        raise BadInput(f"{rule}, got {signature}")


def compiled(
    function: Callable,
    role: Role,
    arrays: Sequence[Own] = (),
    given: Sequence[MineField] = (),
) -> UserFunction:
    """Return a user's function as kernels call it.

    arrays  its own; it gets them as ``mine``
    given   what else ``mine`` holds

    Raises BadInput with its file, line and name if it is not what it must be.
    """
    check_function(function, role)
    fields = (*fields_of(arrays), *given)
    return _compiled(function, role, tuple(arrays), fields)


@cache
def _compiled(
    function: Callable,
    role: Role,
    arrays: tuple[Own, ...],
    fields: tuple[MineField, ...],
) -> UserFunction:
    kind = _tuple_kind("mine", tuple(name for name, _, _ in fields))
    arguments = tuple_of(role.tuple_kind, ARGUMENTS)
    mine = arrays_of(kind, tuple((dtype, written) for _, dtype, written in fields))
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        checked = _checked(function, role)
        entry = role.entry(checked, arguments, mine)
        return UserFunction(role, function, arrays, fields, number_of(entry), entry)
    made = numba.njit(boundscheck=True)(python_of(function))
    entry = role.entry(made, arguments, mine)
    try:
        called = numba.cfunc(types.int64(_WORDS, _WORDS))(entry)
    except numba.core.errors.NumbaError as error:
        _check_result(function, made, role)
        raise BadInput(_refused(function, error)) from None
    _check_result(function, made, role)
    address = called.address
    assert address is not None
    return UserFunction(role, function, arrays, fields, address, (called, made))


def _checked(function: Callable, role: Role) -> Callable:
    """Return a function that raises TypeError if it returns what it must not."""
    plain = python_of(function)

    def checked(arguments: Any, mine: Any) -> Any:
        value = plain(arguments, mine)
        if not role.is_value(value):
            got = printable(repr(value))[:80]
            raise TypeError(f"must return {role.returns}, got {got}")
        return value

    return checked


def _check_result(function: Callable, made: Any, role: Role) -> None:
    for one in made.overloads.values():
        kind = one.signature.return_type
        if not role.is_result(kind):
            got = "a value on some paths alone" if _is_optional(kind) else kind
            raise BadInput(f"{where(function)} must return {role.returns}, got {got}")


def _is_optional(kind: Any) -> bool:
    return isinstance(kind, types.Optional)


def _refused(function: Callable, error: Exception) -> str:
    """Return one line of what Numba says of a function that it cannot compile."""
    lines = [printable(one.strip()) for one in str(error).splitlines()]
    code = python_of(function).__code__
    name = printable(os.path.basename(code.co_filename))
    # Numba names the file as it is seen from the working directory.
    own = re.compile(
        rf'{re.escape(name)}", line ([0-9]+)|{re.escape(name)} \(([0-9]+)\)'
    )
    at = [found[1] or found[2] for one in lines if (found := own.search(one))]
    line = at[-1] if at else str(code.co_firstlineno)
    said = [one for one in lines if one and not _is_noise(one)]
    reason = (said[0] if said else type(error).__name__)[:_MESSAGE_MAX]
    if reason.endswith("found for signature:"):
        calls = [one.removeprefix(">>> ") for one in lines if one.startswith(">>> ")]
        reason = f"no {calls[0]}" if calls else reason
    return (
        f"{name}:{line}: {code.co_name} must be what Numba can compile, got: {reason}"
    )


#: What Numba's messages begin with that says nothing of the user's function.
_NOISE = (
    *("Failed in ", "Overload", "Internal error", "During: ", "File ", "- ", "There "),
    *("No implementation of function Function(<function plain_entry", "This error"),
    *(">>>", "raised from", "Rejected as", "With argument", "In definition", "* "),
)


def _is_noise(line: str) -> bool:
    return line.startswith(_NOISE) or not any(one.isalpha() for one in line)


def failure(user: UserFunction, words: np.ndarray, tables: np.ndarray) -> str:
    """Return one line of what a user's function raised, called with the same again.

    words, tables  of the call that raised; its arrays may have changed since then
    """
    kind = _tuple_kind("mine", tuple(name for name, _, _ in user.fields))
    kinds = tuple((dtype, written) for _, dtype, written in user.fields)
    mine = arrays_at(kind, kinds, tables, int(words[ROW]))
    arguments = user.role.tuple_kind(
        *(int(one) for one in words[ARGUMENTS:][: len(user.role.fields)])
    )
    code = python_of(user.function).__code__
    name, line, said = printable(os.path.basename(code.co_filename)), 0, ""
    try:
        _checked(user.function, user.role)(arguments, mine)
    except Exception as error:
        at = [
            one.lineno
            for one in traceback.extract_tb(error.__traceback__)
            if one.filename == code.co_filename
        ]
        line = (at[-1] if at else None) or code.co_firstlineno
        said = printable(f"{type(error).__name__}: {error}")[:_MESSAGE_MAX]
        if isinstance(error, TypeError) and str(error).startswith("must return"):
            return f"{name}:{code.co_firstlineno}: {code.co_name} {error}"
    got = said or "an exception"
    line = line or code.co_firstlineno
    return f"{name}:{line}: {code.co_name} must raise no exception, got {got}"
