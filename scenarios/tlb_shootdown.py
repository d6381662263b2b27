"""What do TLB flushes of pages that move cost, and what have kernels done about it?

A page that moves must leave the TLBs of all CPUs that run its process: each gets an
interrupt, and whoever moves the page waits for the slowest.  Threads of one process run
on all CPUs of two sockets; its memory goes from one to the other and back,

  migratepages  by one caller, as the program of that name does,
  own parts     by each thread for itself, all at once (move_pages), or
  hint faults   as threads that have changed sockets touch what they have marked.

``before`` has a flush for each page.  ``after``, a call flushes once for up to 512
pages (6.3, ``migrate_pages_batch``), and a hint fault not at all, because it maps the
page after its move (5.13, ``balancing.hint_flush``).  Each is run with locks and
without: a flush that belongs to an rmap walk lasts while that holds its locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..engine.machines import presets
from ..engine.settings.locks import Locks
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import Column
from ..engine.study.figures import count, percent, ratio
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.knobs import Mechanism
from ..kernels.words import PAGE_SIZE
from .common.claim import Claim, Why, Word, figure, times
from .common.claim_table import claim_table
from .common.lock_columns import LEAST, SHARE, WAITS, bound
from .common.table import Row, filled, table
from .common.tasks import ends, move_tasks, start_tasks

WAYS = ("migratepages", "own parts", "hint faults")
BEFORE, AFTER = "before", "after"
_NO_LOCKS = ", no locks"
KERNELS = (BEFORE, AFTER, BEFORE + _NO_LOCKS, AFTER + _NO_LOCKS)

COLUMNS = (
    Column(
        *("pages_per_s", "pages/s", "page/s", "pages that move in a second"),
        dtype="f8",
        first=True,
    ),
    Column(
        *("time_ns", "time", "ns", "time in which all memory has moved"),
        style="seconds",
        first=True,
    ),
    Column("tlb_flushes", "TLB flushes", "event", "TLB flushes", first=True),
    Column(
        *("interrupts", "interrupts", "event", "CPUs that flushes interrupted"),
        first=True,
    ),
    SHARE,
    *WAITS,
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=1 << 30, metadata={"kind": "size", "help": "memory that moves"}
    )
    threads: int = field(
        default=32, metadata={"min": 1, "max": 64, "help": "threads of the process"}
    )
    rounds: int = field(
        default=2, metadata={"min": 1, "help": "how often all memory moves"}
    )
    ways: tuple[str, ...] = field(
        default=WAYS, metadata={"choices": WAYS, "help": "who moves the pages"}
    )


def build(parameters: Parameters) -> Study:
    """Return the study: each way to move pages, before and after its mending."""
    part = max(1, parameters.mapped // PAGE_SIZE // parameters.threads)
    return Study(
        __doc__,
        ("way", "kernel"),
        tuple(
            _variant(parameters, way, kernel, part)
            for way in parameters.ways
            for kernel in KERNELS
        ),
        COLUMNS,
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        group=lambda row: row["way"],
        compared="pages_per_s",
    )


def _variant(parameters: Parameters, way: str, kernel: str, part: int) -> Variant:
    pages = part * parameters.threads
    settings = Settings(
        migrate_pages_batch=kernel.startswith(AFTER),
        balancing=Balancing(hint_flush=kernel.startswith(BEFORE)),
        locks=Locks(enabled=not kernel.endswith(_NO_LOCKS)),
    )
    return Variant(
        (way, kernel),
        presets.preset("2s", 4 * max(pages * PAGE_SIZE, 64 << 20)),
        settings,
        partial(
            _steps,
            way=way,
            part=part,
            threads=parameters.threads,
            rounds=parameters.rounds,
        ),
        accesses=pages * parameters.rounds if way == "hint faults" else 0,
        mapped_pages=pages,
    )


def _steps(
    simulation: Simulation, way: str, part: int, threads: int, rounds: int
) -> dict[str, float]:
    sockets = ends(simulation.machine)
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, sockets[0], threads)
    region = simulation.mmap(process, threads * part * PAGE_SIZE, "data")
    simulation.populate(tasks[0], region)
    callers = start_tasks(simulation, process, sockets[1], way == WAYS[0])
    simulation.synchronize()
    begin = simulation.clock(tasks[0])
    for i in range(rounds):
        home, away = sockets[i % 2], sockets[(i + 1) % 2]
        for caller in callers:
            simulation.migrate_pages(caller, [home], [away])
        if not callers:
            _move_parts(simulation, tasks, region, way, away)
        simulation.synchronize()
    took = simulation.clock(tasks[0]) - begin
    # Nothing waits before: one thread alone touches the memory.
    waits = simulation.lock_waits()
    return {
        "pages_per_s": rounds * region.pages * 1e9 / took,
        "time_ns": took,
        "tlb_flushes": simulation.total("tlb_flushes"),
        "interrupts": simulation.total("nr_tlb_remote_flush_received"),
        SHARE.name: sum(waits.values()) / (took * len(simulation.tasks)),
        **{f"wait_{lock}_ns": ns for lock, ns in waits.items()},
    }


def _move_parts(
    simulation: Simulation, tasks: list[Task], region: Region, way: str, away: int
) -> None:
    """Let each thread move its own part to a socket, or go there and touch it."""
    part = region.pages // len(tasks)
    parts = [(task, i * part) for i, task in enumerate(tasks)]
    if way == "own parts":
        for task, first in parts:
            simulation.move_pages(task, region, away, first=first, pages=part)
        return
    move_tasks(simulation, tasks, away)
    for task, first in parts:
        simulation.mark(task, region, Mechanism.HINTING, first=first, pages=part)
    simulation.run(
        [
            Sweep(task=task, region=region, count=part, first=first, pages=part, refs=1)
            for task, first in parts
        ]
    )


# --- what was published ---------------------------------------------------------------

SOURCE = (
    "Huang Ying, commits 7e12beb8ca2a (6.3), pages of pmbench moved to and fro by"
    " migratepages, and b99a342d4f11 (5.13), 8.8 M of its pages moved by hint faults;"
    " how many threads ran on two sockets is not said, here they are 32"
)
_MORE = Why(
    Word.NOT_REPRODUCED,
    "A flush for 32 threads costs 7.4 us; 24 threads gain x3.92. The threads and the"
    " price of an interrupt (tlb_flush_cpu_ns) are guesses.",
)
_FEWER = Why(
    Word.NOT_REPRODUCED,
    "Each flush interrupts all other threads here. There it met 0.7 CPUs: processes of"
    " a thread or two, or idle CPUs, which are left out.",
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; none for another number of threads."""
    if parameters.threads != Parameters().threads:
        return []
    by = {(row["way"], row["kernel"]): row for row in rows}
    found = []
    if "migratepages" in parameters.ways:
        before, after = (by["migratepages", kernel] for kernel in (BEFORE, AFTER))
        moved = after["pages_per_s"] / before["pages_per_s"]
        what = "migratepages, batched over each"
        found += [
            figure(
                f"pages a second: {what}", 3.917, moved, show=times, none=1, why=_MORE
            ),
            _interrupts(what, 1 - 0.991, before, after),
        ]
    if "hint faults" in parameters.ways:
        before, after = (by["hint faults", kernel] for kernel in (BEFORE, AFTER))
        moved = before["pages_per_s"] * before["time_ns"] / 1e9
        each = before["interrupts"] / moved
        what = "interrupts a page: hint faults, before 5.13"
        found += [
            _interrupts("hint faults, after over before", 2.3e4 / 6.0e6, before, after),
            figure(what, 6.0 / 8.8, each, show=lambda n: f"{n:.2f}", why=_FEWER),
        ]
    return found


def _interrupts(what: str, published: float, before: Row, after: Row) -> Claim:
    ours = after["interrupts"] / before["interrupts"]
    return figure(f"interrupts: {what}", published, ours, show=_small, none=1)


def _small(number: float) -> str:
    return f"x{number:.4f}"


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    waits = "\n".join(
        filled(
            f"{row['way']}, {row['kernel']}: {percent(bound(row)[1])} of the waits are"
            f" for {bound(row)[0]}."
        )
        for row in rows
        if row[SHARE.name] >= LEAST
    )
    beside = claim_table(claims(parameters, rows), SOURCE)
    return "\n\n".join(part for part in (table(study, rows), waits, beside) if part)


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say what the newer kernel gains in each way, with locks."""
    texts = []
    for way in dict.fromkeys(str(row["way"]) for row in rows):
        by = {row["kernel"]: row for row in rows if row["way"] == way}
        before, after = by[BEFORE], by[AFTER]
        gain = ratio(float(after["pages_per_s"]), float(before["pages_per_s"]))
        left = count(int(after["interrupts"])), count(int(before["interrupts"]))
        texts.append(
            f"{way}: {gain} as many pages a second, {left[0]} interrupts for {left[1]}."
        )
    return " ".join(texts)
