"""Fork trees with parked pages exit in every order: does anything leak?

Reference counts made the exit of processes "tricky" for the migration cache
(Schermerhorn, July 2012).  A parent forks a child, which forks a grandchild.  Pages are
parked at one of three moments, some are touched again, and the three processes exit in
each of the six orders.  Afterwards all frames, slots and entries must be free.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations

from ..engine.machines import presets
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import SUMMARY, VERDICT, Column, hide
from ..engine.study.figures import count, listed
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.block import BLOCK
from .common.question_columns import first, later
from .common.table import Row

#: When the pages are parked: before the forks, between them, after them.
MOMENTS = (0, 1, 2)

COLUMNS = first(
    (
        Column("trees", "trees", "1", "fork trees built and torn down"),
        Column("leaked_frames", "leaked frames", "page", "frames in use at the end"),
        Column("leaked_slots", "leaked slots", "page", "swap slots in use at the end"),
        Column("leaked_entries", "leaked entries", "page", "entries in use at the end"),
    )
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    pages: int = field(
        default=4096, metadata={"min": 8, "help": "pages of each fork tree"}
    )
    wedge_ppm: int = field(
        default=50_000,
        metadata={
            "min": 0,
            "max": 1_000_000,
            "help": "races lost per million in the variant with the race",
        },
    )


def build(parameters: Parameters) -> Study:
    """Return the study: each lazy mechanism, and the migration cache with the race."""
    nbytes = max(64 << 20, 16 * parameters.pages * PAGE_SIZE) // BLOCK * BLOCK
    machine = presets.uniform(2, nbytes, cpus_per_node=2)
    cases = [(name, name, 0) for name in mechanism.LAZY]
    cases.append(("lazy_migcache_race", "lazy_migcache", parameters.wedge_ppm))
    return Study(
        __doc__,
        "mechanism",
        tuple(
            Variant(
                label,
                machine,
                Settings(swap_bytes=nbytes, wedge_ppm=wedge_ppm),
                partial(_steps, pages=parameters.pages, name=name),
                accesses=18 * parameters.pages * 3,
                mapped_pages=3 * parameters.pages,
            )
            for label, name, wedge_ppm in cases
        ),
        (*COLUMNS, *later(hide(SUMMARY, *VERDICT, "oom_kills"))),
        verdict=_verdict,
    )


def _steps(simulation: Simulation, pages: int, name: str) -> dict[str, int]:
    nodes = range(simulation.machine.nodes)
    before = sum(simulation.free(node) for node in nodes)
    trees = 0
    for moment in MOMENTS:
        for order in permutations(range(3)):
            _tree(simulation, pages, name, moment, order)
            trees += 1
    return {
        "trees": trees,
        "leaked_frames": before - sum(simulation.free(node) for node in nodes),
        "leaked_slots": simulation.slots_in_use,
        "leaked_entries": simulation.entries_in_use,
    }


def _tree(
    simulation: Simulation, pages: int, name: str, moment: int, order: Sequence[int]
) -> None:
    """Fork a tree of three processes, park, touch, and let them exit in ``order``."""
    parent = simulation.spawn("parent", 2 * pages * PAGE_SIZE)
    region = simulation.mmap(parent, pages * PAGE_SIZE, "data")
    family, tasks = [parent], [simulation.start_task(parent, 0)]
    _sweep(simulation, tasks[0], region, pages, 1.0)
    for generation in range(3):
        if generation == moment:
            _park(simulation, tasks[0], region, name)
        if generation < 2:
            child = simulation.fork(family[-1], f"child{generation + 1}")
            family.append(child)
            tasks.append(simulation.start_task(child, 2))
    for task, process in zip(tasks, family, strict=True):
        share = pages // (2 + process.id % 3)
        _sweep(simulation, task, region.of(process), share, 0.5)
    for position in order:
        simulation.exit(family[position])


def _park(simulation: Simulation, task: Task, region: Region, name: str) -> None:
    simulation.mark(task, region, mechanism.LAZY[name], move_all=True)


def _sweep(
    simulation: Simulation, task: Task, region: Region, count: int, write: float
) -> None:
    load = Sweep(task=task, region=region, count=count, write=write)
    simulation.run([load])


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say which mechanisms leave something behind, and what."""
    texts, clean = [], []
    for row in rows:
        left = [
            f"{count(int(row[f'leaked_{what}']))} {what}"
            for what in ("frames", "slots", "entries")
            if row[f"leaked_{what}"]
        ]
        if left:
            texts.append(f"{row['mechanism']} leaves {listed(left)} behind.")
        else:
            clean.append(str(row["mechanism"]))
    trees = count(int(rows[0]["trees"]))
    if clean:
        verb = "leaves" if len(clean) == 1 else "leave"
        texts.insert(0, f"After {trees} trees {listed(clean)} {verb} nothing behind.")
    return " ".join(texts)
