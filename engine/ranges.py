"""Checks of dataclass fields against the limits that their metadata declares."""

from dataclasses import fields

from .errors import BadInput


def check_ranges(settings, prefix: str = "") -> None:
    """Raise BadInput where a field is out of its ``min``, ``max`` or ``choices``."""
    for item in fields(settings):
        name, value = prefix + item.name, getattr(settings, item.name)
        low, high = item.metadata.get("min"), item.metadata.get("max")
        choices = item.metadata.get("choices")
        if choices is not None and value not in choices:
            raise BadInput(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if high is not None and not low <= value <= high:
            raise BadInput(f"{name} must be from {low} to {high}, got {value}")
        if low is not None and value < low:
            raise BadInput(f"{name} must be at least {low}, got {value}")
