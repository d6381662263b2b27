"""What `lazynuma info` says of a run file."""

import os

from ..study.study import named
from .lock import is_locked
from .reader import ATTRIBUTES, TABLES, RunFile, RunState


def describe(path: str | os.PathLike) -> str:
    """Return what ``lazynuma info`` prints; raise BadInput as RunFile does."""
    with RunFile(path) as file:
        attributes = file.attributes
        lines = [
            ("file", path),
            ("title", attributes["title"]),
            ("state", _state(file)),
            ("written by", f"{attributes['software']} {attributes['softwareVersion']}"),
            ("format", ".".join(map(str, attributes["version"]))),
            *((key, attributes[key]) for key in ATTRIBUTES if key in attributes),
            *((name, getattr(file, name).rows) for name in TABLES),
            *((name, one.rows) for name, one in file.records.items()),
        ]
        wide = max(12, *(len(name) + 2 for name, _ in lines))
        head = "\n".join(f"{name:<{wide}}{value}" for name, value in lines)
        return f"{head}\n\n{_summary(file)}"


def _state(file: RunFile) -> str:
    state = file.state
    if state != RunState.RUNNING or is_locked(file.path):
        return state.name.lower()
    return "killed, or running on another host"


def _summary(file: RunFile) -> str:
    """Return the variables of ``/summary``, a line each, and a column a variant."""
    summary = file.summary
    names = [named(file.dimension, variant) for variant in file.variants]
    dimensions = list(names[0])
    rows = [[name, *(one[name] for one in names)] for name in dimensions]
    rows += [
        [name, *map(str, values.ravel().tolist())]
        for name, values in summary.items()
        if name not in (*dimensions, "reason") and values.ndim == len(dimensions)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(
            f"  {cell:>{width}}"
            for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        for row in rows
    )
