"""Files of cost settings: TOML with one table, ``[cost]``, of names of ``Costs``."""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput
from .costs import Costs
from .parameters import fill
from .text_file import read_text

_HEAD = """\
# What memory operations cost on this machine, measured by lazynuma calibrate.
# {source}
# Use: lazynuma run SCENARIO --costs FILE; --set cost.NAME=VALUE overrides it.

[cost]
"""


class Finding(NamedTuple):
    """A cost: its value in the unit of ``Costs``, None if it was not measured.

    ``how`` says how it was measured, or why it was not.
    """

    name: str
    value: int | None
    how: str


def read_costs(path: str | os.PathLike) -> dict[str, int]:
    """Return the settings of a file of costs, by their names in ``Costs``.

    Raises BadInput, with the file and the setting, for what is none.
    """
    settings = _toml(Path(path))
    try:
        for key, value in settings.items():
            if key != "cost" or not isinstance(value, dict):
                raise BadInput(f"{key} must be in a table [cost], got {key} = {value}")
        costs = settings.get("cost", {})
        fill(Costs, costs, "cost.")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return costs


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


def cost_text(findings: Iterable[Finding], source: str) -> str:
    """Return the text of a file with what was measured, and in comments what not."""
    known = {field.name: field for field in fields(Costs)}
    lines, left_out = [], []
    for name, value, how in findings:
        if value is None:
            left_out.append(f"# {name}: {how}")
            continue
        unit = known[name].metadata["unit"]
        lines += [
            f"# {unit}, default {known[name].default}: {how}",
            f"{name} = {value}",
        ]
    left_out = ["", "# Left out, so that the defaults hold:", *left_out]
    return _HEAD.format(source=source) + "\n".join(lines + left_out) + "\n"
