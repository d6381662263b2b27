"""The knobs of NUMA balancing, spelled as in sysctl and debugfs."""

from dataclasses import dataclass

from ...kernels.knobs import Balancing as Mode
from ...kernels.knobs import Filter
from .knob import check_knobs, knob

MODES = tuple(one.name.lower() for one in Mode)
FILTERS = tuple(one.name.lower() for one in Filter)


@dataclass(frozen=True)
class Balancing:
    """kernel.numa_balancing and /sys/kernel/debug/sched/numa_balancing (6.12).

    ``docs/model/balancing.md``.  Switches say which kernel had the rule.  Raises
    BadInput if a value is not allowed.
    """

    mode: str = knob(
        "off",
        "kernel.numa_balancing, also by its numbers 0 to 3",
        choices=MODES,
        numbered=True,
        column="BALANCING",
    )
    scan_delay_ms: int = knob(
        1000,
        "time to the first scan",
        unit="ms",
        min=1,
        max=1 << 31,
        column="SCAN_DELAY",
    )
    scan_period_min_ms: int = knob(
        1000,
        "shortest scan period",
        unit="ms",
        min=1,
        max=1 << 31,
        column="SCAN_PERIOD_MIN",
    )
    scan_period_max_ms: int = knob(
        60_000,
        "longest scan period",
        unit="ms",
        min=1,
        max=1 << 31,
        column="SCAN_PERIOD_MAX",
    )
    scan_size_mb: int = knob(
        256,
        "memory that a scan marks",
        unit="MiB",
        min=1,
        max=1 << 20,
        column="SCAN_SIZE_MB",
    )
    hot_threshold_ms: int = knob(
        1000,
        "mark to fault of a page to promote",
        unit="ms",
        min=1,
        max=1 << 31,
        column="HOT_THRESHOLD",
    )
    promote_rate_limit_mbps: int = knob(
        65_536, "MB/s of promotion to a node", unit="MiB/s", min=1, max=1 << 30
    )
    migrate_rate_limit_mbps: int = knob(
        0,
        "MB/s of migration to a node, 1280 in 3.8 to 4.18; 0: none",
        unit="MiB/s",
        min=0,
        max=1 << 30,
    )
    filter: str = knob(
        "last_cpupid",
        "what a hint fault must pass (3.8: last_nid)",
        choices=FILTERS,
        column="FILTER",
    )
    local_last_cpupid: bool = knob(
        False,
        "faults on local memory count as the last ones, too (before 5.15)",
        column="LOCAL_CPUPID",
    )
    vma_pids: bool = knob(
        True, "scan the VMAs that the task's like used (6.4)", column="VMA_PIDS"
    )
    groups: bool = knob(
        True, "tasks that share memory form groups (3.13)", column="NUMA_GROUPS"
    )
    placement: bool = knob(
        True, "tasks move to their memory (3.13)", column="NUMA_PLACEMENT"
    )
    demotion: bool = knob(
        False, "reclaim demotes to slower nodes (5.15)", column="DEMOTION"
    )
    tick_ns: int = knob(
        4_000_000, "scheduler's tick", min=1, max=1 << 40, unit="ns", column="TICK_NS"
    )

    def __post_init__(self) -> None:
        check_knobs(self, "balancing.")
