"""Does a machine have the swap that lazy migration through the swap cache takes?

Van Riel's fourth objection of July 2012: pages parked in the swap cache hold swap
slots.  Terabyte machines do not have that many, and on small machines the parked pages
fill the swap that reclaim needs.  All of a job of an eighth of the RAM is parked; then
a second job grows into the rest of the memory and beyond it by half of the swap.  If
the slots are free, that is what swap is for; if parked pages hold them, reclaim fails
and the OOM killer comes.

If the job is larger than ``mapped``, a slice of the machine is simulated: job, swap and
growth are scaled alike (``scale``), and the rest of the RAM is taken out of use.  With
``thp=always`` and ``mapped=16TiB`` machines of 8 and 16 TiB are simulated whole, in
huge pages which the swap cache has to split.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines import spec
from ..engine.machines.choice import MachineChoice, machine_field
from ..engine.machines.machine import Machine
from ..engine.machines.zones import watermarks
from ..engine.settings.settings import Settings
from ..engine.settings.sizes import format_size
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.state.allocate import managed_pages, usable_pages
from ..engine.study.columns import SUMMARY, THP_SHARE, Column, hide
from ..engine.study.figures import listed, percent
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import was_killed
from ..engine.workloads.kinds import Sweep, Uniform
from ..kernels.counters import Refusal
from ..kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from .common import mechanism
from .common.block import BLOCK
from .common.question_columns import first, share, without_best
from .common.table import Row
from .common.tasks import move_tasks, nodes_with_cpus, start_tasks

MECHANISMS = ("lazy_swapcache", "hinting")
#: Most swap, in multiples of the memory: more has no addresses to be filled from.
SWAP_MOST = 32
_UNUSED = ("migcache_entries_peak", "pages_moved_back", "converged_ns")

COLUMNS = (
    *first(
        (
            share("parked_fraction", "job marked", "share of the job that was marked"),
            Column(
                *("reclaim_failures", "no slot", "page"),
                "pages refused for want of a slot",
            ),
        )
    ),
    Column("pswpout", "swapped out", "page", "pages written to swap"),
    share("scale", "scale", "simulated part of the job, swap and growth"),
)


#: Of a preset.
RAM = (64 << 30, 1 << 40, 16 << 40)


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: tuple[int, ...] | None = field(
        default=None,
        metadata={
            "kind": "size",
            "shown": "64GiB,1TiB,16TiB",
            "help": "RAM of the machines; one that a file describes has its own",
        },
    )
    swap: tuple[int, ...] = field(
        default=(0, 8 << 30, 128 << 30),
        metadata={"kind": "size", "help": "swap sizes"},
    )
    machine: MachineChoice = machine_field("4s")
    mapped: int = field(
        default=2 << 30,
        metadata={"kind": "size", "help": "most memory that the job maps"},
    )
    thp: Thp = Thp()


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each RAM, swap size and mechanism."""
    variants = []
    for wanted in parameters.memory or _default_memory(parameters.machine):
        machine = spec.machine(parameters.machine, wanted, RAM[0])
        memory = sum(machine.memory) if wanted is None else wanted
        if parameters.mapped < BLOCK or memory // 8 < BLOCK:
            raise BadInput(f"mapped must be at least 2MiB, got {parameters.mapped}")
        scale = min(Fraction(1), Fraction(parameters.mapped, memory // 8))
        for swap in parameters.swap:
            if swap > SWAP_MOST * memory:
                raise BadInput(
                    f"swap must be at most {SWAP_MOST} times the memory of"
                    f" {format_size(memory)}, got {format_size(swap)}"
                )
            variants += [
                _variant(machine, memory, swap, name, scale, parameters.thp)
                for name in MECHANISMS
            ]
    columns = without_best((*COLUMNS, THP_SHARE, *hide(SUMMARY, *_UNUSED)))
    return Study(__doc__, "case", tuple(variants), columns, verdict=_verdict)


def _default_memory(choice: MachineChoice) -> tuple[int | None, ...]:
    """Return the sizes of a preset; None for those that a description has."""
    return RAM if spec.is_preset(choice) else (None,)


def _variant(
    machine: Machine, memory: int, swap: int, name: str, scale: Fraction, thp: Thp
) -> Variant:
    job = int(memory // 8 * scale) // PAGE_SIZE
    swapped = int(swap * scale) // PAGE_SIZE
    settings = Settings(
        swap_bytes=swapped * PAGE_SIZE, ballast=_ballast(machine, 2 * job), thp=thp
    )
    pages = 4 * job + swapped
    return Variant(
        f"{format_size(memory)}, swap {format_size(swap)}, {name}",
        machine,
        settings,
        partial(_steps, name=name, job=job, swapped=swapped, scale=scale),
        accesses=3 * job + swapped,
        # Reclaim splits huge pages that do not fit in swap: up to twice its pages.
        mapped_pages=min(pages, 2 * swapped) if thp.enabled == "always" else pages,
    )


def _ballast(machine: Machine, pages: int) -> tuple[int, ...]:
    """Return the bytes to take out of use on each node so that ``pages`` remain.

    Nodes keep equal parts, but those that have less: the others make up for them.
    """
    managed = [int(has) for has in managed_pages(machine)]
    share, wanted, nodes = 0, pages, len(managed)
    for has in sorted(managed):
        share = -(-wanted // nodes // HPAGE_PMD_NR) * HPAGE_PMD_NR
        if has >= share:
            break
        wanted, nodes = wanted - has, nodes - 1
    return tuple(max(0, has - share) * PAGE_SIZE for has in managed)


def _steps(
    simulation: Simulation, name: str, job: int, swapped: int, scale: Fraction
) -> dict[str, float]:
    nodes = nodes_with_cpus(simulation.machine)
    process = simulation.spawn("job")
    (task,) = start_tasks(simulation, process, nodes[0], 1)
    region = simulation.mmap(process, job * PAGE_SIZE, "data")
    simulation.advise(task, region, "hugepage")
    simulation.populate(task, region)
    move_tasks(simulation, [task], nodes[-1])
    mechanism.repair(simulation, task, region, name, 0)
    marked = simulation.summary()["pages_marked"]
    _grow(simulation, nodes[0], swapped // 2)
    if process.alive:
        load = Uniform(task=task, region=region, count=job)
        simulation.run([load])
    refused = simulation.refusals()
    slotless = refused[[Refusal.NO_SWAP_SLOT, Refusal.MIGCACHE_NO_SWAP_SLOT]]
    return {
        "parked_fraction": marked / job,
        "reclaim_failures": int(slotless.sum()),
        "pswpout": simulation.total("pswpout"),
        "scale": float(scale),
    }


def _grow(simulation: Simulation, home: int, beyond: int) -> None:
    """Let a second job take all pages above the watermarks, and ``beyond`` more."""
    usable = usable_pages(simulation.machine, simulation.settings)
    high = watermarks(usable)[:, 2]
    free = sum(
        max(0, simulation.free(node) - int(high[node]))
        for node in range(simulation.machine.nodes)
    )
    other = simulation.spawn("growth", (free + beyond) * PAGE_SIZE)
    (task,) = start_tasks(simulation, other, home, 1)
    region = simulation.mmap(other, (free + beyond) * PAGE_SIZE, "more")
    # Otherwise only the node of the task would have huge pages.
    simulation.advise(task, region, "hugepage")
    simulation.populate(task, region, 0, free)
    if beyond:
        load = Sweep(task=task, region=region, count=beyond, first=free)
        simulation.run([load])


# --- the screen -----------------------------------------------------------------------


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say whom parked pages kill, and where there are too few slots for them."""
    texts = []
    for name in MECHANISMS:
        mine = [row for row in rows if str(row["case"]).endswith(f", {name}")]
        killed = [_machine(row) for row in mine if was_killed(row)]
        texts.append(
            f"With {name} the OOM killer comes in {len(killed)} of {len(mine)} cases"
            + (f": {listed([f'({one})' for one in killed])}." if killed else ".")
        )
    short = [
        f"{percent(float(row['parked_fraction']))} ({_machine(row)})"
        for row in rows
        if row["reclaim_failures"] and row["parked_fraction"] < 1
    ]
    if short:
        texts.append(f"Slots are enough to park only {listed(short)} of the job.")
    return " ".join(texts)


def _machine(row: Row) -> str:
    """Return the memory and the swap of a row."""
    return str(row["case"]).rpartition(", ")[0]
