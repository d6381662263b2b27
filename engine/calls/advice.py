"""madvise(2) and swap: what becomes of pages because somebody says so."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls import madvise as kernel
from ...kernels.calls.populate import populate
from ...kernels.fault.shmem import shmem_unuse
from ...kernels.knobs import Advice
from ...kernels.reclaim.deferred_split import drop_slab
from ...kernels.words import PAGE_SIZE
from ..errors import BadInput, SimulationError
from ..state.anon_vma import prepare
from ..state.process import Process, Region, Task, overlapping
from ..state.ranges import part_of, pieces, rows_in
from ..state.world import charge, flush_tlbs, lru_add_drain
from .cut import change_range, split_at
from .unmap import zap

if TYPE_CHECKING:
    from ..simulation import Simulation

EINVAL = 22
_ACTIONS = {
    "cold": kernel.PageAdvice.COLD,
    "pageout": kernel.PageAdvice.PAGEOUT,
    "free": kernel.PageAdvice.FREE,
}


def advise(
    simulation: "Simulation",
    task: Task,
    region: Region,
    advice: str,
    first: int = 0,
    pages: int | None = None,
) -> None:
    """Advise on a part of a region: ``hugepage``, ``nohugepage`` or ``none``."""
    names = [one.name.lower() for one in Advice]
    if advice not in names:
        raise BadInput(f"advice must be one of {', '.join(names)}, got {advice!r}")
    wanted = Advice(names.index(advice))
    start, pages = part_of(region, first, pages)
    change_range(simulation, region.process, start, pages, advice=wanted)
    charge(simulation, task, alone=True)


def madvise(
    simulation: "Simulation",
    task: Task,
    region: Region,
    advice: str,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Act on a part of a region at once, without cutting a VMA; return 0 or EINVAL.

    EINVAL also if the kernel has no such advice.

    ``dontneed``: forget its pages; ``free``: let reclaim forget them; ``cold``:
    reclaim them first; ``pageout``: reclaim them now; ``populate_read``: fault them
    in, up to the first that must not be read (EINVAL).  Of these only dontneed does
    something to shared memory: it unmaps it.  free is EINVAL there.
    """
    if advice not in _ACTIONS and advice not in ("dontneed", "populate_read"):
        raise BadInput(f"advice must be one that acts at once, got {advice!r}")
    if not has_advice(simulation, advice):
        return EINVAL
    start, pages = part_of(region, first, pages)
    process = region.process
    prepare(simulation, process)
    memory = simulation.memory
    if advice != "populate_read":
        lru_add_drain(simulation, task)
    zapped = failed = 0
    for v, at, count in rows_in(memory, process, start, pages):
        row = memory.vma[v]
        unread = advice == "populate_read" and not row[st.Vma.READ]
        if unread or (advice == "free" and row[st.Vma.SHARED]):
            failed = EINVAL
            break
        zapped += _madvise_piece(simulation, task, process, advice, at, count)
    if advice != "populate_read":
        flush_tlbs(simulation, process)
    charge(simulation, task, zapped * simulation.costs.zap_pte_ns)
    return failed


def drop_caches(simulation: "Simulation") -> None:
    """Let shrinkers free what they can, as a write to vm.drop_caches does.

    Of these the model has the one that splits huge pages.  Nobody is charged.
    """
    lru_add_drain(simulation)
    drop_slab(simulation.memory)


def has_advice(simulation: "Simulation", advice: str) -> bool:
    """Tell whether the kernel has an advice (madvise_behavior_valid)."""
    calls = simulation.settings.calls
    existing = {
        "free": calls.madv_free,
        "cold": calls.madv_cold,
        "pageout": calls.madv_pageout,
        "populate_read": calls.madv_populate,
        "populate_write": calls.madv_populate,
        "collapse": calls.madv_collapse,
    }
    return existing.get(advice, True)


def _madvise_piece(
    simulation: "Simulation",
    task: Task,
    process: Process,
    advice: str,
    first: int,
    pages: int,
) -> int:
    """Do ``madvise`` for a piece of a VMA; return the entries zapped."""
    end, delta = first + pages, process.delta
    if advice == "dontneed":
        split_at(simulation, process, (first, end))
        return zap(simulation, process, first, end, task, np.zeros(1, np.int64))
    memory = simulation.memory
    if advice == "populate_read":
        populate(memory, task.id, first, pages, False)
    else:
        at, kind = first + delta, _ACTIONS[advice]
        kernel.madvise_range(memory, process.id, delta, at, pages, kind)
    return 0


def swapon(simulation: "Simulation") -> None:
    """Make the swap space of the settings usable."""
    slots = simulation.settings.swap_bytes // PAGE_SIZE
    simulation.memory.info[st.Info.SLOTS + st.Ids.TOTAL] = slots


def swapoff(simulation: "Simulation", task: Task) -> None:
    """Bring back all that is swapped out, by the caller's policy, then end swap.

    Raises SimulationError if there is not enough memory for it.
    """
    memory = simulation.memory
    _unuse_objects(simulation, memory, task)
    for process in simulation.processes:
        row, delta = int(memory.mm[process.id, st.Mm.FIRST_VMA]), process.delta
        for i, vma in enumerate(process.vmas):
            for at, pages in pieces(vma.start, vma.end):
                _check_found(
                    kernel.unuse_pte_range(
                        memory, task.id, process.id, row + i, delta, at + delta, pages
                    )
                )
    kernel.swapoff(memory)
    charge(simulation, task)


def _unuse_objects(simulation: "Simulation", memory: st.Memory, task: Task) -> None:
    """Bring back what the objects of shared mappings have in swap."""
    for one in simulation.objects:
        for i, vma in enumerate(one.vmas):
            for at, pages in pieces(vma.start, vma.end):
                found = shmem_unuse(memory, task.id, one.row + i, at, pages)
                _check_found(found)


def _check_found(found: bool) -> None:
    if not found:
        raise SimulationError("swapoff must find memory, got none left")


def collapse(
    simulation: "Simulation",
    task: Task,
    region: Region,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Collapse the whole blocks of a range (MADV_COLLAPSE); return 0 or an errno.

    ENOMEM: no huge page was free; EINVAL: a block could not be collapsed, a VMA must
    not have huge pages, or the kernel has no such advice.  The first VMA that fails
    ends the call.
    Raises BadInput if a page of the range is not mapped.
    """
    if not has_advice(simulation, "collapse"):
        return EINVAL
    start, pages = part_of(region, first, pages)
    process, end = region.process, start + pages
    lru_add_drain(simulation)
    errno = total = 0
    for vma in overlapping(process, start, pages):
        errno, collapsed = simulation.khugepaged.madvise_collapse(
            task, process, vma, max(vma.start, start), min(vma.end, end)
        )
        total += collapsed
        if errno:
            break
    charge(simulation, task, total * simulation.costs.collapse_ns, alone=True)
    return errno
