"""Checks of dataclass fields against their types and the limits of their metadata."""

from dataclasses import Field, fields
from numbers import Integral
from typing import Any

from ..errors import BadInput


def check_ranges(settings, prefix: str = "") -> None:
    """Raise BadInput where a field is not of its default's type, or out of its range.

    Ranges are ``min``, ``max`` and ``choices`` of its metadata.
    """
    for item in fields(settings):
        _check(prefix + item.name, getattr(settings, item.name), item)


def _check(name: str, value: Any, item: Field) -> None:
    low, high = item.metadata.get("min"), item.metadata.get("max")
    choices = item.metadata.get("choices")
    if choices is not None and value not in choices:
        raise BadInput(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    if isinstance(item.default, bool) and not isinstance(value, bool):
        raise BadInput(f"{name} must be true or false, got {value!r}")
    if low is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise BadInput(f"{name} must be an integer, got {value!r}")
    if high is not None and not low <= value <= high:
        raise BadInput(f"{name} must be from {low} to {high}, got {value}")
    if value < low:
        raise BadInput(f"{name} must be at least {low}, got {value}")
