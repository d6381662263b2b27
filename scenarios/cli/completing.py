"""Words that a shell offers at TAB: scenarios, and the keys of ``--set``."""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from ...engine.errors import BadInput
from .find import find_scenario, scenario_names
from .run_file import is_run_file, scenario_of


def complete(make_parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Answer a shell and end the process, if it is a shell that asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    parser = make_parser()
    for action in _all_actions(parser):
        if action.dest in _COMPLETERS:
            setattr(action, "completer", _COMPLETERS[action.dest])  # noqa: B010
    argcomplete.autocomplete(parser, always_complete_options=False)


def _all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield what a parser and those of its commands take."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _all_actions(command)


def scenarios(prefix: str, **_: Any) -> Iterable[str]:
    """Return what may stand for a scenario: its name, or a file."""
    from argcomplete.completers import FilesCompleter

    files = FilesCompleter(("py", "toml"))
    return [*scenario_names(), *files(prefix)]


def settings(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Return ``KEY=`` of what can be set in the scenario that was typed before."""
    from ...engine.settings.costs import Costs
    from ...engine.settings.parameters import describe
    from ...engine.settings.settings import Settings
    from ..common.sampling import Sampling

    key, equals, _value = prefix.partition("=")
    if equals:
        return values(key, parsed_args)
    kinds = [_parameters(parsed_args), Settings, Sampling]
    names = [name for kind in kinds if kind for name, _, _ in describe(kind)]
    names += [f"cost.{one.name}" for one in fields(Costs)]
    return [f"{name}=" for name in dict.fromkeys(names)]


def values(key: str, parsed_args: argparse.Namespace) -> list[str]:
    """Return ``KEY=VALUE`` for each choice of a key that has choices."""
    from ...engine.settings.settings import Settings

    for kind in (_parameters(parsed_args), Settings):
        choices = _choices(kind, key) if kind else ()
        if choices:
            return [f"{key}={choice}" for choice in choices]
    return []


def _choices(kind: type, key: str) -> tuple:
    """Return the choices of a field of a dataclass; of a group it is the first one."""
    name, _, inner = key.partition(".")
    known = {field.name: field for field in fields(kind)}
    if name not in known:
        return ()
    if is_dataclass(known[name].default):
        group: Any = type(known[name].default)
        return _choices(group, inner or fields(group)[0].name)
    if known[name].type in (bool, "bool"):
        return ("true", "false")
    return known[name].metadata.get("choices", ())


def _parameters(parsed_args: argparse.Namespace) -> type | None:
    """Return the parameters of the scenario that was typed, None if it is none."""
    name = getattr(parsed_args, "scenario", None)
    if name is None:
        from ..recorded.replay import Parameters

        return Parameters
    try:
        return find_scenario(
            scenario_of(name) if is_run_file(name) else name
        ).Parameters
    except BadInput:
        return None


_COMPLETERS = {"scenario": scenarios, "set": settings}
