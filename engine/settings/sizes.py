"""Sizes as people write them: ``64GiB``, ``1TiB``, ``4K``."""

import re
from fractions import Fraction

from ..errors import BadInput

_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SIZE = re.compile(
    r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([KMGTP]?)(?:iB|B)?", re.IGNORECASE
)


def parse_size(text: str | int, name: str = "size") -> int:
    """Return bytes for ``text``; units are powers of 1024, with or without ``iB``.

    Raises BadInput for anything else, for a negative number and for a part of a byte.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise BadInput(
            f"{name} must be a size such as 64GiB, 1TiB or 4K, got {str(text)[:80]!r}"
        )
    value = Fraction(match[1]) * 1024 ** _POWER[match[2].upper()]
    if value.denominator != 1:
        raise BadInput(f"{name} must be a whole number of bytes, got {text!r}")
    return int(value)


def format_size(nbytes: int) -> str:
    """Return ``nbytes`` in the largest unit that keeps it a short number."""
    number: float = nbytes
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.4g} {unit}"
