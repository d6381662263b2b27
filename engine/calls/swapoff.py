"""swapon(2) and swapoff(2), and the list of processes by which swapoff goes."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.calls import madvise as kernel
from ...kernels.fault.shmem import shmem_unuse
from ...kernels.words import PAGE_SIZE
from ..errors import SimulationError
from ..state.process import Process, Task
from ..state.ranges import pieces
from ..state.world import charge

if TYPE_CHECKING:
    from ..simulation import Simulation


def join_at_fork(simulation: "Simulation", parent: Process, child: Process) -> None:
    """Put a child that has copied swap entries on the list of swapoff.

    It comes next to its parent, or first of all (copy_nonpresent_pte).
    """
    memory = simulation.memory
    memory.info[st.Info.MMLIST_JOINS] += 1
    row = memory.mm[child.id]
    row[st.Mm.MMLIST] = memory.info[st.Info.MMLIST_JOINS]
    behind = (
        memory.mm[parent.id, st.Mm.MMLIST]
        and not simulation.settings.calls.fork_heads_mmlist
    )
    row[st.Mm.MMLIST_AFTER] = 1 + parent.id if behind else 0


def _mmlist(simulation: "Simulation") -> list[Process]:
    """Return processes in the order in which swapoff goes through them.

    Those that never joined the list come last: their entries are of the swap cache.
    """
    mm = simulation.memory.mm
    joins = [(int(mm[one.id, st.Mm.MMLIST]), one) for one in simulation.processes]
    order: list[Process] = []
    for _, one in sorted((join for join in joins if join[0]), key=lambda join: join[0]):
        after = int(mm[one.id, st.Mm.MMLIST_AFTER])
        parents = [at for at, other in enumerate(order) if other.id == after - 1]
        order.insert(parents[0] + 1 if parents else 0, one)
    return order + [one for number, one in joins if not number]


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
    for process in _mmlist(simulation):
        row, delta = int(memory.mm[process.id, st.Mm.FIRST_VMA]), process.delta
        for i, vma in enumerate(process.vmas):
            for at, pages in pieces(vma.start, vma.end):
                _check_found(
                    kernel.unuse_pte_range(
                        memory, task.id, process.id, row + i, delta, at + delta, pages
                    )
                )
    kernel.swapoff(memory)
    # drain_mmlist: with the last swap device everybody leaves the list.
    memory.mm[:, st.Mm.MMLIST] = 0
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
