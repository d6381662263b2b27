"""The cases: each builds a world, does one kind of work and says how long it took."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lazynuma.engine import Mechanism, Settings, Simulation, preset, workload

GIB = 1 << 30
TASKS = 32
#: Most accesses that a case makes in one go.
ACCESSES = 20_000_000
#: Shared machines are noisy: of work that can be done again the best time counts, as
#: it does for the ceiling.
REPEATS = 4


class Timing(NamedTuple):
    """Events, the seconds they took, the pages mapped and the host bytes they cost."""

    events: int
    seconds: float
    pages: int
    nbytes: int


@dataclass(frozen=True)
class Case:
    """A benchmark: ``run(size, threads)`` over ``size`` bytes of simulated memory."""

    name: str
    size: int
    run: Callable[[int, int], Timing]
    sequential: bool = False
    #: Whether host memory is touched for the first time while the clock runs.
    grows: bool = False


def resident() -> int:
    """Return the resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


class World:
    """A job of ``size`` bytes on 4 nodes, its tasks on node 0."""

    def __init__(self, size: int, threads: int, ram: int = 0, swap: int = 0) -> None:
        self.before = resident()
        machine = preset("4s", ram or max(8 * GIB, 5 * size))
        self.sim = Simulation(machine, Settings(swap_bytes=swap), threads=threads)
        self.process = self.sim.spawn("bench", 2 * size)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in range(TASKS)]
        self.region = self.sim.mmap(self.process, size)

    def timed(self, work, events: int, repeats: int = 1) -> Timing:
        """Do ``work`` and close the world; of several times the best counts."""
        seconds = float("inf")
        for _ in range(repeats):
            begin = time.perf_counter()
            work()
            seconds = min(seconds, time.perf_counter() - begin)
        nbytes = resident() - self.before
        self.sim.close()
        return Timing(events, seconds, self.region.pages, nbytes)

    def loads(self, kind, count: int, slabs: bool = False, **options):
        """Return one workload a task: ``count`` accesses in all."""
        each, slab = count // TASKS, self.region.pages // TASKS
        part = [
            {"first": i * slab, "pages": slab} if slabs else {} for i in range(TASKS)
        ]
        if kind is workload.NextTouch and not slabs:
            # Each task goes on where the one before it ends: no page comes twice.
            pages = self.region.pages
            step = workload.coprime(pages)
            part = [{"shift": i * each * step % pages} for i in range(TASKS)]
        return [
            kind(task=task, region=self.region, count=each, **part[i], **options)
            for i, task in enumerate(self.tasks)
        ]

    def move(self) -> None:
        """Move the tasks to node 2."""
        for task in self.tasks:
            self.sim.move_task(task, task.cpu + 2 * TASKS)


def _touch(kind):
    def run(size: int, threads: int) -> Timing:
        world = World(size, threads)
        world.sim.populate(world.tasks[0], world.region)
        count = min(ACCESSES, 4 * world.region.pages)
        loads = world.loads(kind, count)
        return world.timed(lambda: world.sim.run(loads), count, REPEATS)

    return run


def _first_touch(kind, slabs: bool):
    def run(size: int, threads: int) -> Timing:
        world = World(size, threads)
        count = world.region.pages
        loads = world.loads(kind, count, slabs=slabs, write=1.0)
        return world.timed(lambda: world.sim.run(loads), count)

    return run


def _fault(mechanism: Mechanism):
    """Faults of parked or marked pages, each with a migration, in scattered order."""

    def run(size: int, threads: int) -> Timing:
        world = World(size, threads, swap=2 * size)
        world.sim.populate(world.tasks[0], world.region)
        world.move()
        world.sim.mark(world.tasks[0], world.region, mechanism)
        count = min(ACCESSES, world.region.pages)
        loads = world.loads(workload.NextTouch, count, slabs=True)
        return world.timed(lambda: world.sim.run(loads), count)

    return run


def _mark(size: int, threads: int) -> Timing:
    world = World(size, threads)
    world.sim.populate(world.tasks[0], world.region)
    mark = world.sim.mark
    return world.timed(
        lambda: mark(world.tasks[0], world.region, Mechanism.HINTING),
        world.region.pages,
    )


def _fork(size: int, threads: int) -> Timing:
    world = World(size, threads)
    world.sim.populate(world.tasks[0], world.region)
    return world.timed(lambda: world.sim.fork(world.process), world.region.pages)


def _exit(size: int, threads: int) -> Timing:
    world = World(size, threads)
    world.sim.populate(world.tasks[0], world.region)
    return world.timed(lambda: world.sim.exit(world.process), world.region.pages)


def _reclaim(size: int, threads: int) -> Timing:
    """Uniform touches of 110 % of the RAM."""
    world = World(size * 11 // 10, threads, ram=size, swap=size // 2)
    world.sim.populate(world.tasks[0], world.region)
    count = world.region.pages // 8
    loads = world.loads(workload.Uniform, count)
    return world.timed(lambda: world.sim.run(loads), count)


CASES = (
    Case("touch_uniform_1TiB", 1024 * GIB, _touch(workload.Uniform)),
    Case("touch_uniform_64GiB", 64 * GIB, _touch(workload.Uniform)),
    Case("touch_zipf_64GiB", 64 * GIB, _touch(workload.Zipf)),
    Case(
        "first_touch_order_64GiB",
        64 * GIB,
        _first_touch(workload.Sweep, True),
        True,
        True,
    ),
    Case(
        "first_touch_random_64GiB",
        64 * GIB,
        _first_touch(workload.NextTouch, False),
        False,
        True,
    ),
    Case("hint_migrate_64GiB", 64 * GIB, _fault(Mechanism.HINTING)),
    Case("swapcache_fault_64GiB", 64 * GIB, _fault(Mechanism.SWAPCACHE)),
    Case("migcache_fault_64GiB", 64 * GIB, _fault(Mechanism.MIGCACHE)),
    Case("mark_64GiB", 64 * GIB, _mark, True),
    Case("fork_64GiB", 64 * GIB, _fork, True),
    Case("exit_64GiB", 64 * GIB, _exit, True),
    Case("reclaim_64GiB", 64 * GIB, _reclaim),
)
