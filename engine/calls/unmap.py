"""munmap, and what goes away with the last mapping."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.calls.zap import zap_pte_range
from ...kernels.counters import Op, Vm, Worker
from ...kernels.fault.shmem import shmem_undo_range
from ...kernels.state import Change
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from ..state.anon_vma import detach, prepare
from ..state.host_memory import give_back, wipe
from ..state.process import Process, Region, Task, overlapping
from ..state.ranges import part_of, pieces
from ..state.world import charge, flush_tlbs, flushes_ns, lru_add_drain, worked
from .cut import cuts_of, split_at

if TYPE_CHECKING:
    from ..simulation import Simulation


def munmap(
    simulation: "Simulation",
    task: Task,
    region: Region,
    first: int = 0,
    pages: int | None = None,
) -> None:
    """Unmap a part of a region; it must be mapped."""
    start, pages = part_of(region, first, pages)
    process, end = region.process, start + pages
    overlapping(process, start, pages)
    prepare(simulation, process)
    split_at(simulation, process, cuts_of(process, start, end))
    lru_add_drain(simulation, task)
    zapped = zap(simulation, process, start, end, task, np.zeros(1, np.int64))
    detach(simulation, process, start, pages)
    evict_unmapped(simulation)
    ns = zapped * simulation.costs.zap_pte_ns + flushes_ns(simulation, task, process, 1)
    charge(simulation, task, ns, alone=True)
    _count_unmap(simulation, task, ns)
    flush_tlbs(simulation, process)
    give_back(simulation.memory.pte, start + process.delta, pages)
    simulation.give_back_memory()
    _free_pgtables(simulation, process, start, end)


def _count_unmap(simulation: "Simulation", task: Task, ns: int) -> None:
    """Count how a munmap holds mmap_lock once its VMAs are detached: for ``ns``."""
    ops = simulation.memory.ops[-1, task.id]
    ops[Op.WRITE_CALL_NS] -= ns
    ops[Op.UNMAP] += 1
    ops[Op.UNMAP_NS] += ns


def _free_pgtables(
    simulation: "Simulation", process: Process, start: int, end: int
) -> None:
    """Forget the page tables of blocks in which nothing is mapped any more."""
    nr = HPAGE_PMD_NR
    first, last = start // nr * nr, -(-end // nr) * nr
    if any(vma.start < first + nr and vma.end > first for vma in process.vmas):
        first += nr
    if any(vma.start < last and vma.end > last - nr for vma in process.vmas):
        last -= nr
    if first < last:
        block = (first + process.delta) >> HPAGE_PMD_ORDER
        wipe(simulation.memory.pmd, block, (last - first) >> HPAGE_PMD_ORDER)


def zap(
    simulation: "Simulation",
    process: Process,
    start: int,
    end: int,
    task: Task | None,
    wedged: np.ndarray,
) -> int:
    """Unmap pages [start, end) of a process; return the entries that there were.

    task    who does it, None: the process ends
    wedged  int64[1]: pages lost to the exit race; added to
    """
    memory, zapped, exiting = simulation.memory, 0, task is None
    freed = memory.vm[-1, :, Vm.PGFREE].copy()
    huge = int(memory.mm_change[-1, process.id, Change.HUGE])
    for first, pages in pieces(start, end):
        at = first + process.delta
        zapped += zap_pte_range(memory, at, first, pages, process.id, exiting, wedged)
    freed = memory.vm[-1, :, Vm.PGFREE] - freed
    huge -= int(memory.mm_change[-1, process.id, Change.HUGE])
    _count_freed(simulation, task, freed.tolist(), huge, zapped)
    return zapped


def _count_freed(
    simulation: "Simulation",
    task: Task | None,
    freed: list[int],
    huge: int,
    zapped: int,
) -> None:
    """Count what frees pages takes locks for.

    freed   pages that each node got
    huge    small pages in the huge entries that were unmapped
    zapped  entries that were unmapped
    """
    whole, memory = sum(freed), simulation.memory
    for n, pages in enumerate(freed):
        blocks = min(huge, whole) * pages // max(1, whole) // HPAGE_PMD_NR
        small = pages - blocks * HPAGE_PMD_NR
        if task is not None:
            memory.ops[-1, task.id, [Op.ZAP, Op.ZAP_HUGE]] += small, blocks
        elif pages:
            ns = zapped * simulation.costs.zap_pte_ns * pages // whole
            ops = {Op.ZAP: small, Op.ZAP_HUGE: blocks, Op.WORK_NS: ns}
            worked(simulation, Worker.EXIT, n, ops)


def evict_unmapped(simulation: "Simulation") -> None:
    """Forget the objects that nobody maps any more, and free their pages."""
    if not simulation.objects:
        return
    mapped = {id(vma.shmem) for one in simulation.processes for vma in one.vmas}
    gone = [one for one in simulation.objects if id(one) not in mapped]
    # VMAs went, so the tables, which have a row for each object's policy, are stale.
    simulation.objects = [one for one in simulation.objects if id(one) in mapped]
    for one in gone:
        memory, cache = simulation.memory, simulation.caches[one.family]
        for first, pages in pieces(one.first, one.first + one.pages):
            shmem_undo_range(memory, first + cache, pages)
        give_back(memory.pte, one.first + cache, one.pages)
