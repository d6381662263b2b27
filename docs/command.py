"""Write the commands and options into ``docs/command.md``, from the parser itself.

python docs/command.py
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from lazynuma.scenarios.cli.commands import COMMANDS, parser_of_all

PAGE = Path(__file__).with_name("command.md")
BEGIN = "<!-- Written by docs/command.py: -->"
END = "<!-- End of what docs/command.py writes. -->"
#: What every command takes; it stands once, before all commands.
COMMON = ("--help", "--quiet", "--verbose", "--debug")


def page(text: str) -> str:
    """Return the text of the page with its tables made anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


def tables() -> str:
    """Return a section for each command, and one for what all of them take."""
    commands = commands_of(parser_of_all())
    common = [one for one in actions(commands["run"]) if is_common(one)]
    parts = ["### Every command", table(common)]
    for name, _, text in COMMANDS:
        own = [one for one in actions(commands[name]) if not is_common(one)]
        parts += [f"### lazynuma {name}", f"{text[0].upper()}{text[1:]}."]
        parts += [table(own)] if own else []
    return "\n" + "\n\n".join(parts) + "\n"


def commands_of(
    parser: argparse.ArgumentParser,
) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    (commands,) = (
        one for one in parser._actions if isinstance(one, argparse._SubParsersAction)
    )
    return commands.choices


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a command and its options, but those that are hidden."""
    for one in parser._actions:
        if one.help != argparse.SUPPRESS:
            yield one


def is_common(action: argparse.Action) -> bool:
    return any(name in COMMON for name in action.option_strings)


def table(found: list[argparse.Action]) -> str:
    """Return a table of arguments: how each is written, and what it does."""
    rows = (
        f"| {written(one)} | {cell((one.help or '') % vars(one))} |" for one in found
    )
    return "\n".join(["| argument | meaning |", "|---|---|", *rows])


def written(action: argparse.Action) -> str:
    """Return how an argument is written on the command line."""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    if action.nargs == "?":
        value = f"[{value}]"
    if not action.option_strings:
        return f"`{cell(value)}`"
    words = [f"{name} {value}".strip() for name in action.option_strings]
    return ", ".join(f"`{cell(word)}`" for word in words)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
