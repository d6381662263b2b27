"""A recorded trace on another machine: where do its pages land, what does it cost?

Each process of the trace becomes a process, the 2 MiB blocks that it touches one
region, and each thread a task.  Accesses keep their order in time, whatever thread they
are of.  Each is on the CPU of the trace; if the machine has none of that number, or if
the trace has no CPUs and the threads are numbered, on the CPU of that rank among those
that the machine has, from their beginning again at their end.  If the trace has times,
no access comes before its time.  After every ``repair_every`` accesses the mechanism is
applied to all memory; ``eager`` moves it to the node of the first task of each process.
The trace is read as a stream.
"""

import sys
from dataclasses import dataclass, field, replace
from functools import partial
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
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region, Task
from ...engine.study.study import Name, Study, Variant
from ...engine.traces import maps, trace
from ...engine.workloads.recording import Recording
from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from ..common import mechanism
from ..common.mechanism import MECHANISMS
from . import compared, dense, regions

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
        metadata={"choices": MECHANISMS, "help": "lazy-migration mechanism"},
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
    bare_columns: bool = field(
        default=False,
        metadata={"help": "a line of two columns is a process and an address"},
    )
    machines: tuple[str, ...] = field(
        default=(), metadata={"help": "several machines, instead of machine"}
    )
    mechanisms: tuple[str, ...] = field(
        default=(),
        metadata={
            "choices": MECHANISMS,
            "help": "several mechanisms, instead of mechanism",
        },
    )
    maps: str = field(
        default="",
        metadata={
            "help": "names of regions: a copy of /proc/PID/maps, perf.data, or text of"
            " perf script --show-mmap-events"
        },
    )


def build(parameters: Parameters) -> Study:
    """Return the study; BadInput if the file or a machine does not fit."""
    if isinstance(parameters.machine, str):
        parameters = replace(parameters, machine=MachineChoice(parameters.machine))
    dimension, pairs = compared.pairs(parameters)
    machines = {where: _machine(where, parameters) for _, where, _ in pairs}
    recorded = trace.open_trace(
        parameters.file,
        access=parameters.access,
        skip_bad_lines=parameters.skip_bad_lines,
        bare_columns=parameters.bare_columns,
    )
    if len(pairs) > 1 and not recorded.again:
        recorded.close()
        raise BadInput(
            f"trace must be a file to be read for {len(pairs)} variants, got a pipe:"
            f" {parameters.file}"
        )
    shared = compared.Compared(
        recorded, maps.read_maps(parameters.maps) if parameters.maps else ()
    )
    balances = any(how == mechanism.BALANCING for _, _, how in pairs)
    return Study(
        f"What does {parameters.file} cost on {', '.join(_names(machines))}?",
        dimension,
        tuple(
            _variant(name, machines[where], shared, _alone(parameters, where, how))
            for name, where, how in pairs
        ),
        compared.COLUMNS + (compared.BALANCING if balances else ()),
        report=compared.report,
        verdict=compared.verdict,
        varied=mechanism.VARIED,
        records=regions.RECORDS if parameters.maps else (),
        related=partial(compared.gains, [(where, how) for _, where, how in pairs]),
        kept=compared.KEPT,
    )


def _machine(name: str, parameters: Parameters) -> Machine:
    choice = replace(parameters.machine, name=name)
    machine = spec.machine(choice, parameters.memory, RAM)
    if not len(machine.cpu_node):
        raise BadInput(f"machine must have CPUs, got {machine.name}")
    return machine


def _names(machines: dict[str, Machine]) -> list[str]:
    return [machine.name for machine in machines.values()]


def _alone(parameters: Parameters, machine: str, mechanism: str) -> Parameters:
    """Return the parameters of one variant."""
    choice = replace(parameters.machine, name=machine)
    return replace(parameters, machine=choice, mechanism=mechanism)


def _variant(
    name: Name, machine: Machine, shared: compared.Compared, parameters: Parameters
) -> Variant:
    parameters = with_memory(parameters, machine)
    settings = Settings(swap_bytes=parameters.memory // 128)
    return Variant(
        name,
        machine,
        mechanism.settings_for(parameters.mechanism, settings),
        shared.steps(_Replay, parameters),
        accesses=0,
        mapped_pages=0,  # nobody knows: what is touched is checked as it grows
    )


class _Played(NamedTuple):
    """Accesses that can be played: arrays of one length, int64 but for ``write``.

    tasks  whose accesses they are
    who    index in ``tasks``
    page   in the region of the process
    cpu    of the machine, or -1
    due    simulated ns, or -1
    """

    tasks: list[Task]
    who: np.ndarray
    page: np.ndarray
    write: np.ndarray
    cpu: np.ndarray
    due: np.ndarray


class _Replay:
    """The simulated side of a trace: its processes, tasks and pages."""

    def __init__(self, simulation: Simulation, parameters: Parameters) -> None:
        self.simulation, self.parameters = simulation, parameters
        self.addresses, self.threads = dense.AddressMap(), dense.ThreadMap()
        self.cpus = Cpus(simulation.machine)
        self.processes: dict[int, Process] = {}
        self.tasks: dict[tuple[int, int], Task] = {}
        self.touched: dict[int, np.ndarray] = {}
        #: The time of the first access that has one, ns.
        self.start: int | None = None
        self.done = self.late = 0

    def play(self, recorded: trace.Trace) -> dict[str, int]:
        """Run the trace to its end; return what the trace was made of."""
        for chunk in recorded:
            self._chunk(chunk)
        pages = sum(int(seen.sum()) for seen in self.touched.values())
        return {
            "lines": recorded.lines,
            "bad_lines": recorded.bad_lines,
            "skipped": recorded.skipped,
            "dropped": self.late + self.simulation.dropped,
            "distinct_pages": pages,
        }

    def _chunk(self, chunk: trace.TraceChunk) -> None:
        """Map what a chunk touches first, and play it."""
        page = self._pages(chunk)
        alive = self._alive(chunk.process)
        self.late += int(alive.size - np.count_nonzero(alive))
        if not alive.all():
            chunk = trace.TraceChunk(*(array[alive] for array in chunk))
            page = page[alive]
        if page.size:
            cpu = self._cpus(chunk.cpu)
            tasks, who = self._tasks(chunk, cpu)
            due = self._due(chunk.time_ns)
            self._pieces(_Played(tasks, who, page, chunk.write, cpu, due))

    def _pieces(self, played: _Played) -> None:
        """Play accesses, and stop where the mechanism is due."""
        every, at, count = self._stride(), 0, played.who.size
        while at < count:
            end = min(at + every - self.done % every, count)
            self._play(played, slice(at, end))
            self.done += end - at
            at = end
            if self.done % every == 0:
                self._repair()

    def _stride(self) -> int:
        """Return after how many accesses the mechanism is due, if it does anything."""
        if mechanism.acts(self.parameters.mechanism):
            return self.parameters.repair_every
        return sys.maxsize

    def _play(self, played: _Played, part: slice) -> None:
        """Play a part of the accesses, in their order."""
        self.simulation.play(
            Recording(
                tasks=played.tasks,
                regions=[self._region(task.process) for task in played.tasks],
                who=played.who[part],
                vpn=played.page[part],
                writes=played.write[part],
                cpu=played.cpu[part],
                time_ns=played.due[part],
                refs=self.parameters.refs,
            )
        )

    def _pages(self, chunk: trace.TraceChunk) -> np.ndarray:
        """Return each access's page in its process's region, which holds it then."""
        page = np.empty(chunk.vpn.size, np.int64)
        for pid in dense.distinct(chunk.process).values.tolist():
            mine = chunk.process == pid
            page[mine] = self.addresses.translate(pid, chunk.vpn[mine])
            self._grow(pid)
            self._note(pid, page[mine])
        return page

    def _grow(self, pid: int) -> None:
        """Map the new blocks of a process, unless the OOM killer has ended it."""
        if pid not in self.processes:
            self.processes[pid] = self.simulation.spawn(f"pid {pid}")
        process = self.processes[pid]
        mapped = process.next_vpn - process.first_vpn
        new = self.addresses.blocks(pid) * HPAGE_PMD_NR - mapped
        if new and process.alive:
            self.simulation.mmap(process, new * PAGE_SIZE, "trace")

    def _alive(self, process: np.ndarray) -> np.ndarray:
        """Return bool[n]: whether the process of each access is alive."""
        pids = dense.distinct(process)
        alive = [self.processes[pid].alive for pid in pids.values.tolist()]
        return np.array(alive, bool)[pids.which]

    @staticmethod
    def _region(process: Process) -> Region:
        """Return all that a process has mapped."""
        pages = process.next_vpn - process.first_vpn
        return Region(process, process.first_vpn, pages, "trace")

    def _cpus(self, recorded: np.ndarray) -> np.ndarray:
        """Return the machine's CPU for each recorded one, -1 for -1."""
        numbers = dense.distinct(recorded)
        cpus = [self._cpu(number) for number in numbers.values.tolist()]
        return np.array(cpus, np.int64)[numbers.which]

    def _cpu(self, number: int) -> int:
        """Return the machine's CPU for a recorded one, -1 for -1."""
        return -1 if number < 0 else self.cpus.of(number)

    def _tasks(
        self, chunk: trace.TraceChunk, cpu: np.ndarray
    ) -> tuple[list[Task], np.ndarray]:
        """Return the tasks of a chunk, and the index of each access's task in them."""
        threads = dense.distinct((chunk.process << 32) + chunk.thread)
        first = threads.first
        keys = zip(
            chunk.process[first].tolist(),
            chunk.thread[first].tolist(),
            cpu[first].tolist(),
            strict=True,
        )
        return [self._task(*key) for key in keys], threads.which

    def _task(self, pid: int, tid: int, cpu: int) -> Task:
        """Return the task of a thread, which begins where its first access is."""
        number = self.threads.number(pid, tid)
        task = self.tasks.get((pid, tid))
        if task is None:
            cpu = self.cpus.nth(number) if cpu < 0 else cpu
            task = self.simulation.start_task(self.processes[pid], cpu)
            self.tasks[pid, tid] = task
        return task

    def _due(self, recorded: np.ndarray) -> np.ndarray:
        """Return the simulated time of each access, ns: the first known one is 0."""
        known = recorded >= 0
        if self.start is None and known.any():
            self.start = int(recorded[known.argmax()])
        return np.where(known, np.maximum(recorded - (self.start or 0), 0), -1)

    def _note(self, pid: int, pages: np.ndarray) -> None:
        """Remember which pages were touched: bool[pages] for each process."""
        seen = self.touched.get(pid, np.zeros(0, bool))
        mapped = self.addresses.blocks(pid) * HPAGE_PMD_NR
        if seen.size < mapped:
            seen = np.concatenate([seen, np.zeros(mapped - seen.size, bool)])
        seen[pages] = True
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
