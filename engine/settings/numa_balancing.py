"""The knobs of NUMA balancing, spelled as in sysctl and debugfs."""

from dataclasses import dataclass, field

from ...kernels.knobs import Balancing as Mode
from ...kernels.knobs import Filter
from .knob import check_ranges

MODES = tuple(one.name.lower() for one in Mode)
FILTERS = tuple(one.name.lower() for one in Filter)


def _knob(default, text: str, **metadata):
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class Balancing:
    """kernel.numa_balancing and /sys/kernel/debug/sched/numa_balancing (6.12).

    ``docs/model.md`` §11.  Switches say which kernel had the rule.  Raises BadInput
    where a value is not allowed.
    """

    mode: str = _knob("off", "kernel.numa_balancing: 0, 1, 2, 3", choices=MODES)
    scan_delay_ms: int = _knob(1000, "time to the first scan", min=1, max=1 << 31)
    scan_period_min_ms: int = _knob(1000, "shortest scan period", min=1, max=1 << 31)
    scan_period_max_ms: int = _knob(60_000, "longest scan period", min=1, max=1 << 31)
    scan_size_mb: int = _knob(256, "memory that a scan marks", min=1, max=1 << 20)
    hot_threshold_ms: int = _knob(
        1000, "mark to fault of a page to promote", min=1, max=1 << 31
    )
    promote_rate_limit_mbps: int = _knob(
        65_536, "MB/s of promotion to a node", min=1, max=1 << 30
    )
    migrate_rate_limit_mbps: int = _knob(
        0,
        "MB/s of migration to a node, 1280 in 3.8 to 4.18; 0: none",
        min=0,
        max=1 << 30,
    )
    filter: str = _knob(
        "last_cpupid", "what a hint fault must pass (3.8: last_nid)", choices=FILTERS
    )
    local_last_cpupid: bool = _knob(
        False, "faults on local memory count as the last ones, too (before 5.15)"
    )
    vma_pids: bool = _knob(True, "scan the VMAs that the task's like used (6.4)")
    groups: bool = _knob(True, "tasks that share memory form groups (3.13)")
    placement: bool = _knob(True, "tasks move to their memory (3.13)")
    demotion: bool = _knob(False, "reclaim demotes to slower nodes (5.15)")
    tick_ns: int = _knob(4_000_000, "scheduler's tick", min=1, max=1 << 40, unit="ns")

    def __post_init__(self) -> None:
        check_ranges(self, "balancing.")
