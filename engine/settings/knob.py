"""A knob: declared once as a field of a dataclass, and checked here.

The field says all that is known of it: its default and its type, its range, its unit,
one phrase of help, and the kernels' column that has its value.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from ..errors import BadInput, did_you_mean
from .sizes import format_size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_INT64_MAX = 2**63 - 1

T = TypeVar("T")


class About(TypedDict, total=False):
    """What the metadata of a field may say, beside ``help``: one phrase.

    unit      ``"ns"``, ``"byte"``, ...; absent: a plain number
    kind      ``"size"``: bytes, typed as ``64GiB`` and shown so; ``"duration"``: ns,
              typed as ``100ms``; ``"matrix"``: a list, or a list of rows
    shown     the default as people would type it, if it is None
    choices   the values that are allowed
    numbered  whether Linux knows the choices by their number, from 0 on
    min, max  bounds, both included; ``min`` of a number is 0 by default
    column    the name in ``kernels.state.Info`` of the column that has the value
    uncertain  of a cost: nobody has measured it, or what was measured differs widely
    """

    unit: str
    kind: str
    choices: tuple[str, ...]
    numbered: bool
    min: float
    max: float
    column: str
    shown: str
    uncertain: bool


def knob(default: T, text: str, **about: Unpack[About]) -> T:
    """Return a field of a dataclass; ``text`` is one phrase of help."""
    return field(default=default, metadata={"help": text, **about})


def check_knobs(knobs: "DataclassInstance", prefix: str = "") -> None:
    """Check every field that is a number, a switch or a text.

    ``prefix`` goes before the names in messages (``"cost."``).  Raises BadInput if a
    value is not of its default's type, or out of its range.
    """
    for one in fields(knobs):
        if type(one.default) in _CONVERTERS:
            value = getattr(knobs, one.name)
            checked(value, type(one.default), one.metadata, prefix + one.name)


def checked(value: Any, hint: Any, metadata: Mapping[str, Any], name: str) -> Any:
    """Return ``value`` as the type ``hint``.

    Raises BadInput for a value of another type, or out of the range of ``metadata``.
    """
    if hint in _CONVERTERS:
        value = _CONVERTERS[hint](value, name)
    _check_range(value, metadata, name)
    return value


def _int(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BadInput(f"{name} must be an integer, got {value!r}")
    return int(value)


def _float(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadInput(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise BadInput(f"{name} must be a finite number, got {value!r}")
    return float(value)


def _bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"{name} must be true or false, got {value!r}")
    return value


def _str(value: Any, name: str) -> str:
    """Take scalars too: ``machine=2`` is read as a number but may be a name."""
    if isinstance(value, list | dict):
        raise BadInput(f"{name} must be a text, got {value!r}")
    return str(value)


_CONVERTERS: dict[Any, Callable[[Any, str], Any]] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _str,
}


def _check_range(value: Any, metadata: Mapping[str, Any], name: str) -> None:
    choices = metadata.get("choices")
    if choices is not None and value not in choices:
        names = [str(choice) for choice in choices]
        raise BadInput(
            f"{name} must be one of {', '.join(names)}, "
            f"got {value!r}{did_you_mean(str(value), names)}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    show: Callable[[Any], str] = format_size if metadata.get("kind") == "size" else str
    low, high = metadata.get("min", 0), metadata.get("max", _INT64_MAX)
    if low <= value <= high:
        return
    if "max" in metadata:
        rule = f"from {show(low)} to {show(high)}"
    else:
        rule = f"at least {show(low)}" if value < low else f"at most {show(high)}"
    raise BadInput(f"{name} must be {rule}, got {show(value)}")
