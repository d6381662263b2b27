"""A run in a file: what ``--save-config`` writes and ``run FILE.toml`` reads.

The file is a command line in another form: ``scenario``, options under their own names,
and a table ``[set]``.  So it is read and checked by the parser of the command line, and
what the command line itself gives comes after it, and counts.  A scenario, costs and
descriptions of a machine lie beside the file; the output lies where one works.
"""

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from ...engine.errors import BadInput
from ..common.toml_settings import (
    check_keys,
    line_of,
    path_of,
    read_toml,
    scenario_beside,
    settings_table,
    toml_value,
)
from .find import find_scenario
from .say import detail, note, warn

#: Options that are saved if they are not what they are by default.
_SAVED = ("seed", "seeds", "jobs", "threads", "output", "uncertainty")
#: Options that a file may have besides: they are of a job, not of what it computes.
_READ = (*_SAVED, "costs", "checkpoint_every", "max_time")
#: Settings whose value is a path, if there is such a file.
_PATHS = ("machine", "machine.name", "machine.hmat", "machine.mlc")
_HEAD = """\
# lazynuma run FILE.toml runs this again; options and --set override what is here.
"""


def is_run_file(scenario: str) -> bool:
    """Whether what ``run`` got is the file of a run."""
    return scenario.endswith(".toml")


def scenario_of(path: str) -> str:
    """Return the scenario that the file of a run is about."""
    return _read(Path(path))[2]


def _read(path: Path) -> tuple[dict[str, Any], str, str]:
    """Return what a file says, its text, and its scenario."""
    try:
        found, text = read_toml(path, "run")
        settings_table(found, "set")
        return found, text, scenario_beside(found.get("scenario"), path.parent)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def with_file(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options of a file, and over them those of the command line.

    Raises BadInput with the file, and with the line if one is at fault.
    """
    path = Path(options.scenario)
    found, text, scenario = _read(path)
    _check(found, options, path, text)
    detail(f"read {path}")
    own = _options(found, options, path, text)
    table = settings_table(found, "set")
    if options.costs is not None:  # in place of the file's
        own.pop("costs", None)
        table = {k: value for k, value in table.items() if not k.startswith("cost.")}
    pairs = {key: _pair(key, value, path.parent) for key, value in table.items()}
    both = options.again([*own.values(), *pairs.values()])
    both.scenario = scenario
    _try_settings(find_scenario(scenario), pairs, both, path, text)
    return both


def _check(
    found: Mapping[str, Any], options: argparse.Namespace, path: Path, text: str
) -> None:
    """Raise BadInput for keys that a run has not, say if another version wrote it."""
    names = [name for name in _READ if hasattr(options, name)]
    for key, value in found.items():
        try:
            _check_point(key, value)
            check_keys([key], ("scenario", "version", *names, "set"))
        except BadInput as error:
            raise _at(path, text, key, error) from error
    ours = version("lazynuma")
    if found.get("version", ours) != ours:
        warn(
            f"{path} was written by lazynuma {found['version']}, this is {ours}:"
            " results may differ"
        )


def _check_point(key: str, value: Any) -> None:
    if key in ("grid", "zip") or key == "seeds" and isinstance(value, list):
        raise BadInput(
            f"run must have one point, got {key} of a sweep (lazynuma sweep FILE -o"
            " DIR runs it)"
        )


def _options(
    found: Mapping[str, Any], options: argparse.Namespace, path: Path, text: str
) -> dict[str, str]:
    """Return an argument for each option of a file, tried; a switch off is none."""
    own = {}
    for key in _READ:
        if key not in found or found[key] is False:
            continue
        try:
            own[key] = _argument(key, found[key], path.parent)
            options.again([own[key]])
        except BadInput as error:
            raise _at(path, text, key, error) from error
    return own


def _argument(key: str, value: Any, folder: Path) -> str:
    """Return an option of a file as an argument."""
    if value is True:
        return f"--{key.replace('_', '-')}"
    if not isinstance(value, str | int | float) or value == "":
        raise BadInput(f"{key} must be one value, got {value!r}")
    if key == "costs":
        value = os.path.normpath(folder / path_of(str(value)))
    if key == "output":
        value = path_of(str(value))
    return f"-o{value}" if key == "output" else f"--{key.replace('_', '-')}={value}"


def _pair(key: str, value: Any, folder: Path) -> str:
    """Return a setting of a file as an argument."""
    if isinstance(value, str):
        beside = folder / path_of(value)
        is_path = key in _PATHS and beside.is_file()
        text = os.path.normpath(beside) if is_path else value
    else:
        text = toml_value(value)
    return f"--set={key}={text}"


def _try_settings(
    module: ModuleType,
    pairs: Mapping[str, str],
    options: argparse.Namespace,
    path: Path,
    text: str,
) -> None:
    """Raise BadInput with its line for a setting that is refused.

    It is the one without which the refusal is another, or none.
    """
    from ..common.typed import typed

    def refusal(without: str = "") -> str:
        try:
            typed(module, given_settings(options, without))
        except BadInput as error:
            return str(error)
        return ""

    first = refusal()
    for key in pairs if first else ():
        if refusal(key) != first:
            raise _at(path, text, key, first)


def _at(path: Path, text: str, key: str, error: object) -> BadInput:
    line = line_of(text, key)
    return BadInput(f"{path}{f', line {line}' if line else ''}: {error}")


def given_settings(options: argparse.Namespace, without: str = "") -> dict[str, Any]:
    """Return what ``--set`` gives, but for one key."""
    from ...engine.settings.parameters import parse_settings

    settings = parse_settings(options.set)
    settings.pop(without, None)
    return settings


# --- writing --------------------------------------------------------------------------


def save_run(
    path: Path,
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    """Write the file of a run; BadInput if it is there and ``--force`` is not."""
    from ...engine.output.place import write_text

    write_text(path, _text(path, module, settings, options), options.force)
    note(f"saved to {path}")


def _text(
    path: Path,
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> str:
    from ...engine.settings.cost_file import read_costs, with_holds

    folder = path.absolute().parent
    costs = read_costs(options.costs) if options.costs is not None else {}
    table: dict[str, Any] = {f"cost.{name}": value for name, value in costs.items()}
    table |= with_holds(settings, options.costs)
    top: dict[str, Any] = {"scenario": _scenario(module, options.scenario, folder)}
    top |= {"version": version("lazynuma")} | _changed(options)
    pairs = {key: _relative(key, value, folder) for key, value in table.items()}
    return "\n".join(
        [
            _HEAD + _lines(top),
            "",
            "[set]",
            *([_lines(pairs)] if pairs else []),
            "",
            "# What else this scenario has, and what it is if nobody says:",
            *(f"# {line}" for line in _defaults(module, settings)),
            "",
        ]
    )


def _scenario(module: ModuleType, name: str, folder: Path) -> str:
    """Return a scenario's name, or the path of its file from ``folder``."""
    if not name.endswith(".py"):
        return name
    return os.path.relpath(Path(str(module.__file__)).resolve(), folder.resolve())


def _changed(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is saved of the options: the seed, and what is not the default."""
    return {
        name: getattr(options, name)
        for name in _SAVED
        if name == "seed" or getattr(options, name) != options.parser.get_default(name)
    }


def _relative(key: str, value: Any, folder: Path) -> Any:
    """Return a value; a path from ``folder`` if it is one."""
    if key in _PATHS and isinstance(value, str) and Path(value).is_file():
        return os.path.relpath(Path(value).resolve(), folder.resolve())
    return value


def _lines(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{_key(k)} = {toml_value(value)}" for k, value in values.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else toml_value(key)


def _defaults(module: ModuleType, settings: Mapping[str, Any]) -> Iterable[str]:
    """Return lines for the scenario's own parameters that were not set."""
    from ...engine.settings.parameters import (
        describe,
        parse_settings,
        split_settings,
    )
    from ...engine.settings.settings import Settings

    own, _ = split_settings(module.Parameters, Settings, settings)
    for name, default, _ in describe(module.Parameters):
        if name in own or f"{name}.name" in own or default in ("", "none"):
            continue
        yield _lines(parse_settings([f"{name}={default}"]))
