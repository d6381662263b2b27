"""Times as people write them: ``100ms``, ``2s``, ``1.5 min``."""

import re
from fractions import Fraction
from typing import Any

from ..errors import BadInput

_NS = {
    "": 1,
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(ns|us|ms|s|min|h|)")


def parse_duration(value: Any, name: str) -> int:
    """Return nanoseconds for a text such as ``100ms``; a bare number is nanoseconds.

    Raises BadInput for anything else, and for a part of a nanosecond.
    """
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise BadInput(f"{name} must be a time such as 100ms or 2s, got {value!r}")
    ns = Fraction(match[1]) * _NS[match[2]]
    if ns.denominator != 1:
        raise BadInput(f"{name} must be a whole number of ns, got {value!r}")
    return int(ns)


def format_duration(ns: int) -> str:
    """Return nanoseconds in the largest unit that leaves a whole number: ``100ms``."""
    units = [unit for unit in _NS if unit and ns % _NS[unit] == 0]
    return f"{ns // _NS[units[-1]]}{units[-1]}"
