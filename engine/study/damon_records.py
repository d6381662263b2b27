"""What a DAMON saw, as a table of the file: a heat map."""

from typing import TYPE_CHECKING

from .columns import Field, Records

if TYPE_CHECKING:
    from ..daemons.damon import Damon
    from ..simulation import Simulation

DAMON_REGIONS = Records(
    "damon_regions",
    "damon_region",
    "regions of DAMON, at the end of each aggregation",
    (
        Field("seen_ns", "ns", "simulated time of the aggregation"),
        Field("target", "1", "number of what is watched"),
        Field("process", "1", "number of the process, -1 for frames of a node"),
        Field("first", "4096 byte", "first page of the process, or frame"),
        Field("pages", "4096 byte", "size of the region"),
        Field("nr_accesses", "1", "samples of the aggregation that saw a use"),
        Field("age", "1", "aggregations for which that has been so"),
    ),
)


def record_damon(simulation: "Simulation", damon: "Damon") -> int:
    """Write all that a DAMON has recorded to the file; return the number of rows.

    For the end of a variant's steps, in a study with ``records=(DAMON_REGIONS,)``.
    """
    seen = damon.recorded()
    names = seen.dtype.names or ()
    for row in seen.tolist():
        values = dict(zip(names, row, strict=True))
        values["seen_ns"] = values.pop("time_ns")
        simulation.record(DAMON_REGIONS.name, values)
    return len(seen)
