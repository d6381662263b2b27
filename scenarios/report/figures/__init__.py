"""One file for each picture: what of a run it needs, what it finds, and its drawing.

Each has ``picture(story)``, which returns None if the run lacks what it shows.
"""

from collections.abc import Callable
from itertools import combinations

from ..sheet import Picture
from ..story import Story
from ..swept_points import Points
from . import (
    block_strips,
    fault_counts,
    fault_scaling,
    huge_pages,
    local_share,
    lock_waits,
    node_pages,
    ratio_spread,
    refused_pages,
    replica_spread,
    seed_dots,
    setting_lines,
    setting_maps,
    time_by_cause,
    traffic_map,
)

#: Most pairs of settings that have maps.
_PAIRS = 3
#: All pictures of a run, in the order of the page.
PICTURES: tuple[Callable[[Story], Picture | None], ...] = (
    time_by_cause.picture,
    replica_spread.picture,
    ratio_spread.picture,
    local_share.picture,
    node_pages.picture,
    block_strips.picture,
    fault_counts.picture,
    traffic_map.picture,
    refused_pages.picture,
    huge_pages.picture,
    huge_pages.khugepaged,
    lock_waits.picture,
    fault_scaling.picture,
)


def pictures(story: Story) -> list[Picture]:
    """Return the pictures of a run, those left out whose data the file lacks."""
    found = (picture(story) for picture in PICTURES)
    return [one for one in found if one is not None]


def over_settings(points: Points) -> list[Picture]:
    """Return the pictures of a sweep: lines over each setting, maps over each two."""
    pairs = list(combinations(points.settings, 2))[:_PAIRS]
    found = [
        seed_dots.picture(points),
        *(
            setting_maps.best(points, *pair, work)
            for work in list(points.rivals)[:_PAIRS]
            for pair in pairs
        ),
        *(setting_lines.picture(points, one) for one in points.settings),
        *(setting_maps.amounts(points, *pair) for pair in pairs),
    ]
    return [one for one in found if one is not None]
