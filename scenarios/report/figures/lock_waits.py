"""Which lock was waited for?  A bar for each variant, its parts the locks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.study.figures import seconds
from .. import palette
from ..sheet import Picture, Sheet
from ..story import Story, time_axis
from . import bars
from .lines import grid, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The column of ``/summary``, and the table of the locks.
_COLUMN, _TABLE = "lock_wait_ns", "locks"
#: Locks that have a part of their own.
_MOST = 6


def picture(story: Story) -> Picture | None:
    """Return the picture; None if nobody waited for a lock, or no run knows."""
    total = np.array([row.get(_COLUMN) or 0 for row in story.rows], float)
    parts = _by_lock(story)
    if parts:
        total = np.sum(list(parts.values()), axis=0)
    if not total.any():
        return None
    variants = [i for i in story.shown if total[i]]
    most = int(total.argmax())
    title = f"{story.told[most]} waits longest for locks: {seconds(total[most])}"
    if parts:
        lock = max(parts, key=lambda name: parts[name][most])
        title += f", most of it for {lock}"
    return Picture(
        "lock_waits",
        title,
        "Simulated time in waiting for locks, all tasks together.",
        "; ".join(f"{story.told[i]}: {seconds(total[i])}" for i in variants),
        lambda sheet: _draw(sheet, story, variants, parts or {"locks": total}),
    )


def _by_lock(story: Story) -> Mapping[str, np.ndarray]:
    """Return ns of waiting by lock, [variants], the most first; empty: not known."""
    table = story.found["tables"].get(_TABLE)
    if not table:
        return {}
    parts: dict[str, np.ndarray] = {}
    columns = table["lock"], table["variant"], table["wait_ns"]
    for name, variant, wait in zip(*columns, strict=True):
        parts.setdefault(str(name), np.zeros(len(story.rows)))[variant] += wait
    large = sorted((n for n in parts if parts[n].any()), key=lambda n: -parts[n].sum())
    found = {name: parts[name] for name in large[:_MOST]}
    if large[_MOST:]:
        found["other locks"] = np.sum([parts[name] for name in large[_MOST:]], axis=0)
    return found


def _draw(
    sheet: Sheet,
    story: Story,
    variants: Sequence[int],
    parts: Mapping[str, np.ndarray],
) -> "Figure":
    total = np.sum(list(parts.values()), axis=0)[variants]
    unit = time_axis(float(total.max()))
    figure, (axes,) = sheet.figure(bars.height(sheet, len(variants), 4))
    colours = [*(light for light, _ in palette.VARIANTS), palette.OTHERS[0]]
    bars.stacked(
        axes,
        [story.names[i] for i in variants],
        {name: row[variants] / unit.length for name, row in parts.items()},
        colours if len(parts) > 1 else [palette.CAUSES["lock_sleep"][0]],
        [seconds(value) for value in total],
    )
    axes.set_xlabel(f"time in waiting, {unit.unit}")
    grid(axes, "x")
    if len(parts) > 1:
        key(figure, 3 if sheet.is_paper else 6)
    return figure
