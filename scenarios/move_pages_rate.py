"""How fast does move_pages move memory, by the size of its pages and of its calls?

A thread moves pages from one of two sockets to the other, in one call.  A call has a
price of its own (``cost.lru_drain_ns``: every CPU puts its new pages on the LRU first),
a page or a huge page has one (``cost.migrate_page_ns``), and bytes are copied.  Before
6.3 each small page had a TLB flush as well.

Of each machine that was measured one row is calibrated: the copy bandwidth is that of 1
GiB of huge pages on the one, that of a huge page on the other (the default of
``cost.copy_bandwidth``).  The price of a call comes from the row of one small page on
the other.  All other rows follow from these and from the default costs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from ..engine.errors import BadInput
from ..engine.machines import presets
from ..engine.settings.costs import Costs
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.study.columns import Column
from ..engine.study.study import Study, Variant
from ..kernels.words import PAGE_SIZE
from .common.block import BLOCK
from .common.claim import Claim, Why, Word, figure
from .common.claim_table import claim_table
from .common.table import Row, table
from .common.tasks import ends, start_tasks


class Measured(NamedTuple):
    """A machine and a kernel that move_pages was measured on.

    copy     copy bandwidth in bytes/s, 0: that of the costs
    batched  whether the kernel flushes TLBs once a batch (6.3)
    """

    copy: int
    batched: bool


ZEN3, XEON = "Zen 3", "E5-2640 v3"
MEASURED = {
    # 2 MiB at 10.67 GB/s are 196.5 us, less migrate_page_ns and tlb_flush_ns.
    ZEN3: Measured(10_763_000_000, True),
    XEON: Measured(0, False),
}
SMALL, HUGE = "4 KiB", "2 MiB"
_BYTES = {SMALL: PAGE_SIZE, HUGE: BLOCK}

COLUMNS = (
    Column(
        *("bytes_per_s", "bytes/s", "byte/s", "memory that all threads move a second"),
        dtype="f8",
        first=True,
    ),
    Column("call_ns", "a call", "ns", "time of the calls", style="seconds", first=True),
    Column(
        *("page_ns", "a page", "ns", "time of a page or a huge page of a call"),
        dtype="f8",
        style="seconds",
        first=True,
    ),
    Column(
        *("copy_share", "copying", "1", "share of copying in the time of a call"),
        dtype="f8",
        style="percent",
        first=True,
    ),
    Column("tlb_flushes", "TLB flushes", "event", "TLB flushes that calls paid for"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    machines: tuple[str, ...] = field(
        default=(ZEN3, XEON),
        metadata={"choices": tuple(MEASURED), "help": "machines that were measured"},
    )
    sizes: tuple[str, ...] = field(
        default=(SMALL, HUGE),
        metadata={"choices": (SMALL, HUGE), "help": "small or huge pages"},
    )
    counts: tuple[int, ...] = field(
        default=(1, 8, 64, 512, 8192),
        metadata={"min": 1, "help": "pages or huge pages that a call moves"},
    )
    whole: int = field(
        default=1 << 30,
        metadata={"kind": "size", "help": "memory that one more call moves, 0: none"},
    )
    threads: int = field(
        default=1,
        metadata={"min": 1, "max": 32, "help": "threads, each moves pages of its own"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each machine, page size and size of a call."""
    if parameters.whole % BLOCK:
        got = format_size(parameters.whole)
        raise BadInput(f"whole must be a multiple of 2 MiB, got {got}")
    variants = [
        _variant(name, size, label, count, parameters.threads)
        for name in parameters.machines
        for size in parameters.sizes
        for label, count in _counts(parameters, size)
    ]
    return Study(
        __doc__,
        ("pages", "call"),
        tuple(variants),
        COLUMNS,
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        group=lambda row: row["pages"],
        compared="bytes_per_s",
    )


def _counts(parameters: Parameters, size: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each call, and how many pages it moves."""
    for count in parameters.counts:
        yield str(count), count
    if parameters.whole:
        yield format_size(parameters.whole), parameters.whole // _BYTES[size]


def _pages(name: str, size: str) -> str:
    return f"{size}, {name}"


def _variant(name: str, size: str, label: str, count: int, threads: int) -> Variant:
    nbytes, measured = threads * count * _BYTES[size], MEASURED[name]
    settings = Settings(
        thp=Thp(enabled="always" if size == HUGE else "never"),
        migrate_pages_batch=measured.batched,
    )
    return Variant(
        (_pages(name, size), label),
        # Room for all of it, and for the watermarks, on either node.
        presets.preset("2s", 4 * max(nbytes, 64 * BLOCK)),
        settings,
        partial(_steps, size=size, count=count, threads=threads),
        accesses=0,
        mapped_pages=nbytes // PAGE_SIZE if size == SMALL else 0,
        costs=partial(_costs, copy=measured.copy),
    )


def _costs(costs: Costs, copy: int) -> Costs:
    return replace(costs, copy_bandwidth=copy) if copy else costs


def _steps(
    simulation: Simulation, size: str, count: int, threads: int
) -> dict[str, float]:
    home, away = ends(simulation.machine)
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, home, threads)
    nbytes = count * _BYTES[size]
    pages = nbytes // PAGE_SIZE
    region = simulation.mmap(process, threads * nbytes, "data")
    for i, task in enumerate(tasks):
        simulation.populate(task, region, i * pages, pages)
    simulation.synchronize()
    begin = simulation.clock(tasks[0])
    for i, task in enumerate(tasks):
        simulation.move_pages(task, region, away, first=i * pages, pages=pages)
    simulation.synchronize()
    took = simulation.clock(tasks[0]) - begin
    return {
        "bytes_per_s": threads * nbytes * 1e9 / took,
        "call_ns": took,
        "page_ns": took / count,
        "copy_share": nbytes * 1e9 / simulation.costs.copy_bandwidth / took,
        "tlb_flushes": simulation.total("tlb_flushes"),
    }


# --- what was published ---------------------------------------------------------------

SOURCE = (
    "Garg, 'Accelerate page migration with batch copying and hardware offload',"
    " linux-mm, 2025 and 8 May 2026, 6.16-rc6 and 7.1-rc1; Zi Yan, linux-mm, 2017, Xeon"
    " E5-2640 v3"
)
#: GB/s by huge pages a call, 6.16-rc6.
PUBLISHED = {"1": 7.96, "8": 8.20, "64": 9.08, "512": 10.59, "8192": 10.84}
#: GB/s of 1 GiB of small pages, 7.1-rc1 and 6.16-rc6; us of a call for one huge page.
PUBLISHED_SMALL, PUBLISHED_ONE = (3.31, 3.73), 658.54
_FEW = Why(
    Word.NOT_REPRODUCED,
    "Each of 1 to 64 huge pages took 37 to 70 us longer than each of 8192; the price of"
    " a call is 59 us for all together. Perhaps the copy starts cold.",
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return what was published beside ours; calls of several threads were not."""
    if parameters.threads != 1:
        return []
    rate = {
        (row["pages"], row["call"]): float(row["bytes_per_s"]) / 1e9 for row in rows
    }
    huge, one = _pages(ZEN3, HUGE), (_pages(XEON, HUGE), "1")
    found = [
        figure(
            f"{call} of 2 MiB a call, Zen 3",
            *(gb, rate[huge, call]),
            show=_rate,
            why=_FEW,
        )
        for call, gb in PUBLISHED.items()
        if (huge, call) in rate
    ]
    small = _pages(ZEN3, SMALL), format_size(1 << 30)
    if small in rate:
        what = "1 GiB of 4 KiB a call, Zen 3"
        found.append(Claim(what, *PUBLISHED_SMALL, rate[small], show=_rate))
    if one in rate:
        what, took = "one of 2 MiB a call, E5-2640 v3", BLOCK / rate[one] / 1e3
        found.append(figure(what, PUBLISHED_ONE, took, show=lambda us: f"{us:.0f} us"))
    return found


def _rate(gigabytes: float) -> str:
    return f"{gigabytes:.2f} GB/s"


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    beside = claim_table(claims(parameters, rows), SOURCE)
    return "\n\n".join(part for part in (table(study, rows), beside) if part)


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say how much faster the largest call is than the smallest, by kind of page."""
    texts = []
    for pages in dict.fromkeys(str(row["pages"]) for row in rows):
        rates = [float(r["bytes_per_s"]) / 1e9 for r in rows if r["pages"] == pages]
        texts.append(f"{pages}: {_rate(rates[0])} to {_rate(rates[-1])}.")
    return " ".join(texts)
