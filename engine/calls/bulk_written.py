"""Calls in bulk that tell more of pages: which are huge, which were written."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.calls.written_bits import clear_written, read_written
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, PMD_LEAF, PTE_ZERO
from ..state.process import Region
from .bulk_pages import Pages, charge, chunks_of, first_pte, flush_from_daemon

if TYPE_CHECKING:
    from ..simulation import Simulation


def huge(simulation: "Simulation", region: Region) -> np.ndarray:
    """Return bool[blocks]: which 2 MiB blocks that a region touches a huge page maps.

    Blocks are those of ``split_blocks``.  A look: nothing is charged.
    Raises BadInput if the process is dead.
    """
    region.process.check_alive()
    first = first_pte(region)
    start = first >> HPAGE_PMD_ORDER
    end = -(-(first + region.pages) // HPAGE_PMD_NR)
    return simulation.memory.pmd[start:end] & PMD_LEAF & ~PTE_ZERO != 0


def take_written(
    simulation: "Simulation", region: Region, pages: Pages = None, charged: bool = True
) -> np.ndarray:
    """Return bool[pages]: whether each was written since its bit was last taken.

    The dirty bits of entries are cleared; that of a small page goes to its frame, as at
    an unmap, so that reclaim knows of it.  All 512 pages of a huge entry share one.
    Left alone: pages that were freed by advice (MADV_FREE), which the bit keeps.
    Charged as ``take_accessed``; ``charged``: False if it is not a walk that tells, but
    a fault at each first write, say, which the daemon charges itself.
    Raises BadInput if a page is not of the region, or the process is dead.
    """
    memory, first, costs = simulation.memory, first_pte(region), simulation.costs
    chunks = list(chunks_of(region, pages))
    taken = [np.zeros(len(chunk), np.bool_) for chunk in chunks]
    for chunk, written in zip(chunks, taken, strict=True):
        read_written(memory, first, chunk, written)
    cleared = 0
    for chunk, written in zip(chunks, taken, strict=True):
        cleared += int(clear_written(memory, first, chunk, written))
    ns = sum(map(len, chunks)) * costs.walk_ns + cleared * costs.mark_pte_ns
    if charged:
        flush = flush_from_daemon(simulation, region.process, int(cleared > 0))
        charge(simulation, ns + flush)
    return np.concatenate([np.zeros(0, np.bool_), *taken])
