"""perf bench numa: do the threads of a process and its memory come together?

Molnar's figures of December 2012 (v3.7-rc8, 4 nodes, 32 CPUs, 64 GB): "PxT" is P
processes of T threads, and all threads clear the 512 MiB of their process.  As there
(option -0), memory is first touched on the node of CPU 0, the threads are then spread
over all CPUs, and only NUMA balancing may move them or their memory.

That benchmark calls a run converged once all threads of each process are on one node.
The time until nine tenths of its memory are there too stands beside it.  Bandwidth is
bytes cleared in the first 20 s.  Tasks wait for the locks of their kernel.

off          3.7, without balancing
balancenuma  balancenuma v10 of December 2012, merged as 3.8
balancing    today's rules, and the locks of 3.13
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ..engine.daemons import NEVER
from ..engine.errors import BadInput
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.profiles import PROFILES
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.state.snapshot import BlockKind
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.words import CACHE_LINE, PAGE_SIZE
from .common.block import BLOCK
from .common.claim import Claim, Why, Word, figure, reduced, times, wrong_signs
from .common.mechanism import check_knobs, settings_for
from .common.opteron import NODES, opteron, spread
from .common.question_columns import ONLY_LAZY, first, moment
from .common.table import Row, blocks, filled, percent, table
from .common.tasks import accesses, local_share

#: Profiles whose locks a mode has.
PROFILE_OF = {
    "off": "balancenuma-v4",
    "balancenuma": "linux-3.8",
    "balancing": "linux-3.13",
}
MODES = tuple(PROFILE_OF)
#: CPUs of each node.
CPUS = 8
#: Pages that an access sweeps.
STRIDE = 32
#: Seconds of which the bandwidth is told.
BANDWIDTH_SECONDS = 20
#: Accesses of a thread that nobody waits for.
ENDLESS = 1 << 40
#: Share of a process's memory that must have come to its node.
ENOUGH = 0.9
#: Published seconds until convergence: v3.7, balancenuma v10, AutoNUMA 28, numa-u v3;
#: 100 if it never converged, None if not published.
CONVERGENCE = {
    "1x3": (100, 100, 0.2, 2.3),
    "1x4": (100, 100, 100, 2.1),
    "4x4": (100, 100, 4.1, 7.4),
    "4x8": (None, None, 3.4, 3.9),
    "8x4": (None, None, 18.3, 8.9),
    "8x1": (2.8, 2.9, 2.9, 1.2),
    "16x1": (3.5, 3.7, 2.5, 2.0),
    "32x1": (3.6, 2.8, 3.0, 1.9),
}
#: Published GB/s after 20 s.
BANDWIDTH = {
    "2x1": (6.248, 6.136, 8.073, 9.647),
    "4x1": (6.007, 6.867, 12.313, 18.903),
    "4x8": (5.858, 5.860, 11.865, 28.439),
    "8x1": (6.100, 7.974, 20.237, 26.829),
    "16x1": (5.607, 5.592, 5.959, 29.294),
    "32x1": (5.929, 25.477, 18.230, 30.232),
    "1x32": (5.879, 5.828, 5.848, 18.985),
}
KERNELS = ("v3.7", "balancenuma", "AutoNUMA", "numa-u")

COLUMNS = (
    *first(
        (
            moment(
                "tasks_converged_ns",
                "threads together",
                "until all threads of each process were on one node, NaN: never",
            ),
            moment(
                "memory_converged_ns",
                "memory, too",
                "until nine tenths of its memory were there as well, NaN: never",
            ),
            Column(
                "gigabytes_per_s",
                "GB/s",
                "1e9 byte/s",
                "memory cleared per second in the first 20 s",
                dtype="f8",
            ),
        )
    ),
    Column("numa_hint_faults", "hint faults", "event", "faults on marked pages"),
    Column("numa_task_migrated", "tasks moved", "event", "tasks moved to their memory"),
    Column(
        "numa_task_swapped", "tasks swapped", "event", "pairs of tasks that swapped"
    ),
)
_MOMENTS = ("tasks_converged_ns", "memory_converged_ns")
_COUNTERS = ("numa_hint_faults", "numa_task_migrated", "numa_task_swapped")
_UNUSED = (*ONLY_LAZY, "faults", "pages_refused", "converged_ns", "run_time_ns")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=64 << 30, metadata={"kind": "size", "help": "RAM of the machine"}
    )
    mapped: int = field(
        default=512 << 20, metadata={"kind": "size", "help": "memory of a process"}
    )
    runs: tuple[str, ...] = field(
        default=tuple(dict.fromkeys([*CONVERGENCE, *BANDWIDTH])),
        metadata={"help": "processes x threads of each, such as 4x8"},
    )
    seconds: int = field(
        default=100, metadata={"min": 1, "help": "simulated seconds of a run"}
    )
    poll: float = field(
        default=0.1,
        metadata={"min": 0.001, "max": 10, "help": "seconds between looks"},
    )
    balancing: Balancing = Balancing()


class Job(NamedTuple):
    """The tasks of a process and the memory that they share."""

    tasks: list[Task]
    region: Region


def build(parameters: Parameters) -> Study:
    """Return the study: each run without and with NUMA balancing."""
    check_knobs(parameters.balancing)
    machine = opteron(CPUS, parameters.memory)
    if parameters.mapped < BLOCK:
        raise BadInput(
            f"mapped must be at least 2 MiB, got {format_size(parameters.mapped)}"
        )
    variants = []
    for name in parameters.runs:
        processes, threads = _parsed(name)
        if processes * parameters.mapped > machine.memory[0] // 2 * NODES:
            raise BadInput(
                f"mapped must leave half of {format_size(parameters.memory)} free in"
                f" run {name}, got {format_size(parameters.mapped)}"
            )
        steps = partial(
            _steps, parameters=parameters, processes=processes, threads=threads
        )
        variants += [
            Variant(
                (name, mode),
                machine,
                _settings(mode, parameters.balancing),
                steps,
                accesses=0,
                mapped_pages=0,
            )
            for mode in MODES
        ]
    return Study(
        __doc__,
        ("run", "mode"),
        tuple(variants),
        (*COLUMNS, *hide(SUMMARY, *_UNUSED)),
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        group=lambda row: row["run"],
        varied=("balancing.mode",),
        compared="gigabytes_per_s",
    )


def _settings(mode: str, balancing: Balancing) -> Settings:
    """Return the rules of a mode: those of its kernel, or today's."""
    rules = PROFILES[PROFILE_OF[mode]]
    if mode == "balancenuma":
        balancing = replace(rules.balancing, mode="normal")
    return settings_for(
        mode,
        Settings(
            thp=Thp(enabled="always"),
            balancing=balancing,
            locks=replace(rules.locks, enabled=True),
            loaded_copies=True,
        ),
    )


def _parsed(name: str) -> tuple[int, int]:
    """Return (processes, threads of each) of a run's name."""
    parts = name.split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise BadInput(f"runs must be processes x threads such as 4x8, got {name!r}")
    processes, threads = map(int, parts)
    if not 1 <= processes * threads <= NODES * CPUS:
        raise BadInput(f"runs must have from 1 to {NODES * CPUS} threads, got {name}")
    return processes, threads


def _steps(
    simulation: Simulation, parameters: Parameters, processes: int, threads: int
) -> dict[str, float]:
    jobs = _start(simulation, parameters.mapped // BLOCK, processes, threads)
    simulation.synchronize()
    watch = _Watch(simulation, jobs, parameters)
    simulation.start_daemon(watch)
    simulation.run([_sweep(job, i) for job in jobs for i in range(len(job.tasks))])
    return {
        "tasks_converged_ns": watch.tasks,
        "memory_converged_ns": watch.memory,
        "gigabytes_per_s": watch.pages * PAGE_SIZE / watch.time,
        "local_fraction_end": watch.local_end,
        **{name: simulation.total(name) for name in _COUNTERS},
    }


def _start(
    simulation: Simulation, blocks: int, processes: int, threads: int
) -> list[Job]:
    """Start the processes, touch their memory on node 0 and spread their threads."""
    cpus = spread(simulation, processes * threads)
    jobs = []
    for number in range(processes):
        process = simulation.spawn(nbytes=2 * blocks * BLOCK)
        tasks = [simulation.start_task(process, 0) for _ in range(threads)]
        region = simulation.mmap(process, blocks * BLOCK, "data")
        simulation.populate(tasks[0], region)
        for i, task in enumerate(tasks):
            simulation.move_task(task, cpus[number * threads + i])
        jobs.append(Job(tasks, region))
    return jobs


class _Watch:
    """A daemon that looks who is where, and ends the run when its time is over.

    tasks, memory  ns until they were together, NaN: never
    pages, time    that were cleared at the last look for the bandwidth, and when
    local_end      share of local accesses between the last two looks
    """

    def __init__(
        self, simulation: Simulation, jobs: list[Job], parameters: Parameters
    ) -> None:
        self.jobs = [(job.tasks, job.region) for job in jobs]
        self.begin, self.each = simulation.now, int(parameters.poll * 1e9)
        self.wakes_ns = self.begin + self.each
        self.end = self.begin + parameters.seconds * 10**9
        self.before = self.seen = accesses(simulation)
        self.local_end = float("nan")
        self.tasks = self.memory = float("nan")
        self.pages = self.time = 0

    def wake(self, simulation: Simulation) -> None:
        """Look."""
        now = simulation.now
        self.wakes_ns = now + self.each
        seen = accesses(simulation)
        self.local_end, self.seen = local_share(self.seen, seen), seen
        if self.time < BANDWIDTH_SECONDS * 10**9:
            self.pages = STRIDE * (sum(seen) - sum(self.before))
            self.time = now - self.begin
        jobs = [Job(*one) for one in self.jobs]
        together = [_home(simulation, job) for job in jobs]
        if np.isnan(self.tasks) and None not in together:
            self.tasks = float(now - self.begin)
        if np.isnan(self.memory) and _has_memory(simulation, jobs, together):
            self.memory = float(now - self.begin)
        if now >= self.end:
            self.wakes_ns = NEVER
            simulation.stop()


def _sweep(job: Job, i: int) -> Sweep:
    """Return what thread ``i`` clears; each thread starts in its own part."""
    return Sweep(
        task=job.tasks[i],
        region=job.region,
        count=ENDLESS,
        refs=STRIDE * PAGE_SIZE // CACHE_LINE,
        start=i * job.region.pages // len(job.tasks) // STRIDE * STRIDE,
        stride=STRIDE,
        streamed=True,
    )


def _home(simulation: Simulation, job: Job) -> int | None:
    """Return the node of all tasks of a process; None if they are on several."""
    nodes = {int(simulation.machine.cpu_node[task.cpu]) for task in job.tasks}
    return nodes.pop() if len(nodes) == 1 else None


def _has_memory(
    simulation: Simulation, jobs: list[Job], homes: list[int | None]
) -> bool:
    """Return whether each process has its tasks and most of its memory on one node."""
    return all(
        home is not None and _share(simulation, job, home) >= ENOUGH
        for job, home in zip(jobs, homes, strict=True)
    )


def _share(simulation: Simulation, job: Job, node: int) -> float:
    """Return the share of a process's mapped blocks that are on a node."""
    nodes, kinds = simulation.snapshot(job.region.process)
    return float((nodes[kinds != BlockKind.NONE] == node).mean())


# --- claims --------------------------------------------------------------------------

SOURCE = (
    "Molnar, December 2012, v3.7-rc8 without balancing, balancenuma v10, and numa-u v3,"
    " whose rules are the nearest to today's; only processes of several threads have to"
    " come together"
)
#: Parameters of the size that is compared.
_SIZES = ("memory", "mapped", "seconds")
#: The kernels whose figures ours stand for, by mode.
_PREDICTED = {"off": "v3.7", "balancenuma": "balancenuma", "balancing": "numa-u"}
#: Published seconds of a run that never converged.
_GAVE_UP = 100
_TIE = (
    "Threads that share all memory see it on two nodes, and today's rules take long to"
    " break the tie; numa-u steered threads that share memory to one node"
)
_LEFT = (
    "Nearly all accesses are local at the end, but some thread stays behind on another"
    " node; numa-u steered threads that share memory to one node"
)
_FULL = (
    "All memory is on one node, which gives its full 13 GB/s here; the published total"
    " is below that of two remote streams alone, 7.4"
)
_LESS = (
    "The rate without balancing is twice the published one, so there is less to gain"
)
_MORE = "Each node gives its full 13 GB/s here; the published total is below 8 a node"
_OFF = Word.NOT_REPRODUCED
_COSTS = (
    "With the rules of 3.8 pages that move take bandwidth for most of the 20 s, and are"
    " with their threads after 17 to 25 s"
)
WHY: dict[tuple[str, str], Why] = {
    **{("converges", name): Why(_OFF, f"{_TIE}.") for name in ("1x3", "1x4")},
    **{("converges", name): Why(_OFF, f"{_LEFT}.") for name in ("4x4", "4x8", "8x4")},
    **{("off", name): Why(_OFF, f"{_FULL}.") for name in BANDWIDTH if name != "32x1"},
    **{("gain of balancenuma", name): Why(_OFF, f"{_COSTS}.") for name in BANDWIDTH},
    **{("gain of balancing", name): Why(_OFF, f"{_LESS}.") for name in BANDWIDTH},
    **{(what, "32x1"): Why(_OFF, f"{_MORE}.") for what in ("off", "gain of balancing")},
    **{
        ("gain of balancenuma", name): Why(Word.WRONG_SIGN, f"{_COSTS}.")
        for name in ("2x1", "4x1", "16x1", "1x32")
    },
}


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; none at another size."""
    if reduced(parameters, Parameters(), _SIZES):
        return []
    row = {(one["run"], one["mode"]): one for one in rows}
    ran = {name for name, _ in row}
    found = [
        one
        for name in CONVERGENCE
        if name in ran and _parsed(name)[1] > 1
        for one in _convergences(name, row)
    ]
    return found + [
        one for name in BANDWIDTH if name in ran for one in _bandwidths(name, row)
    ]


def _convergences(name: str, row: dict[tuple[str, str], Row]) -> list[Claim]:
    """Return the claims on the seconds until threads are together."""
    claimed = []
    for mode, kernel in _PREDICTED.items():
        published = CONVERGENCE[name][KERNELS.index(kernel)]
        if published is None:
            continue
        claimed.append(
            figure(
                f"{name} converges, {mode}",
                float("nan") if published >= _GAVE_UP else published,
                row[name, mode]["tasks_converged_ns"] / 1e9,
                show=_seconds,
                why=WHY.get(("converges", name)),
            )
        )
    return claimed


def _bandwidths(name: str, row: dict[tuple[str, str], Row]) -> list[Claim]:
    """Return the claims on GB/s: without balancing, and what balancing makes of it."""
    there = {mode: BANDWIDTH[name][KERNELS.index(k)] for mode, k in _PREDICTED.items()}
    here = {mode: row[name, mode]["gigabytes_per_s"] for mode in _PREDICTED}
    off = figure(
        f"{name} GB/s, off",
        there["off"],
        here["off"],
        show=_figure,
        why=WHY.get(("off", name)),
    )
    gains = [
        figure(
            f"{name} GB/s, {mode} over off",
            there[mode] / there["off"],
            here[mode] / here["off"],
            show=times,
            none=1,
            why=WHY.get((f"gain of {mode}", name)),
        )
        for mode in ("balancenuma", "balancing")
    ]
    return [off, *gains]


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    """Return the table, and our figures beside the published ones."""
    small = reduced(parameters, Parameters(), _SIZES)
    if small:
        return "\n".join([table(study, rows), "", *small])
    wrong = wrong_signs(claims(parameters, rows))
    row = {(one["run"], one["mode"]): one for one in rows}
    return "\n\n".join(
        [
            table(study, rows),
            *_published("converged", CONVERGENCE, _CONVERGED, row),
            *_published("bandwidth", BANDWIDTH, _BANDWIDTH, row),
            filled(
                "Published in 2012 and here: seconds until the threads of each process"
                " are on one node, and its memory too (published 100: not within"
                " 100 s), and GB/s of the first 20 s. Ours stand for v3.7 (off),"
                " balancenuma and numa-u (balancing)."
            ),
            *(["\n".join(wrong)] if wrong else []),
        ]
    )


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say in how many runs threads and memory meet, and what that does to bandwidth."""
    texts = []
    for mode in MODES:
        mine = [row for row in rows if row["mode"] == mode]
        met = [sum(not np.isnan(row[name]) for row in mine) for name in _MOMENTS]
        what = "Without balancing" if mode == "off" else f"With {mode}"
        texts.append(
            f"{what} the threads of each process come together in {met[0]} of"
            f" {len(mine)} runs, and their memory in {met[1]}."
        )
    rate = {(row["run"], row["mode"]): row["gigabytes_per_s"] for row in rows}
    runs = {run for run, _ in rate}
    gains = [rate[run, "balancing"] / rate[run, "off"] for run in runs]
    return (
        f"{' '.join(texts)} With balancing, threads clear x{min(gains):.2f} to"
        f" x{max(gains):.2f} as many bytes a second."
    )


#: Our figures beside the published ones: (heading, mode, column, unit).
Ours = tuple[tuple[str, str, str, float], ...]
_CONVERGED: Ours = (
    ("off, threads", "off", "tasks_converged_ns", 1e9),
    ("balancenuma, threads", "balancenuma", "tasks_converged_ns", 1e9),
    ("balancing, threads", "balancing", "tasks_converged_ns", 1e9),
    ("balancing, memory", "balancing", "memory_converged_ns", 1e9),
)
_BANDWIDTH: Ours = (
    ("off, here", "off", "gigabytes_per_s", 1),
    ("balancenuma, here", "balancenuma", "gigabytes_per_s", 1),
    ("balancing, here", "balancing", "gigabytes_per_s", 1),
)


def _published(
    heading: str,
    figures: Mapping[str, Sequence[float | None]],
    ours: Ours,
    row: dict[tuple[str, str], Row],
) -> list[str]:
    """Return [the table of published figures and ours], [] if none was run."""
    names = [run for run in figures if (run, "off") in row]
    if not names:
        return []
    shown = [(heading, names)]
    for i, kernel in enumerate(KERNELS):
        shown.append((kernel, [_figure(figures[run][i]) for run in names]))
    for what, mode, column, unit in ours:
        values = [row[run, mode][column] / unit for run in names]
        shown.append((what, [_figure(value) for value in values]))
        if column == "gigabytes_per_s":
            there = [figures[run][KERNELS.index(_PREDICTED[mode])] for run in names]
            shown.append((f"{mode} error", _errors(values, there)))
    return [blocks(shown)]


def _errors(here: Sequence[float], there: Sequence[float | None]) -> list[str]:
    """Return how far ours are from what was published."""
    pairs = zip(here, there, strict=True)
    return [percent(a / b - 1) if b else "-" for a, b in pairs]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if np.isnan(value) else f"{value:.1f}"
