"""Threads move to another node: what does each way to bring their memory after cost?

A process of an eighth of the machine's memory is first touched on node 0.  Its threads
are moved to node 2 and work on, at pages taken uniformly at random.  Every mechanism
gets one chance, at the move: nothing, mbind MOVE at once, or one mark of everything so
that a page migrates when it is first touched.  NUMA balancing is not told of the move:
it scans at its own pace, 256 MiB at a time, and has to find out; a run that ends within
its ``scan_delay`` ends without it.  With ``thp=always`` the job's memory is huge pages:
the two caches split them, the others move them whole.
"""

from dataclasses import dataclass, field

from ..engine.errors import BadInput
from ..engine.machine import spec
from ..engine.machine.machine import Machine, cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import SNAPSHOTS, Settings, nanoseconds
from ..engine.settings.thp import Khugepaged, Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import SUMMARY, THP_SHARE, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep, Uniform
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.table import count, percent, seconds, table

QUESTION = "Which mechanism brings memory after threads that move, and at what price?"
HOME, AWAY = 0, 2
SCANNED = Column(
    *("numa_pte_updates", "scanned", "page"),
    "pages that got a hinting mark, at the move or from the scanner",
    style="hidden",
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=1 << 40, metadata={"kind": "size", "help": "RAM of the machine"}
    )
    machine: str = field(
        default="4s", metadata={"help": "machine preset, or a file of numactl output"}
    )
    tasks: int = field(default=32, metadata={"min": 1, "help": "threads"})
    touches: int = field(
        default=5, metadata={"min": 1, "help": "accesses a page after the move"}
    )
    refs: int = field(
        default=64,
        metadata={
            "min": 1,
            "max": 1 << 20,
            "help": "cache lines that an access stands for",
        },
    )
    mechanisms: tuple[str, ...] = field(
        default=mechanism.MECHANISMS, metadata={"help": "mechanisms to compare"}
    )
    snapshots: tuple[float, ...] = field(default=(), metadata=SNAPSHOTS)
    thp: Thp = Thp()
    khugepaged: Khugepaged = Khugepaged()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput where the machine or a mechanism does not fit."""
    machine = machine_of(parameters.machine, parameters.memory)
    pages = parameters.memory // 8 // PAGE_SIZE // parameters.tasks * parameters.tasks
    if pages == 0:
        raise BadInput(f"memory must give every task a page, got {parameters.memory}")
    mechanism.check_knobs(parameters.balancing)
    settings = Settings(
        swap_bytes=parameters.memory // 128,
        thp=parameters.thp,
        khugepaged=parameters.khugepaged,
        tlb=parameters.tlb,
        balancing=parameters.balancing,
        snapshots_ns=nanoseconds(parameters.snapshots),
    )
    return Study(
        QUESTION,
        "mechanism",
        tuple(
            Variant(
                mechanism.check_mechanism(name),
                machine,
                mechanism.settings_for(name, settings),
                lambda simulation, name=name: steps(
                    simulation, parameters, name, pages
                ),
                accesses=pages * (1 + parameters.touches),
                mapped_pages=mechanism.pages_by_ptes(name, pages, settings),
            )
            for name in parameters.mechanisms
        ),
        (THP_SHARE, SCANNED, *hide(SUMMARY, "oom_kills")),
        report=lambda study, rows: _report(study, rows, parameters, pages),
    )


def machine_of(text: str, memory: int) -> Machine:
    """Return a machine of ``memory`` bytes; BadInput where a node has no CPUs."""
    machine = spec.machine(text, memory)
    if machine.nodes <= AWAY or not machine.cpus[HOME] or not machine.cpus[AWAY]:
        raise BadInput(
            f"machine must have CPUs on nodes {HOME} and {AWAY}, got {machine.name}"
        )
    return machine


def _report(study: Study, rows: list[dict], parameters, pages: int) -> str:
    """Return the table, and how far NUMA balancing got."""
    row = {one["mechanism"]: one for one in rows}.get(mechanism.BALANCING)
    if row is None:
        return table(study, rows)
    scanned, delay = row["numa_pte_updates"], parameters.balancing.scan_delay_ms
    return (
        f"{table(study, rows)}\n\n"
        f"balancing marked {count(scanned)} pages in {seconds(row['run_time_ns'])},"
        f" {percent(scanned / pages)} of the job's: nobody tells it of the move, it\n"
        f"begins {count(delay)} ms after the job and scans 2,560 MB/s at most."
    )


def steps(simulation, parameters, name: str, pages: int) -> dict:
    """Touch memory, move, let a mechanism have its chance, and work on.

    parameters  has ``tasks``, ``touches`` and ``refs``; ``pages``: 4 KiB, in all
    """
    process = simulation.spawn("job")
    cpus = cpus_of(simulation.machine, HOME)
    tasks = [
        simulation.start_task(process, cpus[i % len(cpus)])
        for i in range(parameters.tasks)
    ]
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.advise(tasks[0], region, "hugepage")
    slab = pages // parameters.tasks
    simulation.run(
        [
            Sweep(
                task=task,
                region=region,
                count=slab,
                refs=parameters.refs,
                first=i * slab,
                pages=slab,
            )
            for i, task in enumerate(tasks)
        ]
    )
    _move(simulation, tasks)
    mechanism.repair(simulation, tasks[0], region, name, AWAY)
    simulation.synchronize()
    count = slab * parameters.touches
    simulation.run(
        [
            Uniform(task=task, region=region, count=count, refs=parameters.refs)
            for task in tasks
        ],
        tail=(slab + count) // 10,
    )
    return {"numa_pte_updates": simulation.total("numa_pte_updates")}


def _move(simulation, tasks) -> None:
    """Move the threads, which stop for it together."""
    cpus = cpus_of(simulation.machine, AWAY)
    for i, task in enumerate(tasks):
        simulation.move_task(task, cpus[i % len(cpus)])
    simulation.synchronize()
