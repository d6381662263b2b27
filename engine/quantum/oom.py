"""Who is killed when memory has run out (mm/oom_kill.c)."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.calls.zap import count_page_tables
from ...kernels.counters import Event, Vm
from ...kernels.quantum.fold import fold_processes
from ...kernels.words import HPAGE_PMD_NR
from ..calls.processes import leave
from ..state.process import Process

if TYPE_CHECKING:
    from ..simulation import Simulation


def kill(simulation: "Simulation", nid: int) -> None:
    """Kill the process with the most to give: CPUs of ``nid`` have found no memory."""
    memory = simulation.memory
    fold_processes(memory, simulation.touched)
    alive = [one for one in simulation.processes if one.alive]
    victim = max(alive, key=lambda one: (_badness(memory, one), one.id))
    memory.vm[-1, nid, Vm.OOM_KILL] += 1
    simulation.oom_kills += 1
    simulation.event(Event.OOM_KILL, nid, victim, _badness(memory, victim))
    leave(simulation, victim)


def _badness(memory: st.Memory, process: Process) -> int:
    """Return the pages that a kill would give back (oom_badness), page tables too."""
    row = memory.mm[process.id]
    tables, counted = 0, 0
    for vma in process.vmas:
        # VMAs may share a block.
        first = max(counted, vma.start // HPAGE_PMD_NR * HPAGE_PMD_NR)
        counted = -(-vma.end // HPAGE_PMD_NR) * HPAGE_PMD_NR
        tables += count_page_tables(memory, first + process.delta, counted - first)
    return int(row[st.Mm.RSS] + row[st.Mm.SWAPENTS] + tables)
