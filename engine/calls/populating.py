"""Fault memory in without accesses (MADV_POPULATE_WRITE)."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.calls import populate as kernel
from ...kernels.fault.anon_page import NEW_FRAME, NEW_PTE
from ...kernels.frames.huge_memory import populate_blocks
from ...kernels.words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_NID_SHIFT,
    PMD_TABLE,
)
from ..settings.thp import eligible
from ..state.anon_vma import prepare_neighbours
from ..state.process import Region, Task
from ..state.ranges import part_of, rows_in
from ..state.world import MS, charge

if TYPE_CHECKING:
    from ..simulation import Simulation


def populate(
    simulation: "Simulation",
    task: Task,
    region: Region,
    first: int = 0,
    pages: int | None = None,
) -> int:
    """Write-fault a part of a region (MADV_POPULATE_WRITE) without accesses.

    Return how many pages could be populated before memory ran out.
    """
    start, pages = part_of(region, first, pages)
    memory = simulation.memory
    memory.info[st.Info.NOW_MS] = simulation.now // MS
    thp, done = simulation.settings.thp.enabled, 0
    for v, at, count in rows_in(memory, region.process, start, pages):
        if memory.vma[v, st.Vma.SHARED] or eligible(thp, memory.vma[v, st.Vma.ADVICE]):
            got = kernel.populate(memory, task.id, at, count, True)
        else:
            got = _populate_small(memory, task, v, at, count)
        done += got
        if got < count:
            break
    prepare_neighbours(simulation)
    charge(simulation, task)
    return done


def _populate_small(
    memory: st.Memory, task: Task, v: int, first: int, pages: int
) -> int:
    """Populate a piece of a VMA by small pages; return how many.

    Whole blocks are written at once if the result is the same.
    """
    at, end = first, first + pages
    while at < end:
        blocks = _populate_blocks(memory, task, v, at, end)
        count = blocks * HPAGE_PMD_NR
        if not blocks:
            aligned = (at // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR
            count = min(end, aligned) - at
            done = kernel.populate(memory, task.id, at, count, True)
            if done < count:
                return at + done - first
        at += count
    return pages


def _populate_blocks(memory: st.Memory, task: Task, v: int, at: int, end: int) -> int:
    """Populate whole blocks from a block's first page; return how many."""
    wanted = (end - at) // HPAGE_PMD_NR
    if at % HPAGE_PMD_NR or not wanted or not memory.vma[v, st.Vma.WRITE]:
        return 0
    nid, blocks = kernel.virgin_blocks(memory, task.id, v)
    if not blocks:
        return 0
    pfn = int(memory.node[nid, st.Node.VIRGIN]) << HPAGE_PMD_ORDER
    table_nid = int(memory.zonelist[memory.task[task.id, st.Task.NID], 0])
    table = PMD_TABLE | table_nid << PMD_NID_SHIFT
    done = populate_blocks(
        memory.pmd,
        memory.pte,
        memory.frame,
        at + task.process.delta,
        pfn,
        table,
        pfn | NEW_PTE,
        at | NEW_FRAME,
        min(blocks, wanted),
    )
    kernel.account_blocks(memory, task.id, nid, done)
    return done
