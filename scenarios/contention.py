"""Which lock binds lazy migration, with how many threads, under which kernel?

Threads of one process are spread over all nodes; each touches its own part of the
memory first.  Then all change their nodes for the opposite ones, and each mechanism
gets its chance: with ``eager`` every thread moves its own part at the same time, by
move_pages; with a lazy one it marks its own part, and pages move as they are touched;
NUMA balancing has to find out.  The threads then use their own parts, at random.

Nothing that they use is shared but the process: whatever they wait for is a lock of
the kernel.  ``kernel`` says whose locks and rules (``lazynuma replay --help`` lists the
profiles), ``locks.NAME.scope`` and ``locks.NAME.hold_ns`` what another lock would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.machines.machine import Machine, cpus_of
from ..engine.settings.profiles import DEFAULT, PROFILES
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import SUMMARY, hide
from ..engine.study.figures import listed, percent, seconds
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import ranked, sentences
from ..engine.workloads.kinds import Sweep, Uniform
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common import mechanism
from .common.lock_columns import LEAST, SHARE, WAITS, bound, lock_figures
from .common.table import Row, filled, table
from .common.tasks import nodes_with_cpus

#: Of a preset.
RAM = 128 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("16-node")
    threads: tuple[int, ...] = field(
        default=(8, 64, 512), metadata={"min": 1, "help": "threads of the process"}
    )
    mechanisms: tuple[str, ...] = field(
        default=mechanism.MECHANISMS,
        metadata={"help": "mechanisms, run side by side on the same threads"},
    )
    kernel: str = field(
        default=DEFAULT,
        metadata={"choices": tuple(PROFILES), "help": "whose locks and rules"},
    )
    touches: int = field(
        default=3, metadata={"min": 1, "help": "accesses to each page after the move"}
    )
    thp: Thp = Thp()


def build(parameters: Parameters) -> Study:
    """Return the study: each mechanism with each number of threads."""
    machine = _machine(parameters)
    parameters = with_memory(parameters, machine)
    most = max(parameters.threads)
    pages = parameters.memory // 8 // PAGE_SIZE // (most * HPAGE_PMD_NR)
    pages *= most * HPAGE_PMD_NR
    if pages == 0:
        least = 8 * most * HPAGE_PMD_NR * PAGE_SIZE
        raise BadInput(
            f"memory must be at least {format_size(least)} for {most} threads, got"
            f" {format_size(parameters.memory)}"
        )
    profile = PROFILES[parameters.kernel]
    settings = replace(
        profile,
        thp=replace(profile.thp, enabled=parameters.thp.enabled),
        locks=replace(profile.locks, enabled=True),
        swap_bytes=parameters.memory // 8,
    )
    variants = [
        _variant(machine, settings, parameters, name, threads, pages)
        for name in parameters.mechanisms
        for threads in parameters.threads
    ]
    return Study(
        __doc__,
        ("mechanism", "threads"),
        tuple(variants),
        (SHARE, *WAITS, *hide(SUMMARY, "oom_kills", "converged_ns")),
        report=_report,
        verdict=_verdict,
        group=lambda row: row["threads"],
        varied=mechanism.VARIED,
    )


def _machine(parameters: Parameters) -> Machine:
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    nodes, cpus = nodes_with_cpus(machine), sum(machine.cpus)
    if len(nodes) < 2 or len(nodes) % 2 or min(machine.memory) == 0:
        raise BadInput(
            "machine must have an even number of nodes, each with CPUs and memory,"
            f" got {machine.name}"
        )
    if max(parameters.threads) > cpus:
        raise BadInput(
            f"threads must be at most {cpus}, the CPUs of {machine.name}, got"
            f" {max(parameters.threads)}"
        )
    return machine


def _variant(
    machine: Machine,
    settings: Settings,
    parameters: Parameters,
    name: str,
    threads: int,
    pages: int,
) -> Variant:
    return Variant(
        (mechanism.check_mechanism(name), str(threads)),
        machine,
        mechanism.settings_for(name, settings),
        partial(
            _steps, name=name, threads=threads, pages=pages, touches=parameters.touches
        ),
        accesses=pages * (1 + parameters.touches),
        mapped_pages=mechanism.pages_by_ptes(name, pages, settings),
    )


def _steps(
    simulation: Simulation, name: str, threads: int, pages: int, touches: int
) -> dict[str, float]:
    process = simulation.spawn("job")
    homes = _spread(simulation.machine, threads, 0)
    tasks = [simulation.start_task(process, cpu) for cpu in homes]
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    part = pages // threads
    simulation.run(
        [
            Sweep(task=task, region=region, count=part, first=i * part, pages=part)
            for i, task in enumerate(tasks)
        ]
    )
    away = _spread(simulation.machine, threads, len(simulation.machine.memory) // 2)
    for task, cpu in zip(tasks, away, strict=True):
        simulation.move_task(task, cpu)
    simulation.synchronize()
    for i, task in enumerate(tasks):
        _repair(simulation, task, region, name, i * part, part)
    simulation.synchronize()
    simulation.run(
        [
            Uniform(
                task=task,
                region=region,
                count=part * touches,
                first=i * part,
                pages=part,
            )
            for i, task in enumerate(tasks)
        ]
    )
    return lock_figures(simulation)


def _spread(machine: Machine, threads: int, ahead: int) -> list[int]:
    """Return a CPU for each thread, node by node, each node so many ahead."""
    nodes = nodes_with_cpus(machine)
    cpus = [cpus_of(machine, node) for node in nodes]
    return [
        cpus[(i + ahead) % len(nodes)][i // len(nodes) % len(cpus[0])]
        for i in range(threads)
    ]


def _repair(
    simulation: Simulation,
    task: Task,
    region: Region,
    name: str,
    first: int,
    pages: int,
) -> None:
    """Let a thread move or mark its own part, as a mechanism does."""
    if name == "eager":
        node = int(simulation.machine.cpu_node[task.cpu])
        simulation.move_pages(task, region, node, first=first, pages=pages)
    elif name in mechanism.LAZY:
        how = mechanism.LAZY[name]
        simulation.mark(task, region, how, first=first, pages=pages)


def _report(study: Study, rows: list[Row]) -> str:
    """Return the table, and which lock each row waited for most."""
    lines = [
        f"{row['mechanism']} with {row['threads']} threads waits"
        f" {percent(row[SHARE.name])} of its time, {percent(bound(row)[1])} of that for"
        f" {bound(row)[0]}."
        for row in rows
        if row[SHARE.name] >= LEAST
    ]
    found = lines or ["Nothing waits a hundredth of its time for locks."]
    return "\n\n".join([table(study, rows), "\n".join(map(filled, found))])


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say what is fastest with each number of threads, and which locks bind whom."""
    groups: dict[str, list[Row]] = {row["threads"]: [] for row in rows}
    for row in rows:
        groups[row["threads"]].append(row)
    best = [_best(study, threads, group) for threads, group in groups.items()]
    said = listed([one for one in best if one])
    return sentences(f"{said[:1].upper()}{said[1:]}." if said else "", _binding(rows))


def _best(study: Study, threads: str, rows: list[Row]) -> str:
    """Return what is fastest of the rows with some threads, "" if all were killed."""
    rank = ranked(study, rows).rows
    if not rank:
        return ""
    took = seconds(rank[0]["run_time_ns"])
    return f"with {threads} threads {rank[0]['mechanism']} is fastest ({took})"


def _binding(rows: Sequence[Row]) -> str:
    """Say for each lock that binds who waits most for locks, and how long."""
    most: dict[str, Row] = {}
    for row in sorted(rows, key=lambda one: -one[SHARE.name]):
        if row[SHARE.name] >= LEAST:
            most.setdefault(bound(row)[0], row)
    if not most:
        return "No lock binds any of them."
    said = [
        f"{lock} ({row['mechanism']}, {row['threads']} threads: waits"
        f" {percent(row[SHARE.name])} of the time)"
        for lock, row in most.items()
    ]
    return f"What binds: {listed(said)}."
