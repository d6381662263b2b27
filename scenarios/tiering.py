"""Slow memory such as CXL: do hot pages get out of it and cold ones into it?

A process has more memory than the fast nodes.  The pages that it uses most are touched
last, so they lie on the slow nodes.  Half-way through, the hot set moves on to other
pages, which lie there as well.

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
from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.machines.machine import cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.simulation import Simulation
from ..engine.state.process import Process, Region, Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import ratio
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import HotCold
from ..kernels.words import PAGE_SIZE
from .common.claim import Claim, Why, Word, figure, reduced, times, wrong_signs
from .common.fast_tier import fast_nodes
from .common.question_columns import ONLY_LAZY, first, share
from .common.table import Row, blocks, percent, table
from .common.tasks import nodes_with_cpus, wait_for

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
    Column("pgpromote_success", "promoted", "page", "pages moved to the fast nodes"),
    Column("pgpromote_candidate", "candidates", "page", "pages hot enough for it"),
    Column("pgdemote", "demoted", "page", "pages that reclaim moved to slower nodes"),
    Column(
        "threshold_ns",
        "hot threshold",
        "ns",
        "longest time from mark to fault that was hot for node 0 in the end",
        style="seconds",
    ),
    *first(
        (
            share(
                *("hot_fast_share", "hot, fast"),
                "share of the hot set in the fastest tier at the end",
            ),
            Column(
                *("access_rate", "accesses/s", "1/s"),
                "accesses a second of all tasks",
                "f8",
            ),
        )
    ),
    Column("promotion_mb_per_s", "MB/s promoted", "1e6 byte/s", "promotion rate", "f8"),
)
_UNUSED = (*ONLY_LAZY, "faults", "pages_refused", "converged_ns", "pages_migrated")


#: Of a preset.
RAM = 16 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("dram-cxl")
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
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    fast = sum(machine.memory[node] for node in fast_nodes(machine))
    slow = sum(machine.memory) - fast
    # The fast nodes are full; half of the slow ones is.
    hot = min(slow // 4, fast // 2) // PAGE_SIZE
    pages = fast // PAGE_SIZE + 2 * hot
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
        __doc__,
        "variant",
        tuple(variants),
        (*COLUMNS, *hide(SUMMARY, *_UNUSED)),
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        varied=("balancing.mode",),
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
    machine = simulation.machine
    cpus = [cpus_of(machine, node) for node in nodes_with_cpus(machine)]
    turns = [(cpus[i % len(cpus)], i // len(cpus)) for i in range(count)]
    return [
        simulation.start_task(process, mine[turn % len(mine)]) for mine, turn in turns
    ]


def _fast_share(simulation: Simulation, region: Region, hot: int) -> float:
    """Return the share of the second hot set that lies in DRAM."""
    first = region.first + hot
    nodes = [
        simulation.page(region.process, first + i * hot // SAMPLES).node
        for i in range(SAMPLES)
    ]
    fast = fast_nodes(simulation.machine)
    return sum(node in fast for node in nodes) / SAMPLES


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
    return f"{table(study, rows)}\n\n{_comparison(rows, parameters)}"


def _comparison(rows: list[Row], parameters: Parameters) -> str:
    """Return what stands beside the published rates, or a note that nothing does."""
    small = reduced(parameters, Parameters(), _SIZES)
    if small:
        return "\n".join(small)
    wrong = wrong_signs(claims(parameters, rows))
    return "\n\n".join([_against(rows), *(["\n".join(wrong)] if wrong else [])])


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


def _against(rows: list[Row]) -> str:
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
    return blocks(shown)


def _verdict(study: Study, rows: list[Row]) -> str:
    """Say which way serves most accesses a second, and whether anything was moved."""
    if not any(row["pgpromote_success"] for row in rows):
        return (
            "No page was promoted: each is on a node that counts as fast (one of a"
            " tier with CPUs, or a faster one), or the job ended before the first scan."
        )
    base, least = rows[0], min(rows, key=lambda row: row["access_rate"])
    best = max(rows, key=lambda row: row["access_rate"])
    gain = ratio(best["access_rate"], base["access_rate"])
    hot = percent(float(best["hot_fast_share"]))
    text = (
        f"{best['variant']} serves most accesses a second, {gain} of"
        f" {base['variant']}, with {hot} of the hot pages in the fast tier at the end"
    )
    if least["access_rate"] < base["access_rate"]:
        loss = ratio(least["access_rate"], base["access_rate"])
        text += f"; {least['variant']} serves least, {loss}"
    return f"{text}."


def _ratio(value: float, base: float) -> float:
    return value / base if base else float("nan")
