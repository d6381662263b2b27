"""A huge page on the wrong node: move it whole, or split it and have it rebuilt?

Van Riel's fifth objection of July 2012.  A process first touches an eighth of the
machine's memory on its first node, as huge pages.  Its threads move to the farthest
node, its memory is marked by PROT_NONE hinting, and they go on with pages chosen at
random.  The variants
differ in what a hint fault does to a huge page, and in what builds the page up again:

whole           it migrates as one unit (Linux since 3.8)
split           it is split and its pages migrate one by one (AutoNUMA 2012); khugepaged
                sleeps
split_rebuild_  the same, but khugepaged rebuilds it, on the node that one of Linux's
                rules chooses, or on a random node

khugepaged finds a block when some of its pages have moved and others have not.  If it
builds the huge page on the old node, nothing moves it to the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.settings.settings import Settings
from ..engine.settings.thp import ASLEEP, TARGETS, Khugepaged, Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import SUMMARY, THP, hide
from ..engine.study.figures import listed, percent
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import fastest, sentences
from ..kernels.words import HPAGE_PMD_NR
from .common.moved_job import MovedJob, machine_of, pages_of, run_job
from .common.question_columns import ONLY_LAZY, first
from .common.table import Row, filled, table

# It scans 64 blocks, which takes 24 ms, and sleeps for a millisecond.
BUSY = Khugepaged(pages_to_scan=64 * HPAGE_PMD_NR, scan_sleep_millisecs=1)


#: Of a preset.
RAM = 64 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("4s")
    tasks: int = field(default=4, metadata={"min": 1, "help": "threads"})
    touches: int = field(
        default=16, metadata={"min": 1, "help": "accesses to each page after the move"}
    )
    refs: int = field(
        default=8,
        metadata={
            "min": 1,
            "max": 1 << 20,
            "help": "cache lines that an access stands for",
        },
    )
    khugepaged: Khugepaged = BUSY
    tlb: Tlb = Tlb(enabled=True)


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput if the machine does not fit."""
    machine = machine_of(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    unit = parameters.tasks * HPAGE_PMD_NR
    pages = pages_of(machine, parameters.memory, unit)
    if parameters.khugepaged.target != BUSY.target:
        raise BadInput(
            "khugepaged.target must be left alone, the variants try every rule,"
            f" got {parameters.khugepaged.target}"
        )
    job = MovedJob(pages, parameters.tasks, parameters.touches, parameters.refs)
    settings = Settings(
        # All that there is to see happens in tenths of a second.
        epoch_ns=100_000_000,
        tlb=parameters.tlb,
    )
    variants = [
        Variant(
            name,
            machine,
            replace(settings, thp=thp, khugepaged=khugepaged),
            partial(run_job, job=job, name="hinting"),
            accesses=job.accesses,
            mapped_pages=0 if name == "whole" else pages,
        )
        for name, (thp, khugepaged) in _ways(parameters.khugepaged).items()
    ]
    return Study(
        __doc__,
        "variant",
        tuple(variants),
        (*first(THP, "thp_share", "huge_local_share"), *hide(SUMMARY, *ONLY_LAZY)),
        report=partial(_report, tuned=parameters.khugepaged),
        verdict=_verdict,
    )


def _ways(tuned: Khugepaged) -> dict[str, tuple[Thp, Khugepaged]]:
    """Return how each variant moves huge pages and builds them up again."""
    whole, split = Thp(enabled="always"), Thp(enabled="always", unit_hinting=False)
    ways = {"whole": (whole, ASLEEP), "split": (split, ASLEEP)}
    for rule in TARGETS:
        ways[f"split_rebuild_{rule}"] = split, replace(tuned, target=rule)
    return ways


def _report(study: Study, rows: list[Row], tuned: Khugepaged) -> str:
    """Return the table, and how khugepaged was tuned."""
    note = (
        f"khugepaged rebuilds with pages_to_scan {tuned.pages_to_scan:,},"
        f" scan_sleep {tuned.scan_sleep_millisecs:,} ms,"
        f" alloc_sleep {tuned.alloc_sleep_millisecs:,} ms,"
        f" max_ptes_none {tuned.max_ptes_none}, max_ptes_swap {tuned.max_ptes_swap},"
        f" max_ptes_shared {tuned.max_ptes_shared};"
        " it sleeps in whole and split. Linux's default is 4,096 pages every 10,000 ms."
        " The slower it is, the more pages have moved when it rebuilds."
    )
    return f"{table(study, rows)}\n\n{filled(note)}"


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say which way is fastest, and where those that rebuild leave huge pages."""
    rebuilt = [row for row in rows if row["thp_collapses"]]
    if not rebuilt:
        return fastest(study, rows)
    shares = sorted({percent(float(row["huge_local_share"])) for row in rebuilt})
    return sentences(
        fastest(study, rows),
        f"Huge pages that were rebuilt are local to {listed(shares)}.",
    )
