"""The knobs of NUMA balancing, spelled as in sysctl and debugfs."""

from dataclasses import dataclass

from ...kernels.knobs import Balancing as Mode
from ...kernels.knobs import (
    Filter,
    GroupIf,
    MarkUnless,
    PeriodRule,
    ScanCounts,
    WriteBit,
)
from .knob import check_knobs, knob

MODES = tuple(one.name.lower() for one in Mode)
FILTERS = tuple(one.name.lower() for one in Filter)
PERIOD_RULES = tuple(one.name.lower() for one in PeriodRule)
SCAN_COUNTS = tuple(one.name.lower() for one in ScanCounts)
WRITE_BITS = tuple(one.name.lower() for one in WriteBit)
MARK_UNLESS = tuple(one.name.lower() for one in MarkUnless)
GROUP_IFS = tuple(one.name.lower() for one in GroupIf)


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
        "what a hint fault must pass (3.8: last_nid, 3.15: active_nodes)",
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

    # Rules of the scanner that kernels differ in; the defaults are those of 6.12.
    scan_period_rule: str = knob(
        "statistics",
        "what changes a scan period (v4: every_fault, 3.8: unmoved_fault,"
        " 3.13: local_share)",
        choices=PERIOD_RULES,
        column="PERIOD_RULE",
    )
    scan_period_reset_ms: int = knob(
        0,
        "a period begins anew so often (60,000 in 3.8 to 3.12); 0: never",
        unit="ms",
        max=1 << 31,
        column="PERIOD_RESET",
    )
    first_nid: bool = knob(
        False,
        "no scan before a process runs on a second node (3.8 to 3.12, 5bca23035391)",
        column="FIRST_NID",
    )
    scan_limited: bool = knob(
        True,
        "scan from a node over its limit of migrations (3.13, 9e645ab6d089)",
        column="SCAN_LIMITED",
    )
    scan_small_vmas: bool = knob(
        True, "scan VMAs below 2 MiB (3.13)", column="SCAN_SMALL_VMAS"
    )
    scan_counts: str = knob(
        "chunks",
        "what counts against a scan's size (to 3.12: entries)",
        choices=SCAN_COUNTS,
        column="SCAN_COUNTS",
    )
    scan_turns: bool = knob(
        True,
        "who has scanned waits two ticks more (3.13, 19a78d110d7a)",
        column="SCAN_TURNS",
    )
    scan_cost_cap: bool = knob(
        True,
        "a scan holds off the next for 32 times its cost (4.5, 51170840fe91)",
        column="SCAN_COST_CAP",
    )
    scan_stagger: bool = knob(
        True,
        "a thread's first scan is later than its parent's (4.18, 13784475893a)",
        column="SCAN_STAGGER",
    )
    scan_local: bool = knob(
        False,
        "mark small pages on the node of a process's only task (before 4.10)",
        column="SCAN_LOCAL",
    )
    scan_shared_huge: bool = knob(
        True,
        "mark huge pages that several processes map (3.13)",
        column="SCAN_SHARED_HUGE",
    )
    scan_local_huge: bool = knob(
        True,
        "mark huge pages on the node of a process's only task (before 6.19)",
        column="SCAN_LOCAL_HUGE",
    )
    scan_shmem: bool = knob(
        False,
        "scan shared mappings without a policy (6.7, ddc1a5cbc05d)",
        column="SCAN_SHMEM",
    )
    mark_unless: str = knob(
        "page_mapcount",
        "which shared pages are not marked (5.17: page_count, 6.10: mapped_shared)",
        choices=MARK_UNLESS,
        column="MARK_UNLESS",
    )
    count_marked: bool = knob(
        False,
        "a huge page that was marked before counts again (to 3.12, f123d74abf91)",
        column="COUNT_MARKED",
    )
    pmd_numa: bool = knob(
        False,
        "small pages of one table and node fault together (to 3.12, 0f19c17929c9)",
        column="PMD_NUMA",
    )
    split_marks: bool = knob(
        True,
        "a huge page that a hint fault splits leaves marked pages",
        column="SPLIT_MARKS",
    )
    split_last: bool = knob(
        True,
        "and pages that know who took its last hint fault (57e0a0309160)",
        column="SPLIT_LAST",
    )
    hint_folios: bool = knob(
        False,
        "a hint fault moves huge pages that small entries map (6.10, d2136d749d76)",
        column="HINT_FOLIOS",
    )
    hint_flush: bool = knob(
        False,
        "hint faults map a page before it moves, so a flush each (to 5.12,"
        " b99a342d4f11)",
        column="HINT_FLUSH",
    )
    limit_by_pages: bool = knob(
        True,
        "a huge page is 512 against the limit of migrations (3.9; before: 1)",
        column="LIMIT_BY_PAGES",
    )
    slow_on_failure: bool = knob(
        True,
        "scan slower when migrations fail (4.0, 074c238177a7)",
        column="SLOW_ON_FAILURE",
    )

    # What a mark does to an entry, and what a fault asks of it.
    write_bit: str = knob(
        "kept",
        "what a mark does to the write bit (4.0-rc1: lost_at_mark, 6.2: lost_at_move)",
        choices=WRITE_BITS,
        column="WRITE_BIT",
    )
    group_if: str = knob(
        "writable",
        "of which entries a fault lets tasks form a group (3.13: write_bit)",
        choices=GROUP_IFS,
        column="GROUP_IF",
    )

    def __post_init__(self) -> None:
        check_knobs(self, "balancing.")
