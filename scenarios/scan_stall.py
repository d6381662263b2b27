"""How long does a scan of NUMA balancing stop a thread, and who waits for it?

A scan is work of the thread that was about to go back to its program: it marks up to
``scan_size_mb`` of memory, flushes the TLBs of all threads, and only then goes on
(``task_numa_work``).  All that time it reads ``mmap_lock``.  Faults read it, too, and
do not wait; but whoever maps, unmaps or protects memory writes it, and waits until the
scan is over.

Threads on both sockets sweep over memory of their own, so that all marks are gone when
the scanner comes back; it comes as often as it may.  The longest scan is the longest
stall of a thread.  ``a writer waits`` is what one that comes at any time waits for
scans, in the mean: half of a scan, if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.machines import presets
from ..engine.machines.machine import cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.process import Region, Task
from ..engine.study.columns import Column
from ..engine.study.figures import seconds
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.counters import Cause
from ..kernels.words import HPAGE_PMD_NR
from .common.block import BLOCK
from .common.claim import Claim
from .common.claim_table import claim_table
from .common.table import Row, table

SMALL, HUGE = "4 KiB", "2 MiB"
#: Parts of a sweep between two looks at the scanner, and how long a sweep takes.
_PARTS, _SWEEP_NS = 8, 400_000_000

COLUMNS = (
    Column(
        *("longest_ns", "longest stall", "ns", "longest scan, which stops its thread"),
        style="seconds",
        first=True,
    ),
    Column(
        *("mean_ns", "mean stall", "ns", "mean length of a scan"),
        dtype="f8",
        style="seconds",
        first=True,
    ),
    Column(
        *("writer_ns", "a writer waits", "ns", "mean wait of a writer for scans"),
        dtype="f8",
        style="seconds",
        first=True,
    ),
    Column(
        *("held_share", "lock held", "1", "share of the time in which a scan reads it"),
        dtype="f8",
        style="percent",
        first=True,
    ),
    Column("scans", "scans", "event", "scans that marked memory", first=True),
    Column(
        *("thread_share", "of a thread", "1", "share of a thread's time in scans"),
        dtype="f8",
        style="percent",
        first=True,
    ),
    Column("numa_pte_updates", "marked", "page", "pages that scans marked"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    pages: tuple[str, ...] = field(
        default=(SMALL, HUGE),
        metadata={"choices": (SMALL, HUGE), "help": "what maps the memory"},
    )
    sizes_mb: tuple[int, ...] = field(
        default=(64, 256, 1024),
        metadata={"min": 4, "max": 1 << 16, "help": "scan sizes, in MB"},
    )
    threads: tuple[int, ...] = field(
        default=(2, 16, 64),
        metadata={"min": 2, "max": 64, "help": "threads of the process"},
    )
    seconds: int = field(
        default=4, metadata={"min": 1, "help": "simulated seconds of work"}
    )
    balancing: Balancing = Balancing(placement=False, scan_period_max_ms=1000)


def build(parameters: Parameters) -> Study:
    """Return the study: each kind of page and scan size with each number of threads."""
    variants = [
        _variant(parameters, pages, size, threads)
        for pages in parameters.pages
        for size in parameters.sizes_mb
        for threads in parameters.threads
    ]
    return Study(
        __doc__,
        ("scan", "threads"),
        tuple(variants),
        COLUMNS,
        report=partial(_report, parameters=parameters),
        verdict=_verdict,
        varied=("balancing.mode", "balancing.scan_size_mb", "thp.enabled"),
        group=lambda row: row["scan"],
        compared="longest_ns",
    )


def _scan(pages: str, size: int) -> str:
    return f"{size} MB of {pages}"


def _variant(parameters: Parameters, pages: str, size: int, threads: int) -> Variant:
    # Twice the size of a scan, in blocks of 2 MiB.
    blocks = -(-size // threads) * threads
    settings = Settings(
        thp=Thp(enabled="always" if pages == HUGE else "never"),
        balancing=replace(parameters.balancing, mode="normal", scan_size_mb=size),
        quantum_ns=20_000_000,
    )
    step = HPAGE_PMD_NR if pages == HUGE else 1
    sweeps = parameters.seconds * 10**9 // _SWEEP_NS + 1
    return Variant(
        (_scan(pages, size), str(threads)),
        presets.preset("2s", 4 * blocks * BLOCK),
        settings,
        partial(
            _steps,
            blocks=blocks,
            threads=threads,
            step=step,
            length=parameters.seconds * 10**9,
        ),
        accesses=sweeps * blocks * HPAGE_PMD_NR // step,
        mapped_pages=blocks * HPAGE_PMD_NR if pages == SMALL else 0,
    )


def _steps(
    simulation: Simulation, blocks: int, threads: int, step: int, length: int
) -> dict[str, float]:
    region, tasks = _start(simulation, blocks, threads)
    begin, scans, squares, part = simulation.now, 0, 0.0, 0
    spent = _scanned(simulation)
    while simulation.now - begin < length:
        simulation.run(_sweep(simulation, region, tasks, step, part))
        part = (part + 1) % _PARTS
        done, before = simulation.numa_scans()[0], spent
        spent = _scanned(simulation)
        if done > scans:
            squares += (spent - before) ** 2 / (done - scans)
        scans = done
    took = simulation.now - begin
    return {
        "longest_ns": simulation.numa_scans()[1],
        "mean_ns": spent / max(1, scans),
        "writer_ns": squares / 2 / took,
        "held_share": spent / took,
        "scans": scans,
        "thread_share": spent / took / threads,
        "numa_pte_updates": simulation.total("numa_pte_updates"),
    }


def _start(
    simulation: Simulation, blocks: int, threads: int
) -> tuple[Region, list[Task]]:
    """Start threads on both sockets, and let each touch its own part."""
    process = simulation.spawn("job")
    cpus = [cpus_of(simulation.machine, node) for node in range(2)]
    tasks = [
        simulation.start_task(process, cpus[i % 2][i // 2]) for i in range(threads)
    ]
    region = simulation.mmap(process, blocks * BLOCK, "data")
    part = region.pages // threads
    for i, task in enumerate(tasks):
        simulation.populate(task, region, i * part, part)
    simulation.synchronize()
    return region, tasks


def _sweep(
    simulation: Simulation, region: Region, tasks: list[Task], step: int, part: int
) -> list[Sweep]:
    """Return the accesses of all threads to a piece of their own parts."""
    own = region.pages // len(tasks)
    count = -(-own // step // _PARTS)
    latency = int(simulation.machine.latency_ns[0, 0])
    return [
        Sweep(
            task=task,
            region=region,
            count=count,
            refs=max(1, _SWEEP_NS // (latency * _PARTS * count)),
            first=i * own,
            pages=own,
            start=part * count * step % own,
            stride=step,
        )
        for i, task in enumerate(tasks)
    ]


def _scanned(simulation: Simulation) -> int:
    """Return the time that all threads have spent in scans, ns."""
    return int(simulation.spent[:, Cause.SCAN].sum())


# --- what was published ---------------------------------------------------------------

SOURCE = (
    "DeepEP, issue 624, 7 May 2026, Linux 5.15: of 139 scans of a process in 60 s 57"
    " took 8 to 16 ms, 2 took 16 to 32 ms"
)


def claims(parameters: Parameters, rows: list[Row]) -> list[Claim]:
    """Return how long a scan of the usual size was measured to take, and ours."""
    usual = _scan(SMALL, Balancing().scan_size_mb)
    return [
        Claim(
            f"a full scan of {usual}, threads {row['threads']}",
            *(8.0, 16.0, float(row["longest_ns"]) / 1e6),
            show=lambda ms: f"{ms:.1f} ms",
        )
        for row in rows
        if row["scan"] == usual and row["threads"] == str(max(parameters.threads))
    ]


def _report(study: Study, rows: list[Row], parameters: Parameters) -> str:
    beside = claim_table(claims(parameters, rows), SOURCE)
    return "\n\n".join(part for part in (table(study, rows), beside) if part)


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say which scan stops a thread longest, and which shortest."""
    order = sorted(rows, key=lambda row: int(row["longest_ns"]))
    return " ".join(
        f"A scan of {row['scan']} with {row['threads']} threads stops one for"
        f" {seconds(int(row['longest_ns']))}; a writer waits"
        f" {seconds(float(row['writer_ns']))} for scans."
        for row in (order[-1], order[0])
    )
