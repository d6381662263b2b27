"""Memory on a CXL node: do hot pages get to DRAM, cold ones out of it, at what price?

A process has more memory than the two sockets have DRAM; what it uses most was touched
last and lies on the CXL node.  Half-way its hot set moves on to other pages, on the CXL
node as well.

off             pages stay where they were first touched
demotion        reclaim may demote; nothing asks it to
promote_all     every hint fault on the CXL node promotes (numa_balancing=2 of 5.18)
hot             only faults within ``hot_threshold`` of the mark do (6.1)
hot_limit       the same, and so many MB/s at most; the threshold stays
hot_limit_auto  the same, and the threshold follows the candidates

Huang Ying's figures for the last four are the page access rates and the promotion
rates of pmbench on two sockets with DRAM and persistent memory.  The kernel adjusts the
threshold once a minute (``scan_period_max``); here it is every ``adjust_ms``, so that a
run of minutes has some.
"""

from dataclasses import dataclass, field, replace

from ..engine.errors import BadInput
from ..engine.machine import spec
from ..engine.machine.machine import cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import HotCold
from ..kernels.words import PAGE_SIZE
from .common.table import aligned, percent, table

QUESTION = "Do hot pages get to DRAM and cold ones out of it, and at what price?"
#: The longest that any knob takes: no fault is too late, no threshold ever adjusted.
LONGEST = 1 << 31
#: Published accesses in a second of all threads and promotion in MB/s.
PUBLISHED = {
    "promote_all": (146_887_704, 725.6),
    "hot": (165_695_601, 544.0),
    "hot_limit": (162_814_570, 165.2),
    "hot_limit_auto": (170_495_294, 136.9),
}
#: Pages of the hot set that are looked at in the end.
SAMPLES = 4096

COLUMNS = (
    Column("pgpromote_success", "promoted", "page", "pages moved to DRAM"),
    Column("pgpromote_candidate", "candidates", "page", "pages hot enough for it"),
    Column("pgdemote", "demoted", "page", "pages that reclaim moved to the CXL node"),
    Column(
        *("threshold_ns", "hot threshold", "ns"),
        "longest time from mark to fault that was hot for node 0 in the end",
        style="seconds",
    ),
    Column(
        *("hot_fast_share", "hot in DRAM", "1", "share of the hot set in DRAM then"),
        dtype="f8",
        style="percent",
    ),
    Column("access_rate", "accesses/s", "1/s", "accesses a second of all tasks", "f8"),
    Column("promotion_mb_per_s", "MB/s promoted", "1e6 byte/s", "promotion rate", "f8"),
)
_UNUSED = (
    *("pages_marked", "swap_slots_peak", "migcache_entries_peak", "oom_kills"),
    *("faults", "pages_refused", "converged_ns", "pages_migrated"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=16 << 30,
        metadata={"kind": "size", "help": "RAM of the machine, half of it CXL"},
    )
    machine: str = field(
        default="dram-cxl", metadata={"help": "preset or file, the last node CXL"}
    )
    tasks: int = field(default=8, metadata={"min": 1, "help": "threads"})
    accesses: int = field(
        default=24_000_000, metadata={"min": 2, "help": "accesses of each thread"}
    )
    refs: int = field(
        default=16,
        metadata={"min": 1, "max": 1 << 20, "help": "cache lines of an access"},
    )
    hot_share: float = field(
        default=0.9, metadata={"min": 0, "max": 1, "help": "accesses to the hot set"}
    )
    limit_mbps: int = field(
        default=20, metadata={"min": 1, "max": 1 << 30, "help": "MB/s of hot_limit"}
    )
    adjust_ms: int = field(
        default=5000,
        metadata={"min": 1, "max": LONGEST, "help": "between looks at the threshold"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: each way to use the tiers."""
    machine = spec.machine(parameters.machine, parameters.memory)
    slow = machine.nodes - 1
    if machine.tier[slow] == 0 or any(machine.tier[:slow]):
        raise BadInput(
            f"machine must have a slow node, its last, got {machine.name} with tiers"
            f" {machine.tier}"
        )
    pages = parameters.memory * 3 // 4 // PAGE_SIZE
    hot = parameters.memory // 8 // PAGE_SIZE
    if hot < SAMPLES:
        raise BadInput(
            f"memory must be at least {format_size(8 * SAMPLES * PAGE_SIZE)},"
            f" got {format_size(parameters.memory)}"
        )
    variants = [
        Variant(
            name,
            machine,
            Settings(balancing=knobs),
            lambda simulation: _steps(simulation, parameters, pages, hot),
            accesses=parameters.tasks * parameters.accesses,
            mapped_pages=pages,
        )
        for name, knobs in _ways(parameters).items()
    ]
    return Study(
        QUESTION,
        "variant",
        tuple(variants),
        (*COLUMNS, *hide(SUMMARY, *_UNUSED)),
        report=_report,
    )


def _ways(parameters: Parameters) -> dict[str, Balancing]:
    """Return the knobs of each variant."""
    hot = Balancing(mode="tiering", demotion=True)
    limited = replace(hot, promote_rate_limit_mbps=parameters.limit_mbps)
    return {
        "off": Balancing(),
        "demotion": Balancing(demotion=True),
        "promote_all": replace(hot, hot_threshold_ms=LONGEST),
        "hot": hot,
        "hot_limit": replace(limited, scan_period_max_ms=LONGEST),
        "hot_limit_auto": replace(limited, scan_period_max_ms=parameters.adjust_ms),
    }


def _steps(simulation, parameters: Parameters, pages: int, hot: int) -> dict:
    process = simulation.spawn("job")
    cpus = [
        cpus_of(simulation.machine, node)
        for node in range(simulation.machine.nodes - 1)
    ]
    tasks = [
        simulation.start_task(process, cpus[i % len(cpus)][i // len(cpus)])
        for i in range(parameters.tasks)
    ]
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    # DRAM first: what both hot sets are of comes last, and so to the CXL node.
    simulation.populate(tasks[0], region, 2 * hot, pages - 2 * hot)
    simulation.populate(tasks[0], region, 0, 2 * hot)
    simulation.synchronize()
    simulation.idle(max(0, simulation.clock(tasks[0]) - simulation.now))
    begin = simulation.now
    half = parameters.accesses // 2
    simulation.run(
        [
            HotCold(
                task=task,
                region=region,
                count=2 * half,
                refs=parameters.refs,
                hot_pages=hot,
                hot_share=parameters.hot_share,
                period=half,
                step=hot,
            )
            for task in tasks
        ]
    )
    took = (simulation.now - begin) / 1e9
    promoted = simulation.total("pgpromote_success")
    return {
        "pgpromote_success": promoted,
        "pgpromote_candidate": simulation.total("pgpromote_candidate"),
        "pgdemote": sum(
            simulation.total(f"pgdemote_{who}")
            for who in ("kswapd", "direct", "khugepaged")
        ),
        "threshold_ns": simulation.tier_state(0)[0] * 1_000_000,
        "hot_fast_share": _fast_share(simulation, region, hot),
        "access_rate": parameters.tasks * 2 * half / took,
        "promotion_mb_per_s": promoted * PAGE_SIZE / 1e6 / took,
    }


def _fast_share(simulation, region, hot: int) -> float:
    """Return the share of the second hot set that lies on nodes of DRAM."""
    first = region.first + hot
    nodes = [
        simulation.page(region.process, first + i * hot // SAMPLES).node
        for i in range(SAMPLES)
    ]
    return sum(simulation.machine.tier[node] == 0 for node in nodes) / SAMPLES


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[dict]) -> str:
    """Return the table, and the published rates beside ours, both against the first."""
    row = {one["variant"]: one for one in rows}
    base = row["promote_all"]
    ours = [
        (
            row[name]["access_rate"] / base["access_rate"],
            _ratio(row[name]["promotion_mb_per_s"], base["promotion_mb_per_s"]),
        )
        for name in PUBLISHED
    ]
    first = PUBLISHED["promote_all"]
    theirs = [(rate / first[0], mbps / first[1]) for rate, mbps in PUBLISHED.values()]
    shown = [("against promote_all", list(PUBLISHED))]
    for i, what in enumerate(("accesses/s", "promotion")):
        shown += [
            (f"{what} here", [f"x{one[i]:.3f}" for one in ours]),
            (f"{what} published", [f"x{one[i]:.3f}" for one in theirs]),
            (
                f"{what} error",
                [percent(a[i] / b[i] - 1) for a, b in zip(ours, theirs, strict=True)],
            ),
        ]
    return "\n".join([table(study, rows), "", *aligned(shown)])


def _ratio(value: float, base: float) -> float:
    return value / base if base else float("nan")
