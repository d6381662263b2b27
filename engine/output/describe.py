"""What ``lazynuma info`` says of a run file, as plain data."""

import json
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import BadInput, printable
from ..study.study import label, named
from ..study.uncertainty import RANGES
from .lock import is_locked, other_host
from .provenance import flat
from .reader import ATTRIBUTES, HDF5_ERRORS, TABLES, RunFile, RunState, damaged

_CAUSE = "time_"
_JSON = ("parameters", "settings", "costs")
#: All root attributes that are JSON.
JSON_ATTRIBUTES = (*_JSON, "versions", "provenance", "point")


def describe(path: str | os.PathLike) -> dict[str, Any]:
    """Return what a file holds, ready for JSON; raise BadInput as RunFile does.

    ``rows`` has the variables of ``/summary`` of each variant by their names, None for
    what is not written; ``time_by_cause`` ns by cause, of all tasks together; ``units``
    the unit of each variable; ``ratios`` the ranges of ``--uncertainty``, if it was
    asked for.  Control characters in texts are escaped.
    """
    with RunFile(path) as file:
        try:
            return safe(described(file))
        except BadInput:
            raise
        except HDF5_ERRORS as error:
            raise damaged(file.path) from error


def described(file: RunFile) -> dict[str, Any]:
    """Return what ``describe`` does of a file that is open."""
    attributes = file.attributes
    return {
        "file": str(file.path),
        "title": str(attributes.get("title", "")),
        "verdict": scalar(attributes.get("verdict", "")),
        "state": state_of(file),
        "software": f"{attributes['software']} {attributes['softwareVersion']}",
        "format": ".".join(map(str, attributes["version"])),
        **{key: scalar(attributes[key]) for key in ATTRIBUTES if key in attributes},
        "tables": {
            **{name: getattr(file, name).rows for name in TABLES},
            **{name: one.rows for name, one in file.records.items()},
        },
        **{key: parsed(attributes.get(key)) for key in _JSON},
        "dimension": label(file.dimension),
        "units": {name: file.summary.unit(name) for name in _columns(file)},
        "rows": _rows(file),
        "ratios": _ratios(file),
    }


def safe(value: Any) -> Any:
    """Return plain data whose texts have no control characters."""
    if isinstance(value, dict):
        return {printable(key): safe(one) for key, one in value.items()}
    if isinstance(value, list):
        return [safe(one) for one in value]
    return printable(value) if isinstance(value, str) else value


def state_of(file: RunFile) -> str:
    """Return the state of a run, ``killed`` if it says that it runs and nobody does."""
    state = file.state
    if state != RunState.RUNNING or is_locked(file.path):
        return state.name.lower()
    host = other_host(file.path)
    return f"running on {host}, or killed there" if host else "killed"


def scalar(value: Any) -> Any:
    """Return an attribute as a type that JSON has."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def parsed(text: Any) -> dict[str, Any]:
    """Return the settings that an attribute has as JSON, by their full names."""
    values = parsed_whole(text)
    return values if "variants" in values else flat(values)


def parsed_whole(text: Any) -> dict[str, Any]:
    """Return the object that an attribute has as JSON, empty if it has none."""
    try:
        values = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _columns(file: RunFile) -> list[str]:
    """Return the names of the variables of ``/summary`` that are no dimension."""
    scales = {*named(file.dimension, file.variants[0]), "reason"}
    return [name for name in file.summary if name not in scales]


def _rows(file: RunFile) -> list[dict[str, Any]]:
    """Return a row for each variant."""
    variants, reasons = file.variants, file.summary["reason"].tolist()
    columns = {name: file.summary[name] for name in _columns(file)}
    runs = file.runtime["run_s"].ravel()
    times = _times(file)
    rows = []
    for i, variant in enumerate(variants):
        row: dict[str, Any] = dict(named(file.dimension, variant))
        row["ended"] = not math.isnan(runs[i])
        for name, values in columns.items():
            own = values.reshape(len(variants), -1)[i].tolist()
            row[name] = _by(reasons, own) if len(own) > 1 else plain(own[0])
        row["time_by_cause"] = {name: int(time[i]) for name, time in times.items()}
        rows.append(row)
    return rows


def _ratios(file: RunFile) -> list[dict[str, Any]]:
    """Return the range of each variant's ratio, nothing if there are none."""
    if RANGES.name not in file.records:
        return []
    table = file.records[RANGES.name]
    columns = {one.name: table[one.name].tolist() for one in RANGES.fields}
    variants = [file.variants[number] for number in table["variant"]]
    return [
        dict(named(file.dimension, variant))
        | {name: _json(values[i]) for name, values in columns.items()}
        for i, variant in enumerate(variants)
    ]


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _by(reasons: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    return dict(zip(reasons, map(plain, values), strict=True))


def plain(value: float) -> float | None:
    """Return a value of the summary; None if it was not written, or is none."""
    return None if value == -1 or math.isnan(value) else value


def _times(file: RunFile) -> dict[str, np.ndarray]:
    """Return the time of all tasks by cause: int64[variants] for each, ns."""
    processes, count = file.processes, len(file.variants)
    variant = processes["variant"]
    times = {}
    for name in processes:
        if name.startswith(_CAUSE) and name != "time_ns":
            values = processes[name][: len(variant)]
            total = np.bincount(variant[: len(values)], values, count)
            times[name.removeprefix(_CAUSE).removesuffix("_ns")] = total
    return times
