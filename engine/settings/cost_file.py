"""Files of what was measured: TOML with the tables ``[cost]`` and ``[locks]``.

``[cost]`` has names of ``Costs``, ``[locks]`` holds of ``Locks``.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadInput
from .costs import Costs
from .locks import Locks
from .parameters import fill
from .text_file import read_text

_HEAD = """\
# What memory operations cost on this machine, measured by lazynuma calibrate.
# {source}
# Use: lazynuma run SCENARIO --costs FILE; --set cost.NAME=VALUE or
# locks.NAME=VALUE overrides it.

[cost]
"""


class Finding(NamedTuple):
    """A cost: its value in the unit of ``Costs``, None if it was not measured.

    ``name`` begins with ``locks.`` if it is a setting of ``Locks``.
    ``how`` says how it was measured, or why it was not.
    """

    name: str
    value: int | None
    how: str


#: Tables of a file, with what their settings are of.
_TABLES: dict[str, type[Costs] | type[Locks]] = {"cost": Costs, "locks": Locks}


def read_costs(path: str | os.PathLike) -> dict[str, int]:
    """Return the settings of a file of costs, by their names in ``Costs``.

    Raises BadInput, with the file and the setting, for what is none.
    """
    return _tables(path).get("cost", {})


def with_holds(
    settings: Mapping[str, Any], path: str | os.PathLike | None
) -> dict[str, Any]:
    """Return settings with the holds of locks that a file has, if nobody set them.

    They are named ``locks.NAME_hold_ns``.  Raises BadInput as ``read_costs`` does.
    """
    holds = {} if path is None else _tables(path).get("locks", {})
    return {f"locks.{name}": ns for name, ns in holds.items()} | dict(settings)


def _tables(path: str | os.PathLike) -> dict[str, dict[str, int]]:
    """Return the tables of a file, checked."""
    tables = _toml(Path(path))
    try:
        for key, value in tables.items():
            if key not in _TABLES or not isinstance(value, dict):
                raise BadInput(
                    f"{key} must be in a table [cost] or [locks], got {key} = {value}"
                )
            fill(_TABLES[key], value, f"{key}.")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return tables


def _toml(path: Path) -> dict:
    try:
        return tomllib.loads(read_text(path, "file of costs"))
    except BadInput:
        raise
    except RecursionError as error:
        raise BadInput(
            f"{path}: file of costs must be TOML, got brackets in brackets"
        ) from error
    except ValueError as error:  # not TOML
        raise BadInput(f"{path}: file of costs must be TOML, got: {error}") from error


def setting_of(name: str) -> Field:
    """Return the field that a finding is of."""
    table, _, plain = name.rpartition(".")
    of = _TABLES[table or "cost"]
    (found,) = (one for one in fields(of) if one.name == plain)
    return found


def cost_text(findings: Iterable[Finding], source: str) -> str:
    """Return the text of a file with what was measured, and in comments what not."""
    tables: dict[str, list[str]] = {"cost": [], "locks": []}
    left_out = ["", "# Left out, so that the defaults hold:"]
    for name, value, how in findings:
        table, _, plain = name.rpartition(".")
        if value is None:
            left_out.append(f"# {name}: {how}")
            continue
        known = setting_of(name)
        tables[table or "cost"] += [
            f"# {known.metadata['unit']}, default {known.default}: {how}",
            f"{plain} = {value}",
        ]
    holds = ["", "[locks]", *tables["locks"]] if tables["locks"] else []
    lines = [*tables["cost"], *holds, *left_out]
    return _HEAD.format(source=source) + "\n".join(lines) + "\n"
