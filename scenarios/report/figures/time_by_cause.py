"""Where the time of the job went: a bar for each variant, its parts the causes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.study.columns import TIMES
from .. import palette
from ..sheet import Picture, Sheet
from ..story import Axis, Story, percent, time_axis
from . import bars
from .lines import grid, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A cause that takes less of the time of every variant is one of the others.
SMALL = 0.01
_WORDS = {
    one.name.removeprefix("time_").removesuffix("_ns"): one.heading for one in TIMES
}
_WORDS |= {"access_local": "local access", "access_remote": "remote access"}
_MOST = 24


def picture(story: Story) -> Picture | None:
    """Return the picture; None if no variant has spent any time."""
    times, mean = _times(story)
    variants = [i for i in story.order if sum(row[i] for row in times.values())]
    if not variants:
        return None
    variants = variants[:_MOST]
    parts = _parts(times, variants)
    whose = "mean over its tasks" if mean else "sum over all tasks so far"
    return Picture(
        "time_by_cause",
        _title(story, variants, parts),
        f"Simulated time of the job by cause, {whose}. A task is idle while it waits"
        " for others. Causes below 1 % are among the others.",
        _said(story, variants, parts),
        lambda sheet: _draw(sheet, story, variants, parts),
    )


def _times(story: Story) -> tuple[Mapping[str, Sequence[float]], bool]:
    """Return ns of each cause by variant, and whether they are means over tasks."""
    names = [
        one
        for one in story.rows[0]
        if one.startswith("time_") and one.endswith("_ns") and one != "time_ns"
    ]
    if names and all(row["ended"] for row in story.rows):
        return {
            name[len("time_") : -len("_ns")]: [row[name] or 0 for row in story.rows]
            for name in names
        }, True
    causes = story.rows[0]["time_by_cause"]
    return {
        cause: [row["time_by_cause"][cause] for row in story.rows] for cause in causes
    }, False


def _parts(
    times: Mapping[str, Sequence[float]], variants: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return ns of each cause that is worth a part, and of the others: [variants]."""
    known = {name: np.array(row, float)[variants] for name, row in times.items()}
    total = sum(known.values())
    large, others = {}, np.zeros(len(variants))
    for name, row in known.items():
        if name in palette.CAUSES and (row > SMALL * total).any():
            large[name] = row
        else:
            others += row
    order = [name for name in palette.CAUSES if name in large]
    parts = {name: large[name] for name in order if name != "idle"}
    if others.any():
        parts["others"] = others
    return parts | {name: large[name] for name in order if name == "idle"}


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _most(parts: Mapping[str, np.ndarray], at: int) -> tuple[str, float]:
    """Return what takes most of a variant's time, and its share."""
    total = sum(row[at] for row in parts.values())
    name = max(parts, key=lambda one: parts[one][at])
    return name, parts[name][at] / total


def _title(
    story: Story, variants: Sequence[int], parts: Mapping[str, np.ndarray]
) -> str:
    ends = [0] if len(variants) == 1 else [0, len(variants) - 1]
    said = []
    for at in ends:
        name, share = _most(parts, at)
        said.append(
            f"{percent(share)} of {story.told[variants[at]]}'s is {_word(name)}"
        )
    return f"Where the time went: {', '.join(said)}"


def _said(
    story: Story, variants: Sequence[int], parts: Mapping[str, np.ndarray]
) -> str:
    said = []
    for at, variant in enumerate(variants):
        name, share = _most(parts, at)
        took = f"{story.told[variant]} {story.took(variant)}"
        said.append(f"{took}, most of it {_word(name)} ({percent(share)})")
    return "; ".join(said)


def _draw(
    sheet: Sheet,
    story: Story,
    variants: Sequence[int],
    parts: Mapping[str, np.ndarray],
) -> "Figure":
    totals = np.sum(list(parts.values()), axis=0)
    unit: Axis = time_axis(float(totals.max()))
    keys = -(-len(parts) // (3 if sheet.is_paper else 6))
    figure, (axes,) = sheet.figure(bars.height(sheet, len(variants), 2.6 + keys))
    bars.stacked(
        axes,
        [story.names[i] for i in variants],
        {_word(name): row / unit.length for name, row in parts.items()},
        [palette.CAUSES[name][0] for name in parts],
        [story.took(i) for i in variants],
    )
    axes.set_xlabel(f"simulated time, {unit.unit}")
    grid(axes, "x")
    key(figure, 3 if sheet.is_paper else 6)
    return figure
