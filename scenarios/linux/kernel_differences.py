"""In what two kernels differ: from the records of scripts that both have played."""

from collections.abc import Iterator
from typing import NamedTuple

from .kernel_rules import Rule
from .recorded_kernels import Case, Record

#: What a record is about: the first of these keys that it has.
KINDS = ("region", "counters", "result", "killed", "status")
#: A call that succeeds and a process that lives on leave no record.
_SILENT = ("result", "killed")


class Difference(NamedTuple):
    """What two kernels did at one line of a script.

    one, other  their records, None: the call succeeded, or nobody was killed
    rules       those that tell the kernels apart here
    """

    script: str
    line: int
    operation: str
    one: Record | None
    other: Record | None
    rules: tuple[Rule, ...]


class Compared(NamedTuple):
    """Two kernels, how many scripts both have played, and what differs."""

    kernels: tuple[str, str]
    releases: tuple[str, str]
    scripts: int
    differences: tuple[Difference, ...]

    def differing(self) -> list[str]:
        """Return the names of the scripts that differ."""
        return list(dict.fromkeys(one.script for one in self.differences))


def compared(
    names: tuple[str, str],
    one: dict[str, Case],
    other: dict[str, Case],
    rules: tuple[Rule, ...],
) -> Compared:
    """Return what differs between two kernels.

    Scripts of one name and another text are not compared.
    """
    telling = [rule for rule in rules if rule.tells_apart(*names)]
    both = [
        name for name in one if name in other and one[name].script == other[name].script
    ]
    found = []
    for name in both:
        text = one[name].script
        for line, mine, theirs in _differing(one[name], other[name]):
            why = tuple(rule for rule in telling if rule.about(name, line))
            operation = text[line - 1].split("#")[0].strip()
            found.append(Difference(name, line, operation, mine, theirs, why))
    releases = tuple(", ".join(_releases(side, both)) for side in (one, other))
    return Compared(names, (releases[0], releases[1]), len(both), tuple(found))


def _releases(side: dict[str, Case], names: list[str]) -> list[str]:
    return sorted({side[name].release for name in names})


def _differing(
    one: Case, other: Case
) -> Iterator[tuple[int, Record | None, Record | None]]:
    """Yield (line, record of one, of the other) for each place that differs."""
    mine, theirs = (_by_place(case) for case in (one, other))
    lost = {*one.lost, *other.lost}
    for place in sorted({*mine, *theirs}):
        line, about = place
        pair = mine.get(place), theirs.get(place)
        if line in lost or (None in pair and about not in _SILENT):
            continue
        if not _same(*pair):
            yield line, *pair


def _by_place(case: Case) -> dict[tuple[int, str], Record]:
    """Return records by their line and what they are about."""
    return {
        (record["line"], kind): record
        for record in case.expect
        for kind in KINDS
        if kind in record
    }


def _same(one: Record | None, other: Record | None) -> bool:
    if one is None or other is None:
        return one is other
    if "counters" in one:
        return not differing_counters(one, other)
    if "fill_order" in one or "fill_order" in other:
        # The last node is named only if it was filled far enough.
        orders = one.get("fill_order", ()), other.get("fill_order", ())
        return all(a == b for a, b in zip(*orders, strict=False))
    return one == other


def differing_counters(one: Record, other: Record) -> list[str]:
    """Return the counters that differ, of those that are stable in both."""
    loose = {*one.get("unstable", ()), *other.get("unstable", ())}
    return [
        name
        for name in dict.fromkeys([*one["counters"], *other["counters"]])
        if name not in loose
        if one["counters"].get(name, 0) != other["counters"].get(name, 0)
    ]
