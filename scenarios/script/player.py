"""Play a memory script (``.mm``) on the model: what would Linux say of its pages?

``docs/model/scripts.md`` describes the language and the records.  There is one process
``main``, the children that it forks, and their threads.
"""

import errno
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from ...engine.errors import BadInput, Segfault, SimulationError
from ...engine.machines.machine import Machine, from_slit
from ...engine.settings.profiles import DEFAULT, PROFILES
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.policies import Policy
from ...engine.state.process import Process, Region, Task
from ...engine.workloads.kinds import Recorded
from ...kernels.counters import Vm
from ...kernels.knobs import Mechanism, Mode
from ...kernels.words import HPAGE_PMD_NR, PAGE_SHIFT, PAGE_SIZE
from .grammar import MAIN, NODELESS, Operation, pages, refusal
from .linux_settings import MOVE_STATUS, NODE_WEIGHT, changed
from .node_numbers import node_of, with_nodes, with_numbers

#: One record, as ``lazynuma replay --json`` prints it.
Record = dict[str, Any]

SWAP_BYTES = 512 << 20
SIGKILL, SIGSEGV = 9, 11
NS_PER_MS = 1_000_000
#: Cache lines that one access of ``settle`` stands for: it reads a whole page.
SETTLE_REFS = 64
#: Sweeps of ``settle`` before it looks at the clock again.
SETTLE_SWEEPS = 16
#: Memory that the kernels of the recorded machines had for themselves: on each node, on
#: node 0 in addition, and for the image of the kernel, which KASLR puts on any node.
SYSTEM_BYTES, BOOT_BYTES, IMAGE_BYTES = 14 << 20, 10 << 20, 40 << 20
#: Most accesses that are given to the engine at once, for the host's memory.
SWEEP_LIMIT = 1 << 22
#: Most pages whose status one ``move`` tells.
STATUS_LIMIT = 1 << 22
#: Pages left unmapped above each region.
GUARD = HPAGE_PMD_NR
#: Where the recorded machines have a script's regions, in pages: each at the next lower
#: multiple that leaves room for it, the first below the ceiling.
PLACE = 840 * HPAGE_PMD_NR
CEILING = (0x700000000000 >> PAGE_SHIFT) // PLACE * PLACE
POPULATE = ("populate_read", "populate_write")
_KIB_PER_PAGE = PAGE_SIZE >> 10
#: The counters that /proc/vmstat has too; the model has more of its own.
COUNTERS = [one for one in Vm if not one.ours]


def play(
    operations: list[Operation], profile: str = DEFAULT, threads: int | None = None
) -> Iterator[Record]:
    """Yield the records of a script that is played on a machine of its own.

    threads  None: accesses are served one by one in the script's order, as on Linux;
             otherwise in quanta, by that many threads

    Raises as ``Player.play`` does.
    """
    settings = script_settings(profile, threads is None)
    machine = script_machine(operations[0])
    yield from Player(
        operations, Simulation(machine, settings, threads=threads or 1)
    ).play()


class Player:
    """A script and the simulation that plays it, which was not used before."""

    def __init__(self, operations: list[Operation], simulation: Simulation) -> None:
        self._operations = operations
        self._sim = simulation
        self._tasks: dict[str, Task] = {}
        self._regions: dict[str, dict[str, Region]] = {MAIN: {}}
        self._lowest: dict[Process, int] = {}
        self._signals: dict[str, int] = {}
        self._counted = np.zeros(len(Vm), np.int64)
        self._weights = [1] * simulation.machine.nodes
        self._tells_status = False

    def play(self) -> Iterator[Record]:
        """Yield the records of the script, line by line.

        Raises BadInput if ``main`` accesses memory that it has not mapped, and
        SimulationError if ``main`` is killed; both name the line.
        """
        for operation in self._operations:
            for record in self._do(operation):
                found = with_numbers(self._sim.machine, record)
                yield {"line": operation.line} | found

    def _do(self, operation: Operation) -> list[Record]:
        """Do one operation; return its records."""
        name = operation.process
        if name in self._signals:
            return [self._death(name)]
        try:
            method = getattr(self, f"_{operation.name}")
            arguments = with_nodes(self._sim.machine, operation.arguments)
            records = method(name, **arguments) or []
        except Segfault as fault:
            dying = self._tasks[name].process
            if dying is self._tasks[MAIN].process:
                raise self._refusal(operation, fault) from None
            self._sim.exit(dying)
            self._signals |= dict.fromkeys(self._names_of(dying), SIGSEGV)
            return [self._death(name)]
        except BadInput as error:
            raise refusal(operation.line, operation.text, str(error)) from None
        self._note_killed()
        if MAIN in self._signals:
            raise SimulationError(
                f"line {operation.line} {operation.text!r} must leave main alive,"
                " got it killed because memory ran out"
            )
        return [self._death(name)] if name in self._signals else records

    def _refusal(self, operation: Operation, fault: Segfault) -> BadInput:
        access = "write" if fault.write else "read"
        return refusal(
            operation.line,
            operation.text,
            f"must {access} mapped memory, got address {fault.page << PAGE_SHIFT:#x}",
        )

    def _names_of(self, process: Process) -> list[str]:
        """Return the names of a process's threads, its own among them."""
        return [name for name, one in self._tasks.items() if one.process is process]

    def _death(self, name: str) -> Record:
        return {"killed": name, "signal": self._signals[name]}

    def _note_killed(self) -> None:
        for name, task in self._tasks.items():
            if not task.process.alive and name not in self._signals:
                self._signals[name] = SIGKILL

    # --- ranges -----------------------------------------------------------------------

    def _mapped(
        self, process: str, region: str, offset: int, length: int | None
    ) -> tuple[Region, list[tuple[int, int]], bool]:
        """Return (region, mapped parts of the range, whether all of it is mapped).

        length  bytes, None: to the end of the region
        parts   [(first page in the region, pages)]
        """
        found = self._regions[process][region]
        if length is None:
            length = max(0, (found.pages << PAGE_SHIFT) - offset)
        first, count = pages(offset, length)
        start = found.first + first
        end = min(start + count, found.first + found.pages)
        parts: list[tuple[int, int]] = []
        for vma in found.process.vmas:
            low, high = max(vma.start, start) - found.first, min(vma.end, end)
            high -= found.first
            if low >= high:
                continue
            if parts and sum(parts[-1]) == low:
                low = parts.pop()[0]
            parts.append((low, high - low))
        return found, parts, parts == [(first, count)] or count == 0

    # --- machine, settings, processes -------------------------------------------------

    def _machine(
        self,
        process: str,
        memory: tuple[int, ...],
        distance: tuple[tuple[int, ...], ...],
        cpus: tuple[int, ...],
        tier: tuple[int, ...],
    ) -> None:
        """Start ``main`` on the first CPU; the simulation has the machine already."""
        founder = self._sim.spawn(MAIN)
        first = int(np.flatnonzero(self._sim.machine.cpu_node >= 0)[0])
        self._tasks[MAIN] = self._sim.start_task(founder, first)
        self._sim.swapoff(self._tasks[MAIN])

    def _set(self, process: str, setting: str, value: str) -> list[Record]:
        node = NODE_WEIGHT.fullmatch(setting)
        if node:
            number = node_of(self._sim.machine, int(node[1]))
            return _result(self._set_weight(number, int(value)))
        if setting == MOVE_STATUS:
            self._tells_status = value == "1"
        else:
            self._sim.configure(changed(self._sim.settings, setting, value))
        return []

    def _set_weight(self, node: int, weight: int) -> int:
        """Write to weighted_interleave/nodeN; return ENOENT if there is none."""
        if not self._sim.settings.calls.mpol_weighted_interleave:
            return errno.ENOENT
        if not self._has_memory(node):
            return errno.ENOENT
        # 0 means the default, which is 1 (until 6.15).
        self._weights[node] = weight or 1
        self._sim.set_node_weight(node, self._weights[node])
        return 0

    def _start(self, name: str, parent: Task, process: Process) -> None:
        """Start a task on its parent's CPU, with its parent's policy."""
        task = self._sim.start_task(process, parent.cpu)
        self._sim.set_mempolicy(task, parent.policy)
        self._tasks[name] = task

    def _thread(self, process: str, thread: str) -> None:
        parent = self._tasks[process]
        self._start(thread, parent, parent.process)
        self._regions[thread] = self._regions[process]

    def _fork(self, process: str, child: str) -> None:
        parent = self._tasks[process]
        forked = self._sim.fork(parent.process, child)
        self._lowest[forked] = self._lowest.get(parent.process, CEILING)
        self._start(child, parent, forked)
        self._regions[child] = {
            name: region.of(forked) for name, region in self._regions[process].items()
        }

    def _exit(self, process: str, child: str) -> None:
        ending = self._tasks[child].process
        if ending.alive:
            self._sim.exit(ending)
        for name in self._names_of(ending):
            del self._tasks[name]

    def _cpu(self, process: str, cpu: int) -> None:
        self._sim.move_task(self._tasks[process], cpu)

    def _taskpolicy(
        self, process: str, mode: str, nodes: tuple[int, ...], balancing: bool
    ) -> list[Record]:
        policy = self._new_policy(mode, nodes, balancing)
        if policy is None:
            return _result(errno.EINVAL)
        return _result(self._sim.set_mempolicy(self._tasks[process], policy))

    def _has_memory(self, node: int) -> bool:
        """Tell whether a node is one of N_MEMORY."""
        memory = self._sim.machine.memory
        return node < len(memory) and memory[node] > 0

    def _new_policy(
        self, mode: str, nodes: tuple[int, ...], balancing: bool = False
    ) -> Policy | None:
        """Return a policy of the nodes that have memory, None if that is EINVAL.

        mpol_new, mpol_set_nodemask (mm/mempolicy.c, 6.12).
        """
        kept = tuple(node for node in nodes if self._has_memory(node))
        if bool(kept) == (mode in NODELESS) or (nodes and not kept):
            return None
        if balancing and mode not in ("bind", "preferred_many"):
            return None
        weighted = mode == "weighted_interleave"
        weights = tuple(self._weights[node] for node in kept) if weighted else ()
        policy = Policy(Mode[mode.upper()], kept, weights, balancing)
        return policy if self._sim.has_policy(policy) else None

    def _swapon(self, process: str) -> None:
        self._sim.swapon()

    def _swapoff(self, process: str) -> None:
        self._sim.swapoff(self._tasks[process])

    # --- memory -----------------------------------------------------------------------

    def _map(
        self, process: str, region: str, length: int, shared: bool, offset: int
    ) -> None:
        owner, above = self._tasks[process].process, offset >> PAGE_SHIFT
        taken = -(-length // PAGE_SIZE) + above
        lowest = self._lowest.get(owner, CEILING) - (taken // PLACE + 1) * PLACE
        self._lowest[owner], at = lowest, lowest + above
        mapped = self._sim.mmap(
            owner, length, region, shared=shared, offset=above, pgoff=at
        )
        # Nothing is mapped next to it, so it never merges with another VMA.
        owner.next_vpn += GUARD
        self._regions[process][region] = mapped

    def _unmap(
        self, process: str, region: str, offset: int, length: int | None
    ) -> None:
        found, parts, _ = self._mapped(process, region, offset, length)
        for first, count in parts:
            self._sim.munmap(self._tasks[process], found, first, count)

    def _advise(
        self, process: str, region: str, advice: str, offset: int, length: int | None
    ) -> list[Record]:
        found, parts, whole = self._mapped(process, region, offset, length)
        task, sim = self._tasks[process], self._sim
        if not sim.has_advice(advice):
            return _result(errno.EINVAL)
        if advice in POPULATE and sim.settings.calls.populate_stops_at_hole:
            parts = parts[:1] if parts and parts[0][0] == offset >> PAGE_SHIFT else []
        failed = 0
        for first, count in parts:
            if advice in ("hugepage", "nohugepage"):
                sim.advise(task, found, advice, first, count)
            elif advice == "populate_write":
                if sim.populate(task, found, first, count) < count:
                    failed = errno.EINVAL
            elif advice == "collapse":
                failed = sim.collapse(task, found, first, count)
            else:
                failed = sim.madvise(task, found, advice, first, count)
            if failed:
                break
        return _result(failed or (0 if whole else errno.ENOMEM))

    def _policy(
        self,
        process: str,
        region: str,
        mode: str,
        nodes: tuple[int, ...],
        offset: int,
        length: int | None,
        lazy: bool,
        **flags: bool,
    ) -> list[Record]:
        """Set the policy of a range; ``flags`` are move, move_all and strict."""
        found = self._regions[process][region]
        policy = self._new_policy(mode, nodes)
        if policy is None:
            return _result(errno.EINVAL)
        first, count = 0, found.pages
        if length is not None:
            first, count = pages(offset, length)
        if not count:
            return []
        failed = self._sim.mbind(
            self._tasks[process],
            found._replace(pages=found.pages + GUARD),
            policy,
            **flags,
            lazy=Mechanism.HINTING if lazy else None,
            first=min(first, found.pages),
            pages=min(count, found.pages + 1 - min(first, found.pages)),
        )
        return _result(failed)

    def _touch(self, process: str, region: str, times: int, **sweep: Any) -> None:
        self._sweep(process, region, times, 1, **sweep)

    def _sweep(
        self,
        process: str,
        region: str,
        times: int,
        refs: int,
        *,
        offset: int,
        length: int,
        stride: int,
        write: bool,
    ) -> None:
        """Access a range ``times`` times, every ``stride`` bytes."""
        steps = -(-length // stride)
        for first in range(0, steps * times, SWEEP_LIMIT):
            step = np.arange(first, min(first + SWEEP_LIMIT, steps * times)) % steps
            load = Recorded(
                task=self._tasks[process],
                region=self._regions[process][region],
                count=step.size,
                refs=refs,
                vpn=(offset + step * stride) >> PAGE_SHIFT,
                writes=np.full(step.size, write),
            )
            self._sim.run([load])

    def _settle(self, process: str, region: str, seconds: int, **sweep: Any) -> None:
        """Sweep over a range again and again for ``seconds`` of simulated time."""
        end = self._sim.now + seconds * 1000 * NS_PER_MS
        while self._sim.now < end:
            self._sweep(process, region, SETTLE_SWEEPS, SETTLE_REFS, **sweep)
        # A sweep takes much less time than passes between two scans: one more sweep
        # meets all pages that the last scan has marked.
        self._sweep(process, region, 1, 1, **sweep)

    def _move(
        self, process: str, region: str, offset: int, length: int, node: int
    ) -> list[Record]:
        if not self._has_memory(node):
            return _result(errno.ENODEV)
        found, parts, _ = self._mapped(process, region, offset, length)
        start, total = pages(offset, length)
        if self._tells_status and total > STATUS_LIMIT:
            raise BadInput(
                f"must move at most {STATUS_LIMIT} pages while their status is told,"
                f" got {total}"
            )
        # What is not mapped is EFAULT (add_page_for_migration).
        status = np.full(total if self._tells_status else 0, -errno.EFAULT)
        for first, count in parts:
            moved = self._sim.move_pages(
                self._tasks[process], found, node, first=first, pages=count
            )
            if self._tells_status:
                status[first - start : first - start + count] = moved
        return [{"status": status.tolist()}] if self._tells_status else []

    def _migrate(
        self, process: str, sources: tuple[int, ...], targets: tuple[int, ...]
    ) -> list[Record]:
        """Scripts run as root (kernel_migrate_pages, mm/mempolicy.c)."""
        kept = [node for node in targets if self._has_memory(node)]
        absent = len(kept) < len(targets)
        if not kept or (absent and not self._sim.settings.calls.migrate_to_absent):
            return _result(errno.EINVAL)
        self._sim.migrate_pages(self._tasks[process], sources, kept, move_all=True)
        return []

    def _home(
        self, process: str, region: str, node: int, offset: int, length: int | None
    ) -> list[Record]:
        sim, found = self._sim, self._regions[process][region]
        calls, nodes = sim.settings.calls, sim.machine.nodes
        if calls.set_mempolicy_home_node and node >= nodes:
            return _result(errno.EINVAL)
        first, count = 0, found.pages
        if length is not None:
            first, count = pages(offset, length)
        count = min(count, found.pages - first)
        if count <= 0:
            return _result(errno.ENOENT if length else 0)
        task = self._tasks[process]
        failed = sim.set_mempolicy_home_node(task, found, node, first, count)
        return _result(failed)

    def _protect(
        self, process: str, region: str, offset: int, length: int, protection: str
    ) -> list[Record]:
        found, parts, whole = self._mapped(process, region, offset, length)
        for first, count in parts:
            self._sim.mprotect(self._tasks[process], found, protection, first, count)
        return _result(0 if whole else errno.ENOMEM)

    # --- time -------------------------------------------------------------------------

    def _khugepaged(self, process: str, scans: int) -> None:
        """Let khugepaged finish ``scans`` full scans, and go on while it collapses."""
        daemon = self._sim.khugepaged
        done, before = 0, -1
        while done < scans or daemon.pages_collapsed > before:
            before = daemon.pages_collapsed
            daemon.finish_scan()
            done += 1

    def _drop(self, process: str) -> None:
        """Split what waits to be split; compaction drains, and moves nothing here."""
        self._sim.drop_caches()

    def _sleep(self, process: str, milliseconds: int) -> None:
        self._sim.idle(milliseconds * NS_PER_MS)

    # --- observations -----------------------------------------------------------------

    def _observe(self, process: str, region: str) -> list[Record]:
        # Observing unmaps the observer's buffer, which drains this CPU's batch.
        self._sim.lru_add_drain(self._tasks[process])
        seen = self._sim.observe(self._regions[process][region])
        record: Record = {"proc": process, "region": region}
        record["runs"] = [list(run) for run in seen.runs]
        record["pmd_mapped_kb"] = seen.huge_pages * _KIB_PER_PAGE
        record["rss_kb"] = seen.present * _KIB_PER_PAGE
        record["swap_kb"] = seen.swapped * _KIB_PER_PAGE
        return [record]

    def _counters(self, process: str) -> list[Record]:
        totals = self._sim.counters().sum(axis=0)
        new, self._counted = totals - self._counted, totals
        found = {one.name.lower(): int(new[one]) for one in COUNTERS if new[one]}
        return [{"counters": found}]

    def _nodefree(self, process: str) -> list[Record]:
        nodes = range(self._sim.machine.nodes)
        return [
            {"node": node, "free_kb": self._sim.free(node) * _KIB_PER_PAGE}
            for node in nodes
        ]


def script_machine(operation: Operation) -> Machine:
    """Return the machine that the first operation of a script asks for.

    Raises BadInput with the line if there is no such machine.
    """
    memory, distance, cpus, tier = (
        operation.arguments[name] for name in ("memory", "distance", "cpus", "tier")
    )
    try:
        found = from_slit("script", memory, cpus, distance, _system(memory))
        return replace(found, tier=tier)
    except BadInput as error:
        raise refusal(operation.line, operation.text, str(error)) from None


def script_settings(profile: str, in_order: bool = True) -> Settings:
    """Return the settings that a script begins with; ``in_order``: see ``play``."""
    return replace(PROFILES[profile], sequential=in_order, swap_bytes=SWAP_BYTES)


def _system(memory: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bytes of each node that kernel and init had when recorded."""
    filled = [node for node, size in enumerate(memory) if size]
    taken = [SYSTEM_BYTES if size else 0 for size in memory]
    if filled:
        image = {3: 2}.get(len(filled), min(1, len(filled) - 1))
        taken[filled[0]] += BOOT_BYTES
        taken[filled[image]] += IMAGE_BYTES
    return tuple(taken)


def _result(number: int) -> list[Record]:
    """Return the record of an error number, none for success."""
    return [{"result": _error_name(number)}] if number else []


def _error_name(number: int) -> str:
    """Return Linux' name of an error number; Python has two for one of them."""
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]


def readable(record: Record) -> str:
    """Return a record as a line for people."""
    line = f"{record['line']:>4}  "
    if "runs" in record:
        runs = "  ".join(_run_text(*run) for run in record["runs"])
        sizes = ", ".join(
            f"{text} {record[key]} KiB"
            for key, text in (
                ("pmd_mapped_kb", "PMD-mapped"),
                ("rss_kb", "resident"),
                ("swap_kb", "in swap"),
            )
        )
        return f"{line}{record['proc']} {record['region']}: {runs}  ({sizes})"
    if "status" in record:
        return (
            line
            + "status: "
            + ", ".join(
                f"{pages} x {value}" for pages, value in status_runs(record["status"])
            )
        )
    if "counters" in record:
        counts = record["counters"].items()
        return f"{line}{' '.join(f'{name} +{n}' for name, n in counts) or 'no change'}"
    return line + ", ".join(f"{key} {record[key]}" for key in record if key != "line")


def status_runs(status: list[int]) -> Iterator[tuple[int, str]]:
    """Yield (pages, node or -NAME of the errno) of equal pages in a row."""
    for value, same in groupby(status):
        text = str(value) if value >= 0 else f"-{_error_name(-value)}"
        yield len(list(same)), text


def _run_text(count: int, state: str, node: int | None, huge: bool) -> str:
    where = f" on {node}" if node is not None else ""
    return f"{count} {state}{where}{' huge' if huge else ''}"
