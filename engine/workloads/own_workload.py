"""A workload of a user's own: each access comes from a function of his file."""

import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from ..doors.generator import role_of
from ..doors.own_array import DTYPES
from ..doors.user_function import check_function, where
from ..errors import BadInput
from .kinds import Workload

#: A parameter is less than this: an int64, or a float64.
_MOST = 1 << 62


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnWorkload(Workload):
    """Pages that a function of one's own says.

    generate    ``generate(access, mine)`` returns (page, write), or (page, write, refs)
                if there are several ``refs``; it is compiled by Numba.  ``access`` is
                ``engine.doors.generator.Access``; ``page`` counts from the first one
                that the workload covers
    arrays      by name: NumPy arrays of one dimension, ``mine.NAME``.  They cannot be
                written; an array that is changed between two quanta is read as it is
    parameters  by name: numbers, ``mine.NAME``
    refs        cache-line references that an access stands for, or all values, at most
                8, that the function may return
    streamed    whether bandwidth pays, as for prefetched accesses, or latency

    What it returns may depend on nothing but ``access`` and ``mine``: then neither
    threads nor batches change a result.  ``write``, the share, is not used.

    Raises BadInput, with the function's file, line and name if that is wrong.
    """

    generate: Callable
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, int | float] = field(default_factory=dict)
    refs: int | Sequence[int] = 64  # type: ignore[assignment]
    streamed: bool = False

    @property
    def classes(self) -> tuple[int, ...]:
        """All values of ``refs`` that an access may have."""
        refs: Any = self.refs
        return tuple(refs) if isinstance(refs, tuple | list) else (refs,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function(self.generate, role_of(self.classes))
        name = where(self.generate)
        both = {*self.arrays} & {*self.parameters}
        if both:
            raise BadInput(f"{name} must have one {min(both)}, got array and parameter")
        for one, value in self.parameters.items():
            _check_name(name, one)
            if not isinstance(value, Real) or abs(value) >= _MOST:
                raise BadInput(f"{name} must have a number as {one}, got {value!r}")
        for one, array in self.arrays.items():
            _check_name(name, one)
            _check_array(name, one, array)


def _check_name(function: str, name: object) -> None:
    word = isinstance(name, str) and name.isidentifier() and not name.startswith("_")
    if not word or keyword.iskeyword(str(name)):
        raise BadInput(f"{function} must have words as names of arrays, got {name!r}")


def _check_array(function: str, name: str, array: object) -> None:
    rule = f"{function} must have as {name} a NumPy array of one dimension"
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        got = f"{array.ndim}" if isinstance(array, np.ndarray) else repr(array)[:40]
        raise BadInput(f"{rule}, got {got}")
    if array.dtype.name not in DTYPES or not array.dtype.isnative:
        raise BadInput(f"{rule} of {', '.join(DTYPES)}, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise BadInput(f"{rule} in one piece, got one with steps of {array.strides[0]}")
