"""madvise(2) and swap: what becomes of pages because somebody says so."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls import madvise as kernel
from ...kernels.calls.populate import populate
from ...kernels.knobs import Advice
from ...kernels.reclaim.deferred_split import drop_slab
from ...kernels.words import HPAGE_PMD_NR
from ..errors import BadInput
from ..state.anon_vma import prepare
from ..state.host_memory import wipe
from ..state.process import Process, Region, Task, overlapping
from ..state.ranges import part_of, rows_in
from ..state.world import charge, flush_tlbs, lru_add_drain
from .cut import change_range, split_at
from .unmap import zap

if TYPE_CHECKING:
    from ..simulation import Simulation

EINVAL = 22
ACTIONS = {
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
    if advice not in ACTIONS and advice not in ("dontneed", "populate_read"):
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
    simulation.fold()


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


def _free_tables(simulation: "Simulation", first: int, end: int) -> None:
    """Forget the page tables of the whole blocks of a range that was zapped."""
    block, stop = -(-first // HPAGE_PMD_NR), end // HPAGE_PMD_NR
    if block < stop:
        wipe(simulation.memory.pmd, block, stop - block)


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
        zapped = zap(simulation, process, first, end, task, np.zeros(1, np.int64))
        if simulation.settings.calls.dontneed_frees_tables:
            _free_tables(simulation, first + delta, end + delta)
        return zapped
    memory = simulation.memory
    if advice == "populate_read":
        populate(memory, task.id, first, pages, False)
    else:
        at, kind = first + delta, ACTIONS[advice]
        kernel.madvise_range(memory, process.id, delta, at, pages, kind)
    return 0


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
