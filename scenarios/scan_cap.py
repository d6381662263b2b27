"""How long until NUMA balancing notices that threads have moved?

A process of 1 GiB to 16 TiB touches its memory, all of it huge pages, on one node; then
its threads move to another node and work on.  Only the scanner can bring their memory
after them.  However large a process is, it is scanned 256 MiB at a time, every 100 ms
at most (``scan_size_mb``, and ``MAX_SCAN_WINDOW`` of kernel/sched/fair.c).  That is
2,560 MB/s, so one pass over a terabyte takes at least 410 s.  Tasks are not moved
(``balancing.placement``), so the memory has to move.

Whatever the size, a huge page is touched a few times while the scanner passes over all
of them once: each access stands for the number of cache lines which that takes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..engine.daemons import NEVER
from ..engine.errors import BadInput
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.process import Process, Region, Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import percent, seconds
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.block import BLOCK
from .common.claim import Claim, figure
from .common.mechanism import BALANCING, check_knobs, settings_for
from .common.question_columns import ONLY_LAZY, first, later, moment, share
from .common.table import Row, filled, table
from .common.tasks import (
    accesses,
    ends,
    local_share,
    machine_with,
    move_tasks,
    start_tasks,
    wait_for,
)

#: Most bytes of a process that are scanned in a second.
CAP = 2560 << 20
#: Touches of each page, by all threads together, in the time of the fastest pass.
TOUCHES = 8
#: How often the progress is read in that time.
LOOKS = 50
#: Accesses of a thread that nobody waits for.
ENDLESS = 1 << 40
_MOMENTS = ("pass_ns", "half_ns", "most_ns")
_NAN = float("nan")

COLUMNS = first(
    (
        moment(
            "pass_ns",
            "one pass",
            "from the move until the scanner had been everywhere, NaN: never",
        ),
        moment(
            "half_ns",
            "half moved",
            "from the move until half of the memory had followed, NaN: never",
        ),
        moment(
            "most_ns",
            "90 % moved",
            "from the move until nine tenths of the memory had followed, NaN: never",
        ),
        Column(
            "scan_mb_per_s",
            "MB/s scanned",
            "1048576 byte/s",
            "memory marked per second since the move",
            dtype="f8",
        ),
        share(
            "cap_share", "of 2,560", "scan rate as a fraction of the cap of 2,560 MB/s"
        ),
    )
)
_UNUSED = (
    *ONLY_LAZY,
    "converged_ns",
    "run_time_ns",
    "local_fraction",
    "local_fraction_end",
    "pages_refused",
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    sizes: tuple[int, ...] = field(
        default=(1 << 30, 32 << 30, 1 << 40, 16 << 40),
        metadata={"kind": "size", "help": "memory of the process"},
    )
    threads: tuple[int, ...] = field(
        default=(1, 32), metadata={"min": 1, "max": 1024, "help": "threads"}
    )
    machine: MachineChoice = machine_field("2s")
    passes: int = field(
        default=8,
        metadata={"min": 1, "help": "give up after this many times the fastest pass"},
    )
    balancing: Balancing = Balancing(placement=False)


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each size and number of threads."""
    check_knobs(parameters.balancing)
    variants = []
    for size in parameters.sizes:
        if size < BLOCK:
            raise BadInput(f"sizes must be at least 2 MiB, got {format_size(size)}")
        # All of it fits on either node.
        machine = machine_with(parameters.machine, 2 * size)
        variants += [
            _variant(machine, size, threads, parameters)
            for threads in parameters.threads
        ]
    return Study(
        __doc__,
        ("size", "threads"),
        tuple(variants),
        (*COLUMNS, *later(hide(SUMMARY, *_UNUSED))),
        report=_report,
        verdict=_verdict,
        varied=("balancing.mode",),
        group=lambda row: row["size"],
        compared="most_ns",
    )


def _variant(
    machine: Machine, size: int, threads: int, parameters: Parameters
) -> Variant:
    expected = _fastest(size)
    settings = Settings(
        thp=Thp(enabled="always"),
        balancing=parameters.balancing,
        # Long passes need not be simulated in steps of 50 ms.
        quantum_ns=max(50_000_000, expected // 4000),
        epoch_ns=max(1_000_000_000, expected // 100),
    )
    blocks = size // BLOCK
    return Variant(
        (format_size(size), str(threads)),
        machine,
        settings_for(BALANCING, settings),
        partial(_steps, blocks=blocks, threads=threads, passes=parameters.passes),
        accesses=(parameters.passes * TOUCHES + 1) * blocks,
        mapped_pages=0,
    )


def _fastest(size: int) -> int:
    """Return the shortest time of a pass over ``size`` bytes, ns."""
    return size * 10**9 // CAP


def _steps(
    simulation: Simulation, blocks: int, threads: int, passes: int
) -> dict[str, float]:
    process, region, tasks = _moved(simulation, blocks, threads)
    begin, fastest = simulation.now, _fastest(blocks * BLOCK)
    delay = simulation.settings.balancing.scan_delay_ms * 10**6
    scanned = _scanned(simulation)
    watch = _Watch(simulation, process, region, passes * fastest + 10 * delay)
    simulation.start_daemon(watch)
    simulation.run(_sweeps(simulation, region, tasks, fastest))
    rate = (_scanned(simulation) - scanned) / (simulation.now - begin) * 1e9
    return {**watch.found, "scan_mb_per_s": rate / (1 << 20), "cap_share": rate / CAP}


def _moved(
    simulation: Simulation, blocks: int, threads: int
) -> tuple[Process, Region, list[Task]]:
    """Start a process, touch its memory and move its threads off it."""
    home, away = ends(simulation.machine)
    process = simulation.spawn(nbytes=2 * blocks * BLOCK)
    tasks = start_tasks(simulation, process, home, threads)
    region = simulation.mmap(process, blocks * BLOCK, "data")
    simulation.populate(tasks[0], region)
    move_tasks(simulation, tasks, away)
    simulation.synchronize()
    wait_for(simulation, tasks[0])
    return process, region, tasks


class _Watch:
    """A daemon that reads how far the memory has followed, and ends the run.

    found  when what was reached, ns, and how local the accesses since the look before
    """

    def __init__(
        self, simulation: Simulation, process: Process, region: Region, most_ns: int
    ) -> None:
        self.process, self.pages = process, region.pages
        self.begin, self.end = simulation.now, simulation.now + most_ns
        self.each = max(1, _fastest(region.pages * PAGE_SIZE) // LOOKS)
        self.wakes_ns = self.begin + self.each
        self.seq, self.seen = _seq(simulation, process), accesses(simulation)
        self.found = dict.fromkeys(_MOMENTS, _NAN)

    def wake(self, simulation: Simulation) -> None:
        """Look."""
        now = simulation.now
        self.wakes_ns = now + self.each
        share = simulation.total("numa_pages_migrated") / self.pages
        passed = _seq(simulation, self.process) > self.seq
        reached = passed, share >= 0.5, share >= 0.9
        for name, yes in zip(_MOMENTS, reached, strict=True):
            if yes and math.isnan(self.found[name]):
                self.found[name] = float(now - self.begin)
        if now >= self.end or not any(map(math.isnan, self.found.values())):
            self.wakes_ns = NEVER
            simulation.stop()
        seen = accesses(simulation)
        self.found["local_fraction_end"] = local_share(self.seen, seen)
        self.seen = seen


def _sweeps(
    simulation: Simulation, region: Region, tasks: Sequence[Task], fastest: int
) -> list[Sweep]:
    """Return what each thread does until it is stopped; at first evenly spread."""
    blocks = region.pages // HPAGE_PMD_NR
    home, away = ends(simulation.machine)
    latency = int(simulation.machine.latency_ns[away, home])
    # How long one touch of a huge page by one thread may take.
    touch = fastest * len(tasks) / (TOUCHES * blocks)
    return [
        Sweep(
            task=task,
            region=region,
            count=ENDLESS,
            refs=max(1, int(touch / latency)),
            start=i * blocks // len(tasks) * HPAGE_PMD_NR,
            stride=HPAGE_PMD_NR,
        )
        for i, task in enumerate(tasks)
    ]


def _scanned(simulation: Simulation) -> int:
    """Return the bytes that the scanner has marked so far."""
    return simulation.total("numa_pte_updates") * PAGE_SIZE


def _seq(simulation: Simulation, process: Process) -> int:
    """Return how many passes the scanner has made over a process."""
    return simulation.scan_state(process)[0]


SOURCE = "MAX_SCAN_WINDOW and scan_size_mb, kernel/sched/fair.c: 2,560 MB/s at most"


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what follows from the kernel's constants beside ours."""
    return [
        figure(
            f"one pass over {row['size']} by one thread",
            _fastest(size) / 1e9,
            row["pass_ns"] / 1e9,
            show=lambda s: f"{s:,.1f} s",
        )
        for size in parameters.sizes
        for row in rows
        if (row["size"], row["threads"]) == (format_size(size), "1")
    ]


#: What is run for that.
CLAIMED = Parameters(sizes=(1 << 40,), threads=(1,))


def _report(study: Study, rows: list[Row]) -> str:
    """Return the table, and what the cap allows."""
    note = (
        "At most 256 MiB of a process are scanned every 100 ms, which is 2,560 MB/s:"
        " 0.4 s for 1 GiB, 410 s for 1 TiB, 6,554 s for 16 TiB. The more threads share"
        " memory, the less often each scans it (task_scan_start)."
    )
    return f"{table(study, rows)}\n\n{filled(note)}"


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say how late the smallest and the largest process are noticed."""
    texts = []
    for row in [rows[0], rows[-1]][: len(rows)]:
        half, most = float(row["half_ns"]), float(row["most_ns"])
        never = "never, as it gave up before"
        texts.append(
            f"{row['size']}, threads {row['threads']}: half has followed after"
            f" {never if math.isnan(half) else seconds(half)}, nine tenths after"
            f" {never if math.isnan(most) else seconds(most)}, at"
            f" {percent(float(row['cap_share']))} of the fastest scan."
        )
    return " ".join(texts)
