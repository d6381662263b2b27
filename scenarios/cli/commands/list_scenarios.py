"""``lazynuma scenarios``: list the scenarios and their parameters."""

import argparse
import shutil
import textwrap

from .. import find

#: Settings that are longer do not make the column of all settings wider.
_SETTING_WIDTH = 40
#: Columns that a text has at least, however narrow the terminal is.
_TEXT_WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no arguments."""


def execute(options: argparse.Namespace) -> None:
    """Print the question of each scenario, and its parameters with their defaults."""
    from ....engine.settings.parameters import describe

    names = find.scenario_names()
    wide = max(map(len, names))
    for name in names:
        module = find.scenario_module(name)
        _print_row(name, wide, find.first_line(module))
        settings = [
            (f"    {key}={value}", text)
            for key, value, text in describe(module.Parameters)
        ]
        width = max(len(setting) for setting, _ in settings)
        for setting, text in settings:
            _print_row(setting, min(_SETTING_WIDTH + 4, width), text)


def _print_row(left: str, width: int, text: str) -> None:
    """Print a name and, beside it or below if it is too long, its text."""
    columns = max(_TEXT_WIDTH, shutil.get_terminal_size().columns - width - 2)
    first, *more = textwrap.wrap(text, columns) or [""]
    if len(left) > width:
        print(left)
        left = ""
    print(f"{left:<{width}}  {first}".rstrip())
    for line in more:
        print(f"{'':{width}}  {line}")
