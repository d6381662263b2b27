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
from ...engine.machines.choice import MachineChoice
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.settings.sizes import format_size
from ...engine.simulation import Simulation
from ...engine.state.process import Region, Task
from ...engine.study.columns import Column
from ...engine.study.study import Variant
from ...engine.workloads.kinds import Sweep, Uniform
from ...kernels.words import PAGE_SIZE
from . import mechanism
from .question_columns import hidden_share
from .tasks import ends, move_tasks, start_tasks

TASKS = 32


#: One thread moves all memory while the others wait, or each moves its own part.
EAGER_BY = ("one", "each")
#: What ``run_job`` says of the call that moves or marks the memory.
CALL = (
    Column(
        "call_ns",
        "call",
        "ns",
        "longest call that moved or marked the memory at once",
        style="hidden",
    ),
    Column(
        "call_flushes",
        "flushes",
        "1",
        "TLB flushes of those calls",
        style="hidden",
    ),
    hidden_share("flush_share", "share of the time of those calls in TLB flushes"),
    Column(
        "call_once_ns",
        "once",
        "ns",
        "what such a call takes however little it moves",
        style="hidden",
    ),
)


class MovedJob(NamedTuple):
    """What the job is made of; the defaults are those of ``mechanisms``.

    pages    4 KiB pages of its memory, a multiple of ``tasks``
    tasks    threads
    touches  accesses to each page after the move, on average
    refs     cache lines that an access stands for
    eager_by  who moves the memory if it is moved at once: one of ``EAGER_BY``
    """

    pages: int
    tasks: int = TASKS
    touches: int = 5
    refs: int = 64
    eager_by: str = "one"

    @property
    def accesses(self) -> int:
        """Accesses before and after the move, of all threads."""
        return self.pages * (1 + self.touches)


def machine_of(
    choice: MachineChoice, memory: int | None, preset_memory: int | None = None
) -> Machine:
    """Return the machine that ``spec.machine`` does.

    Raises BadInput if threads cannot move in it.
    """
    machine = spec.machine(choice, memory, preset_memory)
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


def run_job(simulation: Simulation, job: MovedJob, name: str) -> dict[str, float]:
    """Touch the memory, move, give mechanism ``name`` its chance, and work on.

    Returns ``numa_pte_updates``, the pages that were marked for a hint fault, and the
    values of ``CALL``.
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
    call = _bring_memory(simulation, job, tasks, region, name, away)
    simulation.synchronize()
    count = slab * job.touches
    simulation.run(
        [
            Uniform(task=task, region=region, count=count, refs=job.refs)
            for task in tasks
        ],
        tail=(slab + count) // 10,
    )
    return {"numa_pte_updates": simulation.total("numa_pte_updates"), **call}


def _bring_memory(
    simulation: Simulation,
    job: MovedJob,
    tasks: Sequence[Task],
    region: Region,
    name: str,
    away: int,
) -> dict[str, float]:
    """Let a mechanism move or mark the memory; return the values of ``CALL``."""
    flushes = simulation.total("tlb_flushes")
    before = [simulation.clock(task) for task in tasks]
    if name == "eager" and job.eager_by == "each":
        _move_own_part(simulation, tasks, region, away)
    else:
        mechanism.repair(simulation, tasks[0], region, name, away)
    clocks = zip(tasks, before, strict=True)
    took = [simulation.clock(task) - then for task, then in clocks]
    flushes = simulation.total("tlb_flushes") - flushes
    spent = flushes * simulation.flush_ns(region.process)
    return {
        "call_ns": max(took),
        "call_flushes": flushes,
        "flush_share": spent / max(1, sum(took)),
        "call_once_ns": simulation.costs.syscall_ns + simulation.costs.lru_drain_ns,
    }


def _move_own_part(
    simulation: Simulation, tasks: Sequence[Task], region: Region, away: int
) -> None:
    """Let each thread move its own part to a node, all at the same time.

    By move_pages(2), which holds the process's mmap_lock for reading: threads that call
    mbind(2) would wait for each other (mmap_write_lock in do_mbind, to 6.6).
    """
    slab = region.pages // len(tasks)
    for i, task in enumerate(tasks):
        simulation.move_pages(task, region, away, first=i * slab, pages=slab)
