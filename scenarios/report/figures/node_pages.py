"""On which node is the memory?  Areas over time, a small picture for each variant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.settings.sizes import format_size
from .. import palette
from ..sheet import Picture, Sheet
from ..story import Story, few, percent
from .lines import STEPS, chip, grid, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = 4096
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def picture(story: Story) -> Picture | None:
    """Return the picture; None if no epoch knows the pages of nodes."""
    pages = [np.array(one["pages"]) * PAGE for one in story.series]
    shown = [i for i in story.shown if pages[i].size and pages[i].shape[1] > 1]
    if not shown:
        return None
    mapped = story.series[shown[0]]["pages_mapped"][0]
    what = "Memory that processes map" if mapped else "Frames in use"
    return Picture(
        "node_pages",
        _title(story, pages, shown),
        f"{what}, by the node that it is on, at the end of each epoch. Pages behind"
        " swap slots and migration-cache entries are parked." + _left_out(story, shown),
        "; ".join(_said(story, i, pages[i]) for i in shown),
        lambda sheet: _draw(sheet, story, pages, shown),
    )


def _left_out(story: Story, shown: Sequence[int]) -> str:
    count = len(story.rows) - len(shown)
    return f" {len(shown)} of {len(story.rows)} variants are shown." if count else ""


def _at_end(pages: np.ndarray) -> tuple[int, float]:
    """Return the place of the node with most memory at the end, and its share."""
    last = pages[:, -1]
    return int(last.argmax()), last.max() / max(1, last.sum())


def _title(story: Story, pages: Sequence[np.ndarray], shown: Sequence[int]) -> str:
    homes: dict[int, list[str]] = {}
    for i in shown:
        homes.setdefault(_at_end(pages[i])[0], []).append(story.told[i])
    if len(homes) == 1:
        (node,) = homes
        return f"All end with most of their memory on node {story.nodes[node]}"
    said = [f"on node {story.nodes[n]} in {few(names)}" for n, names in homes.items()]
    return f"At the end most of the memory is {', '.join(said)}"


def _said(story: Story, variant: int, pages: np.ndarray) -> str:
    node, share = _at_end(pages)
    total = format_size(int(pages[:, -1].sum()))
    return (
        f"{story.told[variant]} ends with {total}, {percent(share)} of it on node"
        f" {story.nodes[node]}"
    )


def _draw(
    sheet: Sheet, story: Story, pages: Sequence[np.ndarray], shown: Sequence[int]
) -> "Figure":
    layers = {i: _layers(story, pages[i], i) for i in shown}
    names = [n for n in _names(story) if any(layers[i][n].any() for i in shown)]
    most = max(np.sum(list(layers[i].values()), axis=0).max() for i in shown)
    length, name = next((u for u in _UNITS if most >= u[0]), _UNITS[-1])
    rows, columns = sheet.panels(len(shown))
    height = rows * (1.35 if sheet.is_paper else 1.65) + sheet.lines(2)
    figure, panels = sheet.figure(height, rows, columns, sharex=True, sharey=True)
    unit = story.axis()
    for axes, variant in zip(panels, shown, strict=False):
        times = np.array([0, *story.series[variant]["pages_at_ns"]]) / unit.length
        below = np.zeros(len(times))
        for node in names:
            values = layers[variant][node] / length
            above = below + np.array([values[0], *values])
            axes.fill_between(
                *(times, below, above),
                step="pre" if len(times) < STEPS else None,
                color=_names(story)[node],
                linewidth=0,
                label=node if variant == shown[0] else None,
            )
            below = above
        chip(axes, story.names[variant], story.colour(variant))
        grid(axes)
    panels[0].set_xlim(0, max(story.last(i) for i in shown) / unit.length)
    panels[0].set_ylim(0, most / length * 1.02)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel(f"simulated time, {unit.unit}", fontsize=sheet.font)
    figure.supylabel(name, fontsize=sheet.font)
    key(figure, 4 if sheet.is_paper else 8)
    return figure


def _names(story: Story) -> dict[str, str]:
    """Return the layers of all areas from below, and the colour of each."""
    colours = {f"node {node}": story.node_colour(node) for node in story.nodes}
    return {**colours, "parked or in swap": palette.OTHERS[0]}


def _layers(story: Story, pages: np.ndarray, variant: int) -> dict[str, np.ndarray]:
    """Return bytes over time of each layer."""
    parked = np.array(story.series[variant]["parked"]) * PAGE
    return dict(zip(_names(story), [*pages, parked], strict=True))
