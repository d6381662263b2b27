"""Threads move to another node: what does it cost to bring their memory after them?

A process first touches an eighth of the machine's memory on its first node.  Its
threads then move to the farthest node that has CPUs (node 2 of the default machine) and
use pages chosen uniformly at random.  Each mechanism gets one
chance, at the move: do nothing, move everything at once with mbind, or mark everything
once, so that each page migrates when it is next touched.  Nobody tells NUMA balancing
about the move: it scans at its own pace, 256 MiB at a time, and has to find out.  A run
that ends within ``scan_delay`` ends without it.  With ``thp=always`` the memory of the
job is huge pages: the two caches split them, the other mechanisms move them whole.

Moving everything at once is one thread's work by default, with a TLB flush for each
page, and the other threads wait for it.  ``eager_by=each`` lets each thread move its
own part at the same time, and ``migrate_pages_batch=true`` flushes once a batch, as
Linux does since 6.3.  Copies are no traffic in this model: they do not slow each other.
"""

from dataclasses import dataclass, field
from functools import partial

from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.thp import Khugepaged, Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import SUMMARY, THP_SHARE, Column, hide
from ..engine.study.study import Study
from .common import mechanism
from .common.hangs_on import hangs_on
from .common.moved_job import (
    CALL,
    EAGER_BY,
    TASKS,
    MovedJob,
    machine_of,
    pages_of,
    variants,
)
from .common.table import Row, count, filled, percent, seconds, table

SCANNED = Column(
    "numa_pte_updates",
    "scanned",
    "page",
    "pages that got a hinting mark, at the move or from the scanner",
    style="hidden",
)


#: Of a preset.
RAM = 1 << 40


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("4s")
    tasks: int = field(default=TASKS, metadata={"min": 1, "help": "threads"})
    touches: int = field(
        default=5, metadata={"min": 1, "help": "accesses to each page after the move"}
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
    eager_by: str = field(
        default="one",
        metadata={
            "choices": EAGER_BY,
            "help": "eager: one thread moves all, or each its own part",
        },
    )
    migrate_pages_batch: bool = field(
        default=False,
        metadata={"help": "calls flush TLBs once for up to 512 pages (Linux 6.3)"},
    )
    thp: Thp = Thp()
    khugepaged: Khugepaged = Khugepaged()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput if the machine or a mechanism does not fit."""
    machine = machine_of(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    job = MovedJob(
        pages_of(machine, parameters.memory, parameters.tasks),
        parameters.tasks,
        parameters.touches,
        parameters.refs,
        parameters.eager_by,
    )
    mechanism.check_knobs(parameters.balancing)
    settings = Settings(
        swap_bytes=parameters.memory // 128,
        migrate_pages_batch=parameters.migrate_pages_batch,
        thp=parameters.thp,
        khugepaged=parameters.khugepaged,
        tlb=parameters.tlb,
        balancing=parameters.balancing,
    )
    return Study(
        __doc__,
        "mechanism",
        tuple(variants(machine, job, settings, parameters.mechanisms)),
        (THP_SHARE, SCANNED, *CALL, *hide(SUMMARY, "oom_kills")),
        report=partial(_report, parameters=parameters, pages=job.pages),
        varied=mechanism.VARIED,
    )


def _report(study: Study, rows: list[Row], parameters: Parameters, pages: int) -> str:
    """Return the table, what eager hangs on, and how far NUMA balancing got."""
    how = parameters.tasks, parameters.eager_by, parameters.migrate_pages_batch
    parts = [table(study, rows), hangs_on(rows, *how)]
    row = {one["mechanism"]: one for one in rows}.get(mechanism.BALANCING)
    if row is not None and row["numa_pte_updates"]:
        parts.append(filled(_scanned(row, parameters.balancing, pages)))
    return "\n\n".join(part for part in parts if part)


def _scanned(row: Row, balancing: Balancing, pages: int) -> str:
    """Return how far NUMA balancing got."""
    marked = row["numa_pte_updates"]
    return (
        f"balancing marked {count(marked)} pages in {seconds(row['run_time_ns'])},"
        f" {percent(marked / pages)} of the job's memory. It is not told of the move:"
        f" it starts {count(balancing.scan_delay_ms)} ms after the job and scans at"
        " most 2,560 MB/s."
    )
