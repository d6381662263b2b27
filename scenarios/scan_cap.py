"""How long until NUMA balancing notices that threads have moved, at 1 GiB to 16 TiB?

A process touches its memory, huge pages all of it, on node 0; then its threads move to
node 1 and work on.  Only the scanner can bring their memory after them.  However large
a process is, it is scanned 256 MiB at a time and every 100 ms at most
(``scan_size_mb``, ``MAX_SCAN_WINDOW`` of kernel/sched/fair.c): 2,560 MB/s, so that one
pass over a terabyte takes 410 s at least.  Tasks are not moved
(``balancing.placement``), so that memory has to.

A thread touches each huge page some times while the scanner passes over all of them
once, whatever the size: an access stands for as many lines as that takes.
"""

from dataclasses import dataclass, field

from ..engine.errors import BadInput
from ..engine.machine import spec
from ..engine.machine.machine import cpus_of
from ..engine.settings.numa_balancing import Balancing
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from ..engine.workloads.kinds import Sweep
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common.mechanism import BALANCING, check_knobs, settings_for
from .common.table import table

QUESTION = "How long until NUMA balancing notices that threads have moved?"
BLOCK = PAGE_SIZE * HPAGE_PMD_NR
#: Bytes that a process has scanned a second at most.
CAP = 2560 << 20
#: Touches of a page, by all threads together, in the time of the fastest pass.
TOUCHES = 8
#: Looks at the state of things in that time.
LOOKS = 50
HOME, AWAY = 0, 1
_NAN = float("nan")

COLUMNS = (
    Column(
        *("pass_ns", "one pass", "ns"),
        "from the move until the scanner had been everywhere, NaN: never",
        dtype="f8",
        style="seconds",
    ),
    Column(
        *("half_ns", "half moved", "ns"),
        "from the move until half of the memory had followed, NaN: never",
        dtype="f8",
        style="seconds",
    ),
    Column(
        *("most_ns", "90 % moved", "ns"),
        "from the move until nine tenths of it had, NaN: never",
        dtype="f8",
        style="seconds",
    ),
    Column(
        *("scan_mb_per_s", "MB/s scanned", "1048576 byte/s"),
        "memory marked a second since the move",
        dtype="f8",
    ),
    Column(
        *("cap_share", "of 2,560", "1", "that, as a part of what the cap allows"),
        dtype="f8",
        style="percent",
    ),
)
_UNUSED = (
    *("pages_marked", "swap_slots_peak", "migcache_entries_peak", "oom_kills"),
    *("converged_ns", "run_time_ns", "local_fraction", "pages_refused"),
)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    sizes: tuple[int, ...] = field(
        default=(1 << 30, 32 << 30, 1 << 40, 16 << 40),
        metadata={"kind": "size", "help": "memory of the process"},
    )
    threads: tuple[int, ...] = field(
        default=(1, 32), metadata={"min": 1, "max": 1024, "help": "threads"}
    )
    machine: str = field(default="2s", metadata={"help": "machine preset or file"})
    passes: int = field(
        default=8,
        metadata={"min": 1, "help": "gives up after so many times the fastest pass"},
    )
    balancing: Balancing = Balancing(placement=False)


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each size and number of threads."""
    check_knobs(parameters.balancing)
    variants = []
    for size in parameters.sizes:
        if size < BLOCK:
            raise BadInput(f"sizes must be at least 2 MiB, got {format_size(size)}")
        # Room for all of it on either node.
        machine = spec.machine(parameters.machine, 4 * size)
        if machine.nodes != 2 or not all(machine.cpus):
            raise BadInput(
                f"machine must have two nodes with CPUs, got {machine.name} with"
                f" {machine.nodes}"
            )
        variants += [
            _variant(machine, size, threads, parameters)
            for threads in parameters.threads
        ]
    # Sizes differ: no case is the best.
    columns = (*COLUMNS, *hide(SUMMARY, *_UNUSED))
    return Study(
        QUESTION, ("size", "threads"), tuple(variants), columns, report=_report
    )


def _variant(machine, size: int, threads: int, parameters: Parameters) -> Variant:
    expected = _fastest(size)
    settings = Settings(
        thp=Thp(enabled="always"),
        balancing=parameters.balancing,
        # Long passes need not be simulated in steps of 50 ms.
        quantum_ns=max(50_000_000, expected // 4000),
        epoch_ns=max(1_000_000_000, expected // 100),
    )
    blocks = size // BLOCK
    return Variant(
        (format_size(size), str(threads)),
        machine,
        settings_for(BALANCING, settings),
        lambda simulation: _steps(simulation, blocks, threads, parameters.passes),
        accesses=(parameters.passes * TOUCHES + 1) * blocks,
        mapped_pages=0,
    )


def _fastest(size: int) -> int:
    """Return the ns that a pass over ``size`` bytes takes at least."""
    return size * 10**9 // CAP


def _steps(simulation, blocks: int, threads: int, passes: int) -> dict:
    process, region, tasks = _moved(simulation, blocks, threads)
    begin, fastest = simulation.now, _fastest(blocks * BLOCK)
    delay = simulation.settings.balancing.scan_delay_ms * 10**6
    scanned, seq = _scanned(simulation), _seq(simulation, process)
    found = {"pass_ns": _NAN, "half_ns": _NAN, "most_ns": _NAN}
    work = _Work(simulation, region, tasks, fastest)
    while simulation.now - begin < passes * fastest + 10 * delay:
        work.go_on()
        took = float(simulation.now - begin)
        share = simulation.total("numa_pages_migrated") / region.pages
        reached = {
            "pass_ns": _seq(simulation, process) > seq,
            "half_ns": share >= 0.5,
            "most_ns": share >= 0.9,
        }
        found |= {k: took for k, yes in reached.items() if yes and found[k] != found[k]}
        if all(value == value for value in found.values()):
            break
    rate = (_scanned(simulation) - scanned) / (simulation.now - begin) * 1e9
    return {**found, "scan_mb_per_s": rate / (1 << 20), "cap_share": rate / CAP}


def _moved(simulation, blocks: int, threads: int) -> tuple:
    """Return (process, region, tasks) of a process that was moved off its memory."""
    process = simulation.spawn(nbytes=2 * blocks * BLOCK)
    home, away = (cpus_of(simulation.machine, n) for n in (HOME, AWAY))
    tasks = [
        simulation.start_task(process, home[i % len(home)]) for i in range(threads)
    ]
    region = simulation.mmap(process, blocks * BLOCK, "data")
    simulation.populate(tasks[0], region)
    for i, task in enumerate(tasks):
        simulation.move_task(task, away[i % len(away)])
    simulation.synchronize()
    # So that the time of the first touch is over when the clock of the move starts.
    simulation.idle(max(0, simulation.clock(tasks[0]) - simulation.now))
    return process, region, tasks


class _Work:
    """Sweeps over the memory, a piece of about a look's length at a time."""

    def __init__(self, simulation, region, tasks, fastest: int) -> None:
        self.simulation, self.region, self.tasks = simulation, region, tasks
        blocks = region.pages // HPAGE_PMD_NR
        latency = int(simulation.machine.latency_ns[AWAY, HOME])
        # One touch of a huge page by one of the threads, as long as it may take.
        touch = fastest * len(tasks) / (TOUCHES * blocks)
        self.refs = max(1, int(touch / latency))
        self.count = max(1, TOUCHES * blocks // (LOOKS * len(tasks)))
        self.done = 0

    def go_on(self) -> None:
        """Sweep on, each thread from where it was; they began evenly spread."""
        blocks = self.region.pages // HPAGE_PMD_NR
        loads = []
        for i, task in enumerate(self.tasks):
            at = (i * blocks // len(self.tasks) + self.done) % blocks
            loads.append(
                Sweep(
                    task=task,
                    region=self.region,
                    count=self.count,
                    refs=self.refs,
                    start=at * HPAGE_PMD_NR,
                    stride=HPAGE_PMD_NR,
                )
            )
        self.simulation.run(loads)
        self.done += self.count


def _scanned(simulation) -> int:
    """Return the bytes that the scanner has marked so far."""
    return simulation.total("numa_pte_updates") * PAGE_SIZE


def _seq(simulation, process) -> int:
    """Return the scanner's passes over a process."""
    return simulation.scan_state(process)[0]


def _report(study: Study, rows: list[dict]) -> str:
    """Return the table, and what the cap says."""
    return (
        f"{table(study, rows)}\n\n"
        "A process is scanned 256 MiB every 100 ms at most, 2,560 MB/s: 0.4 s a GiB,"
        " 410 s a TiB, 6,554 s for 16 TiB.\nThreads that share memory scan it less"
        " often, the more of them there are (task_scan_start)."
    )
