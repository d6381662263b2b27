"""Do the accesses become local?  Their share over time, a line for each variant."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..sheet import Picture, Sheet
from ..story import Story, few
from .lines import draw_lines, grid, of_variants

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(story: Story) -> Picture | None:
    """Return the picture; None if no epoch counted accesses, or each has but one."""
    values = [_share(one) for one in story.series]
    if max(map(len, values), default=0) < 2:
        return None
    ended = {i: share[-1] for i, share in enumerate(values) if len(share)}
    return Picture(
        "local_share",
        _title(story, ended),
        "Share of accesses that went to memory of the task's own node, by epoch.",
        "; ".join(f"{story.told[i]} ends at {end:.0f} %" for i, end in ended.items()),
        lambda sheet: _draw(sheet, story, values),
    )


def _share(series: Mapping[str, list]) -> np.ndarray:
    """Return percent, NaN for epochs without an access."""
    local = np.array(series.get("local", []), float)
    remote = np.array(series.get("remote", []), float)
    total = local + remote
    if not total.any():
        return np.zeros(0)
    share = np.full(len(total), np.nan)
    np.divide(100 * local, total, out=share, where=total > 0)
    return _filled(share)


def _filled(values: np.ndarray) -> np.ndarray:
    """Return values, each NaN as the value before it, or as the first one."""
    known = np.flatnonzero(~np.isnan(values))
    place = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    return values[known[np.maximum(place, 0)]]


def _title(story: Story, ended: dict[int, float]) -> str:
    most, least = max(ended.values()), min(ended.values())
    if most - least < 1:
        return f"All end with {most:.0f} % of their accesses local"
    best = [story.told[i] for i in story.order if ended.get(i, -1) >= most - 1]
    worst = [story.told[i] for i in story.order if ended.get(i, 101) <= least + 1]
    verb = "ends" if len(best) == 1 else "end"
    return f"{few(best)} {verb} at {most:.0f} % local, {few(worst)} at {least:.0f} %"


def _draw(sheet: Sheet, story: Story, values: Sequence[np.ndarray]) -> "Figure":
    groups = list(story.groups())
    rows, columns = sheet.panels(len(groups), 2)
    height = 2.1 if sheet.is_paper else 2.9
    if rows > 1:
        height = rows * 1.7
    figure, panels = sheet.figure(height, rows, columns, sharex=True, sharey=True)
    unit = story.axis()
    for axes, (heading, variants) in zip(panels, groups, strict=False):
        axes.set_ylim(0, 101)
        lines = of_variants(story, variants, values)
        if lines:
            draw_lines(axes, lines, story, sheet)
        axes.set_title(heading)
        axes.set_yticks([0, 25, 50, 75, 100])
        grid(axes)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    figure.supxlabel(f"simulated time, {unit.unit}", fontsize=sheet.font)
    figure.supylabel("local accesses, %", fontsize=sheet.font)
    return figure
