"""Memory on a CXL node: do hot pages get to DRAM, cold ones out of it, at what price?

A process has more memory than the DRAM of the two sockets.  The pages that it uses most
are touched last, so they lie on the CXL node.  Half-way through, the hot set moves on
to other pages, which lie on the CXL node as well.

off             pages stay where they were first touched
demotion        reclaim may demote; nothing makes it do so
promote_all     each hint fault on the CXL node promotes (numa_balancing=2 of 5.18)
hot             only faults within ``hot_threshold`` of the mark promote (6.1)
hot_limit       the same, with a limit in MB/s; the threshold stays
hot_limit_auto  the same, and the threshold follows the number of candidates

Huang Ying's figures for the last four are page access rates and promotion rates of
pmbench on two sockets with DRAM and persistent memory.  The kernel adjusts the
threshold once a minute (``scan_period_max``).  Here it does so every ``adjust_ms``, so
that it does it several times in a run of a few minutes.
"""

from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.machines.machine import cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.simulation import Simulation
from ..engine.state.process import Process, Region, Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import HotCold
from ..kernels.words import PAGE_SIZE
from .common.claim import Claim, Why, Word, figure, reduced, times, wrong_signs
from .common.question_columns import ONLY_LAZY, share
from .common.table import Row, aligned, percent, table
from .common.tasks import wait_for

QUESTION = "Do hot pages get to DRAM and cold ones out of it, and at what price?"
#: The largest value of these knobs: no fault is too late, no threshold is adjusted.
LONGEST = 1 << 31
#: Published (accesses per second of all threads, promotion in MB/s).
PUBLISHED = {
    "promote_all": (146_887_704, 725.6),
    "hot": (165_695_601, 544.0),
    "hot_limit": (162_814_570, 165.2),
    "hot_limit_auto": (170_495_294, 136.9),
}
#: Pages of the hot set whose node is read at the end.
SAMPLES = 4096

COLUMNS = (
    Column("pgpromote_success", "promoted", "page", "pages moved to DRAM"),
    Column("pgpromote_candidate", "candidates", "page", "pages hot enough for it"),
    Column("pgdemote", "demoted", "page", "pages that reclaim moved to the CXL node"),
    Column(
        "threshold_ns",
        "hot threshold",
        "ns",
        "longest time from mark to fault that was hot for node 0 in the end",
        style="seconds",
    ),
    share("hot_fast_share", "hot in DRAM", "share of the hot set in DRAM then"),
    Column("access_rate", "accesses/s", "1/s", "accesses a second of all tasks", "f8"),
    Column("promotion_mb_per_s", "MB/s promoted", "1e6 byte/s", "promotion rate", "f8"),
)
_UNUSED = (*ONLY_LAZY, "faults", "pages_refused", "converged_ns", "pages_migrated")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=16 << 30,
        metadata={"kind": "size", "help": "RAM of the machine, half of it on CXL"},
    )
    machine: str = field(
        default="dram-cxl",
        metadata={"help": "preset or file, the last node is CXL"},
    )
    tasks: int = field(default=8, metadata={"min": 1, "help": "threads"})
    accesses: int = field(
        default=24_000_000, metadata={"min": 2, "help": "accesses of each thread"}
    )
    refs: int = field(
        default=16,
        metadata={
            "min": 1,
            "max": 1 << 20,
            "help": "cache lines that an access stands for",
        },
    )
    hot_share: float = field(
        default=0.9,
        metadata={"min": 0, "max": 1, "help": "share of accesses to the hot set"},
    )
    limit_mbps: int = field(
        default=20,
        metadata={"min": 1, "max": 1 << 30, "help": "limit of hot_limit, MB/s"},
    )
    adjust_ms: int = field(
        default=5000,
        metadata={
            "min": 1,
            "max": LONGEST,
            "help": "time between adjustments of the threshold",
        },
    )


def build(parameters: Parameters) -> Study:
    """Return the study: each way to use the tiers."""
    machine = spec.machine(parameters.machine, parameters.memory)
    slow = machine.nodes - 1
    if machine.tier[slow] == 0 or any(machine.tier[:slow]):
        raise BadInput(
            f"machine must have a slow node, only its last, got {machine.name} with"
            f" tiers {machine.tier}"
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
            partial(_steps, parameters=parameters, pages=pages, hot=hot),
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
        report=partial(_report, parameters=parameters),
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


def _steps(
    simulation: Simulation, parameters: Parameters, pages: int, hot: int
) -> dict[str, float]:
    process = simulation.spawn("job")
    tasks = _start(simulation, process, parameters.tasks)
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    # DRAM fills up first: both hot sets come last, and so to the CXL node.
    simulation.populate(tasks[0], region, 2 * hot, pages - 2 * hot)
    simulation.populate(tasks[0], region, 0, 2 * hot)
    simulation.synchronize()
    wait_for(simulation, tasks[0])
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


def _start(simulation: Simulation, process: Process, count: int) -> list[Task]:
    """Start threads on all nodes with CPUs, one node after the other."""
    cpus = [cpus_of(simulation.machine, n) for n in range(simulation.machine.nodes - 1)]
    return [
        simulation.start_task(process, cpus[i % len(cpus)][i // len(cpus)])
        for i in range(count)
    ]


def _fast_share(simulation: Simulation, region: Region, hot: int) -> float:
    """Return the share of the second hot set that lies in DRAM."""
    first = region.first + hot
    nodes = [
        simulation.page(region.process, first + i * hot // SAMPLES).node
        for i in range(SAMPLES)
    ]
    return sum(simulation.machine.tier[node] == 0 for node in nodes) / SAMPLES


# --- claims --------------------------------------------------------------------------

SOURCE = (
    "Huang Ying, memory tiering: hot page selection (5.18 to 6.1), pmbench on two"
    " sockets with DRAM and persistent memory; rates over those of promote_all"
)
#: Parameters of the size that is compared.
_SIZES = ("memory", "machine", "tasks", "accesses", "refs", "hot_share")


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; none at another size."""
    if reduced(parameters, Parameters(), _SIZES):
        return []
    ours, theirs = _rates(rows)
    return [
        figure(
            f"{what}, {name}",
            there[i],
            here[i],
            show=times,
            none=1,
            why=WHY.get((what, name)),
        )
        for i, what in enumerate(("accesses a second", "promotion"))
        for name, here, there in zip(PUBLISHED, ours, theirs, strict=True)
        if name != "promote_all"
    ]


_CHEAP = (
    "A promotion takes about 2 us here and no bandwidth from accesses, so promoting too"
    " much costs little; on persistent memory it cost much"
)
_SLOW = (
    "The limit lets less than half of the hot set come before it moves on, in a run of"
    " minutes"
)
WHY: dict[tuple[str, str], Why] = {
    ("accesses a second", "hot"): Why(Word.WRONG_SIGN, f"{_CHEAP}."),
    ("accesses a second", "hot_limit"): Why(Word.WRONG_SIGN, f"{_SLOW}."),
    ("accesses a second", "hot_limit_auto"): Why(Word.WRONG_SIGN, f"{_SLOW}."),
    ("promotion", "hot"): Why(
        Word.NOT_REPRODUCED,
        "Pages here are hot or cold and nothing between, so that the threshold tells"
        " them apart better than those of pmbench.",
    ),
}


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    """Return the table, and our rates and the published ones against promote_all."""
    return "\n".join([table(study, rows), "", *_comparison(rows, parameters)])


def _comparison(rows: list[Row], parameters: Parameters) -> list[str]:
    """Return what stands beside the published rates, or a note that nothing does."""
    small = reduced(parameters, Parameters(), _SIZES)
    return small or [*_against(rows), "", *wrong_signs(claims(parameters, rows))]


def _rates(rows: list[Row]) -> tuple[list, list]:
    """Return (accesses, promotions) of each variant over promote_all's, ours first."""
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
    return ours, theirs


def _against(rows: list[Row]) -> list[str]:
    """Return the lines of a table of our rates and the published ones."""
    ours, theirs = _rates(rows)
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
    return aligned(shown)


def _ratio(value: float, base: float) -> float:
    return value / base if base else float("nan")
