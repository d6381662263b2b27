"""What a page says of many runs: which variant is best where, and all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...engine.errors import BadInput
from .figures import over_settings
from .sheet import Picture
from .story import Story, few
from .swept_points import SEED, Points

#: Runs that are shown one by one on a page, and those of a comparison.
MOST, MOST_COMPARED = 8, 3
#: Works that the verdict of many runs has a sentence for.
_WORKS = 4


@dataclass(frozen=True)
class Listing:
    """All runs as a table."""

    heads: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Comparison:
    """What a page says of many runs."""

    title: str
    verdict: str
    meta: str
    caption: str
    rows: Listing
    pictures: list[Picture] = field(default_factory=list)


def shown(stories: Sequence[Story], are_compared: bool) -> list[Story]:
    """Return the runs that a page shows one by one.

    Raises BadInput if they are too many, and not compared.
    """
    if are_compared:
        return list(stories) if len(stories) <= MOST_COMPARED else []
    if len(stories) > MOST:
        raise BadInput(
            f"report must be of at most {MOST} runs, or of runs that have the same"
            f" variants and differ in a setting, got {len(stories)}"
        )
    return list(stories)


def comparison_of(points: Points, rows: Listing) -> Comparison:
    """Return what a page says of the runs of a sweep."""
    names = [one.name for one in points.settings]
    runs = f"{len(points.at)} runs that differ in {', '.join(names) or SEED}"
    if points.seeds > 1 and names:
        runs += f", {points.seeds} seeds each"
    return Comparison(
        points.story.found["title"],
        _verdict(points),
        runs,
        f"{points.what} of each variant",
        rows,
        over_settings(points),
    )


def _verdict(points: Points) -> str:
    """Say which variant is best in how many runs, for each work."""
    said = [_best_of(points, work, rivals) for work, rivals in points.rivals.items()]
    return " ".join(said[:_WORKS])


def _best_of(points: Points, work: str, rivals: Sequence[int]) -> str:
    wins: dict[int, list[int]] = {}
    for run in range(len(points.at)):
        best = points.best(run, rivals)
        if best is not None:
            wins.setdefault(best, []).append(run)
    if not wins:
        return ""
    ranked = sorted(wins, key=lambda one: -len(wins[one]))
    runs, names = len(points.at), points.story.told
    begin = f"{work}: " if len(points.rivals) > 1 else ""
    if len(ranked) == 1 and len(wins[ranked[0]]) == runs:
        return f"{begin}{names[ranked[0]]} is best in all {runs} runs."
    said = [
        f"{names[one]} is best in {len(wins[one])} of {runs} runs"
        f"{_only(points, wins[one])}"
        for one in ranked[:4]
    ]
    return f"{begin}{'; '.join(said)}."


def _only(points: Points, runs: Sequence[int]) -> str:
    """Return which values of a setting all of some runs have, and no other run."""
    for setting in points.settings:
        mine = {points.at[run][setting.name] for run in runs}
        rest = {at[setting.name] for run, at in enumerate(points.at) if run not in runs}
        if rest and not mine & rest:
            values = [value for value in setting.values if value in mine]
            return f" ({setting.name} {few(values)})"
    return ""


def listing(files: Sequence[str], points: Points) -> Listing:
    """Return a table of all runs: settings, and what is compared of each variant."""
    names = [*(one.name for one in points.settings), SEED]
    rows = []
    for file, at, amounts in zip(files, points.at, points.amounts, strict=True):
        cells = [at[name] for name in names]
        cells += ["-" if value is None else points.text(value) for value in amounts]
        rows.append((file, cells))
    return Listing([*names, *points.story.names], rows)
