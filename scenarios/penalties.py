"""What do the wrong node and 4 KiB pages cost, and does the ranking hang on a constant?

Van Riel's figures of July 2012: memory on the wrong node costs 10 to 20 %, pages of
4 KiB instead of 2 MiB cost 5 to 15 %.  Neither is put into the model: the first comes
out of latencies and bandwidths, the second out of the TLB and of page walks through
tables that may lie on another node.  A task works at memory of its own node or of
another one, in pages of either size:

gups     updates of single words at random (HPC Challenge RandomAccess)
stream   the triad, paid by bandwidth
stencil  sweeps over a slab and its neighbours' edges
zipf     records of 1 KiB, rank k with probability 1 / k

Then ``mechanisms`` runs with every constant of the cost model halved and doubled.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np

from ..engine.errors import BadInput
from ..engine.machine.machine import cpus_of
from ..engine.settings.costs import Costs
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import Column
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Gups, Stencil, Stream, Zipf
from ..kernels.counters import Cause
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from . import mechanisms
from .common import mechanism
from .common.table import aligned, percent, seconds

QUESTION = "What do the wrong node and small pages cost, and which constants matter?"
#: Van Riel, linux-mm, 6 July 2012.
SEED_NODE, SEED_PAGES = (0.10, 0.20), (0.05, 0.15)
PLACES = {"local": mechanisms.HOME, "remote": mechanisms.AWAY}
PAGES = {"2M": "always", "4K": "never"}
# Large enough that page tables of 4 KiB pages do not fit the caches of a core.
LEAST = 1 << 26
_NAN = float("nan")


def _fraction(name: str, heading: str, text: str) -> Column:
    return Column(name, heading, "1", text, dtype="f8", style="percent")


COLUMNS = (
    Column("access_ns", "ns an access", "ns", "simulated time of an access", "f8"),
    _fraction("walk_share", "page walks", "share of the time in page walks"),
    _fraction("miss_share", "TLB misses", "share of the accesses that miss the TLB"),
    _fraction("remote_penalty", "wrong node", "time against that of local memory"),
    _fraction("small_page_penalty", "4K pages", "time against that of 2 MiB pages"),
    Column("run_time_ns", "time", "ns", "simulated time of a whole run", style="ratio"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=16 << 30, metadata={"kind": "size", "help": "memory that is worked at"}
    )
    machine: str = field(default="4s", metadata={"help": "machine preset or file"})
    accesses: int = field(
        default=2_000_000, metadata={"min": 1, "help": "accesses that are measured"}
    )
    ranking: int = field(
        default=8 << 30,
        metadata={"kind": "size", "help": "RAM of the machines of the ranking"},
    )
    tlb: Tlb = Tlb(enabled=True)


def build(parameters: Parameters) -> Study:
    """Return the study: the penalties' variants, then those of the ranking."""
    if parameters.memory < LEAST:
        raise BadInput(
            f"memory must be at least {format_size(LEAST)},"
            f" got {format_size(parameters.memory)}"
        )
    machine = mechanisms.machine_of(parameters.machine, 8 * parameters.memory)
    times: dict[tuple, int] = {}
    variants = [
        _variant(machine, parameters, (load, pages, place), times)
        for load in WORKLOADS
        for pages in PAGES
        for place in PLACES
    ]
    return Study(
        QUESTION, "case", (*variants, *_ranking(parameters)), COLUMNS, report=_report
    )


# --- penalties ------------------------------------------------------------------------


def _gups(task, region, count):
    return Gups(task=task, region=region, count=count)


def _stream(task, region, count):
    return Stream(task=task, region=region, count=count)


def _stencil(task, region, count):
    third = region.pages // 3
    return Stencil(
        task=task,
        region=region,
        count=count,
        first=third,
        pages=third,
        halo=64,
        lower=third - 64,
        upper=2 * third,
    )


def _zipf(task, region, count):
    return Zipf(task=task, region=region, count=count, refs=16)


WORKLOADS: dict[str, Callable] = {
    "gups": _gups,
    "stream": _stream,
    "stencil": _stencil,
    "zipf": _zipf,
}


def _variant(machine, parameters: Parameters, case: tuple, times: dict) -> Variant:
    load, pages, _ = case
    mapped = parameters.memory // PAGE_SIZE // HPAGE_PMD_NR * HPAGE_PMD_NR
    return Variant(
        " ".join(case),
        machine,
        Settings(thp=Thp(enabled=PAGES[pages]), tlb=parameters.tlb),
        lambda simulation: _measure(simulation, parameters, case, mapped, times),
        accesses=2 * parameters.accesses,
        mapped_pages=mapped if pages == "4K" else 0,
    )


def _measure(simulation, parameters, case: tuple, pages: int, times: dict) -> dict:
    """Run a workload twice, for the TLB and the clock; return what the second took."""
    load, size, place = case
    process = simulation.spawn("job")
    task = simulation.start_task(
        process, cpus_of(simulation.machine, mechanisms.HOME)[0]
    )
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.populate(task, region)
    cpu = cpus_of(simulation.machine, PLACES[place])[0]
    simulation.move_task(task, cpu)
    work = WORKLOADS[load](task, region, parameters.accesses)
    simulation.run([work])
    before = _spent(simulation, process, task)
    simulation.run([work])
    ns, walks, misses = _spent(simulation, process, task) - before
    times[case] = ns
    local, huge = times[load, size, "local"], times[load, "2M", place]
    return {
        "access_ns": ns / parameters.accesses,
        "walk_share": walks / ns,
        "miss_share": misses / parameters.accesses,
        "remote_penalty": ns / local - 1 if place == "remote" else _NAN,
        "small_page_penalty": ns / huge - 1 if size == "4K" else _NAN,
    }


def _spent(simulation, process, task) -> np.ndarray:
    """Return (clock, ns of page walks, TLB misses) so far."""
    misses = simulation.total("tlb_misses_4k") + simulation.total("tlb_misses_2m")
    walks = simulation.times(process)[Cause.PAGE_WALK]
    return np.array([simulation.clock(task), walks, misses])


# --- ranking --------------------------------------------------------------------------


def _ranking(parameters: Parameters) -> list[Variant]:
    """Return the variants of ``mechanisms``, for each change of a constant."""
    study = mechanisms.build(
        mechanisms.Parameters(
            memory=parameters.ranking,
            machine=parameters.machine,
            # Runs of this size are over before NUMA balancing looks at them.
            mechanisms=("none", "eager", *mechanism.LAZY),
            thp=Thp(enabled="always"),
            tlb=parameters.tlb,
        )
    )
    changes = {"as is": (None, 1, 1)}
    for cost in fields(Costs):
        changes[f"{cost.name} x1/2"] = cost.name, 1, 2
        changes[f"{cost.name} x2"] = cost.name, 2, 1
    return [
        replace(
            variant,
            name=f"{change}, {variant.name}",
            steps=partial(_ranked, variant.steps),
            costs=partial(_scaled, *scale),
        )
        for change, scale in changes.items()
        for variant in study.variants
    ]


def _scaled(name: str | None, up: int, down: int, costs: Costs) -> Costs:
    """Return ``costs`` with one of them halved or doubled."""
    if name is None:
        return costs
    return replace(costs, **{name: max(1, getattr(costs, name) * up // down)})


def _ranked(steps: Callable, simulation) -> dict:
    steps(simulation)
    return {column.name: _NAN for column in COLUMNS if column.dtype == "f8"}


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[dict]) -> str:
    """Return both penalties beside the seed's, and what the ranking hangs on."""
    row = {one[study.dimension]: one for one in rows}
    return "\n".join([study.question, "", *_penalties(row), "", *_order(row)])


def _penalties(row: dict[str, dict]) -> list[str]:
    def column(name: str, size: str, place: str) -> list[float]:
        return [row[f"{load} {size} {place}"][name] for load in WORKLOADS]

    def share(name: str, size: str, place: str, seed: tuple) -> list[str]:
        return [
            f"{percent(value)} {_held(value, seed)}"
            for value in column(name, size, place)
        ]

    shown = [("workload", list(WORKLOADS))]
    for size in PAGES:
        times = column("access_ns", size, "local")
        shown.append((f"{size} local", [seconds(ns) for ns in times]))
    for size in PAGES:
        cells = share("remote_penalty", size, "remote", SEED_NODE)
        shown.append((f"remote {size}", cells))
    for place in PLACES:
        cells = share("small_page_penalty", "4K", place, SEED_PAGES)
        shown.append((f"4K {place}", cells))
    for size in PAGES:
        cells = [percent(value) for value in column("miss_share", size, "local")]
        shown.append((f"misses {size}", cells))
    return [
        *aligned(shown),
        "",
        "Van Riel said 10-20 % for the wrong node and 5-15 % for 4 KiB pages; each"
        " figure is below, in or above that.",
        *_share_of_memory(column("remote_penalty", "2M", "remote")),
        "stream: what a task gets of remote bandwidth falls as latency grows"
        " (docs/model.md, 7); perf bench numa measured 26 % on an Opteron of 2012.",
    ]


def _share_of_memory(penalty: list[float]) -> list[str]:
    """Return how much a program may wait for memory if the seed is right."""
    low, high = SEED_NODE[0] / max(penalty), SEED_NODE[1] / min(penalty)
    if low > 1:
        return ["Even programs that do nothing else lose less than he said."]
    return [
        "These workloads do nothing but access memory: a program that waits for it"
        f" {percent(low)} to {percent(min(1, high))} of its time",
        "would lose what he said on the wrong node.",
    ]


def _held(value: float, seed: tuple[float, float]) -> str:
    low, high = seed
    return "below" if value < low else "above" if value > high else "in   "


def _order(row: dict[str, dict]) -> list[str]:
    """Return the ranking, and the changes of a constant that give another."""
    orders: dict[str, list[str]] = {}
    times: dict[str, dict[str, int]] = {}
    for case, one in row.items():
        change, comma, name = case.partition(", ")
        if comma:
            times.setdefault(change, {})[name] = one["run_time_ns"]
    for change, by_mechanism in times.items():
        orders[change] = sorted(by_mechanism, key=by_mechanism.get)
    usual = orders.pop("as is")
    other = {change: order for change, order in orders.items() if order != usual}
    idle = [change for change in orders if times[change] == times["as is"]]
    met = len(orders) - len(idle)
    lines = [
        f"Ranking of the mechanisms, huge pages on: {', '.join(usual)}.",
        f"{met - len(other)} of {met} times that a cost was halved or doubled, and that"
        " changed a time, it stayed so" + (", but:" if other else "."),
        *(f"  {change}: {', '.join(order)}" for change, order in other.items()),
    ]
    unmet = dict.fromkeys(change.split(" ")[0] for change in idle)
    return [*lines, f"Not met by this workload: {', '.join(unmet)}."] if idle else lines
