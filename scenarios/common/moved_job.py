"""A job whose threads move to another node while its memory stays behind.

The job of ``mechanisms``, ``thp_unit`` and of the ranking in ``penalties``: memory is
first touched on one node, the threads move to the farthest one (``tasks.ends``), a
mechanism gets its chance, and the threads use their memory again, at random.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...engine.errors import BadInput
from ...engine.machines import spec
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.settings.sizes import format_size
from ...engine.simulation import Simulation
from ...engine.study.study import Variant
from ...engine.workloads.kinds import Sweep, Uniform
from ...kernels.words import PAGE_SIZE
from . import mechanism
from .tasks import ends, move_tasks, start_tasks

TASKS = 32


class MovedJob(NamedTuple):
    """What the job is made of; the defaults are those of ``mechanisms``.

    pages    4 KiB pages of its memory, a multiple of ``tasks``
    tasks    threads
    touches  accesses to each page after the move, on average
    refs     cache lines that an access stands for
    """

    pages: int
    tasks: int = TASKS
    touches: int = 5
    refs: int = 64

    @property
    def accesses(self) -> int:
        """Accesses before and after the move, of all threads."""
        return self.pages * (1 + self.touches)


def machine_of(text: str, memory: int) -> Machine:
    """Return a machine of ``memory`` bytes; BadInput if threads cannot move in it."""
    machine = spec.machine(text, memory)
    ends(machine)
    return machine


def pages_of(machine: Machine, memory: int, unit: int) -> int:
    """Return the pages of the job, a multiple of ``unit``.

    They are an eighth of ``memory``, and half of a node that the job is on at most.
    Raises BadInput if that is none.
    """
    node = min(machine.memory[node] for node in ends(machine))
    pages = min(memory // 8, node // 2) // PAGE_SIZE // unit * unit
    if pages == 0:
        raise BadInput(
            f"memory must give the job {format_size(unit * PAGE_SIZE)}, which is an"
            f" eighth of it and half of a node, got {format_size(memory)}"
        )
    return pages


def variants(
    machine: Machine, job: MovedJob, settings: Settings, names: Sequence[str]
) -> list[Variant]:
    """Return a variant for each mechanism in ``names``; BadInput if one is unknown."""
    return [
        Variant(
            mechanism.check_mechanism(name),
            machine,
            mechanism.settings_for(name, settings),
            partial(run_job, job=job, name=name),
            accesses=job.accesses,
            mapped_pages=mechanism.pages_by_ptes(name, job.pages, settings),
        )
        for name in names
    ]


def run_job(simulation: Simulation, job: MovedJob, name: str) -> dict[str, int]:
    """Touch the memory, move, give mechanism ``name`` its chance, and work on.

    Returns ``numa_pte_updates``: the pages that were marked for a hint fault.
    """
    home, away = ends(simulation.machine)
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, home, job.tasks)
    region = simulation.mmap(process, job.pages * PAGE_SIZE, "data")
    simulation.advise(tasks[0], region, "hugepage")
    slab = job.pages // job.tasks
    simulation.run(
        [
            Sweep(
                task=task,
                region=region,
                count=slab,
                refs=job.refs,
                first=i * slab,
                pages=slab,
            )
            for i, task in enumerate(tasks)
        ]
    )
    move_tasks(simulation, tasks, away)
    simulation.synchronize()
    mechanism.repair(simulation, tasks[0], region, name, away)
    simulation.synchronize()
    count = slab * job.touches
    simulation.run(
        [
            Uniform(task=task, region=region, count=count, refs=job.refs)
            for task in tasks
        ],
        tail=(slab + count) // 10,
    )
    return {"numa_pte_updates": simulation.total("numa_pte_updates")}
