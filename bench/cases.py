"""The cases: each builds a world, does one kind of work and says how long it took."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lazynuma.engine import (
    Balancing,
    Khugepaged,
    Mechanism,
    Settings,
    Simulation,
    Thp,
    Tlb,
    preset,
)
from lazynuma.engine.workloads import kinds
from lazynuma.engine.workloads.kinds import NextTouch, Sweep, Uniform, Zipf
from lazynuma.kernels.frames.folio import split_huge_pmd
from lazynuma.kernels.jit.compile import kernel
from lazynuma.kernels.state import Info
from lazynuma.kernels.words import PTE_YOUNG

GIB = 1 << 30
TIB = 1 << 40
BLOCK = 1 << 21
#: Pages of a huge page.
HUGE = 512
#: What Linux itself did in a second, measured: collapses of 2 MiB, PMD splits.
LINUX_COLLAPSES, LINUX_PMD_SPLITS = 355, 89_000
TASKS = 32
#: Most accesses that a case makes in one go.
ACCESSES = 20_000_000
#: Those of the run with NUMA balancing, which takes simulated minutes to settle.
BALANCED = 10**9
#: Shared machines are noisy: of work that can be done again the best time counts, as
#: it does for the ceiling.
REPEATS = 4


class Timing(NamedTuple):
    """Events, the seconds they took, the pages mapped and the host bytes they cost.

    ``records``: entries of 8 bytes that the ceiling goes over, if not one a page.
    """

    events: int
    seconds: float
    pages: int
    nbytes: int
    records: int = 0


@dataclass(frozen=True)
class Case:
    """A benchmark: ``run(size, threads)`` over ``size`` bytes of simulated memory."""

    name: str
    size: int
    run: Callable[[int, int], Timing]
    sequential: bool = False
    #: Whether host memory is touched for the first time while the clock runs.
    grows: bool = False
    #: Events a second of Linux itself, where that is what counts; 0: nothing does.
    against: int | None = None


def resident() -> int:
    """Return the resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


class World:
    """A job of ``size`` bytes on 4 nodes, its tasks on node 0."""

    def __init__(
        self, size: int, threads: int, ram: int = 0, settings: Settings = Settings()
    ) -> None:
        self.before = resident()
        machine = preset("4s", ram or max(8 * GIB, 5 * size))
        self.sim = Simulation(machine, settings, threads=threads)
        self.process = self.sim.spawn("bench", 2 * size)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in range(TASKS)]
        self.region = self.sim.mmap(self.process, size)

    def timed(self, work, events: int, repeats: int = 1, records: int = 0) -> Timing:
        """Do ``work`` and close the world; of several times the best counts."""
        seconds = float("inf")
        for _ in range(repeats):
            begin = time.perf_counter()
            work()
            seconds = min(seconds, time.perf_counter() - begin)
        nbytes = resident() - self.before
        self.sim.close()
        return Timing(events, seconds, self.region.pages, nbytes, records)

    def loads(self, kind, count: int, slabs: bool = False, **options):
        """Return one workload a task: ``count`` accesses in all."""
        # A barrier after the set-up, or the task that did it would go on alone at last.
        self.sim.synchronize()
        each, slab = count // TASKS, self.region.pages // TASKS
        part = [
            {"first": i * slab, "pages": slab} if slabs else {} for i in range(TASKS)
        ]
        if kind is NextTouch and not slabs:
            # Each task goes on where the one before it ends: no page comes twice.
            pages = self.region.pages
            step = kinds.coprime(pages)
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
        world = World(size, threads, settings=Settings(swap_bytes=2 * size))
        world.sim.populate(world.tasks[0], world.region)
        world.move()
        world.sim.mark(world.tasks[0], world.region, mechanism)
        count = min(ACCESSES, world.region.pages)
        loads = world.loads(NextTouch, count, slabs=True)
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


def _shmem_fault(size: int, threads: int) -> Timing:
    """A child's write faults on pages that its parent has made, in scattered order."""
    world = World(size, threads)
    world.region = world.sim.mmap(world.process, size, shared=True)
    world.sim.populate(world.tasks[0], world.region)
    child = world.sim.fork(world.process)
    world.tasks = [world.sim.start_task(child, cpu) for cpu in range(TASKS)]
    world.region = world.region.of(child)
    count = world.region.pages
    loads = world.loads(NextTouch, count, write=1.0)
    return world.timed(lambda: world.sim.run(loads), count)


def _reclaim(size: int, threads: int) -> Timing:
    """Uniform touches of 110 % of the RAM."""
    swap = Settings(swap_bytes=size // 2)
    world = World(size * 11 // 10, threads, ram=size, settings=swap)
    world.sim.populate(world.tasks[0], world.region)
    count = world.region.pages
    loads = world.loads(Uniform, count)
    return world.timed(lambda: world.sim.run(loads), count)


# --- huge pages -----------------------------------------------------------------------

ALWAYS = Thp(enabled="always")


def _thp_touch(size: int, threads: int) -> Timing:
    """Uniform touches of huge pages, with the TLB model."""
    world = World(size, threads, settings=Settings(thp=ALWAYS, tlb=Tlb(enabled=True)))
    world.sim.populate(world.tasks[0], world.region)
    loads = world.loads(Uniform, ACCESSES)
    return world.timed(
        lambda: world.sim.run(loads), ACCESSES, REPEATS, world.region.pages // HUGE
    )


def _balance(size: int, threads: int) -> Timing:
    """10^9 accesses of tasks that were spread, while balancing brings their memory."""
    world = World(size, threads, settings=Settings(balancing=Balancing(mode="normal")))
    world.sim.populate(world.tasks[0], world.region)
    for i, task in enumerate(world.tasks):
        world.sim.move_task(task, task.cpu + i % 4 * TASKS)
    loads = world.loads(Uniform, BALANCED, slabs=True)
    return world.timed(lambda: world.sim.run(loads), BALANCED)


def _thp_map(size: int, threads: int) -> Timing:
    """Map memory by huge pages; a fault each."""
    world = World(size, threads, settings=Settings(thp=ALWAYS))
    populate = world.sim.populate
    blocks = world.region.pages // HUGE
    return world.timed(lambda: populate(world.tasks[0], world.region), blocks)


def _setup(size: int, threads: int) -> Timing:
    """Set up a machine on which nothing runs yet."""
    before, begin = resident(), time.perf_counter()
    sim = Simulation(preset("8s", size), Settings(thp=ALWAYS), threads=threads)
    seconds = time.perf_counter() - begin
    nbytes = resident() - before
    sim.close()
    return Timing(1, seconds, size // 4096, nbytes)


def _small_world(size: int, threads: int) -> World:
    """A world of small pages that khugepaged sees from now on, all at a wake-up."""
    knobs = Khugepaged(pages_to_scan=size // 4096 + HUGE, scan_sleep_millisecs=1)
    settings = Settings(thp=Thp(enabled="madvise"), khugepaged=knobs)
    world = World(size, threads, settings=settings)
    world.sim.populate(world.tasks[0], world.region)
    world.sim.advise(world.tasks[0], world.region, "hugepage")
    return world


def _scan(size: int, threads: int) -> Timing:
    """khugepaged reads every PTE and finds that none was used since."""
    world = _small_world(size, threads)
    first = world.region.first + world.process.delta
    world.sim.memory.pte[first : first + world.region.pages] &= ~PTE_YOUNG
    wake = world.sim.idle
    return world.timed(lambda: wake(1_000_000), world.region.pages, REPEATS)


def _collapse(size: int, threads: int) -> Timing:
    world = _small_world(size, threads)
    blocks = world.region.pages // HUGE
    return world.timed(lambda: world.sim.idle(1_000_000), blocks)


@kernel
def _split_pmds(m, mm, first, blocks):
    """Split the PMD entries of a range of blocks."""
    for i in range(blocks):
        split_huge_pmd(m, m.info[Info.SHARDS], mm, first + i)


def _split(warm: bool):
    """PMD splits; ``warm``: the host has the tables' memory already, as Linux has."""

    def run(size: int, threads: int) -> Timing:
        world = World(size, threads, settings=Settings(thp=ALWAYS))
        world.sim.populate(world.tasks[0], world.region)
        blocks = world.region.pages // HUGE
        first = (world.region.first + world.process.delta) // HUGE
        m, mm = world.sim.memory, world.process.id
        if warm:
            tables = m.block_huge, m.block_mapped, m.pmd[first : first + blocks]
            before = [table.copy() for table in tables]
            _split_pmds(m, mm, first, blocks)
            for table, old in zip(tables, before, strict=True):
                table[:] = old
        return world.timed(lambda: _split_pmds(m, mm, first, blocks), blocks)

    return run


CASES = (
    Case("touch_uniform_1TiB", 1024 * GIB, _touch(Uniform)),
    Case("touch_uniform_64GiB", 64 * GIB, _touch(Uniform)),
    Case("touch_zipf_64GiB", 64 * GIB, _touch(Zipf)),
    Case(
        "first_touch_order_64GiB",
        64 * GIB,
        _first_touch(Sweep, True),
        True,
        True,
    ),
    Case(
        "first_touch_random_64GiB",
        64 * GIB,
        _first_touch(NextTouch, False),
        False,
        True,
    ),
    Case("hint_migrate_64GiB", 64 * GIB, _fault(Mechanism.HINTING), False, True),
    Case("hint_migrate_1TiB", TIB, _fault(Mechanism.HINTING), False, True),
    Case("swapcache_fault_64GiB", 64 * GIB, _fault(Mechanism.SWAPCACHE), False, True),
    Case("migcache_fault_64GiB", 64 * GIB, _fault(Mechanism.MIGCACHE), False, True),
    Case("balancing_64GiB", 64 * GIB, _balance),
    Case("mark_64GiB", 64 * GIB, _mark, True),
    Case("fork_64GiB", 64 * GIB, _fork, True, True),
    Case("exit_64GiB", 64 * GIB, _exit, True),
    Case("shmem_fault_16GiB", 16 * GIB, _shmem_fault, grows=True),
    Case("reclaim_64GiB", 64 * GIB, _reclaim),
    Case("setup_64TiB", 64 * TIB, _setup, against=0),
    Case("thp_map_1TiB", TIB, _thp_map, against=0),
    Case("thp_touch_16TiB", 16 * TIB, _thp_touch),
    Case("khugepaged_scan_64GiB", 64 * GIB, _scan, True),
    Case("collapse_64GiB", 64 * GIB, _collapse, grows=True, against=LINUX_COLLAPSES),
    Case("split_pmd_16GiB", 16 * GIB, _split(True), against=LINUX_PMD_SPLITS),
    Case(
        *("split_pmd_cold_16GiB", 16 * GIB, _split(False)),
        grows=True,
        against=LINUX_PMD_SPLITS,
    ),
)
