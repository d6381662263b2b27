"""The page of what kernels do otherwise: ``docs/kernels.md``."""

import shlex
from collections.abc import Iterator, Sequence
from textwrap import fill

from .kernel_differences import Compared, Difference
from .kernel_rules import Rule
from .kernels_text import UNEXPLAINED, by_rules, summary
from .plain_records import in_words

_WIDTH = 108


def differences_page(found: Sequence[Compared], rules: Sequence[Rule]) -> str:
    """Return a page about kernels, each with the one after it."""
    kernels = [found[0].kernels[0], *(one.kernels[1] for one in found)]
    command = shlex.join(["lazynuma", "kernels", "diff", *kernels, "--markdown"])
    lines = ["# What kernels do otherwise", "", *_opening(command), ""]
    lines += ["## Rules", "", *_table(kernels, rules)]
    for one in found:
        lines += ["", *_section(one)]
    return "\n".join([*lines, ""])


def _opening(command: str) -> list[str]:
    text = (
        "The same memory scripts ran on several kernels, and here is each observation"
        " that two of them made otherwise, with the rule that tells them apart. Both"
        " the scripts and the records are in `tests/linux`, in a folder for each"
        " kernel."
    )
    return [_filled(text), "", _filled(f"This page is what `{command}` prints.")]


def _table(kernels: Sequence[str], rules: Sequence[Rule]) -> Iterator[str]:
    yield f"| rule | since | setting | {' | '.join(kernels)} |"
    yield "|---" * (3 + len(kernels)) + "|"
    for rule in rules:
        has = ["yes" if kernel in rule.kernels else "" for kernel in kernels]
        switch = f"`{rule.switch}`" if rule.switch else ""
        yield f"| {_cell(rule.name)} | {rule.since} | {switch} | {' | '.join(has)} |"


def _section(found: Compared) -> Iterator[str]:
    one, other = found.kernels
    yield f"## From {one} to {other}"
    yield ""
    if found.scripts:
        yield _filled(f"{found.releases[0]} and {found.releases[1]}. {summary(found)}")
    else:
        yield summary(found)
    for rules, differences in by_rules(found.differences):
        yield ""
        yield from _group(found.kernels, rules, differences)


def _group(
    kernels: tuple[str, str], rules: tuple[Rule, ...], differences: list[Difference]
) -> Iterator[str]:
    names = "; ".join(rule.name for rule in rules)
    yield f"### {names[:1].upper()}{names[1:]}" if rules else f"### {UNEXPLAINED}"
    for rule in rules:
        yield ""
        yield _filled(f"{rule.says} ({rule.source}; since {rule.since})")
    yield ""
    yield f"| script | operation | {kernels[0]} | {kernels[1]} |"
    yield "|---|---|---|---|"
    for one in differences:
        words = map(_cell, in_words(one.one, one.other))
        cells = [f"{one.script}:{one.line}", f"`{_cell(one.operation)}`", *words]
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _filled(text: str) -> str:
    return fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
