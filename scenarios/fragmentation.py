"""Memory falls to pieces as jobs come and go: how often is there a huge page?

Jobs of many sizes come and go on one node.  New jobs are touched together, a few pages
of each in turn, so a block of 2 MiB holds pages of many jobs and is whole again only
when the last of them is gone.  After each round of coming and going a process that asks
for huge pages maps half of the free memory.  The share of its faults that got one
stands beside the share of the free memory that lay in whole blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import presets
from ..engine.machines.zones import watermarks
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import ASLEEP, DEFRAG, Thp
from ..engine.simulation import Simulation
from ..engine.state.allocate import arena_pages, usable_pages
from ..engine.state.process import Region, Task
from ..engine.study.columns import TIMES, Column
from ..engine.study.figures import listed, percent
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.draws import draw_of
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.block import BLOCK
from .common.question_columns import first, share
from .common.table import Row
from .common.tasks import start_tasks

# Jobs at the end of a round, and how many of them come and go in each round.
JOBS, NEW = 64, 16
# Pages of a job that are touched before it is the next job's turn.
TURN = 32


COLUMNS = (
    *first(
        (
            share("free_share", "free", "free share of memory, in the second half"),
            share("whole_share", "free whole", "share of free memory in whole blocks"),
            share(
                *("first_success", "huge, first"),
                "huge faults that succeeded in round one",
            ),
            share(
                *("success", "huge, later"),
                "huge faults that succeeded in the second half of the rounds",
            ),
        )
    ),
    Column("compact_stall", "compact stalls", "event", "faults that compacted memory"),
    Column(
        "compact_success", "compact success", "event", "blocks that compaction freed"
    ),
    Column("pages_migrated", "pages moved", "page", "pages that compaction moved"),
    *TIMES,
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=4 << 30, metadata={"kind": "size", "help": "RAM of the node"}
    )
    occupied: tuple[float, ...] = field(
        default=(0.1, 0.25, 0.5, 0.75),
        metadata={"max": 0.75, "help": "fractions of the memory in use by jobs"},
    )
    defrag: tuple[str, ...] = field(
        default=("never", "madvise"),
        metadata={"choices": DEFRAG, "help": "who compacts: thp.defrag"},
    )
    rounds: int = field(
        default=16,
        metadata={
            "min": 2,
            "max": 150,
            "help": "times that a quarter is replaced",
        },
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each part in use and each ``defrag``."""
    if parameters.memory < JOBS * BLOCK:
        raise BadInput(
            f"memory must be at least {format_size(JOBS * BLOCK)},"
            f" got {format_size(parameters.memory)}"
        )
    machine = presets.uniform(1, parameters.memory, cpus_per_node=NEW)
    pages = parameters.memory // PAGE_SIZE
    span = _span(parameters, max(parameters.occupied)) + parameters.memory
    if span > arena_pages(machine) * PAGE_SIZE:
        raise BadInput(
            f"rounds must be fewer for {format_size(parameters.memory)}: all jobs need"
            f" addresses in {format_size(arena_pages(machine) * PAGE_SIZE)},"
            f" got {parameters.rounds} rounds"
        )
    variants = []
    for part in parameters.occupied:
        if part == 0:
            raise BadInput("occupied must be above 0, got 0")
        for defrag in parameters.defrag:
            settings = Settings(
                quantum_accesses=NEW * TURN,
                shards=1,
                thp=Thp(enabled="madvise", defrag=defrag),
                # Pages that are not huge at the fault stay so.
                khugepaged=ASLEEP,
            )
            variants.append(
                Variant(
                    f"{100 * part:g}% in use, defrag {defrag}",
                    machine,
                    settings,
                    partial(_steps, parameters=parameters, part=part),
                    accesses=int(pages * part * (1 + parameters.rounds * NEW / JOBS)),
                    mapped_pages=pages,
                )
            )
    return Study(__doc__, "case", tuple(variants), COLUMNS, verdict=_verdict)


def _steps(
    simulation: Simulation, parameters: Parameters, part: float
) -> dict[str, float]:
    process = simulation.spawn("jobs", _span(parameters, part))
    tasks = start_tasks(simulation, process, 0, NEW)
    # The system has the first block of the node.  Average pages of a job:
    mean = max(1, int(simulation.free(0) * part) // JOBS)
    sizes = _draws(simulation.seed)
    jobs: list[Region] = []
    for _ in range(JOBS // NEW):
        jobs += _enter(simulation, tasks, mean, sizes)
    looks = []
    for _ in range(parameters.rounds):
        jobs += _enter(simulation, tasks, mean, sizes)
        for _ in range(NEW):
            leaving = jobs.pop(next(sizes) % len(jobs))
            simulation.munmap(tasks[0], leaving)
        looks.append(_look(simulation))
    later = looks[len(looks) // 2 :]
    free, whole, success = (
        sum(values) / len(later) for values in zip(*later, strict=True)
    )
    return {
        "free_share": free,
        "whole_share": whole,
        "first_success": looks[0][2],
        "success": success,
        "compact_stall": simulation.total("compact_stall"),
        "compact_success": simulation.total("compact_success"),
    }


def _span(parameters: Parameters, part: float) -> int:
    """Return the bytes of addresses that all jobs take together."""
    count = JOBS + parameters.rounds * NEW
    # No address is used twice; a job may be 1.5 times the average, and starts a block.
    return int(parameters.memory * part * 1.5 * count / JOBS) + count * BLOCK


def _draws(seed: int) -> Iterator[int]:
    """Yield random numbers that depend on the seed only."""
    number = 0
    while True:
        yield draw_of(seed, 1 << 62, number)
        number += 1


def _enter(
    simulation: Simulation, tasks: Sequence[Task], mean: int, sizes: Iterator[int]
) -> list[Region]:
    """Map and touch a job for each task, 0.5 to 1.5 times ``mean`` pages each."""
    usable = usable_pages(simulation.machine, simulation.settings)
    spare = simulation.free(0) - int(watermarks(usable, True)[0, 2])
    most = max(1, spare // len(tasks))
    jobs = []
    for task in tasks:
        pages = min(most, max(1, mean // 2 + next(sizes) % max(1, mean)))
        jobs.append(simulation.mmap(task.process, pages * PAGE_SIZE, "job"))
    simulation.run(
        [
            Sweep(task=task, region=job, count=job.pages)
            for task, job in zip(tasks, jobs, strict=True)
        ]
    )
    return jobs


def _look(simulation: Simulation) -> tuple[float, float, float]:
    """Return (free share of memory, whole share of that, share of huge faults)."""
    free, whole = simulation.free(0), simulation.whole_blocks(0) * HPAGE_PMD_NR
    usable = simulation.machine.memory[0] // PAGE_SIZE
    blocks = max(1, free // 2 // HPAGE_PMD_NR)
    names = ("thp_fault_alloc", "thp_fault_fallback")
    before = [simulation.total(name) for name in names]
    # The same size each time, so that it gets the addresses of the last one.
    probe = simulation.spawn("probe", simulation.machine.memory[0])
    task = simulation.start_task(probe, 0)
    region = simulation.mmap(probe, blocks * BLOCK)
    simulation.advise(task, region, "hugepage")
    load = Sweep(task=task, region=region, count=blocks, stride=HPAGE_PMD_NR, refs=1)
    simulation.run([load])
    simulation.exit(probe)
    got, failed = (
        simulation.total(name) - old for name, old in zip(names, before, strict=True)
    )
    return free / usable, whole / max(1, free), got / max(1, got + failed)


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say up to which part in use every fault gets a huge page, and what helps then."""
    parts: dict[str, dict[str, float]] = {}
    for row in rows:
        part, _, defrag = str(row["case"]).partition(", defrag ")
        parts.setdefault(part, {})[defrag] = float(row["success"])
    whole = [part for part, got in parts.items() if min(got.values()) > 0.995]
    texts = [f"All faults get a huge page with {whole[-1]}."] if whole else []
    for part, got in parts.items():
        if part not in whole:
            said = [f"{percent(share)} with defrag {who}" for who, share in got.items()]
            texts.append(f"With {part} {listed(said)} do.")
    return " ".join(texts)
