"""Long allocating and freeing leaves memory in pieces: how often is there a huge page?

Jobs of many sizes come and go on one node.  Those that come are touched together, a few
pages each in turn, so that a block of 2 MiB holds pages of many jobs and is whole again
only when the last of them is gone.  When as many have left, a process that asks for
huge pages maps half of what is free; the share of its faults that got one is held
against the share of the free memory that lay in whole blocks.
"""

from dataclasses import dataclass, field

from ..engine.errors import BadInput
from ..engine.machine import presets
from ..engine.machine.zones import watermarks
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import ASLEEP, DEFRAG, Thp
from ..engine.state.allocate import arena_pages, usable_pages
from ..engine.study.columns import Column
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.draws import draw_of
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE

QUESTION = "How often does a fault get a huge page, as free memory falls to pieces?"
BLOCK = PAGE_SIZE * HPAGE_PMD_NR
# Jobs that stay, those that come and others that leave in a round, pages in turn.
JOBS, NEW, TURN = 64, 16, 32


def _share(name: str, heading: str, text: str) -> Column:
    return Column(name, heading, "1", text, dtype="f8", style="percent")


COLUMNS = (
    _share("free_share", "free", "share of memory that is free in the second half"),
    _share("whole_share", "whole", "share of that which lies in wholly free blocks"),
    _share("first_success", "first THP", "huge faults that succeeded in round one"),
    _share("success", "later THP", "huge faults that succeeded in the second half"),
    Column("compact_stall", "compact stalls", "1", "faults that compacted memory"),
    Column("compact_success", "compact success", "1", "blocks that compaction freed"),
    Column("pages_migrated", "pages moved", "page", "pages that compaction moved"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=4 << 30, metadata={"kind": "size", "help": "RAM of the node"}
    )
    occupied: tuple[float, ...] = field(
        default=(0.1, 0.25, 0.5, 0.75),
        metadata={"max": 0.75, "help": "parts of the memory in use by jobs that stay"},
    )
    defrag: tuple[str, ...] = field(
        default=("never", "madvise"),
        metadata={"choices": DEFRAG, "help": "who compacts: thp.defrag"},
    )
    rounds: int = field(
        default=16,
        metadata={"min": 2, "max": 150, "help": "times that a quarter comes and goes"},
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
            f"rounds must be fewer for {format_size(parameters.memory)}, whose jobs"
            f" may have {format_size(arena_pages(machine) * PAGE_SIZE)} of addresses,"
            f" got {parameters.rounds}"
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
                # What is found whole is left so.
                khugepaged=ASLEEP,
            )
            variants.append(
                Variant(
                    f"{100 * part:g}% in use, defrag {defrag}",
                    machine,
                    settings,
                    lambda simulation, part=part: _steps(simulation, parameters, part),
                    accesses=int(pages * part * (1 + parameters.rounds * NEW / JOBS)),
                    mapped_pages=pages,
                )
            )
    return Study(QUESTION, "case", tuple(variants), COLUMNS)


def _steps(simulation, parameters: Parameters, part: float) -> dict:
    process = simulation.spawn("jobs", _span(parameters, part))
    tasks = [simulation.start_task(process, cpu) for cpu in range(NEW)]
    # The node's first block is the system's; a job has this many pages on average.
    mean = max(1, int(simulation.free(0) * part) // JOBS)
    sizes = _draws(simulation.seed)
    jobs = [_enter(simulation, tasks, mean, sizes) for _ in range(JOBS // NEW)]
    jobs = [job for group in jobs for job in group]
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
    """Return the bytes of addresses that all jobs take, one after the other."""
    count = JOBS + parameters.rounds * NEW
    # None is used again, a job has up to half as much again, and begins a block.
    return int(parameters.memory * part * 1.5 * count / JOBS) + count * BLOCK


def _draws(seed: int):
    """Yield numbers that only the seed decides."""
    number = 0
    while True:
        yield draw_of(seed, 1 << 62, number)
        number += 1


def _enter(simulation, tasks, mean: int, sizes) -> list:
    """Start a job for each task, half to one and a half of the mean; touch them all."""
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


def _look(simulation) -> tuple[float, float, float]:
    """Return (free share of the memory, whole share of that, success of faults)."""
    free, whole = simulation.free(0), simulation.whole_blocks(0) * HPAGE_PMD_NR
    usable = simulation.machine.memory[0] // PAGE_SIZE
    blocks = max(1, free // 2 // HPAGE_PMD_NR)
    names = ("thp_fault_alloc", "thp_fault_fallback")
    before = [simulation.total(name) for name in names]
    # As large each time, so that it gets the addresses of the one before.
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
