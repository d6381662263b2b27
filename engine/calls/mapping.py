"""mmap and mprotect: what is mapped, and how it may be used."""

from typing import TYPE_CHECKING

from ...kernels.calls.mprotect import change_protection
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, PAGE_SIZE
from ..errors import BadInput
from ..state.process import (
    Process,
    Region,
    Shmem,
    Task,
    Vma,
    add,
)
from ..state.ranges import part_of, pieces
from ..state.world import charge, flush_tlbs, flushes_ns
from .cut import change_range

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Inode numbers that a CPU takes at a time (mm/shmem.c).
SHMEM_INO_BATCH = 1024


class Inodes:
    """Inode numbers of shared mappings; the mount itself has the first.

    shmem_reserve_inode (mm/shmem.c, 6.1), for the mount that nobody sees.
    """

    def __init__(self) -> None:
        self._next, self._batch = {0: 2}, SHMEM_INO_BATCH

    def take(self, cpu: int) -> int:
        """Return the number that a CPU gives next."""
        ino = self._next.get(cpu, 0)
        if ino % SHMEM_INO_BATCH == 0:
            ino = self._batch
            self._batch += SHMEM_INO_BATCH
        self._next[cpu] = ino + 1
        return ino


def mmap(
    simulation: "Simulation",
    process: Process,
    nbytes: int,
    name: str = "",
    write: bool = True,
    shared: bool = False,
    offset: int = 0,
    task: Task | None = None,
    pgoff: int | None = None,
) -> Region:
    """Map anonymous memory above what is mapped, ``offset`` pages from alignment.

    It is aligned to 2 MiB if ``offset`` is 0.

    ``shared``: children have the same memory, not a copy of it (MAP_SHARED).
    ``task``: who pays for the call and holds mmap_lock; None: it costs nothing.
    ``pgoff``: the number that private memory is interleaved by begins with this (on
    Linux it is the address); None: it counts the pages of the address space.

    Raises BadInput if there is no room, and for a ``pgoff`` that is not aligned as
    ``offset`` says.
    """
    process.check_alive()
    if shared:
        # In a family a page belongs to one object, whichever process maps it.
        family = process.family
        relatives = (one for one in simulation.processes if one.family == family)
        process.next_vpn = max(one.next_vpn for one in relatives)
    pages = -(-nbytes // PAGE_SIZE)
    if not 0 <= offset < HPAGE_PMD_NR:
        raise BadInput(f"offset must be from 0 to {HPAGE_PMD_NR - 1}, got {offset}")
    if pgoff is not None and (pgoff - offset) % HPAGE_PMD_NR:
        raise BadInput(
            f"pgoff must be {offset} more than a multiple of {HPAGE_PMD_NR},"
            f" got {pgoff}"
        )
    room = process.first_vpn + process.span - process.next_vpn - offset
    if not 0 < pages <= room:
        raise BadInput(
            f"mapping {name or 'of memory'} must have from 1 to {room} pages,"
            f" got {pages}"
        )
    first = process.next_vpn + offset
    end = -(-(first + pages) // HPAGE_PMD_NR) * HPAGE_PMD_NR
    process.next_vpn = end
    made = _new_object(simulation, process, first, pages) if shared else None
    # An object's pages count from its first one.
    begins = 0 if shared else first - process.first_vpn if pgoff is None else pgoff
    vma = Vma(first, first + pages, write=write, shmem=made, pgoff=begins - first)
    add(process, vma)
    order = HPAGE_PMD_ORDER
    simulation.set_family(first >> order, end >> order, process.family)
    if simulation.placement is not None:
        simulation.placement.own.forget(first + process.delta, pages)
    if task is not None:
        charge(simulation, task, alone=True)
    return Region(process, first, pages, name)


def _new_object(
    simulation: "Simulation", process: Process, first: int, pages: int
) -> Shmem:
    """Return a new object; its family gets a page cache, if it has none."""
    family, caches = process.family, simulation.caches
    if family not in caches:
        caches[family] = simulation.reserve(process.span) - process.first_vpn
    cpus = (task.cpu for task in simulation.tasks if task.process is process)
    ino = simulation.inodes.take(next(cpus, 0))
    policies = [Vma(first, first + pages, pgoff=ino - first)]
    made = Shmem(family, first, pages, ino, policies, tables=simulation.tables)
    simulation.objects.append(made)
    return made


def mprotect(
    simulation: "Simulation",
    task: Task,
    region: Region,
    prot: str,
    first: int = 0,
    pages: int | None = None,
) -> None:
    """Change the protection of a part of a region: ``none``, ``r`` or ``rw``."""
    if prot not in ("none", "r", "rw"):
        raise BadInput(f"prot must be none, r or rw, got {prot!r}")
    start, pages = part_of(region, first, pages)
    read, write = prot != "none", prot == "rw"
    process, changed = region.process, 0
    for at, end in change_range(
        simulation, process, start, pages, read=read, write=write
    ):
        memory = simulation.memory
        for piece, count in pieces(at, end):
            piece += process.delta
            changed += change_protection(memory, piece, count, read, write)
    flush_tlbs(simulation, process)
    flush = flushes_ns(simulation, task, process, 1)
    charge(simulation, task, changed * simulation.costs.mark_pte_ns + flush, alone=True)
