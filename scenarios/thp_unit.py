"""A huge page on the wrong node: move it whole, or split it and have it rebuilt?

Van Riel's fifth objection of July 2012.  A process of an eighth of the machine's memory
is first touched, as huge pages, on node 0.  Its threads move to node 2, its memory is
marked by PROT_NONE hinting, and they work on at pages taken at random.  The variants
differ in what a hint fault does to a huge page, and in who builds it up again:

whole           it migrates as one unit (Linux since 3.8)
split           it is split, its pages migrate one by one (AutoNUMA 2012); no khugepaged
split_rebuild_  the same, and khugepaged rebuilds, by one of the rules that Linux had
                for the node, or on a random one

khugepaged finds a block while some of its pages have moved and others not; where it
builds on the old node, nothing brings the huge page back.
"""

from dataclasses import dataclass, field, replace

from ..engine.errors import BadInput
from ..engine.settings.settings import SNAPSHOTS, Settings, nanoseconds
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import ASLEEP, TARGETS, Khugepaged, Thp
from ..engine.settings.tlb_size import Tlb
from ..engine.study.columns import SUMMARY, THP, hide
from ..engine.study.study import Study, Variant
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from . import mechanisms
from .common.table import table

QUESTION = "Huge pages on the wrong node: move them whole, or split and rebuild them?"
# 64 blocks, which take it 24 ms, and a nap.
BUSY = Khugepaged(pages_to_scan=64 * HPAGE_PMD_NR, scan_sleep_millisecs=1)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=64 << 30, metadata={"kind": "size", "help": "RAM of the machine"}
    )
    machine: str = field(
        default="4s", metadata={"help": "machine preset, or a file of numactl output"}
    )
    tasks: int = field(default=4, metadata={"min": 1, "help": "threads"})
    touches: int = field(
        default=16, metadata={"min": 1, "help": "accesses a page after the move"}
    )
    refs: int = field(
        default=8,
        metadata={
            "min": 1,
            "max": 1 << 20,
            "help": "cache lines that an access stands for",
        },
    )
    snapshots: tuple[float, ...] = field(default=(), metadata=SNAPSHOTS)
    khugepaged: Khugepaged = BUSY
    tlb: Tlb = Tlb(enabled=True)


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput where the machine does not fit."""
    machine = mechanisms.machine_of(parameters.machine, parameters.memory)
    share = parameters.tasks * HPAGE_PMD_NR
    pages = parameters.memory // 8 // PAGE_SIZE // share * share
    if pages == 0:
        raise BadInput(
            f"an eighth of memory must hold 2 MiB for each of {parameters.tasks} tasks,"
            f" got {format_size(parameters.memory // 8)}"
        )
    if parameters.khugepaged.target != BUSY.target:
        raise BadInput(
            "khugepaged.target must be left alone, the variants try every rule,"
            f" got {parameters.khugepaged.target}"
        )
    settings = Settings(
        # What there is to see happens in tenths of a second.
        epoch_ns=100_000_000,
        tlb=parameters.tlb,
        snapshots_ns=nanoseconds(parameters.snapshots),
    )
    variants = [
        Variant(
            name,
            machine,
            replace(settings, thp=thp, khugepaged=khugepaged),
            lambda simulation: mechanisms.steps(
                simulation, parameters, "hinting", pages
            ),
            accesses=pages * (1 + parameters.touches),
            mapped_pages=0 if name == "whole" else pages,
        )
        for name, (thp, khugepaged) in _ways(parameters.khugepaged).items()
    ]
    return Study(
        QUESTION,
        "variant",
        tuple(variants),
        (*THP, *hide(SUMMARY, *_UNUSED)),
        report=lambda study, rows: _report(study, rows, parameters),
    )


def _ways(tuned: Khugepaged) -> dict[str, tuple[Thp, Khugepaged]]:
    """Return how each variant moves huge pages and builds them up again."""
    whole, split = Thp(enabled="always"), Thp(enabled="always", unit_hinting=False)
    ways = {"whole": (whole, ASLEEP), "split": (split, ASLEEP)}
    for rule in TARGETS:
        ways[f"split_rebuild_{rule}"] = split, replace(tuned, target=rule)
    return ways


_UNUSED = ("swap_slots_peak", "migcache_entries_peak", "oom_kills", "pages_marked")


def _report(study: Study, rows: list[dict], parameters: Parameters) -> str:
    """Return the table, and how khugepaged was tuned."""
    knobs = parameters.khugepaged
    return (
        f"{table(study, rows)}\n\n"
        f"khugepaged rebuilds with pages_to_scan {knobs.pages_to_scan:,},"
        f" scan_sleep {knobs.scan_sleep_millisecs:,} ms,"
        f" alloc_sleep {knobs.alloc_sleep_millisecs:,} ms,\n"
        f"max_ptes_none {knobs.max_ptes_none}, max_ptes_swap {knobs.max_ptes_swap},"
        f" max_ptes_shared {knobs.max_ptes_shared}; it sleeps in whole and split.\n"
        "By default it looks at 4,096 pages every 10,000 ms. The slower it is, the more"
        " pages have moved when it rebuilds."
    )
