"""Do other seeds give the same?  A dot for each run, of runs that differ in seeds."""

import numpy as np

from ..sheet import Picture
from ..story import Story
from ..swept_points import Points
from . import replica_spread


def picture(points: Points) -> Picture | None:
    """Return the picture of runs that differ in nothing else; None for other runs."""
    if points.settings or not points.is_time:
        return None
    values = np.array(points.amounts, object).T.tolist()
    seeds = [at["seed"] for at in points.at]
    replicas = {"seeds": seeds, "values": {"run_time_ns": values}}
    return replica_spread.picture(Story({**points.story.found, "replicas": replicas}))
