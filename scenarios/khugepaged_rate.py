"""How long does khugepaged take to turn small pages into huge ones?

Memory is mapped by 4 KiB pages, all of it in use and on the node of its user.  It is
then advised to be huge, and khugepaged is left alone with it.  By default khugepaged
looks at 8 blocks of 2 MiB every 10 s, whether they can collapse or not: a terabyte
takes a week.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine
from ..engine.settings.costs import Costs
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import UINT_MAX, Khugepaged, Thp
from ..engine.simulation import Simulation
from ..engine.study.columns import THP, TIMES, Column
from ..engine.study.figures import ratio, seconds
from ..engine.study.study import Study, Variant
from ..kernels.counters import ScanResult
from ..kernels.words import HPAGE_PMD_NR
from .common.block import BLOCK
from .common.claim import Claim, figure
from .common.question_columns import first
from .common.table import Row
from .common.tasks import nodes_with_cpus, start_tasks

# How often the progress is read in the expected time.
LOOKS = 400

COLUMNS = (
    Column(
        "time_to_half_ns",
        "half after",
        "ns",
        "until half is huge, -1: not within one full scan",
        style="seconds",
    ),
    Column(
        "time_to_all_ns",
        "all after",
        "ns",
        "until all is huge, -1: not within one full scan",
        style="seconds",
    ),
    Column("bytes_per_s", "bytes/s", "byte/s", "memory made huge per second", "f8"),
    Column("blocks_scanned", "scanned", "block", "blocks that khugepaged looked at"),
    Column("failures", "no memory", "event", "collapses that found no huge page"),
    Column("full_scans", "full scans", "event", "rounds through all processes"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    mapped: int = field(
        default=1 << 40, metadata={"kind": "size", "help": "memory of the job"}
    )
    machine: MachineChoice = machine_field("4s")
    pages_to_scan: tuple[int, ...] = field(
        default=(4096, 65536),
        metadata={"min": 1, "max": UINT_MAX, "help": "pages scanned at each wake-up"},
    )
    scan_sleep_millisecs: tuple[int, ...] = field(
        default=(10_000, 100),
        metadata={"min": 1, "max": UINT_MAX, "help": "time between wake-ups"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each pace of khugepaged."""
    if parameters.mapped < BLOCK:
        raise BadInput(
            f"mapped must be at least 2 MiB, got {format_size(parameters.mapped)}"
        )
    machine = spec.machine(parameters.machine, 2 * parameters.mapped)
    nodes = len(nodes_with_cpus(machine))
    blocks = parameters.mapped // BLOCK // nodes * nodes
    if not blocks:
        raise BadInput(
            f"mapped must give each of {nodes} nodes 2 MiB,"
            f" got {format_size(parameters.mapped)}"
        )
    variants = []
    for sleep in parameters.scan_sleep_millisecs:
        for pages in parameters.pages_to_scan:
            tuned = Khugepaged(pages_to_scan=pages, scan_sleep_millisecs=sleep)
            variants.append(_variant(machine, blocks, tuned))
    columns = first(
        (*COLUMNS, *THP, *TIMES), "time_to_half_ns", "time_to_all_ns", "thp_share"
    )
    return Study(
        __doc__,
        "tuning",
        tuple(variants),
        columns,
        verdict=_verdict,
        compared="time_to_all_ns",
    )


def _variant(machine: Machine, blocks: int, tuned: Khugepaged) -> Variant:
    pace = max(1, tuned.pages_to_scan // HPAGE_PMD_NR)
    sleep = tuned.scan_sleep_millisecs * 1_000_000
    expected = -(-blocks // pace) * sleep + blocks * Costs().collapse_ns
    step = max(1, expected // LOOKS)
    settings = Settings(
        thp=Thp(enabled="madvise"),
        khugepaged=tuned,
        epoch_ns=max(1_000_000_000, step),
    )
    return Variant(
        _pace_name(tuned.pages_to_scan, tuned.scan_sleep_millisecs),
        machine,
        settings,
        partial(_steps, blocks=blocks, step=step),
        accesses=0,
        mapped_pages=blocks * HPAGE_PMD_NR,
    )


SOURCE = (
    "khugepaged_pages_to_scan and scan_sleep_millisecs, mm/khugepaged.c: 8 blocks every"
    " 10 s"
)
#: What is run for that.
CLAIMED = Parameters(
    mapped=8 << 30, pages_to_scan=(4096,), scan_sleep_millisecs=(10_000,)
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what follows from the kernel's defaults beside ours."""
    default = Khugepaged()
    name = _pace_name(default.pages_to_scan, default.scan_sleep_millisecs)
    blocks = parameters.mapped // BLOCK
    rounds = blocks * HPAGE_PMD_NR / default.pages_to_scan
    return [
        figure(
            f"all of {format_size(parameters.mapped)} huge, by default",
            rounds * default.scan_sleep_millisecs / 1000,
            row["time_to_all_ns"] / 1e9,
            show=lambda number: f"{number:,.0f} s",
        )
        for row in rows
        if row["tuning"] == name
    ]


def _pace_name(pages: int, sleep: int) -> str:
    return f"{pages} pages, sleep {sleep} ms"


def _steps(simulation: Simulation, blocks: int, step: int) -> dict[str, float]:
    process = simulation.spawn("job")
    region = simulation.mmap(process, blocks * BLOCK, "data")
    nodes = nodes_with_cpus(simulation.machine)
    share = region.pages // len(nodes)
    for i, node in enumerate(nodes):
        (task,) = start_tasks(simulation, process, node, 1)
        simulation.populate(task, region, i * share, share)
    simulation.advise(task, region, "hugepage")
    start, half = simulation.now, -1
    while simulation.full_scans == 0 and simulation.pages_collapsed < blocks:
        simulation.idle(step)
        if half < 0 and 2 * simulation.pages_collapsed >= blocks:
            half = simulation.now - start
    took = simulation.now - start
    done = simulation.pages_collapsed
    results = simulation.scan_results()
    return {
        "time_to_half_ns": half,
        "time_to_all_ns": took if done == blocks else -1,
        "bytes_per_s": done * BLOCK * 1e9 / took,
        "blocks_scanned": int(results.sum() - results[ScanResult.VMA_CHECK]),
        "failures": simulation.total("thp_collapse_alloc_failed"),
        "full_scans": simulation.full_scans,
    }


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say how long the first tuning takes, and what the fastest one gains."""
    done = [row for row in rows if row["time_to_all_ns"] >= 0]
    if not done:
        return "In no tuning all memory is huge after one full scan."
    best = min(done, key=lambda row: row["time_to_all_ns"])
    slow = max(done, key=lambda row: row["time_to_all_ns"])
    text = f"All memory is huge after {seconds(slow['time_to_all_ns'])} ({_name(slow)})"
    if best is not slow:
        gain = ratio(slow["time_to_all_ns"], best["time_to_all_ns"])
        took = seconds(best["time_to_all_ns"])
        text += f", and after {took} ({_name(best)}), {gain} as fast"
    never = [_name(row) for row in rows if row not in done]
    late = f" Not within one full scan: {'; '.join(never)}." if never else ""
    return f"{text}.{late}"


def _name(row: Row) -> str:
    return str(row["tuning"])
