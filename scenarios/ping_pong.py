"""Tasks on two nodes share their pages: which rules stop pages from bouncing?

NUMA balancing moves a page to the node of the task that faults on it, and the next task
that faults may be on the other node.  Linux has had these rules, one after the other:
no rule at all; two faults in a row from one node (``last_nid``, 3.8); the same with the
identity of the task, so that private pages move at once (``last_cpupid``, since 3.13);
and groups of tasks that share memory, whose pages stay on nodes that the group uses.
Before 5.15 a page also remembered faults by tasks of its own node; since then it
remembers only faults that would move it.

All tasks are threads of one process, half of them on each node, and touch all of its
pages at random.  The scheduler leaves them where they are (``balancing.placement``).
"""

from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Uniform
from ..kernels.counters import Refusal
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.mechanism import BALANCING, check_knobs, settings_for
from .common.question_columns import ONLY_LAZY
from .common.tasks import start_tasks

QUESTION = "Tasks on two nodes share pages: which rules stop pages from bouncing?"
#: (filter, groups) by the name of the variant.
FILTERS = {
    "none": ("none", False),
    "last_nid": ("last_nid", False),
    "last_cpupid": ("last_cpupid", False),
    "last_cpupid, groups": ("last_cpupid", True),
}
#: ``local_last_cpupid`` by the name of the faults that a page remembers.
REMEMBERS = {"moving": False, "all": True}

COLUMNS = (
    Column("numa_hint_faults", "hint faults", "1", "faults on marked pages"),
    Column(
        "two_stage",
        "two stage",
        "page",
        "pages kept: the last fault was on another node",
    ),
    Column(
        "group_weight", "group weight", "page", "pages kept: the group uses their node"
    ),
    Column("moves_per_page", "moves/page", "1", "average moves of a page", "f8"),
)
_UNUSED = (*ONLY_LAZY, "pages_refused", "pages_refused_by", "faults", "converged_ns")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=1 << 30, metadata={"kind": "size", "help": "memory that is shared"}
    )
    machine: str = field(default="2s", metadata={"help": "machine preset or file"})
    tasks: int = field(default=2, metadata={"min": 1, "help": "tasks on each node"})
    touches: int = field(
        default=16, metadata={"min": 1, "help": "accesses of each task to each page"}
    )
    thp: Thp = Thp()
    balancing: Balancing = Balancing(placement=False)


def build(parameters: Parameters) -> Study:
    """Return the study: each filter, with and without remembering local faults."""
    check_knobs(parameters.balancing)
    default = Balancing()
    for name in ("filter", "groups", "local_last_cpupid"):
        value = getattr(parameters.balancing, name)
        if value != getattr(default, name):
            raise BadInput(
                f"balancing.{name} must be left alone, the variants try every rule,"
                f" got {value}"
            )
    machine = spec.machine(parameters.machine, 8 * parameters.mapped)
    if machine.nodes < 2 or not all(machine.cpus[:2]):
        raise BadInput(f"machine must have CPUs on nodes 0 and 1, got {machine.name}")
    pages = parameters.mapped // PAGE_SIZE // HPAGE_PMD_NR * HPAGE_PMD_NR
    if not pages:
        raise BadInput(f"mapped must be at least 2 MiB, got {parameters.mapped} bytes")
    variants = []
    for name, (rule, groups) in FILTERS.items():
        for faults, local in REMEMBERS.items():
            knobs = replace(
                parameters.balancing,
                filter=rule,
                groups=groups,
                local_last_cpupid=local,
            )
            variants.append(
                Variant(
                    (name, faults),
                    machine,
                    settings_for(
                        BALANCING, Settings(thp=parameters.thp, balancing=knobs)
                    ),
                    partial(_steps, parameters=parameters, pages=pages),
                    accesses=2 * parameters.tasks * pages * parameters.touches,
                    mapped_pages=pages,
                )
            )
    return Study(
        QUESTION,
        ("filter", "remembers"),
        tuple(variants),
        (*COLUMNS, *hide(SUMMARY, *_UNUSED)),
        alike=lambda name: "all",
    )


def _steps(
    simulation: Simulation, parameters: Parameters, pages: int
) -> dict[str, float]:
    process = simulation.spawn("shared")
    tasks = [
        task
        for node in (0, 1)
        for task in start_tasks(simulation, process, node, parameters.tasks)
    ]
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.populate(tasks[0], region)
    simulation.synchronize()
    simulation.run(
        [
            Uniform(task=task, region=region, count=pages * parameters.touches)
            for task in tasks
        ]
    )
    refused = simulation.refusals()
    return {
        "numa_hint_faults": simulation.total("numa_hint_faults"),
        "two_stage": int(refused[Refusal.TWO_STAGE]),
        "group_weight": int(refused[Refusal.GROUP_WEIGHT]),
        "moves_per_page": simulation.total("numa_pages_migrated") / pages,
    }
