"""Threads move and touch only a part of their memory: move it all, or on demand?

Moving everything at once pays for every page.  Moving on demand pays only for pages
that are touched, but with a fault for each.  Which of them wins depends on the touched
fraction.  NUMA balancing would have to find out by itself, and the job is over before
it looks, so it runs only if asked for (``mechanisms=none,eager,hinting,balancing``).
"""

from dataclasses import dataclass, field
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, hide
from ..engine.study.study import Name, Study, Variant, label
from ..engine.workloads.kinds import NextTouch
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.moved_job import pages_of
from .common.tasks import move_tasks, start_tasks

QUESTION = "From which touched fraction on does moving everything at once pay?"
HOME, AWAY = 0, 1
# Each page moves once, and convergence would be that of the last of several runs.
_UNUSED = ("oom_kills", "pages_moved_back", "converged_ns")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=16 << 30, metadata={"kind": "size", "help": "RAM of the machine"}
    )
    machine: str = field(default="2s", metadata={"help": "machine preset or file"})
    tasks: int = field(default=1, metadata={"min": 1, "help": "threads"})
    fractions: tuple[float, ...] = field(
        default=(0.01, 0.1, 0.25, 0.5, 0.75, 1.0),
        metadata={"min": 0, "max": 1, "help": "touched fractions of the memory"},
    )
    times: int = field(
        default=4, metadata={"min": 1, "help": "how often a touched page is used"}
    )
    mechanisms: tuple[str, ...] = field(
        default=("none", "eager", *mechanism.LAZY),
        metadata={"help": "mechanisms to compare"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each mechanism and fraction."""
    machine = spec.machine(parameters.machine, parameters.memory)
    if machine.nodes <= AWAY or not machine.cpus[HOME] or not machine.cpus[AWAY]:
        raise BadInput(f"machine must have CPUs on nodes 0 and 1, got {machine.name}")
    pages = pages_of(parameters.memory, parameters.tasks)
    variants = []
    for fraction in parameters.fractions:
        if not 0 < fraction <= 1:
            raise BadInput(f"fractions must be above 0 and at most 1, got {fraction}")
        for name in parameters.mechanisms:
            touched = max(1, round(pages // parameters.tasks * fraction))
            variants.append(
                Variant(
                    f"{mechanism.check_mechanism(name)} {fraction:.0%}",
                    machine,
                    # Swap for all pages: what the swap cache costs, not how it runs
                    # full.
                    mechanism.settings_for(
                        name, Settings(swap_bytes=parameters.memory // 4)
                    ),
                    partial(
                        _steps,
                        parameters=parameters,
                        name=name,
                        pages=pages,
                        touched=touched,
                    ),
                    accesses=pages + touched * parameters.times * parameters.tasks,
                    mapped_pages=pages,
                )
            )
    columns = hide(SUMMARY, *_UNUSED)
    return Study(QUESTION, "case", tuple(variants), columns, alike=_fraction_of)


def _fraction_of(name: Name) -> str:
    """Return the touched fraction in a variant's name."""
    return label(name).rpartition(" ")[2]


def _steps(
    simulation: Simulation, parameters: Parameters, name: str, pages: int, touched: int
) -> None:
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, HOME, parameters.tasks)
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.populate(tasks[0], region)
    move_tasks(simulation, tasks, AWAY)
    simulation.synchronize()
    mechanism.repair(simulation, tasks[0], region, name, AWAY)
    simulation.synchronize()
    slab = pages // parameters.tasks
    for _ in range(parameters.times):
        simulation.run(
            [
                NextTouch(
                    task=task,
                    region=region,
                    count=touched,
                    first=i * slab,
                    pages=slab,
                )
                for i, task in enumerate(tasks)
            ]
        )
