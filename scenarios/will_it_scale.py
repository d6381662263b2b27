"""How many faults a second do 1 to 256 tasks get, and which lock stops them?

``page_fault1`` of Anton Blanchard's will-it-scale: each task maps 128 MiB of private
anonymous memory, writes to each page once, unmaps it, and begins again.  Tasks are
threads of one process, or processes, bound to CPUs node after node.  ``kernels`` are
one whose faults read mmap_lock and one whose faults read a lock of their VMA (6.4).

Beside them are three machines whose curves were published, with as many tasks as there.
``page_fault2``, on a private mapping of a file, is left out: the model has no files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from ..engine.errors import BadInput
from ..engine.machines import presets, spec
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine, cpus_of
from ..engine.settings.profiles import PROFILES
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.simulation import Simulation
from ..engine.state.process import Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import listed, percent
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.claim import Claim, Why, Word, figure, times, wrong_signs
from .common.lock_columns import LEAST, SHARE, WAITS, bound, lock_figures
from .common.table import Row, blocks, filled
from .common.tasks import nodes_with_cpus

#: Tasks are threads of one process, or a process each.
MODES = ("threads", "processes")
PAGES = {"4K": "never", "2M": "always"}
#: Twice the tasks with less than this times the faults: it has stopped to scale.
_STILL = 1.25

RATE = Column(
    *("faults_per_s", "faults/s", "1/s", "pages of 4 KiB that get memory in a second"),
    dtype="f8",
    first=True,
)


class Curve(NamedTuple):
    """A published curve: millions of pages a second by the number of tasks.

    cpus  of each node of the machine
    """

    machine: str
    cpus: tuple[int, ...]
    mode: str
    rates: dict[int, float]


#: All of them are of kernels before per-VMA locks, without huge pages.
PUBLISHED = (
    Curve(
        "zen1",
        (16,) * 8,
        "threads",
        {2: 2.985, 5: 3.492, 8: 3.254, 12: 5.102, 21: 7.714, 30: 10.035}
        | {48: 12.571, 79: 11.124, 110: 11.980},
    ),
    Curve(
        "zen1",
        (16,) * 8,
        "processes",
        {2: 3.088, 5: 3.630, 8: 3.436, 12: 7.061, 21: 10.530, 30: 13.920}
        | {48: 20.656, 79: 27.155, 110: 26.456},
    ),
    Curve(
        "cascade-lake",
        (40, 40),
        "processes",
        {2: 2.695, 5: 6.426, 8: 9.642, 12: 12.168, 21: 15.637, 30: 25.157}
        | {48: 27.694, 79: 25.929},
    ),
    Curve(
        "144-cpus",
        (36,) * 4,
        "threads",
        {2: 1.845, 5: 4.171, 8: 5.809, 12: 5.926, 21: 5.872, 30: 6.832}
        | {48: 8.614, 79: 11.610, 110: 11.594, 141: 11.315},
    ),
)
SOURCE = (
    "Gorman, linux-mm, 17 and 18 February 2022, 5.17-rc3 (zen1, cascade-lake);"
    " Howlett, maple tree v2, linux-mm, 5.10 (144-cpus)"
)
#: Whose rules their kernels have.
_THEN = "linux-6.1"


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=128 << 20, metadata={"kind": "size", "help": "memory of each task"}
    )
    machine: MachineChoice = machine_field("8s")
    tasks: tuple[int, ...] = field(
        default=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        metadata={"min": 1, "help": "tasks that run at once"},
    )
    kernels: tuple[str, ...] = field(
        default=("linux-6.1", "linux-6.4"),
        metadata={"help": f"whose locks and rules: {', '.join(PROFILES)}"},
    )
    pages: tuple[str, ...] = field(
        default=tuple(PAGES), metadata={"help": "sizes of pages: 4K, 2M"}
    )
    rounds: int = field(
        default=2, metadata={"min": 1, "help": "times that each task maps and unmaps"}
    )
    published: bool = field(
        default=True, metadata={"help": "run the machines of published curves, too"}
    )


class Case(NamedTuple):
    """What a variant runs: on which machine, and the rest as in ``Parameters``."""

    machine: str
    kernel: str
    mode: str
    pages: str
    tasks: int


def build(parameters: Parameters) -> Study:
    """Return the study: each kernel, kind of task and page, with each number."""
    blocks_of = parameters.mapped // PAGE_SIZE // HPAGE_PMD_NR
    if not blocks_of:
        raise BadInput(f"mapped must be at least 2 MiB, got {parameters.mapped} bytes")
    _check(parameters)
    cases = [*_cases(parameters), *_published(parameters)]
    return Study(
        __doc__,
        "case",
        tuple(_variant(case, machine, parameters) for case, machine in cases),
        (RATE, SHARE, *WAITS, *hide(SUMMARY, "oom_kills", "converged_ns")),
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        group=lambda row: _case(row).tasks,
        varied=("kernel", "thp.enabled"),
    )


def _case(row: Row) -> Case:
    """Return the case of a row."""
    machine, kernel, mode, pages, tasks = row["case"].rsplit(" ", 4)
    return Case(machine, kernel, mode, pages, int(tasks))


def _check(parameters: Parameters) -> None:
    """Raise BadInput if a kernel or a size of pages is not known."""
    for name, known in (("kernels", PROFILES), ("pages", PAGES)):
        for one in getattr(parameters, name):
            if one not in known:
                raise BadInput(f"{name} must be of {', '.join(known)}, got {one!r}")


def _cases(parameters: Parameters) -> Iterator[tuple[Case, Machine]]:
    """Yield what the parameters ask for."""
    most = max(parameters.tasks)
    cpus = sum(spec.machine(parameters.machine, 1 << 40).cpus)
    machine = spec.machine(parameters.machine, 2 * cpus * parameters.mapped)
    if most > sum(machine.cpus):
        raise BadInput(
            f"tasks must be at most {sum(machine.cpus)}, the CPUs of {machine.name},"
            f" got {most}"
        )
    for pages in parameters.pages:
        for mode in MODES:
            for kernel in parameters.kernels:
                for tasks in parameters.tasks:
                    yield Case(machine.name, kernel, mode, pages, tasks), machine


def _published(parameters: Parameters) -> Iterator[tuple[Case, Machine]]:
    """Yield the machines of the published curves."""
    if not parameters.published:
        return
    for curve in PUBLISHED:
        nodes, cpus = len(curve.cpus), curve.cpus[0]
        each = 2 * cpus * parameters.mapped
        machine = presets.uniform(nodes, each, cpus, name=curve.machine)
        for tasks in curve.rates:
            yield Case(curve.machine, _THEN, curve.mode, "4K", tasks), machine


def _variant(case: Case, machine: Machine, parameters: Parameters) -> Variant:
    pages = parameters.mapped // PAGE_SIZE // HPAGE_PMD_NR * HPAGE_PMD_NR
    return Variant(
        " ".join(map(str, case)),
        machine,
        _settings(case),
        partial(_steps, case=case, pages=pages, rounds=parameters.rounds),
        accesses=case.tasks * pages * parameters.rounds,
        mapped_pages=case.tasks * pages if case.pages == "4K" else 0,
    )


def _settings(case: Case) -> Settings:
    profile = PROFILES[case.kernel]
    return replace(
        profile,
        thp=replace(profile.thp, enabled=PAGES[case.pages]),
        locks=replace(profile.locks, enabled=True),
    )


def _steps(
    simulation: Simulation, case: Case, pages: int, rounds: int
) -> dict[str, float]:
    tasks = _start(simulation, case, rounds * pages * PAGE_SIZE)
    for _ in range(rounds):
        regions = [
            simulation.mmap(task.process, pages * PAGE_SIZE, "data", task=task)
            for task in tasks
        ]
        both = list(zip(tasks, regions, strict=True))
        simulation.run(
            [Sweep(task=task, region=one, count=pages, refs=1) for task, one in both]
        )
        for task, region in both:
            simulation.munmap(task, region)
    simulation.synchronize()
    took = sum(simulation.clock(task) for task in tasks) / len(tasks)
    rate = len(tasks) * pages * rounds / took * 1e9
    return lock_figures(simulation) | {RATE.name: rate}


def _start(simulation: Simulation, case: Case, nbytes: int) -> list[Task]:
    """Start the tasks on CPUs node after node, as will-it-scale binds them.

    nbytes  that each maps, in all
    """
    machine = simulation.machine
    cpus = [cpu for node in nodes_with_cpus(machine) for cpu in cpus_of(machine, node)]
    if case.mode == "threads":
        one = simulation.spawn("threads", case.tasks * nbytes)
        return [simulation.start_task(one, cpu) for cpu in cpus[: case.tasks]]
    return [
        simulation.start_task(simulation.spawn(f"process{i}", nbytes), cpu)
        for i, cpu in enumerate(cpus[: case.tasks])
    ]


# --- the screen -----------------------------------------------------------------------


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    """Return a table for each machine and size of pages, and the verdict."""
    return "\n".join(
        f"{r['case']} {r['faults_per_s'] / 1e6:.2f} M {percent(r[SHARE.name])} {bound(r)} {r['run_time_ns'] / 1e9:.3f}"
        for r in rows
    )


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    return ""
