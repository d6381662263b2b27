"""How full may a machine be when a node's memory is removed under running tasks?

The migration cache was invented for hot-remove.  The pages of the node are parked and
moved elsewhere while the tasks live on, and each page is mapped again at its next
touch.  Whether all of them find room depends on how much of the memory is in use.
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
from ..engine.machines.machine import Machine, node_at
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, VERDICT, Column, hide
from ..engine.study.figures import count
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import was_killed
from ..engine.workloads.kinds import Uniform
from ..kernels.words import PAGE_SIZE
from .common.question_columns import first, later
from .common.table import Row
from .common.tasks import nodes_with_cpus, start_tasks

COLUMNS = first(
    (
        Column(
            "pages_on_node", "on node", "page", "pages on the node before the removal"
        ),
        Column("pages_left", "left", "page", "pages that could not leave the node"),
    )
)
_UNUSED = (*VERDICT, "swap_slots_peak", "oom_kills")


#: Of a preset.
RAM = 8 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("4s")
    node: int | None = field(
        default=None,
        metadata={
            "min": 0,
            "shown": "1",
            "help": "node to remove: the second that has memory",
        },
    )
    occupancy: tuple[float, ...] = field(
        default=(0.25, 0.5, 0.7, 0.8),
        metadata={"min": 0, "max": 1, "help": "fractions of the memory in use"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each occupancy."""
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    node = _node(machine, parameters.node)
    variants = []
    for occupancy in parameters.occupancy:
        if not 0 < occupancy <= 1:
            raise BadInput(f"occupancy must be above 0 and at most 1, got {occupancy}")
        pages = int(parameters.memory * occupancy) // PAGE_SIZE
        variants.append(
            Variant(
                f"{occupancy:.0%} in use",
                machine,
                Settings(),
                partial(_steps, node=node, pages=pages),
                accesses=pages,
                mapped_pages=pages,
            )
        )
    columns = (*COLUMNS, *later(hide(SUMMARY, *_UNUSED)))
    return Study(__doc__, "case", tuple(variants), columns, verdict=_verdict)


def _node(machine: Machine, number: int | None) -> int:
    """Return the node of a number, the second with memory if nobody said one.

    Raises BadInput if the machine has no such node, or no other with memory.
    """
    with_memory = [one for one, size in enumerate(machine.memory) if size]
    if len(with_memory) < 2:
        raise BadInput(
            "machine must have memory on two nodes, as that of one moves to others,"
            f" got {machine.name} with {len(with_memory)}"
        )
    if number is None:
        return with_memory[1]
    node = node_at(machine, number)
    if node is None or node not in with_memory:
        names = ", ".join(str(machine.node_numbers[one]) for one in with_memory)
        raise BadInput(
            f"node must be one of {machine.name}'s with memory, {names}, got {number}"
        )
    return node


def _steps(simulation: Simulation, node: int, pages: int) -> dict[str, int]:
    process = simulation.spawn("job")
    tasks = [
        start_tasks(simulation, process, home, 1)[0]
        for home in nodes_with_cpus(simulation.machine)
    ]
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    slab = pages // len(tasks)
    for i, task in enumerate(tasks):
        simulation.populate(task, region, i * slab, slab)
    before = simulation.free(node)
    left = simulation.hot_remove(node)
    on_node = simulation.free(node) - before + left
    simulation.run(
        [
            Uniform(task=task, region=region, count=slab, first=i * slab, pages=slab)
            for i, task in enumerate(tasks)
        ]
    )
    return {"pages_on_node": on_node, "pages_left": left}


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say up to which occupancy the node was emptied."""
    kept = [row for row in rows if row["pages_left"]]
    killed = [row for row in rows if was_killed(row)]
    gone = [str(row["case"]) for row in rows if row not in kept and row not in killed]
    texts = [f"The node can be emptied with {gone[-1]}."] if gone else []
    for row in kept:
        share = f"{count(int(row['pages_left']))} of {count(int(row['pages_on_node']))}"
        texts.append(f"With {row['case']} {share} pages find no room elsewhere.")
    texts += [f"With {row['case']} the job is killed." for row in killed]
    return " ".join(texts)
