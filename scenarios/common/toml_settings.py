"""What a sweep's file and a run's file have in common: TOML, and tables of settings.

Values are read as those of ``--set``, and paths from the folder of the file.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...engine.errors import BadInput, did_you_mean
from ...engine.settings.parameters import parse_settings
from ...engine.settings.text_file import read_text


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """Return what a file says, and its text; ``what`` names its kind in messages."""
    if not path.is_file():
        raise BadInput(f"{what} must be a file that exists, got none")
    text = read_text(path, what)
    try:
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} must be TOML, got {error}") from error


def check_keys(found: Iterable[str], known: tuple[str, ...]) -> None:
    """Raise BadInput for a key that is not known."""
    for key in found:
        if key not in known:
            raise BadInput(
                f"key must be one of {', '.join(known)},"
                f" got {key!r}{did_you_mean(key, known)}"
            )


def scenario_beside(scenario: Any, folder: Path) -> str:
    """Return a scenario's name, or the path of a file: it lies beside the TOML."""
    if not isinstance(scenario, str):
        raise BadInput(f"scenario must be a name or a FILE.py, got {scenario!r}")
    if scenario.endswith(".py") and not os.path.isabs(scenario):
        return str((folder / path_of(scenario)).resolve())
    return scenario


def path_of(text: str) -> str:
    """Return a path in a file of UTF-8 as this process names it, in any locale."""
    return os.fsdecode(text.encode())


def settings_table(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table; keys that TOML reads as tables in it get their dots back."""
    table = found.get(name, {})
    if not isinstance(table, dict):
        raise BadInput(f"{name} must be a table, got {table!r}")
    return dict(_flat(table, ""))


def _flat(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    flat = []
    for key, value in table.items():
        inner = isinstance(value, dict)
        flat += _flat(value, f"{prefix}{key}.") if inner else [(prefix + key, value)]
    return flat


def as_typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as the command line reads them: texts are typed, too."""
    return {
        key: parse_settings([f"{key}={value}"])[key]
        if isinstance(value, str)
        else value
        for key, value in settings.items()
    }


def line_of(text: str, key: str) -> int:
    """Return the number of the line that sets ``key``, 0 if none is found.

    The first parts of a name with dots may stand in the heading of its table.
    """
    parts = key.split(".")
    for first in range(len(parts)):
        name = re.escape(".".join(parts[first:]))
        found = re.search(rf"""^[ \t]*\[?["']?{name}["']?[ \t]*[]=]""", text, re.M)
        if found:
            return text.count("\n", 0, found.start()) + 1
    return 0


def toml_value(value: Any) -> str:
    """Return a value of ``--set`` as TOML has it, so that ``as_typed`` gives it back.

    A text that the command line would read as a number is quoted twice.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        same = as_typed({"x": value})["x"] == value
        return _quoted(value if same else _quoted(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_item, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_quoted(key)} = {_item(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    return str(value)


def _item(value: Any) -> str:
    """Return a value inside a list: a text there is what it is."""
    return _quoted(value) if isinstance(value, str) else toml_value(value)


def _quoted(text: str) -> str:
    """Return a basic string of TOML; BadInput for bytes that are no UTF-8."""
    try:
        text = text.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"a file of UTF-8 must be able to hold {text!r}") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
