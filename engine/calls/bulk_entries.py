"""Calls in bulk that change what maps pages: mark, split, collapse, advise.

``pages`` as in ``bulk.py``.  ``blocks``: int64 numbers of the 2 MiB blocks of address
space that a region touches, from 0; or None for all.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls.bulk_change import (
    Marked,
    advise_runs,
    mark_pages_of,
    split_blocks_of,
)
from ...kernels.counters import Op, ScanResult
from ...kernels.knobs import Advice
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE
from ..errors import BadInput
from ..state.anon_vma import prepare
from ..state.process import Region, Vma
from ..state.world import MS, lru_add_drain
from .advice import ACTIONS, has_advice
from .bulk_pages import (
    Pages,
    charge,
    charge_for,
    chunks_of,
    first_pte,
    flush_from_daemon,
    offsets_of,
)
from .cut import change_range

if TYPE_CHECKING:
    from ..simulation import Simulation


def mark_pages(simulation: "Simulation", region: Region, pages: Pages = None) -> int:
    """Mark pages, so that the next touch of each is a hint fault; return pages marked.

    PROT_NONE, as the scanner of NUMA balancing sets it (change_pte_range and
    change_huge_pmd, 6.12), on whatever node; a huge page is marked whole.  Pages of a
    private mapping that others have, too, are refused (SHARED).
    Charged: cost.mark_pte_ns for each entry, and one TLB flush if there is any.
    Raises BadInput if a page is not of the region, or the process is dead.
    """
    memory, first, mm = simulation.memory, first_pte(region), region.process.id
    marked = np.zeros(len(Marked), np.int64)
    for chunk in chunks_of(region, pages):
        mark_pages_of(memory, mm, first, chunk, simulation.now // MS, marked)
    entries = int(marked[Marked.ENTRIES])
    flush = flush_from_daemon(simulation, region.process, int(entries > 0))
    ns = entries * simulation.costs.mark_pte_ns + flush
    charge_for(simulation, region.process, ns, {Op.MARK: entries})
    return int(marked[Marked.PAGES])


def split_blocks(simulation: "Simulation", region: Region, blocks: Pages = None) -> int:
    """Split huge pages into small ones, who else maps them, too; return how many.

    Charged: cost.split_pmd_ns for each entry that mapped one (split_huge_page_to_list).
    Raises BadInput if a block is not of the region, or the process is dead.
    """
    memory, start = simulation.memory, first_pte(region) >> HPAGE_PMD_ORDER
    split = 0
    for chunk in chunks_of(_blocks(region), blocks):
        split += int(split_blocks_of(memory, start, chunk))
    flush = flush_from_daemon(simulation, region.process, int(split > 0))
    entries = int(memory.info[st.Info.SPLITS])
    ns = entries * simulation.costs.split_pmd_ns + flush
    charge_for(simulation, region.process, ns, {Op.SPLIT: entries})
    simulation.fold()
    return split


def collapse_blocks(
    simulation: "Simulation", region: Region, blocks: Pages = None
) -> int:
    """Make huge pages of small ones, as MADV_COLLAPSE does; return how many.

    Left alone: blocks that are no whole part of a private VMA, or must not have huge
    pages; those that khugepaged's scan refuses, without its limits; if no huge page is
    free.
    Charged: cost.collapse_ns for each that is made.
    Raises BadInput if a block is not of the region, or the process is dead.
    """
    process = region.process
    lru_add_drain(simulation)
    prepare(simulation, process)
    first, made = region.first >> HPAGE_PMD_ORDER, 0
    for chunk in chunks_of(_blocks(region), blocks):
        for block in (first + chunk).tolist():
            vpn = block << HPAGE_PMD_ORDER
            if any(_may_be_huge(vma, vpn) for vma in process.vmas):
                result = simulation.khugepaged.collapse_block(process, vpn)
                made += result == ScanResult.SUCCEED
    charge(simulation, made * simulation.costs.collapse_ns)
    simulation.fold()
    return made


def advise_pages(
    simulation: "Simulation", region: Region, pages: Pages, advice: str
) -> None:
    """Advise on pages of a process, as process_madvise(2) does.

    ``cold``, ``pageout``, ``free`` act at once, on small pages and huge ones; a huge
    page that is not wholly meant is split.  ``hugepage``, ``nohugepage`` and ``none``
    cut VMAs.
    Charged: a system call for each run of pages.
    Raises BadInput for another advice, one that the kernel has not, ``free`` of shared
    memory, a page that is not of the region, or a dead process.
    """
    names = [one.name.lower() for one in Advice]
    if advice not in names and advice not in ACTIONS:
        known = ", ".join([*names, *ACTIONS])
        raise BadInput(f"advice must be one of {known}, got {advice!r}")
    if not has_advice(simulation, advice):
        raise BadInput(f"advice must be one that the kernel has, got {advice!r}")
    region.process.check_alive()
    starts, counts = _runs(region, pages)
    if advice in names:
        _advise_vmas(simulation, region, Advice(names.index(advice)), starts, counts)
    else:
        _act(simulation, region, advice, starts, counts)
    memory = simulation.memory
    splits = int(memory.info[st.Info.SPLITS]) * simulation.costs.split_pmd_ns
    charge(simulation, len(starts) * simulation.costs.syscall_ns + splits)
    simulation.fold()


def _advise_vmas(
    simulation: "Simulation",
    region: Region,
    advice: Advice,
    starts: np.ndarray,
    counts: np.ndarray,
) -> None:
    for at, pages in zip(starts.tolist(), counts.tolist(), strict=True):
        first = region.first + at
        change_range(simulation, region.process, first, pages, advice=advice)


def _act(
    simulation: "Simulation",
    region: Region,
    advice: str,
    starts: np.ndarray,
    counts: np.ndarray,
) -> None:
    process = region.process
    if advice == "free" and any(vma.shmem for vma in _vmas(region)):
        raise BadInput("memory must be private to be freed, got shared memory")
    prepare(simulation, process)
    lru_add_drain(simulation)
    memory, kind = simulation.memory, ACTIONS[advice]
    advise_runs(memory, process.id, first_pte(region), starts, counts, kind)
    charge(simulation, flush_from_daemon(simulation, process, int(len(starts) > 0)))


def _runs(region: Region, pages: Pages) -> tuple[np.ndarray, np.ndarray]:
    """Return (first, number) of each run of pages that follow each other, int64[n]."""
    if pages is None:
        return np.zeros(1, np.int64), np.full(1, region.pages, np.int64)
    sorted_ = np.unique(offsets_of(region, np.asarray(pages)))
    cuts = np.flatnonzero(np.diff(sorted_) > 1) + 1
    edges = np.concatenate([[0], cuts, [len(sorted_)]]).astype(np.int64)
    counts = np.diff(edges)
    return sorted_[edges[:-1][counts > 0]], counts[counts > 0]


def _vmas(region: Region) -> list[Vma]:
    end = region.first + region.pages
    return [
        one for one in region.process.vmas if one.start < end and region.first < one.end
    ]


def _blocks(region: Region) -> Region:
    """Return the blocks that a region touches, as a region of so many ``pages``."""
    first, end = region.first, region.first + region.pages
    count = -(-end // HPAGE_PMD_NR) - first // HPAGE_PMD_NR
    return region._replace(pages=count)


def _may_be_huge(vma: Vma, vpn: int) -> bool:
    """Tell whether a block is a whole part of a VMA that may have huge pages."""
    if vma.shmem is not None or vma.anon_vma == NONE:
        return False
    inside = vma.start <= vpn and vpn + HPAGE_PMD_NR <= vma.end
    return inside and vma.advice != Advice.NOHUGEPAGE
