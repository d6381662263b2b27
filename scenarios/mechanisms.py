"""Threads move to another node: what does it cost to bring their memory after them?

A process first touches an eighth of the machine's memory on its first node.  Its
threads then move to the farthest node that has CPUs (node 2 of the default machine) and
use pages chosen uniformly at random.  Each mechanism gets one
chance, at the move: do nothing, move everything at once with mbind, or mark everything
once, so that each page migrates when it is next touched.  Nobody tells NUMA balancing
about the move: it scans at its own pace, 256 MiB at a time, and has to find out.  A run
that ends within ``scan_delay`` ends without it.  With ``thp=always`` the memory of the
job is huge pages: the two caches split them, the other mechanisms move them whole.
"""

from dataclasses import dataclass, field
from functools import partial

from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.thp import Khugepaged, Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import SUMMARY, THP_SHARE, Column, hide
from ..engine.study.study import Study
from .common import mechanism
from .common.moved_job import TASKS, MovedJob, machine_of, pages_of, variants
from .common.table import Row, count, filled, percent, seconds, table

SCANNED = Column(
    "numa_pte_updates",
    "scanned",
    "page",
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
    thp: Thp = Thp()
    khugepaged: Khugepaged = Khugepaged()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput if the machine or a mechanism does not fit."""
    machine = machine_of(parameters.machine, parameters.memory)
    job = MovedJob(
        pages_of(machine, parameters.memory, parameters.tasks),
        parameters.tasks,
        parameters.touches,
        parameters.refs,
    )
    mechanism.check_knobs(parameters.balancing)
    settings = Settings(
        swap_bytes=parameters.memory // 128,
        thp=parameters.thp,
        khugepaged=parameters.khugepaged,
        tlb=parameters.tlb,
        balancing=parameters.balancing,
    )
    return Study(
        __doc__,
        "mechanism",
        tuple(variants(machine, job, settings, parameters.mechanisms)),
        (THP_SHARE, SCANNED, *hide(SUMMARY, "oom_kills")),
        report=partial(_report, balancing=parameters.balancing, pages=job.pages),
        varied=mechanism.VARIED,
    )


def _report(study: Study, rows: list[Row], balancing: Balancing, pages: int) -> str:
    """Return the table, and how far NUMA balancing got."""
    row = {one["mechanism"]: one for one in rows}.get(mechanism.BALANCING)
    if row is None or not row["numa_pte_updates"]:
        return table(study, rows)
    marked = row["numa_pte_updates"]
    note = (
        f"balancing marked {count(marked)} pages in {seconds(row['run_time_ns'])},"
        f" {percent(marked / pages)} of the job's memory. It is not told of the move:"
        f" it starts {count(balancing.scan_delay_ms)} ms after the job and scans at"
        " most 2,560 MB/s."
    )
    return f"{table(study, rows)}\n\n{filled(note)}"
