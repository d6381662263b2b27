"""Compile every kernel ahead of the first run, by using each one once.

A kernel is compiled at its first call, for the types of its arguments.  So a small
machine makes every call that there is; what it computes is thrown away.
"""

from contextlib import closing
from dataclasses import replace

import numpy as np

from ..kernels.jit.compiling import compiled
from ..kernels.knobs import Mechanism, Mode
from ..kernels.quantum.barrier import run_daemons
from .daemons.damon import Damon
from .daemons.damos import Scheme
from .errors import SimulationError
from .machines.presets import uniform
from .settings.locks import Locks
from .settings.multigen_lru import LruGen
from .settings.numa_balancing import Balancing
from .settings.sampled_accesses import Sampling
from .settings.sched import Sched
from .settings.settings import Settings
from .settings.thp import Khugepaged, Thp
from .settings.tlb_size import Tlb
from .simulation import Simulation
from .state.policies import Policy
from .state.process import Region, Task
from .workloads.kinds import Sweep, Uniform
from .workloads.recording import Recording

_MIB = 1 << 20
_NODE = 32 * _MIB


def warm_kernels() -> int:
    """Compile every kernel that is not in the cache; return how many there were.

    Raises SimulationError if a kernel was not reached.
    """
    before = compiled.kernels
    for rehearse in (_place, _collapse, _kill, _script, _record, _watch, _tier):
        rehearse()
    if compiled.unused:
        raise SimulationError(f"warm must reach {', '.join(sorted(compiled.unused))}")
    return compiled.kernels - before


def _machine(settings: Settings, threads: int = 1) -> Simulation:
    return Simulation(uniform(2, _NODE, cpus_per_node=2), settings, threads=threads)


def _start(simulation: Simulation, nbytes: int) -> tuple[Task, Region]:
    process = simulation.spawn("warm")
    task = simulation.start_task(process, 0)
    return task, simulation.mmap(process, nbytes)


def _place() -> None:
    """Fill memory, mark it, fork, and take a node away: with all that wakes up."""
    settings = Settings(
        swap_bytes=64 * _MIB,
        thp=Thp(enabled="always"),
        tlb=Tlb(enabled=True),
        balancing=Balancing(mode="normal"),
        locks=Locks(enabled=True),
        sched=Sched(load_balance=True, time_sharing=True),
        loaded_copies=True,
        sampling=Sampling(period=100),
    )
    with closing(_machine(settings, threads=2)) as simulation:
        task, region = _start(simulation, 62 * _MIB)
        simulation.populate(task, region, pages=1024)
        simulation.run([Uniform(task=task, region=region, count=400_000, refs=1)])
        simulation.move_task(task, 2)
        for mechanism in (Mechanism.HINTING, Mechanism.SWAPCACHE, Mechanism.MIGCACHE):
            simulation.mark(task, region, mechanism, pages=2048)
            simulation.run([Uniform(task=task, region=region, count=10_000)])
        simulation.pages_by_node(region.process)
        simulation.mprotect(task, region, "r", first=512, pages=256)
        child = simulation.fork(region.process)
        simulation.start_task(child, 1)
        simulation.exit(child)
        simulation.idle(2_000_000_000)
        simulation.munmap(task, region, pages=9000)
        simulation.hot_remove(1)


def _collapse() -> None:
    """Make a huge page of small ones, on a node that is drawn, and scan it cut."""
    settings = Settings(
        thp=Thp(enabled="madvise"),
        khugepaged=Khugepaged(target="random", shared_folios=True),
    )
    with closing(_machine(settings)) as simulation:
        task, region = _start(simulation, 4 * _MIB)
        simulation.populate(task, region)
        simulation.advise(task, region, "hugepage", first=0, pages=512)
        simulation.collapse(task, region, pages=512)
        simulation.mprotect(task, region, "r", pages=256)
        simulation.mprotect(task, region, "rw", pages=256)
        simulation.collapse(task, region, pages=512)


def _kill() -> None:
    """Run out of memory, and then of swap space."""
    with closing(_machine(Settings(swap_bytes=16 * _MIB))) as simulation:
        task, region = _start(simulation, 96 * _MIB)
        simulation.run([Sweep(task=task, region=region, count=30_000)])
        run_daemons(simulation.memory)  # they seldom wake between two quanta


def _record() -> None:
    """Play what two threads did, with times and changes of CPU."""
    settings = Settings(sampling=Sampling(period=7))
    with closing(_machine(settings)) as simulation:
        task, region = _start(simulation, 4 * _MIB)
        tasks = task, simulation.start_task(task.process, 1)
        who = np.arange(100) % 2
        recording = Recording(
            tasks=tasks,
            regions=(region, region),
            who=who,
            vpn=np.arange(100),
            writes=who == 0,
            cpu=np.arange(100) % 4,
            time_ns=np.arange(100) * 10_000_000,
        )
        simulation.play(recording)


def _watch() -> None:
    """Watch a process and a node with DAMON, and act on what it sees."""
    with closing(_machine(Settings(swap_bytes=16 * _MIB))) as simulation:
        task, region = _start(simulation, 4 * _MIB)
        simulation.populate(task, region)
        for node, action in (
            (None, "migrate_cold"),
            (1, "migrate_hot"),
            (0, "pageout"),
        ):
            scheme = Scheme(action, node=1 if action == "migrate_cold" else 0)
            daemon = Damon(node=node, schemes=(scheme,), aggregation_ns=10_000_000)
            simulation.start_daemon(daemon)
        simulation.idle(40_000_000)


def _tier() -> None:
    """Do in bulk what daemons do to many pages."""
    with closing(_machine(Settings(thp=Thp(enabled="always")))) as simulation:
        task, region = _start(simulation, 4 * _MIB)
        simulation.populate(task, region)
        simulation.take_accessed(region, [0])
        simulation.take_written(region, [0])
        simulation.move(region, simulation.where(region) == 0, 1)
        simulation.split_blocks(region)
        simulation.advise_pages(region, [0], "cold")
        simulation.mark_pages(region, [0])


def _script() -> None:
    """Make the calls of memory scripts, one access at a time."""
    settings = Settings(sequential=True, swap_bytes=64 * _MIB, lru_batches=True)
    with closing(_machine(settings)) as simulation:
        task, region = _start(simulation, 8 * _MIB)
        shared = simulation.mmap(task.process, 4 * _MIB, shared=True)
        simulation.populate(task, region)
        for mapped in (region, shared):
            simulation.run([Uniform(task=task, region=mapped, count=500)])
            simulation.madvise(task, mapped, "pageout")
        simulation.mbind(task, region, Policy(Mode.BIND, (1,)), strict=True)
        simulation.mbind(task, region, Policy(Mode.BIND, (1,)), move=True)
        simulation.mbind(task, region, Policy(Mode.LOCAL), first=1, pages=1)
        simulation.move_pages(task, region, 0, pages=16)
        simulation.migrate_pages(task, [0], [1])
        simulation.swapoff(task)
        simulation.configure(replace(settings, lru_gen=LruGen(enabled=True)))
        simulation.drop_caches()
        simulation.munmap(task, shared)
        simulation.advise(task, region, "hugepage", first=512, pages=600)
