"""What a user of DAMON says: schemes, quotas, goals, watermarks, goals of intervals.

The words are those of /sys/kernel/mm/damon/admin (mm/damon/sysfs-schemes.c, 6.16).
``docs/model/damon.md`` 5 to 9.
"""

from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..machines.machine import Machine
from ..settings.knob import check_knobs, knob

_MAX = (1 << 63) - 1
#: The actions that are modelled, and those of them that need a node.
ACTIONS = "migrate_hot", "migrate_cold", "pageout", "hugepage", "nohugepage", "stat"
MIGRATIONS = "migrate_hot", "migrate_cold"
METRICS = "node_mem_used_bp", "node_mem_free_bp"


def _all(values: Any, kind: type, name: str) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise BadInput(f"{name} must be a tuple of {kind.__name__}, got {values!r}")
    for value in values:
        _check_type(value, kind, name)
    return tuple(values)


def _check_type(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise BadInput(f"{name} must be made by {kind.__name__}, got {value!r}")


@dataclass(frozen=True)
class QuotaGoal:
    """What a quota is tuned for (struct damos_quota_goal, 6.16)."""

    metric: str = knob("node_mem_used_bp", "what is measured", choices=METRICS)
    target_value: int = knob(9970, "what it is to be", unit="1e-4", min=1, max=10_000)
    node: int = knob(0, "the node whose memory is meant")

    def __post_init__(self) -> None:
        check_knobs(self, "goal.")


@dataclass(frozen=True)
class Quota:
    """How much a scheme may do in an interval (struct damos_quota).

    goals  the size is tuned for them; the one that is nearest decides
    """

    ms: int = knob(0, "most time, measured by what it did before; 0: any", unit="ms")
    sz: int = knob(0, "most bytes; 0: any", kind="size", unit="byte")
    reset_interval_ns: int = knob(1_000_000_000, "the interval", unit="ns", min=1)
    weight_sz: int = knob(0, "weight of a region's size, which Linux does not use")
    weight_nr_accesses: int = knob(0, "weight of how often a region is used")
    weight_age: int = knob(0, "weight of how long that has been so")
    age_unit_ns: int = knob(1_000_000_000, "a second, or less", unit="ns", min=1)
    goals: tuple[QuotaGoal, ...] = ()

    def __post_init__(self) -> None:
        check_knobs(self, "quota.")
        object.__setattr__(self, "goals", _all(self.goals, QuotaGoal, "quota.goals"))

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return bool(self.ms or self.sz or self.goals)


@dataclass(frozen=True)
class Watermarks:
    """When a scheme works: the metric, in 1e-3, is between low and high, was below mid.

    struct damos_watermarks
    """

    metric: str = knob("none", "what is measured", choices=("none", "free_mem_rate"))
    interval_ns: int = knob(5_000_000_000, "time between two looks", unit="ns", min=1)
    high: int = knob(0, "it sleeps above", unit="1e-3", max=1000)
    mid: int = knob(0, "it wakes below", unit="1e-3", max=1000)
    low: int = knob(0, "it sleeps below", unit="1e-3", max=1000)

    def __post_init__(self) -> None:
        check_knobs(self, "watermarks.")
        if not self.low <= self.mid <= self.high:
            raise BadInput(
                "watermarks must be low <= mid <= high,"
                f" got {self.low}, {self.mid}, {self.high}"
            )


@dataclass(frozen=True)
class IntervalsGoal:
    """What the sampling interval is tuned for (struct damon_intervals_goal, 6.15)."""

    access_bp: int = knob(400, "share of samples that see a use", unit="1e-4", min=1)
    aggrs: int = knob(3, "aggregations between two changes", min=1)
    min_sample_ns: int = knob(5_000_000, "shortest sampling", unit="ns", min=1)
    max_sample_ns: int = knob(10_000_000_000, "longest sampling", unit="ns", min=1)

    def __post_init__(self) -> None:
        check_knobs(self, "intervals_goal.")
        if self.min_sample_ns > self.max_sample_ns:
            raise BadInput(
                "intervals_goal.min_sample_ns must be at most max_sample_ns,"
                f" got {self.min_sample_ns}, {self.max_sample_ns}"
            )


@dataclass(frozen=True)
class Scheme:
    """What is to be done with which regions (struct damos).

    Sizes are bytes, ``nr_accesses`` samples of an aggregation, ages aggregations; both
    ends of a range belong to it.
    """

    action: str = knob("stat", "what is done", choices=ACTIONS)
    node: int = knob(-1, "where migrate_hot and migrate_cold move (target_nid)", min=-1)
    min_sz: int = knob(4096, "least size of a region", kind="size", unit="byte")
    max_sz: int = knob(_MAX, "greatest size", kind="size", unit="byte")
    min_nr_accesses: int = knob(0, "least samples that saw a use")
    max_nr_accesses: int = knob(_MAX, "most samples that saw a use")
    min_age: int = knob(0, "least age")
    max_age: int = knob(_MAX, "greatest age")
    apply_interval_ns: int = knob(0, "0: the aggregation interval", unit="ns")
    young: str = knob("any", "which pages it takes", choices=("any", "young", "old"))
    quota: Quota = Quota()
    watermarks: Watermarks = Watermarks()

    def __post_init__(self) -> None:
        check_knobs(self, "scheme.")
        for name in ("sz", "nr_accesses", "age"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise BadInput(
                    f"scheme.min_{name} must be at most max_{name}, got {low}, {high}"
                )
        if self.action in MIGRATIONS and self.node < 0:
            raise BadInput(f"scheme.node must be given for {self.action}, got none")
        _check_type(self.quota, Quota, "scheme.quota")
        _check_type(self.watermarks, Watermarks, "scheme.watermarks")


def check_nodes(schemes: tuple[Scheme, ...], machine: Machine) -> None:
    """Raise BadInput if a scheme names a node that is not, or that has no memory."""
    for scheme in schemes:
        if scheme.action in MIGRATIONS:
            check_node("scheme.node", scheme.node, machine)
        for goal in scheme.quota.goals:
            check_node("goal.node", goal.node, machine)


def check_node(name: str, node: int, machine: Machine) -> None:
    """Raise BadInput if there is no such node, or if it has no memory."""
    sizes = machine.memory
    if not 0 <= node < len(sizes):
        raise BadInput(f"{name} must be from 0 to {len(sizes) - 1}, got {node}")
    if not sizes[node]:
        raise BadInput(f"{name} must be a node with memory, got {node}")


def checked_schemes(schemes: Any) -> tuple[Scheme, ...]:
    """Return schemes as a tuple, or raise BadInput."""
    return _all(schemes, Scheme, "schemes")
