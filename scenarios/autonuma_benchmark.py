"""autonuma-benchmark of 2012: what did it cost to split huge pages at hint faults?

Gorman's table of 21 November 2012 (balancenuma v4, 4 nodes, 48 CPUs) compares the
kernel that splits huge pages at hint faults ("twostage") with the one that migrates
them whole ("thpmigrate") and with the one without balancing ("stats").  These are the
numbers to Van Riel's fifth point of July 2012.

numa01                2 processes of 24 threads; all of a process clear the same 3 GiB
numa01_thread_alloc   the same, but each thread clears its own 24th
numa02                48 threads, each with its own part of 1 GiB
numa02_smt            24 threads, each with its own part of 1 GiB

Threads first touch memory where they are created, on one node, before the scheduler has
spread them over the CPUs: the benchmark binds the first touch to one node for this
purpose, and the time that the kernel without balancing took fits the bandwidth of one
node.  From then on each thread stays on its CPU.

The cache lines per access are calibrated so that ``off`` takes as long as "stats" did;
``split`` and ``native`` are predictions.  Threads that share memory start at places
spread evenly over it: real threads get out of step at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..engine.errors import BadInput
from ..engine.machines.machine import Machine
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.profiles import PROFILES
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import listed
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import SAME, sentences
from ..engine.workloads.kinds import Sweep
from ..kernels.words import HPAGE_PMD_NR
from .common.block import BLOCK
from .common.claim import Claim, Why, Word, figure, reduced, times, wrong_signs
from .common.opteron import NODES, opteron, spread
from .common.question_columns import ONLY_LAZY
from .common.table import Row, blocks, count, filled, percent, seconds, table
from .common.tasks import start_tasks

#: Pages that an access sweeps if nothing splits: several such accesses fit in a
#: quantum.
STRIDE = 32


@dataclass(frozen=True)
class Load:
    """One of the four programs.

    shared  whether the threads of a process share its memory
    blocks  blocks of 2 MiB of each process if shared, otherwise of each thread
    passes  passes of each thread over its memory: about half of the program's, with
            twice the cache lines per access, to save events
    lines   cache lines that an access to 4 KiB stands for, calibrated
    stats   published elapsed seconds without balancing
    split   published elapsed seconds of the kernel that split huge pages
    native  published elapsed seconds of the kernel that moved them whole
    """

    processes: int
    threads: int
    shared: bool
    blocks: int
    passes: int
    lines: int
    stats: float
    split: float
    native: float

    @property
    def region_blocks(self) -> int:
        """Blocks of 2 MiB of each process."""
        return self.blocks if self.shared else self.blocks * self.threads

    def shrunk(self, by: int) -> "Load":
        """Return the load with less memory, fewer passes and shorter times."""
        blocks, passes = max(1, self.blocks // by), max(1, self.passes // by)
        part = blocks * passes / (self.blocks * self.passes)
        times = {name: getattr(self, name) * part for name in TIMES}
        return replace(self, blocks=blocks, passes=passes, **times)


LOADS = {
    "numa01": Load(2, 24, True, 1536, 25, 364, 1668.03, 1575.52, 1066.67),
    "numa01_thread_alloc": Load(2, 24, False, 64, 500, 331, 1266.49, 542.26, 369.38),
    "numa02": Load(1, 48, False, 11, 400, 334, 175.75, 68.64, 49.42),
    "numa02_smt": Load(1, 24, False, 22, 400, 311, 163.55, 59.85, 46.21),
}
#: Fields of Load by variant.
TIMES = {"stats": "off", "split": "split", "native": "native"}
#: The rules of November 2012.
RULES = replace(PROFILES["balancenuma-v4"].balancing, mode="normal")
WHOLE = Thp(enabled="always")
VARIANTS = {
    "off": (Balancing(), WHOLE),
    "split": (RULES, Thp(enabled="always", unit_hinting=False)),
    "native": (RULES, WHOLE),
}
#: Published counts of all four programs together: (split, native).
PUBLISHED = {
    "thp_splits": (7426, 2),
    "numa_hint_faults": (105_489_260, 1_431_976),
    "numa_pte_updates": (221_698_496, 458_517_124),
}

COLUMNS = (
    Column("thp_splits", "THP splits", "event", "huge pages split (thp_split_page)"),
    Column("numa_pte_updates", "PTE updates", "page", "pages that the scanner marked"),
    Column("numa_hint_faults", "hint faults", "event", "faults on marked pages"),
    Column(
        "numa_pages_migrated",
        "migrated",
        "page",
        "pages that hint faults moved",
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


def build(parameters: Parameters) -> Study:
    """Return the study: each program with off, split and native."""
    for name in parameters.workloads:
        if name not in LOADS:
            raise BadInput(
                f"workloads must be some of {', '.join(LOADS)}, got {name!r}"
            )
    machine = opteron(12, parameters.memory)
    loads = {
        name: LOADS[name].shrunk(parameters.shrink) for name in parameters.workloads
    }
    most = max(one.processes * one.region_blocks for one in loads.values()) * BLOCK
    if parameters.memory < 2 * NODES * most:
        raise BadInput(
            f"memory must be at least {format_size(2 * NODES * most)}, so that all"
            " memory in use fits in half of a node, got"
            f" {format_size(parameters.memory)}"
        )
    variants = [
        _variant(machine, (name, variant), loads[name])
        for name in parameters.workloads
        for variant in VARIANTS
    ]
    columns = (*COLUMNS, *hide(SUMMARY, *ONLY_LAZY, "faults"))
    return Study(
        __doc__,
        ("workload", "variant"),
        tuple(variants),
        columns,
        report=partial(_report, loads=loads, parameters=parameters),
        verdict=_verdict,
        group=_workload,
        varied=("balancing.mode",),
    )


def _workload(row: Row) -> str:
    """Return the program of a row; times are compared within it."""
    return str(row["workload"])


def _variant(machine: Machine, name: tuple[str, str], load: Load) -> Variant:
    balancing, thp = VARIANTS[name[1]]
    stride = STRIDE if thp.unit_hinting else 1
    pages = load.region_blocks * HPAGE_PMD_NR
    return Variant(
        name,
        machine,
        Settings(balancing=balancing, thp=thp, epoch_ns=10_000_000_000),
        partial(_steps, load=load, stride=stride),
        accesses=load.processes * load.threads * _accesses(load, stride),
        mapped_pages=0 if stride > 1 else load.processes * pages,
    )


def _accesses(load: Load, stride: int) -> int:
    """Return the accesses of a thread, each to ``stride`` pages."""
    return load.blocks * HPAGE_PMD_NR * load.passes // stride


def _steps(simulation: Simulation, load: Load, stride: int) -> dict[str, int]:
    cpus = spread(simulation, load.processes * load.threads)
    loads = []
    for number in range(load.processes):
        own = cpus[number * load.threads : (number + 1) * load.threads]
        loads += _process(simulation, load, stride, own)
    simulation.synchronize()
    simulation.run(loads)
    return {
        column.name: simulation.total(_COUNTERS.get(column.name, column.name))
        for column in COLUMNS
    }


def _process(
    simulation: Simulation, load: Load, stride: int, cpus: list[int]
) -> list[Sweep]:
    """Start a process, touch its memory on node 0, spread it; return its workloads."""
    process = simulation.spawn(nbytes=2 * load.region_blocks * BLOCK)
    tasks = start_tasks(simulation, process, 0, len(cpus))
    region = simulation.mmap(process, load.region_blocks * BLOCK, "data")
    simulation.populate(tasks[0], region)
    for task, cpu in zip(tasks, cpus, strict=True):
        simulation.move_task(task, cpu)
    return [_sweep(load, stride, i, task, region) for i, task in enumerate(tasks)]


def _sweep(load: Load, stride: int, i: int, task: Task, region: Region) -> Sweep:
    """Return the passes of thread ``i`` of a process."""
    pages = load.blocks * HPAGE_PMD_NR
    first, start = (0, i * pages // load.threads) if load.shared else (i * pages, 0)
    return Sweep(
        task=task,
        region=region,
        count=_accesses(load, stride),
        refs=load.lines * stride,
        first=first,
        pages=pages,
        start=start // STRIDE * STRIDE,
        stride=stride,
        streamed=True,
    )


# --- claims --------------------------------------------------------------------------

SOURCE = (
    "Gorman, balancenuma v4, 21 November 2012, kernels stats, twostage (split) and"
    " thpmigrate (native); times over those without balancing"
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; none at a reduced size."""
    if parameters.shrink > 1:
        return []
    row = {(one["workload"], one["variant"]): one for one in rows}
    names = [name for name in LOADS if (name, "off") in row]
    found = [one for name in names for one in _times(name, row)]
    return found + _count_claims(rows) if set(names) == set(LOADS) else found


def _times(name: str, row: dict[tuple[str, str], Row]) -> list[Claim]:
    """Return the claims on the times of a program, over each other."""
    load = LOADS[name]
    there = {"off": load.stats, "split": load.split, "native": load.native}
    here = {variant: row[name, variant]["run_time_ns"] for variant in there}
    return [
        figure(
            f"{name}, time {a} over {b}",
            there[a] / there[b],
            here[a] / here[b],
            show=times,
            none=1,
            why=WHY.get((name, f"{a}/{b}")),
        )
        for a, b in (("native", "off"), ("split", "off"), ("split", "native"))
    ]


def _count_claims(rows: list[Row]) -> list[Claim]:
    """Return the claims on counts of all programs together."""
    return [
        figure(
            f"{counter.replace('_', ' ')}, {variant}",
            published[i],
            sum(int(one[counter]) for one in rows if one["variant"] == variant),
            show=count,
            why=WHY.get((counter, variant)),
        )
        for counter, published in PUBLISHED.items()
        for i, variant in enumerate(("split", "native"))
    ]


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
_WRONG, _OFF = Word.WRONG_SIGN, Word.NOT_REPRODUCED
WHY: dict[tuple[str, str], Why] = {
    ("numa01", "native/off"): Why(_OFF, f"{_LAST}."),
    ("numa01", "split/off"): Why(_OFF, f"{_COSTLESS}."),
    ("numa01", "split/native"): Why(_WRONG, f"{_LAST}, and 4 KiB pages cost nothing."),
    ("numa01_thread_alloc", "split/off"): Why(_OFF, f"{_COSTLESS}."),
    ("numa01_thread_alloc", "split/native"): Why(_OFF, f"{_COSTLESS}."),
    ("numa02", "split/native"): Why(_OFF, f"{_COSTLESS}."),
    ("numa02_smt", "split/native"): Why(_OFF, f"{_COSTLESS}."),
    ("thp_splits", "native"): Why(_OFF, "Why two of 17,298 split was not published."),
    ("numa_hint_faults", "native"): Why(_OFF, f"{_ONCE}."),
    ("numa_pte_updates", "split"): Why(_OFF, f"{_WHOLE}."),
}


# --- the screen -----------------------------------------------------------------------


def _report(
    study: Study, rows: list[Row], loads: dict[str, Load], parameters: Parameters
) -> str:
    """Return the table, then times, ratios and counts beside those of 2012."""
    return f"{table(study, rows)}\n\n{_comparison(rows, loads, parameters)}"


def _comparison(rows: list[Row], loads: dict[str, Load], parameters: Parameters) -> str:
    """Return what stands beside the figures of 2012, or a note that nothing does."""
    small = reduced(parameters, Parameters(), ("shrink",))
    if small:
        return "\n".join(small)
    row = {(one["workload"], one["variant"]): one for one in rows}
    counts = _counts(rows) if set(loads) == set(LOADS) else _ALL
    wrong = wrong_signs(claims(parameters, rows))
    parts = [_elapsed(row, loads), counts, filled(_NOTE), "\n".join(wrong)]
    return "\n\n".join(part for part in parts if part)


#: Stands in for the counts.
_ALL = "The published counts are of all four programs together."


def _verdict(study: Study, rows: list[Row]) -> str:
    """Say in which programs it costs time to split huge pages, against whole ones."""
    times = {(one["workload"], one["variant"]): one["run_time_ns"] for one in rows}
    moved = {one["workload"] for one in rows if one["numa_pages_migrated"]}
    ran = list(dict.fromkeys(name for name, _ in times))
    idle = [name for name in ran if name not in moved]
    none = f"Too short for a page to move, so without an answer: {listed(idle)}."
    names = [name for name in ran if name in moved]
    if not names:
        return none
    gain = {name: times[name, "split"] / times[name, "native"] for name in names}
    said = [f"{name} x{gain[name]:.2f}" for name in names]
    costs = [name for name in names if gain[name] > 1 + SAME]
    pays = [name for name in names if gain[name] < 1 - SAME]
    same = len(names) - len(costs) - len(pays)
    return sentences(
        f"To split huge pages costs time in {len(costs)} of {len(names)} programs, and"
        f" saves time in {len(pays)}; in {same} it makes no difference (time of split"
        f" against native: {', '.join(said)}).",
        none if idle else "",
    )


_NOTE = (
    "off is calibrated to the published times (stats); split and native are predicted."
)


def _elapsed(row: dict[tuple[str, str], Row], loads: dict[str, Load]) -> str:
    """Return a table of elapsed times and their ratio."""
    shown, here, there = [("elapsed", list(loads))], {}, {}
    for published, variant in TIMES.items():
        ours = np.array([row[name, variant]["run_time_ns"] for name in loads]) / 1e9
        theirs = np.array([getattr(load, published) for load in loads.values()])
        here[variant], there[variant] = ours, theirs
        shown += [
            (f"{variant} here", [seconds(1e9 * s) for s in ours]),
            (f"{variant} 2012", [seconds(1e9 * s) for s in theirs]),
            (f"{variant} error", _errors(ours, theirs)),
        ]
    ours, theirs = (times["split"] / times["native"] for times in (here, there))
    shown += [
        ("split/native here", [f"{ratio:.2f}" for ratio in ours]),
        ("split/native 2012", [f"{ratio:.2f}" for ratio in theirs]),
        ("ratio error", _errors(ours, theirs)),
    ]
    return blocks(shown)


def _counts(rows: list[Row]) -> str:
    """Return a table of counts, all programs together."""
    shown = [("all programs", [name.replace("_", " ") for name in PUBLISHED])]
    for i, variant in enumerate(("split", "native")):
        here = [
            sum(int(one[name]) for one in rows if one["variant"] == variant)
            for name in PUBLISHED
        ]
        there = [figures[i] for figures in PUBLISHED.values()]
        shown += [
            (f"{variant} here", [count(n) for n in here]),
            (f"{variant} 2012", [count(n) for n in there]),
            (f"{variant} error", _errors(here, there)),
        ]
    return blocks(shown)


def _errors(here: Iterable[float], there: Iterable[float]) -> list[str]:
    return [percent(a / b - 1) for a, b in zip(here, there, strict=True)]
