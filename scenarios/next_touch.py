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
from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import NextTouch
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.moved_job import pages_of
from .common.tasks import move_tasks, start_tasks

QUESTION = "From which touched fraction on does moving everything at once pay?"
HOME, AWAY = 0, 1
# Each page moves once, and convergence would be that of the last of several runs.
_UNUSED = ("oom_kills", "pages_moved_back", "converged_ns")


#: Of a preset.
RAM = 16 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("2s")
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
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
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
    return Study(QUESTION, "case", tuple(variants), hide(SUMMARY, *_UNUSED))


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
