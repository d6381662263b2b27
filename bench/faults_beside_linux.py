"""Pages a second of page_fault1 with one and two tasks: the running Linux, the model.

Linux runs the loop of will-it-scale in threads of one process and in processes.  The
model runs it in simulated time, with its default costs and with those of this machine.
"""

import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import lazynuma.engine.calibrate.probe as probe
from lazynuma.engine.calibrate.measure import measure_costs
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.costs import Costs
from lazynuma.scenarios import will_it_scale

PAGE = 4096
#: Bytes that a task maps, as in will-it-scale, and rounds that are timed.
MAPPED, ROUNDS = 128 << 20, 8
REPEATS = 3
_KERNEL = "linux-6.12"
#: Costs that decide how long a task alone takes.
_DECIDE = ("minor_fault_ns", "zap_pte_ns", "syscall_ns")


class Beside(NamedTuple):
    """Pages a second of Linux, of the model, and of the model with costs of here."""

    tasks: str
    linux: float
    model: float
    here: float


def faults_beside() -> list[Beside]:
    """Return the rates with one task, two threads and two processes."""
    with_default, with_here = _model(Costs()), _model(_costs_here())
    linux = {
        ("threads", 1): _linux(ThreadPoolExecutor, 1),
        ("threads", 2): _linux(ThreadPoolExecutor, 2),
        ("processes", 2): _linux(_processes, 2),
    }
    return [
        Beside(f"{n} {mode}", rate, with_default[mode, n], with_here[mode, n])
        for (mode, n), rate in linux.items()
        if n <= len(os.sched_getaffinity(0))
    ]


def _processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=get_context("fork"))


def _linux(executor: Callable[[int], Executor], tasks: int) -> float:
    """Return pages a second of the running Linux, the best of REPEATS."""
    pages = ROUNDS * MAPPED // PAGE
    with executor(tasks) as pool:
        return max(
            sum(
                pages * 1e9 / ns
                for ns in pool.map(
                    probe.page_fault1, [ROUNDS] * tasks, [MAPPED] * tasks
                )
            )
            for _ in range(REPEATS)
        )


def _costs_here() -> Costs:
    found = {one.name: one.value for one in measure_costs()}
    return replace(Costs(), **{name: found[name] or 0 for name in _DECIDE})


def _model(costs: Costs) -> dict[tuple[str, int], float]:
    """Return pages a second of the model by mode and number of tasks."""
    parameters = will_it_scale.Parameters(
        mapped=MAPPED,
        tasks=(1, 2),
        kernels=(_KERNEL,),
        pages=("4K",),
        published=False,
    )
    rows = run_study(will_it_scale.build(parameters), costs=costs)
    found = {}
    for row in rows:
        *_, mode, _, tasks = row["case"].split(" ")
        found[mode, int(tasks)] = row["faults_per_s"]
    return found


def show_faults(found: list[Beside]) -> None:
    """Print the rates in millions a second."""
    print("\npage_fault1, millions of 4 KiB pages a second")
    heads = ("this Linux", "model", "with its costs")
    print(f"{'':14}" + "".join(f"{head:>16}" for head in heads))
    for name, *rates in found:
        print(f"{name:14}" + "".join(f"{rate / 1e6:16.2f}" for rate in rates))
