"""What `lazynuma info` says of a run file."""

import os

from ..errors import BadInput, printable
from ..study.study import named
from .lock import is_locked, other_host
from .reader import (
    ATTRIBUTES,
    HDF5_ERRORS,
    TABLES,
    RunFile,
    RunState,
    damaged,
)


def describe(path: str | os.PathLike) -> str:
    """Return what ``lazynuma info`` prints; raise BadInput as RunFile does.

    Whatever the file says comes without control characters, each value in its line.
    """
    with RunFile(path) as file:
        try:
            return _described(file)
        except BadInput:
            raise
        except HDF5_ERRORS as error:
            raise damaged(file.path) from error


def _described(file: RunFile) -> str:
    attributes = file.attributes
    lines: list[tuple[str, object]] = [
        ("file", file.path),
        ("title", attributes["title"]),
        ("state", _state(file)),
        ("written by", f"{attributes['software']} {attributes['softwareVersion']}"),
        ("format", ".".join(map(str, attributes["version"]))),
        *((key, attributes[key]) for key in ATTRIBUTES if key in attributes),
        *((name, getattr(file, name).rows) for name in TABLES),
        *((name, one.rows) for name, one in file.records.items()),
    ]
    wide = max(12, *(len(name) + 2 for name, _ in lines))
    head = "\n".join(
        f"{printable(name):<{wide}}{printable(value)}" for name, value in lines
    )
    return f"{head}\n\n{_summary(file)}"


def _state(file: RunFile) -> str:
    state = file.state
    if state != RunState.RUNNING or is_locked(file.path):
        return state.name.lower()
    host = other_host(file.path)
    return f"running on {host}, or killed there" if host else "killed"


def _summary(file: RunFile) -> str:
    """Return the variables of ``/summary``, a line each, and a column a variant."""
    summary = file.summary
    names = [named(file.dimension, variant) for variant in file.variants]
    dimensions = list(names[0])
    rows = [
        [printable(name), *(printable(one[name]) for one in names)]
        for name in dimensions
    ]
    rows += [
        [printable(name), *map(printable, values.ravel().tolist())]
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
