"""How many faults a second do 1 to 256 tasks get, and which lock stops them?

``page_fault1`` of Anton Blanchard's will-it-scale: each task maps private anonymous
memory (128 MiB there, less here, which changes no rate), writes to each page once,
unmaps it, and begins again.  Tasks are
threads of one process, or processes, bound to CPUs node after node.  ``kernels`` are
one whose faults read mmap_lock and one whose faults read a lock of their VMA (6.4).

Beside them are three machines whose curves were published, with as many tasks as there.
``page_fault2``, on a private mapping of a file, is left out: the model has no files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ..engine.errors import BadInput
from ..engine.machines import presets, spec
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine, cpus_of
from ..engine.settings.profiles import PROFILES
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.figures import percent
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import sentences, verdict_of
from ..engine.workloads.kinds import Sweep
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.claim import Claim, Why, Word, figure, times
from .common.lock_columns import LEAST, SHARE, WAITS, bound, lock_figures
from .common.table import Row, blocks, filled
from .common.tasks import nodes_with_cpus

#: Tasks are threads of one process, or a process each.
MODES = ("threads", "processes")
PAGES = {"4K": "never", "2M": "always"}
#: Tasks do not unmap all at once: a quarter does, as a page costs about 1 us to fault
#: and 0.3 us to unmap.
_PHASES = 4
#: Of what more tasks could gain; with less than this a curve has stopped to scale.
_LITTLE = 0.25

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
        default=16 << 20, metadata={"kind": "size", "help": "memory of each task"}
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
        default=1, metadata={"min": 1, "help": "times that each task maps and unmaps"}
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
        report=_report,
        verdict=_verdict,
        group=lambda row: str(_case(row).tasks),
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
        accesses=case.tasks * pages * (1 + parameters.rounds),
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
    tasks = _start(simulation, case, (rounds + 2) * pages * PAGE_SIZE)
    regions = [_map(simulation, task, pages) for task in tasks]
    _round(simulation, tasks, regions)
    simulation.synchronize()
    before = _spent(simulation, tasks)
    for _ in range(rounds):
        _round(simulation, tasks, regions)
    took = [b - a for a, b in zip(before, _spent(simulation, tasks), strict=True)]
    rate = sum(pages * rounds * 1e9 / ns for ns in took)
    return lock_figures(simulation) | {RATE.name: rate}


def _round(simulation: Simulation, tasks: list[Task], regions: list[Region]) -> None:
    """Let each task map its memory anew once, and write to all of it."""
    for phase in range(_PHASES):
        for i in range(phase, len(tasks), _PHASES):
            simulation.munmap(tasks[i], regions[i])
            regions[i] = _map(simulation, tasks[i], regions[i].pages)
        part = regions[0].pages // _PHASES
        simulation.run(
            [
                Sweep(
                    task=task,
                    region=region,
                    count=part,
                    first=(phase - i) % _PHASES * part,
                    pages=part,
                    refs=1,
                )
                for i, (task, region) in enumerate(zip(tasks, regions, strict=True))
            ]
        )


def _spent(simulation: Simulation, tasks: list[Task]) -> list[int]:
    """Return how long each task was busy or waited for locks, ns.

    That is not its clock: a run begins when all have come to the end of their calls.
    """
    return [int(simulation.spent[task.id].sum()) for task in tasks]


def _map(simulation: Simulation, task: Task, pages: int) -> Region:
    return simulation.mmap(task.process, pages * PAGE_SIZE, "data", task=task)


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


# --- claims --------------------------------------------------------------------------

#: Numbers of tasks at which a curve is held against the published one.
_AT = (8, 48, 110)
_THREADS = Why(
    Word.NOT_REPRODUCED,
    "Who unmaps waits for the zaps of others, 300 ns a page here; with"
    " cost.zap_pte_ns=100 144 CPUs come to x2.68, x4.62 and x4.82.",
)
_PROCESSES = Why(
    Word.NOT_REPRODUCED,
    "Nodes take 15 million pages a second here: faults and unmaps do not meet at a"
    " zone, whose hold is an assumption, and two CPUs of a core are two cores.",
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return how many times the faults of two tasks more tasks get; see ``SOURCE``.

    No constant comes from these curves.
    """
    if parameters != Parameters():
        return []
    found = []
    for curve in PUBLISHED:
        ours = _ours(curve, rows)
        why = _THREADS if curve.mode == "threads" else _PROCESSES
        for tasks in _AT:
            if tasks in curve.rates:
                what = f"{curve.machine}, {curve.mode}: {tasks} tasks over 2"
                more = curve.rates[tasks] / curve.rates[2], ours[tasks] / ours[2]
                found.append(figure(what, *more, show=times, why=why))
    return found


def _ours(curve: Curve, rows: Sequence[Row]) -> dict[int, float]:
    """Return our rates of a published curve, by the number of tasks."""
    key = curve.machine, _THEN, curve.mode, "4K"
    return {tasks: row[RATE.name] for tasks, row in _curves(rows)[key].items()}


# --- the screen -----------------------------------------------------------------------

Key = tuple[str, ...]


def _curves(rows: Sequence[Row]) -> dict[Key, dict[int, Row]]:
    """Return rows by the number of tasks, by the rest of their case."""
    found: dict[Key, dict[int, Row]] = {}
    for row in rows:
        case = _case(row)
        found.setdefault(case[:-1], {})[case.tasks] = row
    return found


def _report(study: Study, rows: list[Row]) -> str:
    """Return the verdict, and a table for each machine and size of pages."""
    curves = _curves(rows)
    published = {(one.machine, _THEN, one.mode, "4K"): one for one in PUBLISHED}
    beside = {key: curves[key] for key in published if key in curves}
    mine = {key: curve for key, curve in curves.items() if key not in beside}
    parts = [filled(study.question), filled(verdict_of(study, rows))]
    for pages in dict.fromkeys(key[-1] for key in mine):
        some = {key: curve for key, curve in mine.items() if key[-1] == pages}
        parts.append(_table_of(pages, some))
    parts += [_beside(published[key], curve) for key, curve in beside.items()]
    return "\n\n".join(part for part in parts if part)


def _table_of(pages: str, curves: dict[Key, dict[int, Row]]) -> str:
    """Return the rates of curves side by side, and what stops each."""
    tasks = list(next(iter(curves.values())))
    columns = [("tasks", [str(one) for one in tasks])]
    for (_, kernel, mode, _), curve in curves.items():
        cells = [_millions(curve[one][RATE.name]) for one in tasks]
        columns.append((f"{mode} {kernel}", cells))
    lines = [_stops(key, curve) for key, curve in curves.items()]
    head = f"pages of {pages}, millions of 4 KiB that get memory in a second"
    return "\n".join([head, blocks(columns), *map(filled, lines)])


def _beside(curve: Curve, rows: dict[int, Row]) -> str:
    """Return a published curve beside ours."""
    ours = {tasks: row[RATE.name] for tasks, row in rows.items()}
    theirs = {tasks: 1e6 * curve.rates[tasks] for tasks in rows}
    columns = [("tasks", [str(one) for one in rows])]
    for name, rates in (("published", theirs), ("ours", ours)):
        columns.append((name, [_millions(rate) for rate in rates.values()]))
    for name, rates in (("published", theirs), ("ours", ours)):
        of_two = [times(rate / rates[2]) for rate in rates.values()]
        columns.append((f"{name} (over 2)", of_two))
    locks = [
        bound(row)[0] if row[SHARE.name] >= LEAST else "-" for row in rows.values()
    ]
    columns.append(("waits most", locks))
    return f"{curve.machine}, {curve.mode}, millions a second\n{blocks(columns)}"


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.2f}"


def stopped(curve: dict[int, Row]) -> int | None:
    """Return the first number of tasks after which more gain little, None if all do."""
    for (few, row), (many, other) in pairwise(curve.items()):
        gain = other[RATE.name] / row[RATE.name] - 1
        if gain < _LITTLE * (many / few - 1):
            return few
    return None


def _stops(key: Key, curve: dict[int, Row]) -> str:
    """Say at how many tasks a curve stops, and which lock binds there."""
    _, kernel, mode, _ = key
    last, tasks = curve[max(curve)], stopped(curve)
    lock, share = bound(last)
    binds = (
        f" With {max(curve)} they wait {percent(last[SHARE.name])} of their time,"
        f" {percent(share)} of that for {lock}."
        if last[SHARE.name] >= LEAST
        else ""
    )
    how = f"scale to {max(curve)}" if tasks is None else f"stop to scale at {tasks}"
    return f"{kernel}: {mode} {how}.{binds}"


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say where each kind of task stops to scale, with 4 KiB pages."""
    machine, _, _, pages, _ = _case(rows[0])
    return sentences(
        *(
            _stops(key, curve)
            for key, curve in _curves(rows).items()
            if (key[0], key[-1]) == (machine, pages)
        )
    )
