"""The cases: each builds a world, does one kind of work and measures its time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from lazynuma.engine import (
    Balancing,
    Khugepaged,
    Locks,
    Mechanism,
    OwnWorkload,
    PlacementPolicy,
    Sampling,
    Settings,
    Simulation,
    Thp,
    Tlb,
    preset,
    random_page,
    random_write,
    uniform,
)
from lazynuma.engine.workloads import kinds
from lazynuma.engine.workloads.kinds import NextTouch, Sweep, Uniform, Workload, Zipf
from lazynuma.kernels.counters import Op
from lazynuma.kernels.frames.folio import split_huge_pmd
from lazynuma.kernels.jit.compile import kernel
from lazynuma.kernels.state import Info, Memory, Task
from lazynuma.kernels.words import PTE_YOUNG

from .own_policy import LAST_CPUPID

GIB = 1 << 30
TIB = 1 << 40
#: Pages of a huge page.
HUGE = 512
#: Measured on Linux, per second: collapses of 2 MiB, splits of PMD entries.
LINUX_COLLAPSES, LINUX_PMD_SPLITS = 355, 89_000
#: Tasks of a job.
TASKS = 32
#: Most accesses that a case makes in one run.
ACCESSES = 20_000_000
#: Accesses with NUMA balancing, which takes simulated minutes to settle.
BALANCED = 10**9
#: Shared machines are noisy: work that can be repeated is, and its best time counts, as
#: for the ceiling.
REPEATS = 4


class Timing(NamedTuple):
    """Events, the seconds they took, pages mapped and the bytes of the host they cost.

    records  entries of 8 bytes that the ceiling goes over, 0: one for each page
    """

    events: int
    seconds: float
    pages: int
    nbytes: int
    records: int = 0


#: A case's work: (bytes of simulated memory, host threads) to a timing.
Run = Callable[[int, int], Timing]


@dataclass(frozen=True)
class Case:
    """A benchmark: ``run(size, threads)`` over ``size`` bytes of simulated memory.

    sequential  whether the ceiling goes over its entries in order
    grows       whether host memory is touched for the first time while the clock runs
    against     events/s of Linux, if the case is compared with that; 0: with nothing;
                None: with the ceiling
    """

    name: str
    size: int
    run: Run
    sequential: bool = False
    grows: bool = False
    against: int | None = None


def resident() -> int:
    """Return the resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


class World:
    """A job of ``size`` bytes on 4 nodes, its tasks on node 0."""

    def __init__(
        self,
        size: int,
        threads: int,
        ram: int = 0,
        settings: Settings = Settings(),
        policy: PlacementPolicy | None = None,
    ) -> None:
        self.before = resident()
        machine = preset("4s", ram or max(8 * GIB, 5 * size))
        self.sim = Simulation(machine, settings, threads=threads, policy=policy)
        self.process = self.sim.spawn("bench", 2 * size)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in range(TASKS)]
        self.region = self.sim.mmap(self.process, size)

    def timed(
        self,
        work: Callable[[], object],
        events: int,
        repeats: int = 1,
        records: int = 0,
    ) -> Timing:
        """Do ``work`` and close the world; the best of several times counts."""
        seconds = float("inf")
        for _ in range(repeats):
            begin = time.perf_counter()
            work()
            seconds = min(seconds, time.perf_counter() - begin)
        nbytes = resident() - self.before
        self.sim.close()
        return Timing(events, seconds, self.region.pages, nbytes, records)

    def loads(
        self,
        kind: Callable[..., Workload],
        count: int,
        slabs: bool = False,
        **options: Any,
    ) -> list[Workload]:
        """Return a workload for each task, ``count`` accesses in all.

        slabs    whether each task has its own part of the memory
        options  more fields of the workload
        """
        # Without a barrier the task that did the set-up would finish last, alone.
        self.sim.synchronize()
        each, slab = count // TASKS, self.region.pages // TASKS
        part: list[dict[str, int]] = [
            {"first": i * slab, "pages": slab} if slabs else {} for i in range(TASKS)
        ]
        if kind is NextTouch and not slabs:
            # Each task starts where the one before it ends: no page comes twice.
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


#: One access in 200, taken by nobody: the first ones fill the rings.
SAMPLED = Settings(sampling=Sampling(period=200))


def _uniformly(access: Any, mine: Any) -> tuple[int, bool]:
    """Draw as ``Uniform`` does, in a function of one's own."""
    page = random_page(access.key, access.number, access.pages)
    return page, random_write(access.key, access.number, mine.share)


def _own(**options: Any) -> Workload:
    return OwnWorkload(generate=_uniformly, parameters={"share": 0.5}, **options)


def _touch(kind: Callable[..., Workload], settings: Settings = Settings()) -> Run:
    """Touches of pages that are mapped."""

    def run(size: int, threads: int) -> Timing:
        world = World(size, threads, settings=settings)
        world.sim.populate(world.tasks[0], world.region)
        count = min(ACCESSES, 4 * world.region.pages)
        loads = world.loads(kind, count)
        return world.timed(lambda: world.sim.run(loads), count, REPEATS)

    return run


def _first_touch(kind: type[Workload], slabs: bool) -> Run:
    """Touches of pages that are not mapped yet."""

    def run(size: int, threads: int) -> Timing:
        world = World(size, threads)
        count = world.region.pages
        loads = world.loads(kind, count, slabs=slabs, write=1.0)
        return world.timed(lambda: world.sim.run(loads), count)

    return run


def _fault(
    mechanism: Mechanism,
    base: Settings = Settings(),
    policy: PlacementPolicy | None = None,
) -> Run:
    """Faults of parked or marked pages, each with a migration, in scattered order."""

    def run(size: int, threads: int) -> Timing:
        settings = replace(base, swap_bytes=2 * size)
        world = World(size, threads, settings=settings, policy=policy)
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
    """Write faults of a child on pages of its parent, in scattered order."""
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


def _hint_with_locks(enabled: bool) -> Run:
    """Hint faults that migrate, with locks and without: what do locks cost?"""

    def run(size: int, threads: int) -> Timing:
        world = World(size, threads, settings=Settings(locks=Locks(enabled=enabled)))
        world.sim.populate(world.tasks[0], world.region)
        world.move()
        world.sim.mark(world.tasks[0], world.region, Mechanism.HINTING)
        count = min(ACCESSES, world.region.pages)
        loads = world.loads(NextTouch, count, slabs=True)
        return world.timed(lambda: world.sim.run(loads), count)

    return run


def _settle(size: int, threads: int) -> Timing:
    """Windows in which 512 tasks of 16 nodes use all locks, each as it likes."""
    sim = Simulation(
        uniform(16, size // 16, cpus_per_node=32),
        Settings(locks=Locks(enabled=True)),
        threads=threads,
    )
    process = sim.spawn("bench", size)
    tasks = [sim.start_task(process, cpu) for cpu in range(512)]
    memory, rng = sim.memory, np.random.default_rng(1)
    ops = rng.integers(0, 200, (len(tasks), memory.ops.shape[2]))
    ops[:, [Op.READ_CALL_NS, Op.WRITE_CALL_NS, Op.UNMAP_NS]] *= 1000
    seconds = float("inf")
    for _ in range(REPEATS):
        memory.ops[0, : len(tasks)] = ops
        memory.task[: len(tasks), Task.RUNTIME] += 50_000_000
        begin = time.perf_counter()
        sim.locks.settle(sim)
        seconds = min(seconds, time.perf_counter() - begin)
    sim.close()
    return Timing(1, seconds, 0, 0)


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


def _balance(policy: PlacementPolicy | None = None) -> Run:
    """10^9 accesses of tasks that were spread, while balancing moves their memory."""

    def run(size: int, threads: int) -> Timing:
        settings = Settings(balancing=Balancing(mode="normal"))
        world = World(size, threads, settings=settings, policy=policy)
        world.sim.populate(world.tasks[0], world.region)
        for i, task in enumerate(world.tasks):
            world.sim.move_task(task, task.cpu + i % 4 * TASKS)
        loads = world.loads(Uniform, BALANCED, slabs=True)
        return world.timed(lambda: world.sim.run(loads), BALANCED)

    return run


def _thp_map(size: int, threads: int) -> Timing:
    """Map memory with huge pages, one fault for each."""
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
    """A world of small pages, all of which khugepaged scans at each wake-up."""
    knobs = Khugepaged(pages_to_scan=size // 4096 + HUGE, scan_sleep_millisecs=1)
    settings = Settings(thp=Thp(enabled="madvise"), khugepaged=knobs)
    world = World(size, threads, settings=settings)
    world.sim.populate(world.tasks[0], world.region)
    world.sim.advise(world.tasks[0], world.region, "hugepage")
    return world


def _scan(size: int, threads: int) -> Timing:
    """khugepaged reads all PTEs and finds that none was used."""
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
def _split_pmds(m: Memory, mm: int, first: int, blocks: int) -> None:
    """Split the PMD entries of a range of blocks."""
    for i in range(blocks):
        split_huge_pmd(m, m.info[Info.SHARDS], mm, first + i)


def _split(warm: bool) -> Run:
    """Splits of PMD entries; ``warm``: the tables have host memory, as on Linux."""

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
    Case("touch_own_64GiB", 64 * GIB, _touch(_own)),
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
    Case("touch_uniform_sampled_64GiB", 64 * GIB, _touch(Uniform, SAMPLED)),
    Case("touch_zipf_sampled_64GiB", 64 * GIB, _touch(Zipf, SAMPLED)),
    Case(
        "hint_migrate_sampled_64GiB",
        64 * GIB,
        _fault(Mechanism.HINTING, SAMPLED),
        grows=True,
    ),
    Case(
        "hint_own_policy_64GiB",
        64 * GIB,
        _fault(Mechanism.HINTING, policy=LAST_CPUPID),
        False,
        True,
    ),
    Case("hint_migrate_1TiB", TIB, _fault(Mechanism.HINTING), False, True),
    Case("hint_locks_off_16GiB", 16 * GIB, _hint_with_locks(False), False, True),
    Case("hint_locks_on_16GiB", 16 * GIB, _hint_with_locks(True), False, True),
    Case("settle_locks_512_tasks", 16 * GIB, _settle, against=0),
    Case("swapcache_fault_64GiB", 64 * GIB, _fault(Mechanism.SWAPCACHE), False, True),
    Case("migcache_fault_64GiB", 64 * GIB, _fault(Mechanism.MIGCACHE), False, True),
    Case("balancing_64GiB", 64 * GIB, _balance()),
    Case("balancing_own_policy_64GiB", 64 * GIB, _balance(LAST_CPUPID)),
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
        "split_pmd_cold_16GiB",
        16 * GIB,
        _split(False),
        grows=True,
        against=LINUX_PMD_SPLITS,
    ),
)
