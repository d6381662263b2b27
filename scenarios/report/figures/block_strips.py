"""Where are the blocks?  A strip of the address space at each snapshot.

On a page a slider chooses the snapshot; on paper all of them lie below each other.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....engine.study.figures import count, seconds
from ..sheet import Picture, Sheet
from ..story import Story, percent
from .lines import chip, key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows of a strip's image: the node, and below it whether huge pages map it.
_NODE_ROWS, _HUGE_ROWS = 5, 2
_HUGE = (119, 119, 119, 255)
_HUGE_HEX = "#777777"


def picture(story: Story) -> Picture | None:
    """Return the picture; None if there is no snapshot of any block."""
    strips = [one for one in story.found["snapshots"] if one["blocks"]]
    strips = [one for one in strips if one["variant"] in story.shown]
    if not strips:
        return None
    return Picture(
        "block_strips",
        _title(story, strips),
        "The address space of all processes from its first 2 MiB block to its last, by"
        " the node of most pages of each piece; nothing is mapped in gaps. The grey"
        " line below is there where most blocks are huge pages.",
        "; ".join(_said(story, one) for one in _last(strips).values()),
        lambda sheet: _draw(sheet, story, strips),
        _html(story, strips),
    )


def _last(strips: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return the last strip of each variant."""
    return {one["variant"]: one for one in strips}


def _home(strip: Mapping[str, Any]) -> tuple[str, float]:
    """Return the node that has most blocks, and its share of those that are mapped."""
    mapped = {node: n for node, n in strip["by_node"].items() if node != "-1"}
    if not mapped:
        return "", 0.0
    node = max(mapped, key=mapped.__getitem__)
    return node, mapped[node] / sum(mapped.values())


def _title(story: Story, strips: Sequence[Mapping[str, Any]]) -> str:
    last = [one for one in _last(strips).values() if _home(one)[0]]
    if not last:
        return "No block is mapped at any snapshot"
    most, least = (pick(last, key=lambda one: _home(one)[1]) for pick in (max, min))
    said = []
    for one in (most, least) if len(last) > 1 else (most,):
        node, share = _home(one)
        name = story.told[one["variant"]]
        said.append(f"{name} has {percent(share)} of its blocks on node {node}")
    return f"At the last snapshot {', '.join(said)}"


def _said(story: Story, strip: Mapping[str, Any]) -> str:
    node, share = _home(strip)
    where = f"{percent(share)} on node {node}" if node else "none of them mapped"
    huge = f"{count(strip['huge'])} of them huge pages"
    name, when = story.told[strip["variant"]], seconds(strip["time_ns"])
    return f"{name} at {when}: {count(strip['blocks'])} blocks, {where}, {huge}"


# --- on a page ------------------------------------------------------------------------


def _html(story: Story, strips: Sequence[Mapping[str, Any]]) -> str:
    """Return a moment for each number of a snapshot, with a strip for each variant."""
    numbers = sorted({one["number"] for one in strips})
    moments = []
    for number in numbers:
        rows = [one for one in strips if one["number"] == number]
        rows.sort(key=lambda one: story.order.index(one["variant"]))
        inside = "".join(_row(story, one) for one in rows)
        heading = f"<h4>Snapshot {number + 1} of {len(numbers)}</h4>"
        moments.append(f'<div class="moment">{heading}{inside}</div>')
    return f'<div class="strips">{_key(story, strips)}{"".join(moments)}</div>'


def _key(story: Story, strips: Sequence[Mapping[str, Any]]) -> str:
    nodes = sorted({int(node) for one in strips for node in one["by_node"]} - {-1})
    chips = [
        f'<span><i style="background:{story.node_colour(node)}"></i>node {node}</span>'
        for node in nodes
    ]
    huge = f'<span><i class="thin" style="background:{_HUGE_HEX}"></i>huge</span>'
    return f'<p class="key">{"".join(chips)}{huge}</p>'


def _row(story: Story, strip: Mapping[str, Any]) -> str:
    from html import escape

    name, alt = story.names[strip["variant"]], _said(story, strip)
    source = f"data:image/png;base64,{base64.b64encode(_png(story, strip)).decode()}"
    return (
        f'<div class="strip"><span class="name">{escape(name)}</span>'
        f'<img src="{source}" alt="{escape(alt)}">'
        f'<span class="when">{seconds(strip["time_ns"])}</span></div>'
    )


def _pixels(story: Story, strip: Mapping[str, Any]) -> np.ndarray:
    """Return uint8[rows, cells, 4]: the strip as an image, gaps transparent."""
    node = np.array(strip["node"])
    image = np.zeros((_NODE_ROWS + _HUGE_ROWS, len(node), 4), np.uint8)
    for number in np.unique(node[node >= 0]).tolist():
        text = story.node_colour(number)
        colour = (*(int(text[at : at + 2], 16) for at in (1, 3, 5)), 255)
        image[:_NODE_ROWS, node == number] = colour
    huge = (np.array(strip["is_huge"]) == 1) & (node >= 0)
    image[_NODE_ROWS + 1 :, huge] = _HUGE
    return image


def _png(story: Story, strip: Mapping[str, Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(_pixels(story, strip)).quantize(32).save(file, "png", optimize=True)
    return file.getvalue()


# --- on paper -------------------------------------------------------------------------


def _draw(sheet: Sheet, story: Story, strips: Sequence[Mapping[str, Any]]) -> "Figure":
    from matplotlib.patches import Patch

    variants = [i for i in story.shown if any(one["variant"] == i for one in strips)]
    of = {i: [one for one in strips if one["variant"] == i] for i in variants}
    most = max(map(len, of.values()))
    rows, columns = sheet.panels(len(variants), 2)
    height = rows * sheet.lines(1.5 * most + 1.2) + sheet.lines(2)
    figure, panels = sheet.figure(height, rows, columns)
    for axes, variant in zip(panels, variants, strict=False):
        for at, strip in enumerate(of[variant]):
            axes.imshow(
                _pixels(story, strip),
                extent=(0, 1, at + 0.42, at - 0.42),
                aspect="auto",
                interpolation="nearest",
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(most - 0.5, -0.5)
        times = [seconds(one["time_ns"]) for one in of[variant]]
        axes.set_yticks(range(len(times)), times)
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        chip(axes, story.names[variant], story.colour(variant))
    for axes in panels[len(variants) :]:
        axes.set_axis_off()
    nodes = sorted({int(node) for one in strips for node in one["by_node"]} - {-1})
    handles = [Patch(color=story.node_colour(n), label=f"node {n}") for n in nodes]
    handles.append(Patch(color=_HUGE_HEX, label="huge pages"))
    key(figure, 4 if sheet.is_paper else 8, handles=handles)
    return figure
