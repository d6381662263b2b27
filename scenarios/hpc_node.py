"""One rank has touched the memory of all ranks first: what does it cost to repair that?

Serial initialisation puts all pages next to rank 0, here of 64 ranks on 16 nodes.
Before the first iteration of a stencil each mechanism gets one chance to bring each
slab to the rank that works on it.  With ``thp=always`` jobs of 8 and 16 TiB fit in the
host's memory if the mechanism keeps huge pages whole.  NUMA balancing goes at its own
pace: how far it gets depends on ``iterations``.
"""

from collections.abc import Sequence
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
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.simulation import Simulation
from ..engine.state.process import Process, Region, Task
from ..engine.study.columns import SUMMARY, THP_SHARE, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Stencil
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.tasks import nodes_with_cpus, start_tasks

#: Of a preset.
RAM = 1 << 40


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=512 << 30, metadata={"kind": "size", "help": "memory of the job"}
    )
    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("16-node")
    ranks: int = field(default=64, metadata={"min": 1, "help": "ranks of the job"})
    iterations: int = field(default=2, metadata={"min": 1, "help": "stencil sweeps"})
    halo: int = field(
        default=64, metadata={"min": 0, "help": "pages of the halo on each side"}
    )
    mechanisms: tuple[str, ...] = field(
        default=mechanism.MECHANISMS, metadata={"help": "mechanisms to compare"}
    )
    thp: Thp = Thp()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each mechanism."""
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    slab = parameters.mapped // PAGE_SIZE // parameters.ranks
    if slab <= parameters.halo:
        raise BadInput(
            f"mapped must give every rank more than its halo of {parameters.halo}"
            f" pages, got {slab}"
        )
    if parameters.mapped > sum(machine.memory):
        raise BadInput(
            f"mapped must fit in the machine's {format_size(sum(machine.memory))},"
            f" got {format_size(parameters.mapped)}"
        )
    pages = slab * parameters.ranks
    mechanism.check_knobs(parameters.balancing)
    settings = Settings(
        swap_bytes=parameters.memory // 128,
        thp=parameters.thp,
        tlb=parameters.tlb,
        balancing=parameters.balancing,
    )
    sweep = (slab + 2 * parameters.halo) * parameters.ranks
    return Study(
        __doc__,
        "mechanism",
        tuple(
            Variant(
                mechanism.check_mechanism(name),
                machine,
                mechanism.settings_for(name, settings),
                partial(_steps, parameters=parameters, name=name, slab=slab),
                accesses=sweep * parameters.iterations,
                mapped_pages=mechanism.pages_by_ptes(name, pages, settings),
            )
            for name in parameters.mechanisms
        ),
        (THP_SHARE, *hide(SUMMARY, "oom_kills")),
        varied=mechanism.VARIED,
    )


def _steps(
    simulation: Simulation, parameters: Parameters, name: str, slab: int
) -> None:
    process = simulation.spawn("job")
    tasks = _start(simulation, process, parameters.ranks)
    region = simulation.mmap(process, slab * parameters.ranks * PAGE_SIZE, "grid")
    # Otherwise only the node of the first rank would have huge pages.
    simulation.advise(tasks[0], region, "hugepage")
    simulation.populate(tasks[0], region)
    simulation.synchronize()
    for rank, task in enumerate(tasks):
        node = int(simulation.machine.cpu_node[task.cpu])
        mechanism.repair(simulation, task, region, name, node, rank * slab, slab)
    simulation.synchronize()
    simulation.run(_stencils(parameters, tasks, region, slab))


def _stencils(
    parameters: Parameters, tasks: Sequence[Task], region: Region, slab: int
) -> list[Stencil]:
    """Return one stencil for each rank; ranks beside each other are neighbours."""
    halo, last = parameters.halo, len(tasks) - 1
    loads = []
    for rank, task in enumerate(tasks):
        first = rank * slab
        ends = (rank > 0) + (rank < last)
        loads.append(
            Stencil(
                task=task,
                region=region,
                count=(slab + ends * halo) * parameters.iterations,
                first=first,
                pages=slab,
                halo=halo,
                lower=first - halo if rank else None,
                upper=first + slab if rank < last else None,
            )
        )
    return loads


def _start(simulation: Simulation, process: Process, ranks: int) -> list[Task]:
    """Start the ranks, in order of nodes, equal shares on all nodes with CPUs."""
    nodes = nodes_with_cpus(simulation.machine)
    share = -(-ranks // len(nodes))
    tasks: list[Task] = []
    for node in nodes:
        count = min(share, ranks - len(tasks))
        tasks += start_tasks(simulation, process, node, count)
    return tasks
