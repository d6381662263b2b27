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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import count, percent, ratio, seconds
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import name_of
from ..engine.workloads.kinds import Uniform
from ..kernels.counters import Refusal
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.mechanism import BALANCING, check_knobs, settings_for
from .common.question_columns import ONLY_LAZY, first
from .common.table import Row
from .common.tasks import ends, machine_with, start_tasks

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
    Column("numa_hint_faults", "hint faults", "event", "faults on marked pages"),
    Column(
        "two_stage",
        "two stage",
        "page",
        "pages kept: the last fault was on another node",
    ),
    Column(
        "group_weight", "group weight", "page", "pages kept: the group uses their node"
    ),
    *first((Column("moves_per_page", "moves/page", "1", "moves of a page", "f8"),)),
)
_UNUSED = (*ONLY_LAZY, "pages_refused", "pages_refused_by", "faults", "converged_ns")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=1 << 30, metadata={"kind": "size", "help": "memory that is shared"}
    )
    machine: MachineChoice = machine_field("2s")
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
    machine = machine_with(parameters.machine, 4 * parameters.mapped)
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
        __doc__,
        ("filter", "remembers"),
        tuple(variants),
        (*COLUMNS, *first(hide(SUMMARY, *_UNUSED), "pages_moved_back")),
        verdict=_verdict,
        varied=("balancing.mode",),
    )


def _steps(
    simulation: Simulation, parameters: Parameters, pages: int
) -> dict[str, float]:
    process = simulation.spawn("shared")
    tasks = [
        task
        for node in ends(simulation.machine)
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


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say which rules stop pages from moving back, and what that does to the time."""
    if not any(row["numa_hint_faults"] for row in rows):
        took = seconds(rows[0]["run_time_ns"])
        return f"The job ended in {took}, before the first scan: no rule was asked."
    back = [name_of(study, row) for row in rows if row["pages_moved_back"]]
    fast = min(rows, key=lambda row: row["run_time_ns"])
    slow = max(rows, key=lambda row: row["run_time_ns"])
    most = max(rows, key=lambda row: row["pages_moved_back"])
    pages = count(int(most["pages_moved_back"]))
    bounce = (
        f"Pages move back with ({'), ('.join(back)}), up to {pages} of them, and not"
        " with the other rules."
        if back
        else "No page moves back, whatever the rule."
    )
    return (
        f"{bounce} ({name_of(study, fast)}) is fastest, {seconds(fast['run_time_ns'])}"
        f" and {percent(float(fast['local_fraction']))} local; ({name_of(study, slow)})"
        f" takes {ratio(slow['run_time_ns'], fast['run_time_ns'])} of that, with"
        f" {percent(float(slow['local_fraction']))} local."
    )
