"""Workloads of one's own that stories are told with, and workloads of some time."""

import numpy as np

from lazynuma.engine import (
    HotCold,
    OwnWorkload,
    Phases,
    Sweep,
    Uniform,
    Zipf,
    another_key,
    random_page,
    random_unit,
    random_write,
)

MS = 1_000_000


def uniformly(access, mine):
    """Draw as ``Uniform`` does."""
    page = random_page(access.key, access.number, access.pages)
    return page, random_write(access.key, access.number, 0.5)


def wandering(access, mine):
    """Read a list of pages, and draw from a set that moves in time; with refs."""
    if access.number % 3 == 0:
        return mine.order[access.number // 3 % len(mine.order)], False, 1
    hot = random_page(another_key(access.key, 1), access.number, mine.hot)
    page = (hot + access.run_ns // 1_000_000 * 7 + access.now_ns % 5) % access.pages
    write = random_unit(access.key, access.number) < mine.share
    return page, write, 64 if access.number % 2 else 9


def own(task, region, **options):
    """Return a workload of ``wandering``."""
    pages = region.pages
    return OwnWorkload(
        task=task,
        region=region,
        generate=wandering,
        arrays={"order": np.arange(40, dtype=np.int32) * 17 % pages},
        parameters={"hot": max(1, pages // 5), "share": 0.4},
        refs=(64, 1, 9),
        **options,
    )


def phases(task, region, scale=MS):
    """Return phases of built-in kinds and of one's own."""
    here = {"task": task, "region": region}
    hot = max(1, region.pages // 6)
    return Phases(
        parts=[
            (HotCold(**here, hot_pages=hot, period_ns=scale, step=5), 2 * scale),
            (Sweep(**here, refs=8, streamed=True), 3 * scale),
            (own(task, region), 4 * scale),
            (Zipf(**here, period_ns=scale, step=3, refs=3), 5 * scale),
        ],
        repeat=2,
    )


def timed(task, region, scale=MS):
    """Return a workload that lasts for a time."""
    return Uniform(task=task, region=region, for_ns=7 * scale)
