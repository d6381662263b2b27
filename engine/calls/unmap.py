"""munmap, and what goes away with the last mapping."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.calls.zap import zap_pte_range
from ...kernels.counters import Op
from ...kernels.fault.shmem import shmem_undo_range
from ...kernels.state import Change, Info, Mm
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from ..state.host_memory import give_back, wipe
from ..state.process import Process, Region, Task, merge, remove
from ..state.ranges import part_of, pieces
from ..state.world import charge, flush_tlbs, flushes_ns, lru_add_drain
from .cut import isolate_range

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
    parts = isolate_range(simulation, process, start, pages)
    lru_add_drain(simulation, task)
    huge = _huge(simulation, process)
    zapped = zap(simulation, process, start, end, False, np.zeros(1, np.int64))
    huge -= _huge(simulation, process)
    remove(process, parts)
    merge(process)
    evict_unmapped(simulation)
    ns = zapped * simulation.costs.zap_pte_ns + flushes_ns(simulation, task, process, 1)
    charge(simulation, task, ns, alone=True)
    _count_ops(simulation, task, ns, zapped - huge, huge)
    flush_tlbs(simulation, process)
    give_back(simulation.memory.pte, start + process.delta, pages)
    simulation.give_back_memory()
    _free_pgtables(simulation, process, start, end)


def _huge(simulation: "Simulation", process: Process) -> int:
    """Return the huge entries of a process, those included that are not folded yet."""
    memory, mm = simulation.memory, process.id
    pages = memory.mm[mm, Mm.HUGE] + memory.mm_change[:, mm, Change.HUGE].sum()
    return int(pages) // HPAGE_PMD_NR


def _count_ops(
    simulation: "Simulation", task: Task, ns: int, small: int, huge: int
) -> None:
    """Count what locks a munmap takes from where it has detached its VMAs.

    ns  of the call from there on
    small, huge  entries that it zapped
    """
    memory = simulation.memory
    ops = memory.ops[memory.info[Info.SHARDS], task.id]
    ops[Op.WRITE_CALL_NS] -= ns
    ops[Op.UNMAP] += 1
    ops[Op.UNMAP_NS] += ns
    ops[Op.ZAP] += small
    ops[Op.ZAP_HUGE] += huge


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
    exiting: bool,
    wedged: np.ndarray,
) -> int:
    """Unmap pages [start, end) of a process; return the entries that there were.

    wedged  int64[1]: pages lost to the exit race; added to
    """
    memory, zapped = simulation.memory, 0
    for first, pages in pieces(start, end):
        at = first + process.delta
        zapped += zap_pte_range(memory, at, first, pages, process.id, exiting, wedged)
    return zapped


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
