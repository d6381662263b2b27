"""What ``lazynuma kernels`` prints: text for people, in 80 columns."""

from collections.abc import Iterable, Iterator
from textwrap import fill

from .kernel_differences import Compared, Difference
from .kernel_rules import Rule
from .plain_records import in_words

WIDTH = 80
#: What stands above differences that no rule explains.
UNEXPLAINED = "No rule explains these"


def by_rules(
    differences: Iterable[Difference],
) -> Iterator[tuple[tuple[Rule, ...], list[Difference]]]:
    """Yield (rules, differences that they explain), what nothing explains last."""
    groups: dict[tuple[Rule, ...], list[Difference]] = {}
    for one in differences:
        groups.setdefault(one.rules, []).append(one)
    order = sorted(groups, key=lambda rules: (not rules, [one.name for one in rules]))
    for rules in order:
        yield rules, groups[rules]


def summary(found: Compared) -> str:
    """Return one sentence: how many scripts there are, and how many differ."""
    scripts, lines = len(found.differing()), len(found.differences)
    one, other = found.kernels
    if not found.scripts:
        return f"No script was recorded on both {one} and {other}."
    alone = sum(not one.rules for one in found.differences)
    text = f"{found.scripts} scripts were recorded on both; {scripts} differ"
    if not scripts:
        return f"{text}."
    text += f", in {lines} observations."
    return f"{text} No rule explains {alone} of them." if alone else text


def differences_text(found: Compared) -> str:
    """Return what differs between two kernels."""
    if not found.scripts:
        return summary(found)
    parts = [fill(f"{' and '.join(found.releases)}. {summary(found)}", WIDTH)]
    for rules, differences in by_rules(found.differences):
        lines = [*_heading(rules)]
        for difference in differences:
            lines += _difference(found.kernels, difference)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _heading(rules: tuple[Rule, ...]) -> Iterator[str]:
    if not rules:
        yield f"{UNEXPLAINED}:"
    for rule in rules:
        yield _wrapped(f"{rule.name}: {rule.says}", "")
        yield _wrapped(f"since {rule.since}; {rule.source}", "  ")
        if rule.switch:
            yield _wrapped(f"setting {rule.switch}", "  ")


def _difference(kernels: tuple[str, str], one: Difference) -> Iterator[str]:
    yield _wrapped(f"{one.script}:{one.line}  {one.operation}", "  ")
    wide = max(map(len, kernels))
    for kernel, words in zip(kernels, in_words(one.one, one.other), strict=True):
        yield _wrapped(f"{kernel:<{wide}}  {words}", "    ", " " * (wide + 6))


def _wrapped(text: str, indent: str, following: str | None = None) -> str:
    return fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  " if following is None else following,
        break_on_hyphens=False,
        break_long_words=False,
    )


def list_text(
    profiles: Iterable[str], default: str, recorded: dict[str, tuple[int, str]]
) -> str:
    """Return the profiles, and what was recorded.

    recorded  {kernel: (scripts, the kernel's own name)}
    """
    lines = []
    for name in profiles:
        scripts, release = recorded.get(name, (0, ""))
        told = f"{scripts} scripts recorded on {release}" if scripts else ""
        if name == default:
            told = f"the default; {told}" if told else "the default"
        lines.append(f"{name:<16}{told}".rstrip())
    lines += [
        f"{name:<16}{scripts} scripts recorded on {release}, no profile"
        for name, (scripts, release) in recorded.items()
        if name not in profiles
    ]
    lines += ["", "lazynuma kernels diff linux-6.1 linux-7.3 says what changed."]
    return "\n".join(lines)
