"""The workloads of the league: what each maps, loads first, and does then.

gups     updates at random, nine in ten of them of an eighth of the memory, in two
         places one after the other (HeMem, SOSP 2021, section 5.1: 90 % of updates to
         a hot set that moves)
zipf     a key-value store, YCSB-B: 5 % writes, Zipf of 0.99 (Cooper, SoCC 2010)
bfs      Graph500: adjacency in scattered order, a share of it at each level of the
         search, and for each edge a look at the tree, whose vertices have the degrees
         of a Kronecker graph; the tree is mapped last, as there
xsbench  lookups of XSBench, size large: a binary search over the grid of energies, its
         row of indices, and rows of nuclides; in the order in which XSBench maps them
stream   the triad, over arrays that fill three quarters of the fastest tier
cache    a cache, a third of the memory, read as Zipf of 0.9, loaded after cold memory
         that is never read again (as Cache1 of TPP, ASPLOS 2023, whose cold share of
         pages within two minutes is 60 to 90 %)
crowded  gups of a quarter of the tasks, while the others stream from memory that is
         bound to the fastest tier (the memory antagonist of Colloid, SOSP 2024)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...engine.machines.machine import Machine, cpus_of
from ...engine.simulation import Simulation
from ...engine.state.policies import Policy
from ...engine.state.process import Process, Region, Task
from ...engine.workloads.kinds import HotCold, Stream, Workload, Zipf
from ...engine.workloads.own_workload import OwnWorkload
from ...kernels.knobs import Mode
from ...kernels.words import CACHE_LINE, PAGE_SIZE
from ..common.tasks import nodes_with_cpus
from .graph_and_grid import bfs_access, xsbench_access
from .tiered_machines import fast_nodes, fast_pages

#: Share of a machine's free memory that is mapped.
MAPPED = 0.875
#: Streams sweep over a page so many times as one access, or there were too many.
STREAMED = 64
#: Pages that a task of the crowd streams from.
CROWD_PAGES = 16


class Job(NamedTuple):
    """A process that is about to work: its memory and its threads."""

    process: Process
    region: Region
    tasks: Sequence[Task]


class Load(NamedTuple):
    """A workload.

    pages   how many it maps on a machine
    fill    loads the memory, in its order
    work    what the tasks do, so many accesses each of so many lines
    lines   lines of an access, times those that the user says
    part    accesses of a task, as a share of those that the user says
    crowd   tasks that only get in the way, as a share of all
    """

    pages: Callable[[Machine], int]
    fill: Callable[[Simulation, Job], None]
    work: Callable[[Job, int, int], list[Workload]]
    lines: int = 1
    part: float = 1.0
    crowd: float = 0.0


def _usable(machine: Machine) -> int:
    free = sum(machine.memory) - sum(machine.system)
    return int(free * MAPPED) // PAGE_SIZE


def _most_of_fast(machine: Machine) -> int:
    return fast_pages(machine) * 3 // 4


# --- memory is loaded -----------------------------------------------------------------


def _fill(simulation: Simulation, job: Job, first: int, pages: int) -> None:
    """Let each task load its part of a range, all at the same time."""
    count = len(job.tasks)
    for i, task in enumerate(job.tasks):
        begin, end = first + pages * i // count, first + pages * (i + 1) // count
        if end > begin:
            simulation.populate(task, job.region, begin, end - begin)


def _in_order(simulation: Simulation, job: Job) -> None:
    _fill(simulation, job, 0, job.region.pages)


def _last_first(share: float) -> Callable[[Simulation, Job], None]:
    """Return what loads the first ``share`` of the pages last: they will be hot."""

    def fill(simulation: Simulation, job: Job) -> None:
        hot = int(job.region.pages * share)
        _fill(simulation, job, hot, job.region.pages - hot)
        _fill(simulation, job, 0, hot)

    return fill


# --- and used -------------------------------------------------------------------------

_HOT = 1 / 8
_CACHE = 1 / 3
#: Of Graph500: 8 bytes of the tree for each vertex, in 256 of adjacency, 8 of where
#: that begins and 8 of the queue (edge factor 16, each edge twice, 8 bytes).
_TREE = 8 / (256 + 3 * 8)
#: Searches of a run: Graph500 makes 64.
SEARCHES = 4
#: Of XSBench, large, 355 nuclides of 11,303 points: 48 bytes a point of a nuclide, 8 a
#: point of all together and 4 a nuclide for that point.
_NUCLIDES = 48 / (48 + 8 + 4 * 355)
_ENERGIES = 8 / (48 + 8 + 4 * 355)


def _gups(job: Job, count: int, refs: int) -> list[Workload]:
    hot = max(1, int(job.region.pages * _HOT))
    return [
        HotCold(
            **_of(job, task, count, refs),
            write=1.0,
            hot_pages=hot,
            hot_share=0.9,
            period=max(1, count // 2),
            step=hot,
        )
        for task in job.tasks
    ]


def _zipf(job: Job, count: int, refs: int) -> list[Workload]:
    return [
        Zipf(**_of(job, task, count, refs), write=0.05, exponent=0.99)
        for task in job.tasks
    ]


def _stream(job: Job, count: int, refs: int) -> list[Workload]:
    return [Stream(**_of(job, task, count, refs), write=1 / 3) for task in job.tasks]


def _cache(job: Job, count: int, refs: int) -> list[Workload]:
    pages = max(1, int(job.region.pages * _CACHE))
    return [
        Zipf(**_of(job, task, count, refs), pages=pages, write=0.1, exponent=0.9)
        for task in job.tasks
    ]


def _bfs(job: Job, count: int, refs: int) -> list[Workload]:
    tree = max(1, int(job.region.pages * _TREE))
    sizes = {"tree": tree, "search": max(1, count // SEARCHES)}
    return [_own(job, task, count, refs, bfs_access, sizes) for task in job.tasks]


def _xsbench(job: Job, count: int, refs: int) -> list[Workload]:
    pages = job.region.pages
    nuclides = max(1, int(pages * _NUCLIDES))
    energies = max(1, int(pages * _ENERGIES))
    sizes = {"nuclides": nuclides, "energies": energies}
    return [_own(job, task, count, refs, xsbench_access, sizes) for task in job.tasks]


def _own(
    job: Job,
    task: Task,
    count: int,
    refs: int,
    generate: Callable,
    parameters: dict[str, int],
) -> OwnWorkload:
    of = _of(job, task, count, refs)
    return OwnWorkload(**of, generate=generate, parameters=parameters)


def _of(job: Job, task: Task, count: int, refs: int) -> dict:
    return {"task": task, "region": job.region, "count": count, "refs": refs}


#: All workloads.
LOADS: dict[str, Load] = {
    "gups": Load(_usable, _last_first(2 * _HOT), _gups),
    "zipf": Load(_usable, _in_order, _zipf),
    "bfs": Load(_usable, _last_first(_TREE), _bfs),
    "xsbench": Load(_usable, _in_order, _xsbench),
    "stream": Load(_most_of_fast, _in_order, _stream, lines=STREAMED, part=0.25),
    "cache": Load(_usable, _last_first(_CACHE), _cache),
    "crowded": Load(_usable, _last_first(2 * _HOT), _gups, crowd=0.75),
}


# --- who does it ----------------------------------------------------------------------


def mapped(load: Load, machine: Machine) -> int:
    """Return the most pages that a workload maps at once."""
    return load.pages(machine) + CROWD_PAGES * sum(machine.cpus)


def start(simulation: Simulation, load: Load, tasks: int) -> Job:
    """Start the tasks of a workload, and map its memory."""
    process = simulation.spawn("job")
    count = tasks - int(tasks * load.crowd)
    begun = _begin(simulation, process, 0, count)
    pages = load.pages(simulation.machine)
    return Job(process, simulation.mmap(process, pages * PAGE_SIZE, "data"), begun)


def crowd_of(
    simulation: Simulation, load: Load, job: Job, tasks: int, lines: int
) -> list[Stream]:
    """Return what the other process does, if a workload has one.

    lines  that each task of the job will read or write
    """
    count, machine = int(tasks * load.crowd), simulation.machine
    if not count:
        return []
    process = simulation.spawn("crowd")
    others = _begin(simulation, process, len(job.tasks), count)
    region = simulation.mmap(process, count * CROWD_PAGES * PAGE_SIZE, "crowd")
    bound = Policy(Mode.BIND, tuple(fast_nodes(machine)))
    simulation.mbind(others[0], region, bound)
    simulation.populate(others[0], region)
    each = _accesses_of_crowd(simulation, lines, count)
    return [
        Stream(task=task, region=region, count=each, refs=STREAMED * 64, write=1 / 3)
        for task in others
    ]


def _accesses_of_crowd(simulation: Simulation, lines: int, tasks: int) -> int:
    """Return accesses of a task of the crowd, which last as long as the job may take.

    That is if a line takes twice as long as on the slowest node without load.
    """
    machine, nodes = simulation.machine, fast_nodes(simulation.machine)
    longest = 2e-9 * int(machine.latency_ns.max()) * lines
    rate = sum(int(machine.bandwidth[node, node]) for node in nodes) // tasks
    rate = min(rate, simulation.costs.core_bandwidth)
    return max(1, int(longest * rate / (STREAMED * 64 * CACHE_LINE)))


def _begin(
    simulation: Simulation, process: Process, first: int, count: int
) -> list[Task]:
    """Start threads on all nodes with CPUs in turn; ``first`` CPUs are taken."""
    machine = simulation.machine
    cpus = [cpus_of(machine, node) for node in nodes_with_cpus(machine)]
    turns = [(cpus[i % len(cpus)], i // len(cpus)) for i in range(first, first + count)]
    return [
        simulation.start_task(process, mine[turn % len(mine)]) for mine, turn in turns
    ]
