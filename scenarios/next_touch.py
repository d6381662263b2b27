"""Threads move and touch only a part of their memory: move it all, or on demand?

Moving everything at once pays for every page.  Moving on demand pays only for pages
that are touched, but with a fault for each.  Which of them wins depends on the touched
fraction.  NUMA balancing would have to find out by itself, and the job is over before
it looks, so it runs only if asked for (``mechanisms=none,eager,hinting,balancing``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..engine.errors import BadInput
from ..engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ..engine.settings.settings import Settings
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, hide
from ..engine.study.figures import listed, ratio
from ..engine.study.study import Study, Variant
from ..engine.study.verdict import SAME, apart, fastest, ranked, sentences
from ..engine.workloads.kinds import NextTouch
from ..kernels.words import PAGE_SIZE
from .common import mechanism
from .common.moved_job import machine_of, pages_of
from .common.table import Row
from .common.tasks import ends, move_tasks, start_tasks

# Each page moves once, and convergence would be that of the last of several runs.
_UNUSED = ("oom_kills", "pages_moved_back", "converged_ns")


#: Of a preset.
RAM = 16 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = memory_field(RAM)
    machine: MachineChoice = machine_field("2s")
    tasks: int = field(default=1, metadata={"min": 1, "help": "threads"})
    fractions: tuple[float, ...] = field(
        default=(0.01, 0.1, 0.25, 0.5, 0.75, 1.0),
        metadata={"min": 0, "max": 1, "help": "touched fractions of the memory"},
    )
    times: int = field(
        default=4, metadata={"min": 1, "help": "how often a touched page is used"}
    )
    mechanisms: tuple[str, ...] = field(
        default=("none", "eager", *mechanism.LAZY),
        metadata={"help": "mechanisms to compare"},
    )


def build(parameters: Parameters) -> Study:
    """Return the study: one variant for each mechanism and fraction."""
    machine = machine_of(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    pages = pages_of(machine, parameters.memory, parameters.tasks)
    variants = []
    for fraction in parameters.fractions:
        if not 0 < fraction <= 1:
            raise BadInput(f"fractions must be above 0 and at most 1, got {fraction}")
        for name in parameters.mechanisms:
            touched = max(1, round(pages // parameters.tasks * fraction))
            variants.append(
                Variant(
                    f"{mechanism.check_mechanism(name)} {fraction:.0%}",
                    machine,
                    # Swap for all pages: what the swap cache costs, not how it runs
                    # full.
                    mechanism.settings_for(
                        name, Settings(swap_bytes=parameters.memory // 4)
                    ),
                    partial(
                        _steps,
                        parameters=parameters,
                        name=name,
                        pages=pages,
                        touched=touched,
                    ),
                    accesses=pages + touched * parameters.times * parameters.tasks,
                    mapped_pages=pages,
                )
            )
    return Study(
        __doc__,
        "case",
        tuple(variants),
        hide(SUMMARY, *_UNUSED),
        verdict=_verdict,
        group=_fraction,
        varied=mechanism.VARIED,
    )


def _steps(
    simulation: Simulation, parameters: Parameters, name: str, pages: int, touched: int
) -> None:
    home, away = ends(simulation.machine)
    process = simulation.spawn("job")
    tasks = start_tasks(simulation, process, home, parameters.tasks)
    region = simulation.mmap(process, pages * PAGE_SIZE, "data")
    simulation.populate(tasks[0], region)
    move_tasks(simulation, tasks, away)
    simulation.synchronize()
    mechanism.repair(simulation, tasks[0], region, name, away)
    simulation.synchronize()
    slab = pages // parameters.tasks
    for _ in range(parameters.times):
        simulation.run(
            [
                NextTouch(
                    task=task,
                    region=region,
                    count=touched,
                    first=i * slab,
                    pages=slab,
                )
                for i, task in enumerate(tasks)
            ]
        )


# --- the screen -----------------------------------------------------------------------


def _fraction(row: Row) -> str:
    """Return the touched fraction of a row; times are compared within it."""
    return str(row["case"]).rpartition(" ")[2]


def _mechanism(row: Row) -> str:
    return str(row["case"]).rpartition(" ")[0]


def _verdict(study: Study, rows: Sequence[Row]) -> str:
    """Say from which fraction on moving everything at once is as fast as the best."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_fraction(row), []).append(row)
    order = sorted(groups, key=lambda fraction: float(fraction.rstrip("%")))
    best = {one: ranked(study, groups[one]).rows for one in order}
    if not all(any(_mechanism(row) == "eager" for row in best[one]) for one in order):
        return fastest(study, rows)
    lost = [one for one in order if not _pays(best[one])]
    rank = ranked(study, rows)
    return sentences(_answer(order, lost, best), *apart(study, rank))


def _pays(rows: list[Row]) -> bool:
    """Tell whether eager is as fast as the first of ``rows``, which is fastest."""
    (eager,) = (row for row in rows if _mechanism(row) == "eager")
    return bool(eager["run_time_ns"] <= rows[0]["run_time_ns"] * (1 + SAME))


def _answer(order: list[str], lost: list[str], best: dict[str, list[Row]]) -> str:
    winners = listed(list(dict.fromkeys(_mechanism(best[one][0]) for one in lost)))
    if not lost:
        return f"Moving everything at once pays from {order[0]} touched on."
    worst = best[lost[0]]
    (eager,) = (row for row in worst if _mechanism(row) == "eager")
    price = ratio(eager["run_time_ns"], worst[0]["run_time_ns"])
    loses = f"at {lost[0]} it takes {price} of the fastest"
    if lost[-1] == order[-1]:
        return (
            f"Moving everything at once is slower than {winners} at {listed(lost)}"
            f" touched; {loses}."
        )
    first = order[order.index(lost[-1]) + 1]
    return (
        f"Moving everything at once pays from {first} touched on; up to {lost[-1]}"
        f" {winners} is faster, and {loses}."
    )
