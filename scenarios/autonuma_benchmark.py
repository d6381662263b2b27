"""autonuma-benchmark: what does NUMA balancing gain, and what if it splits huge pages?

Published tables of the four programs, kernel by kernel, beside what the rules of each
kernel give here (4 nodes, 48 CPUs).  ``table`` chooses one:

B  balancenuma v4, November 2012: the kernel that splits huge pages at hint faults
   (split), the one that migrates them whole (native), and the one without balancing
   (off).  These are the numbers to Van Riel's fifth point of July 2012.
D  3.9, the second release with NUMA balancing
4.0-rc1  3.19, 4.0-rc1, which lost the write bit of entries that balancing marks, and
         two ways to mend it (March 2015)
4.0-rc4  the same without and with the write bit, groups by VMA

numa01                2 processes of 24 threads; all of a process clear the same 3 GiB
numa01_thread_alloc   the same, but each thread clears its own 24th
numa02                48 threads, each with its own part of 1 GiB
numa02_smt            24 threads, each with its own part of 1 GiB

The cache lines per access are calibrated so that ``off`` of table B takes as long as
was published; all else is predicted, of all tables with the same costs.  System seconds
are those of all tasks: spinning on locks is in them, and what others' TLB flushes take,
and for the ticks, which the model lacks, the share of ``off``: 0.07 % of User time.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines.machine import Machine
from ..engine.settings.sizes import format_size
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import listed
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import SAME, sentences
from ..kernels.words import HPAGE_PMD_NR
from .autonuma import beside
from .autonuma.every_table import TABLES
from .autonuma.programs import LOADS, STRIDE, Load, WhatIf, run
from .autonuma.published import Kernel, Table
from .common.block import BLOCK
from .common.claim import Claim, Why, Word, figure, reduced, times, wrong_signs
from .common.opteron import NODES, opteron
from .common.question_columns import ONLY_LAZY
from .common.table import Row, count, filled, seconds, table

COLUMNS = (
    Column("thp_splits", "THP splits", "event", "huge pages split (thp_split_page)"),
    Column("numa_pte_updates", "PTE updates", "page", "pages that the scanner marked"),
    Column("numa_hint_faults", "hint faults", "event", "faults on marked pages"),
    Column(
        "numa_huge_pte_updates",
        "huge updates",
        "event",
        "huge pages that the scanner marked",
        style="hidden",
    ),
    Column(
        "numa_hint_faults_local",
        "local faults",
        "event",
        "hint faults on local memory",
        style="hidden",
    ),
    Column(
        "numa_pages_migrated",
        "migrated",
        "page",
        "pages that hint faults moved",
        style="hidden",
    ),
    Column(
        "pgfault",
        "page faults",
        "event",
        "faults of all kinds, hint faults among them",
        style="hidden",
    ),
)
#: Counters of COLUMNS with another name than the column.
_COUNTERS = {"thp_splits": "thp_split_page"}


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    shrink: int = field(
        default=1,
        metadata={
            "min": 1,
            "max": 32,
            "help": "divides memory and passes, so time is divided by its square",
        },
    )
    memory: int = field(
        default=48 << 30, metadata={"kind": "size", "help": "RAM of the machine"}
    )
    workloads: tuple[str, ...] = field(
        default=tuple(LOADS), metadata={"help": "programs to run"}
    )
    table: str = field(
        default="B", metadata={"choices": tuple(TABLES), "help": "published table"}
    )
    kernels: tuple[str, ...] = field(
        default=(), metadata={"help": "kernels of the table to run; none named: all"}
    )
    exchange_s: int = field(
        default=0,
        metadata={
            "min": 0,
            "help": "seconds after which each thread has changed its node once, in the"
            " mean; 0: they stay",
        },
    )
    stay_share: int = field(
        default=0,
        metadata={
            "min": 0,
            "max": 100,
            "help": "percent of the memory that is bound to where it was first touched",
        },
    )


def build(parameters: Parameters) -> Study:
    """Return the study: each program with each kernel of the table."""
    _check_names("workloads", parameters.workloads, LOADS)
    published = TABLES[parameters.table]
    _check_names("kernels", parameters.kernels, published.kernels)
    machine = opteron(12, parameters.memory)
    loads = {
        name: LOADS[name].shrunk(parameters.shrink) for name in parameters.workloads
    }
    _check_memory(parameters.memory, loads)
    kernels = parameters.kernels or tuple(published.kernels)
    what = WhatIf(parameters.exchange_s, parameters.stay_share)
    variants = [
        _variant(machine, (name, kernel), loads[name], published, what)
        for name in parameters.workloads
        for kernel in kernels
    ]
    columns = (*COLUMNS, *hide(SUMMARY, *ONLY_LAZY, "faults"))
    return Study(
        __doc__,
        ("workload", "variant"),
        tuple(variants),
        columns,
        report=partial(_report, loads=loads, parameters=parameters),
        verdict=partial(_verdict, parameters=parameters),
        group=_workload,
        varied=("balancing.mode",),
    )


def _check_names(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise BadInput(f"{what} must be some of {', '.join(known)}, got {name!r}")


def _check_memory(memory: int, loads: dict[str, Load]) -> None:
    """Raise BadInput if what is in use does not fit in half of a node."""
    most = max(one.processes * one.region_blocks for one in loads.values()) * BLOCK
    if memory < 2 * NODES * most:
        raise BadInput(
            f"memory must be at least {format_size(2 * NODES * most)}, so that all"
            f" memory in use fits in half of a node, got {format_size(memory)}"
        )


def _workload(row: Row) -> str:
    """Return the program of a row; times are compared within it."""
    return str(row["workload"])


def _variant(
    machine: Machine,
    name: tuple[str, str],
    load: Load,
    published: Table,
    what: WhatIf,
) -> Variant:
    settings = published.kernels[name[1]].settings
    stride = STRIDE if settings.thp.unit_hinting else 1
    pages = load.region_blocks * HPAGE_PMD_NR
    return Variant(
        name,
        machine,
        settings,
        partial(_steps, load=load, stride=stride, what=what),
        accesses=load.processes * load.threads * load.accesses(stride),
        mapped_pages=0 if stride > 1 else load.processes * pages,
    )


def _steps(
    simulation: Simulation, load: Load, stride: int, what: WhatIf
) -> dict[str, int]:
    run(simulation, load, stride, what)
    return {
        column.name: simulation.total(_COUNTERS.get(column.name, column.name))
        for column in COLUMNS
    }


# --- claims --------------------------------------------------------------------------

SOURCE = (
    f"{TABLES['B'].source}; times over each other, and seconds. How the seconds come"
    " about, and those of 3.9, are in [time of 2012](published/november_2012.md)"
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; none at a reduced size."""
    if parameters.shrink > 1:
        return []
    published, there = TABLES[parameters.table], beside.cells(rows)
    programs = [name for name in LOADS if name in {one for one, _ in there}]
    found = [
        one
        for program in programs
        for one in _ratios(published, program, there)
        + _times(published, program, there)
    ]
    return found + _together(published, there) if len(programs) == len(LOADS) else found


def _ratios(published: Table, program: str, there: beside.Cells) -> list[Claim]:
    """Return the claims on the elapsed times of a program, over each other."""
    ran = beside.kernels_of(published, there)
    return [
        figure(
            f"{program}, {what} {a} over {b}",
            theirs[a][program] / theirs[b][program],
            ours(there[program, a]) / ours(there[program, b]),
            show=times,
            none=1,
            why=WHY.get((program, f"{a}/{b}" if what == "time" else f"System {a}/{b}")),
        )
        for what, theirs, ours in (
            ("time", {k: one.elapsed for k, one in ran.items()}, _elapsed_ns),
            ("System", _system_of(published, ran), beside.system_ns),
        )
        for a, b in published.ratios
        if all(program in theirs.get(one, {}) for one in (a, b))
    ]


def _system_of(
    published: Table, ran: Mapping[str, Kernel]
) -> dict[str, Mapping[str, float]]:
    """Return published System seconds, without the baseline's, which are ticks."""
    return {k: one.system for k, one in ran.items() if k != published.baseline}


def _times(published: Table, program: str, there: beside.Cells) -> list[Claim]:
    """Return the claims on elapsed and System seconds of a program."""
    return [
        figure(
            f"{program}, {what} seconds, {name}",
            1e9 * theirs[program],
            ours(there[program, name]),
            show=seconds,
            why=WHY.get((program, f"{what}, {name}")),
        )
        for name, kernel in beside.kernels_of(published, there).items()
        for what, theirs, ours in (
            ("elapsed", kernel.elapsed, _elapsed_ns),
            ("System", kernel.system, beside.system_ns),
        )
        if program in theirs and name != published.baseline
    ]


def _elapsed_ns(row: Row) -> float:
    return float(row["run_time_ns"])


def _together(published: Table, there: beside.Cells) -> list[Claim]:
    """Return the claims on counts of all programs together."""
    systems = [
        figure(
            f"all programs, System seconds, {name}",
            1e9 * kernel.system_total,
            sum(beside.system_ns(there[one, name]) for one in LOADS),
            show=seconds,
            why=WHY.get(("all programs", f"System, {name}")),
        )
        for name, kernel in beside.kernels_of(published, there).items()
        if kernel.system_total and name != published.baseline
    ]
    return (
        systems
        + [
            figure(
                f"{counter.replace('_', ' ')}, {name}",
                theirs,
                beside.total(there, list(LOADS), name, counter),
                show=count,
                why=WHY.get((counter, name)),
            )
            for name, kernel in beside.kernels_of(published, there).items()
            for counter, theirs in kernel.counts.items()
        ]
        + [
            figure(
                f"{counter}, {' more than '.join(published.ratios[0])}",
                theirs,
                beside.excess(published, there, list(LOADS), counter),
                show=count,
                why=WHY.get((counter, "more")),
            )
            for counter, theirs in published.more.items()
            if set(published.ratios[0]) <= set(beside.kernels_of(published, there))
        ]
    )


_LAST = (
    "Shared pages gather where threads are fastest, and the threads left behind decide:"
    " whole pages leave them behind for longer"
)
_COSTLESS = (
    "4 KiB pages cost nothing extra here once they have moved; in 2012 each kernel that"
    " split took 1.3 to 1.5 times as long, in user time"
)
_WHOLE = (
    "117 M updates more than hint faults were of marks on whole huge pages in 2012, so"
    " huge pages stayed whole for longer; here most are split after two passes"
)
_ONCE = (
    "458.5 M updates are at most 895,541 marks on huge pages, fewer than the faults of"
    " 2012: several threads faulted on one mark, of which here one does"
)
_STEP = (
    "Threads that share memory run through it in step, and wait for one copy together;"
    " here they start spread evenly"
)
_AGAIN = (
    "System seconds say that pages moved 2.5 times; here threads stay on their CPUs,"
    " and pages move once"
)
_BOUNCE = "Most are pages of numa01, which go to and fro for as long as it runs"
_SHORT = "7.3 s for some 400 huge pages are 18 ms each; a copy takes 7 ms here"
_FILTER = (
    "The filter of 3.15 to 4.5 lets too few pages of a group move here, and a hint"
    " fault on a huge page costs 1.9 us, where the published figures say 0.14 ms"
)
_WRONG, _OFF = Word.WRONG_SIGN, Word.NOT_REPRODUCED
WHY: dict[tuple[str, str], Why] = {
    ("numa01", "native/off"): Why(_OFF, f"{_LAST}."),
    ("numa01", "split/native"): Why(_WRONG, f"{_LAST}, and 4 KiB pages cost nothing."),
    **{
        (program, what): Why(_OFF, f"{_COSTLESS}.")
        for program in LOADS
        for what in ("split/off", "elapsed, split")
    },
    **{
        (program, "split/native"): Why(_OFF, f"{_COSTLESS}.")
        for program in ("numa01_thread_alloc", "numa02", "numa02_smt")
    },
    ("numa01", "elapsed, native"): Why(_OFF, f"{_LAST}."),
    ("numa01", "System, split"): Why(_OFF, f"{_STEP}."),
    ("numa01", "System, native"): Why(_OFF, f"{_STEP}."),
    ("numa01_thread_alloc", "System, split"): Why(_OFF, f"{_AGAIN}."),
    ("numa01_thread_alloc", "System, native"): Why(_OFF, f"{_AGAIN}."),
    ("numa02", "System, native"): Why(_OFF, f"{_SHORT}."),
    ("numa01", "System split/native"): Why(_OFF, f"{_STEP}."),
    ("numa01_thread_alloc", "System split/native"): Why(_OFF, f"{_AGAIN}."),
    ("numa02", "System split/native"): Why(_OFF, f"{_SHORT}."),
    ("all programs", "System, split"): Why(_OFF, f"{_AGAIN}."),
    ("all programs", "System, native"): Why(_OFF, f"{_STEP}."),
    ("numa01", "System 4.0-rc1/3.19"): Why(_OFF, f"{_FILTER}."),
    ("numa01", "System slowscan/3.19"): Why(_OFF, f"{_FILTER}."),
    ("numa01", "System noclear/3.19"): Why(
        _WRONG, "The two differ by less here than two seeds of one of them do."
    ),
    ("thp_splits", "native"): Why(_OFF, "Why two of 17,298 split was not published."),
    ("numa_hint_faults", "native"): Why(_OFF, f"{_ONCE}."),
    ("numa_hint_faults_local", "native"): Why(_OFF, f"{_ONCE}."),
    ("numa_pte_updates", "split"): Why(_OFF, f"{_WHOLE}."),
    ("numa_pte_updates", "native"): Why(_OFF, f"{_LAST}."),
    ("numa_pages_migrated", "split"): Why(_OFF, f"{_BOUNCE}."),
    ("numa_pages_migrated", "native"): Why(_OFF, f"{_BOUNCE}."),
}


# --- the screen -----------------------------------------------------------------------


def _report(
    study: Study, rows: list[Row], loads: dict[str, Load], parameters: Parameters
) -> str:
    """Return the table, then times, ratios and counts beside those published."""
    return f"{table(study, rows)}\n\n{_comparison(rows, loads, parameters)}"


def _comparison(rows: list[Row], loads: dict[str, Load], parameters: Parameters) -> str:
    """Return what stands beside the published figures, or a note that nothing does."""
    small = reduced(parameters, Parameters(), ("shrink",))
    if small:
        return "\n".join(small)
    there, programs = beside.cells(rows), list(loads)
    published = TABLES[parameters.table]
    whole = set(programs) == set(LOADS)
    parts = [
        beside.elapsed(published, there, programs),
        beside.system(published, there, programs),
        beside.counts(published, there, programs) if whole else _ALL,
        beside.more(published, there, programs) if whole else "",
        filled(_NOTE),
        "\n".join(wrong_signs(claims(parameters, rows))),
    ]
    return "\n\n".join(part for part in parts if part)


#: Stands in for the counts.
_ALL = "The published counts are of all four programs together."
_NOTE = (
    "off of table B is calibrated to the published times (stats); all else is"
    " predicted."
)


def _verdict(study: Study, rows: list[Row], parameters: Parameters) -> str:
    """Say in which programs the change that a table is about costs time."""
    published, there = TABLES[parameters.table], beside.cells(rows)
    moved = {one["workload"] for one in rows if one["numa_pages_migrated"]}
    ran = list(dict.fromkeys(program for program, _ in there))
    idle = [name for name in ran if name not in moved]
    none = f"Too short for a page to move, so without an answer: {listed(idle)}."
    names = [name for name in ran if name in moved]
    if not names:
        return none
    kernels = beside.kernels_of(published, there)
    pair = next((one for one in published.ratios if set(one) <= set(kernels)), None)
    said = _gains(there, names, pair, published.change) if pair else _took(there)
    return sentences(said, none if idle else "")


def _gains(
    there: beside.Cells, names: list[str], pair: tuple[str, str], change: str
) -> str:
    """Say what the first kernel of a pair costs over the second."""
    above, below = pair
    took = {one: [there[one, k]["run_time_ns"] for k in pair] for one in names}
    gain = {name: a / b for name, (a, b) in took.items()}
    said = [f"{name} x{gain[name]:.2f}" for name in names]
    costs = [name for name in names if gain[name] > 1 + SAME]
    pays = [name for name in names if gain[name] < 1 - SAME]
    same = len(names) - len(costs) - len(pays)
    return (
        f"{change} costs time in {len(costs)} of {len(names)} programs, and"
        f" saves time in {len(pays)}; in {same} it makes no difference (time of {above}"
        f" against {below}: {', '.join(said)})."
    )


def _took(there: beside.Cells) -> str:
    """Say how long each program took."""
    said = [
        f"{program} {seconds(row['run_time_ns'])}"
        + (f" ({kernel})" if len({one for _, one in there}) > 1 else "")
        for (program, kernel), row in there.items()
    ]
    return f"Elapsed: {', '.join(said)}."
