"""A recorded trace on another machine: where do its pages land, what does it cost?

Each process of the trace becomes a process, the 2 MiB blocks that it touches one
region, and each thread a task.  A task runs on the CPU of the trace.  If the machine
has no CPU of that number, or the trace has no CPUs and the threads are numbered, it is
the CPU of that rank among those that there are, and counting begins again at their end.
After every ``repair_every`` accesses the mechanism is applied to all memory; ``eager``
moves it to the node of the first task of each process.  The trace is read as a stream.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...engine.errors import BadInput
from ...engine.machines import spec
from ...engine.machines.choice import (
    MachineChoice,
    machine_field,
    memory_field,
    with_memory,
)
from ...engine.machines.cpu_numbers import Cpus
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region, Task
from ...engine.study.columns import SUMMARY, Column, hide
from ...engine.study.study import Study, Variant
from ...engine.traces import trace
from ...engine.workloads.kinds import Recorded
from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from ..common import mechanism
from . import dense

COLUMNS = (
    *hide(SUMMARY, "converged_ns"),
    Column("lines", "lines", "1", "lines of the trace"),
    Column("bad_lines", "bad lines", "1", "malformed lines left out"),
    Column("skipped", "skipped", "1", "lines that are no access to user data"),
    Column("distinct_pages", "pages", "page", "distinct pages that the trace touches"),
)


#: Of a preset.
RAM = 64 << 30


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    file: str = field(metadata={"help": "perf.data, perf script or lackey text"})
    machine: MachineChoice = machine_field("4s")
    memory: int = memory_field(RAM)
    mechanism: str = field(
        default="none",
        metadata={"choices": mechanism.MECHANISMS, "help": "lazy-migration mechanism"},
    )
    repair_every: int = field(
        default=4096,
        metadata={"min": 1, "help": "accesses between two uses of the mechanism"},
    )
    access: str = field(
        default="w",
        metadata={
            "choices": ("w", "r"),
            "help": "whether page-faults count as reads or writes",
        },
    )
    refs: int = field(
        default=1, metadata={"min": 1, "help": "cache lines that an access stands for"}
    )
    skip_bad_lines: bool = field(
        default=False, metadata={"help": "count malformed lines and go on"}
    )


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput if the file or the machine does not fit."""
    machine = spec.machine(parameters.machine, parameters.memory, RAM)
    parameters = with_memory(parameters, machine)
    if not len(machine.cpu_node):
        raise BadInput(f"machine must have CPUs, got {machine.name}")
    recorded = trace.open_trace(
        parameters.file,
        access=parameters.access,
        skip_bad_lines=parameters.skip_bad_lines,
    )
    variant = Variant(
        parameters.mechanism,
        machine,
        mechanism.settings_for(
            parameters.mechanism, Settings(swap_bytes=parameters.memory // 128)
        ),
        lambda simulation: _Replay(simulation, parameters).play(recorded),
        accesses=0,
        mapped_pages=0,
    )
    return Study(
        f"What does {parameters.file} cost on {machine.name}?",
        "mechanism",
        (variant,),
        COLUMNS,
        varied=mechanism.VARIED,
    )


class _Accesses(NamedTuple):
    """Accesses of a process: int64 arrays of one length, ``write`` bool.

    offset  page in the region of the process
    """

    thread: np.ndarray
    cpu: np.ndarray
    offset: np.ndarray
    write: np.ndarray


class _Replay:
    """The simulated side of a trace: its processes, tasks and pages."""

    def __init__(self, simulation: Simulation, parameters: Parameters) -> None:
        self.simulation, self.parameters = simulation, parameters
        self.addresses, self.threads = dense.AddressMap(), dense.ThreadMap()
        self.cpus = Cpus(simulation.machine)
        self.processes: dict[int, Process] = {}
        self.tasks: dict[tuple[int, int], Task] = {}
        self.touched: dict[int, np.ndarray] = {}
        self.done = 0

    def play(self, recorded: trace.Trace) -> dict[str, int]:
        """Run the trace to its end; return what the trace was made of."""
        for chunk in recorded:
            self._chunk(chunk)
        pages = sum(int(seen.sum()) for seen in self.touched.values())
        return {
            "lines": recorded.lines,
            "bad_lines": recorded.bad_lines,
            "skipped": recorded.skipped,
            "distinct_pages": pages,
        }

    def _chunk(self, chunk: trace.TraceChunk) -> None:
        """Run a chunk in pieces, and the mechanism when it is due."""
        every, at = self.parameters.repair_every, 0
        while at < chunk.vpn.size:
            end = min(at + every - self.done % every, chunk.vpn.size)
            self._piece(trace.TraceChunk(*(array[at:end] for array in chunk)))
            self.done += end - at
            at = end
            if self.done % every == 0:
                self._repair()

    def _piece(self, piece: trace.TraceChunk) -> None:
        """Run accesses, each thread's as one workload."""
        loads = []
        for pid in map(int, np.unique(piece.process)):
            mine = piece.process == pid
            offsets = self.addresses.translate(pid, piece.vpn[mine])
            region = self._grow(pid)
            self._note(pid, offsets)
            if region is None:
                continue
            accesses = _Accesses(
                piece.thread[mine], piece.cpu[mine], offsets, piece.write[mine]
            )
            loads += self._loads(pid, region, accesses)
        if loads:
            self.simulation.run(loads)

    def _loads(self, pid: int, region: Region, accesses: _Accesses) -> list[Recorded]:
        """Return a workload for each thread of a process."""
        loads = []
        for tid in map(int, np.unique(accesses.thread)):
            mine = accesses.thread == tid
            load = Recorded(
                task=self._task(pid, tid, int(accesses.cpu[mine][0])),
                region=region,
                count=int(mine.sum()),
                refs=self.parameters.refs,
                vpn=accesses.offset[mine],
                writes=accesses.write[mine],
            )
            loads.append(load)
        return loads

    def _grow(self, pid: int) -> Region | None:
        """Map the new blocks of a process; return None if the OOM killer ended it."""
        if pid not in self.processes:
            self.processes[pid] = self.simulation.spawn(f"pid {pid}")
        process = self.processes[pid]
        if not process.alive:
            return None
        mapped = process.next_vpn - process.first_vpn
        new = self.addresses.blocks(pid) * HPAGE_PMD_NR - mapped
        if new:
            self.simulation.mmap(process, new * PAGE_SIZE, "trace")
        return self._region(process)

    @staticmethod
    def _region(process: Process) -> Region:
        """Return all that a process has mapped."""
        pages = process.next_vpn - process.first_vpn
        return Region(process, process.first_vpn, pages, "trace")

    def _task(self, pid: int, tid: int, cpu: int) -> Task:
        """Return the task of a thread, moved to the CPU that the trace says."""
        number = self.threads.number(pid, tid)
        cpu = self.cpus.of(cpu) if cpu >= 0 else self.cpus.nth(number)
        task = self.tasks.get((pid, tid))
        if task is None:
            task = self.simulation.start_task(self.processes[pid], cpu)
            self.tasks[pid, tid] = task
        elif task.cpu != cpu:
            self.simulation.move_task(task, cpu)
        return task

    def _note(self, pid: int, offsets: np.ndarray) -> None:
        """Remember which pages were touched: bool[pages] for each process."""
        seen = self.touched.get(pid, np.zeros(0, bool))
        pages = self.addresses.blocks(pid) * HPAGE_PMD_NR
        if seen.size < pages:
            seen = np.concatenate([seen, np.zeros(pages - seen.size, bool)])
        seen[offsets] = True
        self.touched[pid] = seen

    def _repair(self) -> None:
        """Apply the mechanism to all memory of each process."""
        first = {task.process.id: task for task in reversed(self.tasks.values())}
        for task in first.values():
            if task.process.alive:
                node = int(self.simulation.machine.cpu_node[task.cpu])
                region = self._region(task.process)
                name = self.parameters.mechanism
                mechanism.repair(self.simulation, task, region, name, node)
