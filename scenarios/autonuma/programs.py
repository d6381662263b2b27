"""The four programs of autonuma-benchmark: their processes, threads and passes.

Threads first touch memory where they are created, on one node, before the scheduler has
spread them over the CPUs: the benchmark binds the first touch to one node for this
purpose, and the time that the kernel without balancing took fits the bandwidth of one
node.  Threads that share memory start at places spread evenly over it: real threads get
out of step at once.
"""

from dataclasses import dataclass, replace

from ...engine.simulation import Simulation
from ...engine.state.policies import Policy
from ...engine.state.process import Region, Task
from ...engine.workloads.kinds import Sweep
from ...kernels.knobs import Mode
from ...kernels.words import HPAGE_PMD_NR
from ..common.block import BLOCK
from ..common.opteron import spread
from ..common.tasks import start_tasks
from .thread_moves import Exchanges

#: Pages that an access sweeps if nothing splits: several such accesses fit in a
#: quantum.
STRIDE = 32


@dataclass(frozen=True)
class Load:
    """One of the four programs.

    shared  whether the threads of a process share its memory
    blocks  blocks of 2 MiB of each process if shared, otherwise of each thread
    passes  passes of each thread over its memory: about half of the program's, with
            twice the cache lines per access, to save events
    lines   cache lines that an access to 4 KiB stands for, calibrated
    """

    processes: int
    threads: int
    shared: bool
    blocks: int
    passes: int
    lines: int

    @property
    def region_blocks(self) -> int:
        """Blocks of 2 MiB of each process."""
        return self.blocks if self.shared else self.blocks * self.threads

    def shrunk(self, by: int) -> "Load":
        """Return the load with less memory and fewer passes."""
        blocks, passes = max(1, self.blocks // by), max(1, self.passes // by)
        return replace(self, blocks=blocks, passes=passes)

    def accesses(self, stride: int) -> int:
        """Return the accesses of a thread, each to ``stride`` pages."""
        return self.blocks * HPAGE_PMD_NR * self.passes // stride


#: Lines are calibrated to the kernel "stats" of November 2012, which does not balance.
LOADS = {
    "numa01": Load(2, 24, True, 1536, 25, 364),
    "numa01_thread_alloc": Load(2, 24, False, 64, 500, 331),
    "numa02": Load(1, 48, False, 11, 400, 334),
    "numa02_smt": Load(1, 24, False, 22, 400, 311),
}


@dataclass(frozen=True)
class WhatIf:
    """What is supposed of a run beyond what was published; 0: nothing of the kind.

    exchange_s  seconds after which each thread has changed its node once, in the mean
    stay_share  share of each thread's memory, in percent, that no scan may mark
    """

    exchange_s: int = 0
    stay_share: int = 0


def run(simulation: Simulation, load: Load, stride: int, what: WhatIf) -> None:
    """Run a program to its end."""
    cpus = spread(simulation, load.processes * load.threads)
    sweeps = []
    for number in range(load.processes):
        own = cpus[number * load.threads : (number + 1) * load.threads]
        sweeps += _process(simulation, load, stride, own)
        _bind(simulation, sweeps[-1], load, what.stay_share)
    simulation.synchronize()
    if what.exchange_s:
        tasks = [sweep.task for sweep in sweeps]
        every = what.exchange_s * 10**9
        simulation.daemons.append(Exchanges(simulation.seed, tasks, every))
    simulation.run(sweeps)


def _bind(simulation: Simulation, sweep: Sweep, load: Load, share: int) -> None:
    """Bind a share of each thread's part of a process's memory to where it is."""
    pages = load.region_blocks * HPAGE_PMD_NR
    for i in range(load.threads if share else 0):
        first, end = i * pages // load.threads, (i + 1) * pages // load.threads
        simulation.mbind(
            sweep.task,
            sweep.region,
            Policy(Mode.BIND, (0,)),
            first=first,
            pages=(end - first) * share // 100,
        )


def _process(
    simulation: Simulation, load: Load, stride: int, cpus: list[int]
) -> list[Sweep]:
    """Start a process, touch its memory on node 0, spread it; return its workloads."""
    process = simulation.spawn(nbytes=2 * load.region_blocks * BLOCK)
    tasks = start_tasks(simulation, process, 0, len(cpus))
    region = simulation.mmap(process, load.region_blocks * BLOCK, "data")
    simulation.populate(tasks[0], region)
    for task, cpu in zip(tasks, cpus, strict=True):
        simulation.move_task(task, cpu)
    return [_sweep(load, stride, i, task, region) for i, task in enumerate(tasks)]


def _sweep(load: Load, stride: int, i: int, task: Task, region: Region) -> Sweep:
    """Return the passes of thread ``i`` of a process."""
    pages = load.blocks * HPAGE_PMD_NR
    first, start = (0, i * pages // load.threads) if load.shared else (i * pages, 0)
    return Sweep(
        task=task,
        region=region,
        count=load.accesses(stride),
        refs=load.lines * stride,
        first=first,
        pages=pages,
        start=start // STRIDE * STRIDE,
        stride=stride,
        streamed=True,
    )
