"""What do the wrong node and 4 KiB pages cost, and which constants does that depend on?

Van Riel's figures of July 2012: memory on the wrong node costs 10 to 20 %, and 4 KiB
pages in place of 2 MiB pages cost 5 to 15 %.  The model contains neither: the first
follows from latencies and bandwidths, the second from the TLB and from page walks
through tables that may lie on another node.  One task uses memory of its own node or of
another one, in pages of either size:

gups     updates of single words at random (HPC Challenge RandomAccess)
stream   the triad, paid by bandwidth
stencil  sweeps over a slab and the edges of its neighbours
zipf     records of 1 KiB, rank k with probability 1 / k

Then the job of ``mechanisms`` runs with each constant of the cost model halved and
doubled: does the ranking of the mechanisms change?
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import NamedTuple

from ..engine.errors import BadInput
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine
from ..engine.settings.costs import Costs
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.simulation import Simulation
from ..engine.state.process import Process, Region, Task
from ..engine.study.columns import TIMES, Column
from ..engine.study.figures import listed
from ..engine.study.study import Study, Variant
from ..engine.study.uncertainty import halved_and_doubled, scaled
from ..engine.workloads.kinds import Gups, Stencil, Stream, Workload, Zipf
from ..kernels.counters import Cause
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common import mechanism, moved_job
from .common.claim import Claim, Why, Word, reduced
from .common.moved_job import TASKS, MovedJob
from .common.question_columns import share
from .common.table import Row, blocks, filled, percent, seconds
from .common.tasks import ends, machine_with, move_tasks, start_tasks

#: Van Riel, linux-mm, 6 July 2012.
SEED_NODE, SEED_PAGES = (0.10, 0.20), (0.05, 0.15)
PLACES = ("local", "remote")
PAGES = {"2M": "always", "4K": "never"}
# Large enough that page tables of 4 KiB pages do not fit the caches of a core.
LEAST = 1 << 26
_NAN = float("nan")
#: What variants of the ranking without a change of a cost are called.
_AS_IS = "as is"

COLUMNS = (
    Column("access_ns", "ns per access", "ns", "simulated time of an access", "f8"),
    share("walk_share", "page walks", "share of the time in page walks"),
    share("miss_share", "TLB misses", "share of the accesses that miss the TLB"),
    share("remote_penalty", "wrong node", "extra time against local memory"),
    share("small_page_penalty", "4K pages", "extra time against 2 MiB pages"),
    Column("run_time_ns", "time", "ns", "simulated time of a whole run", style="ratio"),
    *TIMES,
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=16 << 30, metadata={"kind": "size", "help": "memory that the task uses"}
    )
    machine: MachineChoice = machine_field("4s")
    accesses: int = field(
        default=2_000_000, metadata={"min": 1, "help": "accesses that are measured"}
    )
    ranking: int = field(
        default=8 << 30,
        metadata={"kind": "size", "help": "RAM of the machine of the ranking"},
    )
    tlb: Tlb = Tlb(enabled=True)


class Case(NamedTuple):
    """A workload, a page size and a place: keys of WORKLOADS, PAGES and PLACES."""

    load: str
    size: str
    place: str


def build(parameters: Parameters) -> Study:
    """Return the study: the variants of the penalties, then those of the ranking."""
    if parameters.memory < LEAST:
        raise BadInput(
            f"memory must be at least {format_size(LEAST)},"
            f" got {format_size(parameters.memory)}"
        )
    machine = machine_with(parameters.machine, 2 * parameters.memory)
    variants = (*_penalties(machine, parameters), *_ranking(parameters))
    return Study(
        __doc__,
        "case",
        variants,
        COLUMNS,
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        group=_work_of,
        related=partial(_related, accesses=parameters.accesses),
    )


def _work_of(row: Row) -> str:
    """Return what a variant does: a workload, or the job of the ranking."""
    first = row["case"].split(" ")[0]
    return first if first in WORKLOADS else "ranking"


# --- penalties ------------------------------------------------------------------------


def _gups(task: Task, region: Region, count: int) -> Workload:
    return Gups(task=task, region=region, count=count)


def _stream(task: Task, region: Region, count: int) -> Workload:
    return Stream(task=task, region=region, count=count)


def _stencil(task: Task, region: Region, count: int) -> Workload:
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


def _zipf(task: Task, region: Region, count: int) -> Workload:
    return Zipf(task=task, region=region, count=count, refs=16)


WORKLOADS: dict[str, Callable[[Task, Region, int], Workload]] = {
    "gups": _gups,
    "stream": _stream,
    "stencil": _stencil,
    "zipf": _zipf,
}


def _penalties(machine: Machine, parameters: Parameters) -> list[Variant]:
    """Return the variants that measure the penalties."""
    return [
        _variant(machine, parameters, Case(load, size, place))
        for load in WORKLOADS
        for size in PAGES
        for place in PLACES
    ]


def _variant(machine: Machine, parameters: Parameters, case: Case) -> Variant:
    pages = parameters.memory // PAGE_SIZE // HPAGE_PMD_NR * HPAGE_PMD_NR

    def steps(simulation: Simulation) -> dict[str, float]:
        spent = _measure(simulation, case, pages, parameters.accesses)
        return _figures(spent, parameters.accesses)

    return Variant(
        " ".join(case),
        machine,
        Settings(thp=Thp(enabled=PAGES[case.size]), tlb=parameters.tlb),
        steps,
        accesses=2 * parameters.accesses,
        mapped_pages=pages if case.size == "4K" else 0,
    )


class Spent(NamedTuple):
    """Time of a task in ns, ns of it in page walks, and TLB misses."""

    ns: int
    walk_ns: int
    misses: int


def _measure(simulation: Simulation, case: Case, pages: int, count: int) -> Spent:
    """Run a workload twice; return what the second run took, with a warm TLB."""
    home, away = ends(simulation.machine)
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, home, 1)
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.populate(tasks[0], region)
    move_tasks(simulation, tasks, home if case.place == "local" else away)
    work = WORKLOADS[case.load](tasks[0], region, count)
    simulation.run([work])
    before = _spent(simulation, process, tasks[0])
    simulation.run([work])
    after = _spent(simulation, process, tasks[0])
    return Spent(*(b - a for a, b in zip(before, after, strict=True)))


def _spent(simulation: Simulation, process: Process, task: Task) -> Spent:
    misses = simulation.total("tlb_misses_4k") + simulation.total("tlb_misses_2m")
    walks = simulation.times(process)[Cause.PAGE_WALK]
    return Spent(simulation.clock(task), int(walks), misses)


def _figures(spent: Spent, accesses: int) -> dict[str, float]:
    """Return the columns of a case; the penalties hang on other cases."""
    return {
        "access_ns": spent.ns / accesses,
        "walk_share": spent.walk_ns / spent.ns,
        "miss_share": spent.misses / accesses,
        "remote_penalty": _NAN,
        "small_page_penalty": _NAN,
    }


def _related(rows: list[Row], accesses: int) -> list[dict[str, float]]:
    """Return the penalties of each row that has them.

    A penalty is the time of a case against that of another case: the same one with
    local memory, or with 2 MiB pages.
    """
    times = {
        Case(*row["case"].split(" ")): round(row["access_ns"] * accesses)
        for row in rows
        if _work_of(row) != "ranking"
    }
    return [
        {}
        if _work_of(row) == "ranking"
        else _against(Case(*row["case"].split(" ")), times)
        for row in rows
    ]


def _against(case: Case, times: dict[Case, int]) -> dict[str, float]:
    """Return the penalties of a case, whose ``times`` are whole ns, as all are."""
    local, huge = times[case._replace(place="local")], times[case._replace(size="2M")]
    return {
        "remote_penalty": times[case] / local - 1 if case.place == "remote" else _NAN,
        "small_page_penalty": times[case] / huge - 1 if case.size == "4K" else _NAN,
    }


# --- ranking --------------------------------------------------------------------------


def _ranking(parameters: Parameters) -> list[Variant]:
    """Return the variants of ``mechanisms`` for each change of a constant."""
    machine = moved_job.machine_of(parameters.machine, parameters.ranking)
    job = MovedJob(moved_job.pages_of(machine, parameters.ranking, TASKS))
    settings = Settings(
        swap_bytes=parameters.ranking // 128,
        thp=Thp(enabled="always"),
        tlb=parameters.tlb,
    )
    variants = moved_job.variants(
        machine,
        job,
        settings,
        # Runs of this size are over before NUMA balancing looks at them.
        ("none", "eager", *mechanism.LAZY),
    )
    changes = halved_and_doubled(cost.name for cost in fields(Costs))
    return [
        replace(
            variant,
            name=f"{change or _AS_IS}, {variant.name}",
            steps=partial(_ranked, steps=variant.steps),
            costs=partial(scaled, change) if change else None,
        )
        for change in (None, *changes)
        for variant in variants
    ]


def _ranked(
    simulation: Simulation, steps: Callable[[Simulation], dict | None]
) -> dict[str, float]:
    """Run the job; only its time counts, so all other columns are NaN."""
    steps(simulation)
    return {column.name: _NAN for column in COLUMNS if column.dtype == "f8"}


# --- claims --------------------------------------------------------------------------

SOURCE = "Van Riel, linux-mm, 6 July 2012; he had not measured them"
#: Parameters of the size that is compared.
_SIZES = ("memory", "machine")


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what Van Riel said beside ours; none at another size."""
    if reduced(parameters, Parameters(), _SIZES):
        return []
    row = {one["case"]: one for one in rows}
    penalties = (
        ("wrong node, 2M pages", "remote_penalty", "2M", "remote", SEED_NODE),
        ("4K pages, local", "small_page_penalty", "4K", "local", SEED_PAGES),
    )
    return [
        Claim(
            f"{what}: {load}",
            *seed,
            row[" ".join(Case(load, size, place))][column],
            show=percent,
            none=0,
            why=WHY.get((load, column)),
        )
        for what, column, size, place, seed in penalties
        for load in WORKLOADS
    ]


_OFF = Word.NOT_REPRODUCED
_ALONE = (
    "These workloads do nothing but access memory, so they pay the whole difference of"
    " latencies; a program that waits for it a fifth of its time pays what he said."
)
WHY: dict[tuple[str, str], Why] = {
    **{(load, "remote_penalty"): Why(_OFF, _ALONE) for load in WORKLOADS},
    ("gups", "small_page_penalty"): Why(
        _OFF, "Each access is a TLB miss whose walk finds nothing in the caches."
    ),
    ("stencil", "small_page_penalty"): Why(
        _OFF, "It uses each page for microseconds, which a page walk does not change."
    ),
}


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    """Return both penalties beside Van Riel's, and the ranking and its changes."""
    row = {one["case"]: one for one in rows}
    small = reduced(parameters, Parameters(), _SIZES)
    title = [filled(study.question), "", filled(_verdict(study, rows)), ""]
    return "\n".join([*title, *_both_penalties(row, small), "", *_order(row)])


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say what each penalty is, and whether the costs decide who wins."""
    row = {one["case"]: one for one in rows}
    node, small = (
        sorted(one[name] for one in row.values() if one[name] == one[name])
        for name in ("remote_penalty", "small_page_penalty")
    )
    orders = _orders(row)
    first = {order[0] for order in orders.values()}
    wins = (
        f"{first.pop()} stays fastest"
        if len(first) == 1
        else f"{listed(sorted(first), 'or')} is fastest"
    )
    return (
        f"Memory on the wrong node costs {percent(node[0])} to {percent(node[-1])} more"
        f" time, 4 KiB pages {percent(small[0])} to {percent(small[-1])}. With each"
        f" cost halved and doubled {wins} of the mechanisms."
    )


def _orders(row: dict[str, Row]) -> dict[str, list[str]]:
    """Return the mechanisms, fastest first, by the change of a constant."""
    return {
        change: sorted(times, key=times.__getitem__)
        for change, times in _times(row).items()
    }


def _times(row: dict[str, Row]) -> dict[str, dict[str, int]]:
    """Return the time of each mechanism, by the change of a constant."""
    times: dict[str, dict[str, int]] = {}
    for case, one in row.items():
        change, comma, name = case.partition(", ")
        if comma:
            times.setdefault(change, {})[name] = one["run_time_ns"]
    return times


def _both_penalties(row: dict[str, Row], small: list[str]) -> list[str]:
    """Return the lines of both penalties; ``small``: a note instead of a judgement."""

    def column(name: str, size: str, place: str) -> list[float]:
        return [row[" ".join(Case(load, size, place))][name] for load in WORKLOADS]

    def judged(
        name: str, size: str, place: str, seed: tuple[float, float]
    ) -> list[str]:
        return [
            percent(value) if small else f"{percent(value)} {_judgement(value, seed)}"
            for value in column(name, size, place)
        ]

    shown = [("workload", list(WORKLOADS))]
    for size in PAGES:
        times = column("access_ns", size, "local")
        shown.append((f"{size} local", [seconds(ns) for ns in times]))
    for size in PAGES:
        cells = judged("remote_penalty", size, "remote", SEED_NODE)
        shown.append((f"remote {size}", cells))
    for place in PLACES:
        cells = judged("small_page_penalty", "4K", place, SEED_PAGES)
        shown.append((f"4K {place}", cells))
    for size in PAGES:
        cells = [percent(value) for value in column("miss_share", size, "local")]
        shown.append((f"misses {size}", cells))
    if small:
        return [blocks(shown), "", *small]
    return [
        blocks(shown),
        "",
        "Van Riel said 10-20 % for the wrong node and 5-15 % for 4 KiB pages; each"
        " figure\nis below, in or above that range.",
        *_share_of_memory(column("remote_penalty", "2M", "remote")),
        "stream: the remote bandwidth of a task falls as latency grows (see"
        "\ndocs/model/time.md); perf bench numa measured 26 % on an Opteron of 2012.",
    ]


def _share_of_memory(penalty: list[float]) -> list[str]:
    """Return how much of its time a program waits for memory if Van Riel is right."""
    low, high = SEED_NODE[0] / max(penalty), SEED_NODE[1] / min(penalty)
    if low > 1:
        return ["Even programs that only access memory lose less than he said."]
    return [
        "These workloads only access memory: a program that waits for memory during"
        f"\n{percent(low)} to {percent(min(1, high))} of its time would lose what he"
        " said on the wrong node.",
    ]


def _judgement(value: float, seed: tuple[float, float]) -> str:
    low, high = seed
    return "below" if value < low else "above" if value > high else "in   "


def _order(row: dict[str, Row]) -> list[str]:
    """Return the ranking, and the changes of a constant that give another ranking."""
    times, orders = _times(row), _orders(row)
    usual = orders.pop(_AS_IS)
    other = {change: order for change, order in orders.items() if order != usual}
    unused = [change for change in orders if times[change] == times[_AS_IS]]
    counted = len(orders) - len(unused)
    lines = [
        "Ranking of the mechanisms, huge pages on:",
        f"  {', '.join(usual)}",
        f"A cost was halved or doubled, and a time changed, {counted} times. The"
        f"\nranking stayed so {counted - len(other)} times"
        + (", but:" if other else "."),
        *(f"  {change}: {', '.join(order)}" for change, order in other.items()),
    ]
    costs = dict.fromkeys(change.split(" ")[0] for change in unused)
    text = f"Costs that this job never pays: {', '.join(costs)}."
    return [*lines, textwrap.fill(text, 80)] if unused else lines
