"""A trace on several machines and with several mechanisms: one study, one table.

What most people ask is whether NUMA balancing pays: how often it scans, how long that
takes, and whether the job's threads have more or less to do at its end.
"""

from collections.abc import Callable, Iterator, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from ...engine.errors import BadInput, BadTrace
from ...engine.settings.sizes import format_size
from ...engine.simulation import Simulation
from ...engine.study.columns import SUMMARY, Column, hide
from ...engine.study.figures import percent, seconds
from ...engine.study.host_limits import BYTES_PER_PAGE, memory_available
from ...engine.study.study import Name, Study
from ...engine.study.verdict import fastest, name_of, sentences
from ...engine.traces.maps import Mapping
from ...engine.traces.trace import Trace
from ...engine.traces.trace_chunk import TraceChunk
from ...kernels.counters import Cause
from ...kernels.words import HPAGE_PMD_NR
from ..common import mechanism
from ..common.question_columns import moment
from ..common.table import table
from . import regions

if TYPE_CHECKING:
    from .replay import Parameters, _Replay

COLUMNS = (
    *hide(SUMMARY, "converged_ns"),
    Column("lines", "lines", "line", "lines of the trace"),
    Column("bad_lines", "bad lines", "line", "malformed lines left out"),
    Column("skipped", "skipped", "line", "lines that are no access to user data"),
    Column("dropped", "dropped", "event", "accesses of processes that were killed"),
    Column("distinct_pages", "pages", "page", "distinct pages that the trace touches"),
)
#: What is said beside that if NUMA balancing is one of the mechanisms.
BALANCING = (
    Column("numa_scans", "scans", "event", "scans of NUMA balancing (task_numa_work)"),
    Column("numa_pte_updates", "PTEs marked", "page", "pages that scans marked"),
    moment("scan_mean_ns", "mean scan", "mean time of a scan"),
    moment("scan_longest_ns", "longest scan", "time of the longest scan"),
    Column("numa_hint_faults", "hint faults", "event", "hint faults"),
    moment("task_time_ns", "task time", "time that tasks were busy, in all"),
    Column(
        *("gain_ns", "net gain", "ns"),
        "task time of none less that of this mechanism, NaN: none was not run",
        dtype="f8",
        style="hidden",
    ),
)


#: What rows keep for the report: the rows of ``regions.Regions``.
KEPT = ("regions",)


def pairs(parameters: "Parameters") -> tuple[Name, list[tuple[Name, str, str]]]:
    """Return the dimension of the study, and (name, machine, mechanism) of variants.

    ``none`` comes first: the others are compared with it.  Raises BadInput for an
    unknown mechanism, or one that is named twice.
    """
    machines = parameters.machines or (parameters.machine.name,)
    chosen = parameters.mechanisms or (parameters.mechanism,)
    for words, what in ((machines, "machines"), (chosen, "mechanisms")):
        if len(set(words)) < len(words):
            raise BadInput(f"{what} must differ, got {', '.join(words)}")
    ordered = sorted(map(mechanism.check_mechanism, chosen), key=lambda x: x != "none")
    if len(machines) == 1:
        return "mechanism", [(how, machines[0], how) for how in ordered]
    if len(ordered) == 1:
        return "machine", [(where, where, ordered[0]) for where in machines]
    both: list[tuple[Name, str, str]] = [
        ((where, how), where, how) for where in machines for how in ordered
    ]
    return ("machine", "mechanism"), both


class Compared:
    """What the variants of a study share: the trace and its mappings."""

    def __init__(self, recorded: Trace, mappings: Sequence[Mapping]) -> None:
        self._recorded, self._mappings = recorded, mappings

    def steps(
        self,
        begin: Callable[[Simulation, "Parameters"], "_Replay"],
        parameters: "Parameters",
    ) -> Callable[[Simulation], dict[str, Any]]:
        """Return the steps of a variant, whose replay ``begin`` makes."""

        def run(simulation: Simulation) -> dict[str, Any]:
            replay = begin(simulation, parameters)
            watched = _Watched(self._recorded, replay, self._mappings)
            values: dict[str, Any] = replay.play(watched)  # type: ignore[arg-type]
            if watched.regions is not None:
                rows = watched.regions.rows()
                regions.record(rows, replay)
                values["regions"] = rows
            return values | _balancing(simulation)

        return run


def _balancing(simulation: Simulation) -> dict[str, Any]:
    """Return the values of ``BALANCING``; the gain hangs on another variant."""
    scans, longest = simulation.numa_scans()
    scanned = int(simulation.spent[:, Cause.SCAN].sum())
    return {
        "numa_scans": scans,
        "numa_pte_updates": simulation.total("numa_pte_updates"),
        "scan_mean_ns": scanned / scans if scans else nan,
        "scan_longest_ns": float(longest) if scans else nan,
        "numa_hint_faults": simulation.total("numa_hint_faults"),
        "task_time_ns": float(simulation.spent.sum()),
        "gain_ns": nan,
    }


def gains(how: Sequence[tuple[str, str]], rows: list[dict]) -> list[dict[str, float]]:
    """Return the gain of each row against that of ``none`` on the same machine.

    how  (machine, mechanism) of each row
    """
    if not rows or "task_time_ns" not in rows[0]:
        return [{} for _ in rows]
    both = list(zip(how, rows, strict=True))
    usual = {
        place: row["task_time_ns"] for (place, name), row in both if name == "none"
    }
    return [
        {"gain_ns": usual.get(place, nan) - row["task_time_ns"]}
        for (place, _), row in both
    ]


class _Watched:
    """A trace whose chunks are looked at when they have been played.

    Raises BadTrace when its pages do not fit into this host's memory.
    """

    def __init__(
        self, recorded: Trace, replay: "_Replay", mappings: Sequence[Mapping]
    ) -> None:
        self._recorded, self._replay = recorded, replay
        self.regions = regions.Regions(mappings, replay) if mappings else None
        self._available = memory_available()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorded, name)

    def __iter__(self) -> Iterator[TraceChunk]:
        for chunk in self._recorded:
            yield chunk
            self._check_memory()
            if self.regions is not None:
                self.regions.note(chunk)

    def _check_memory(self) -> None:
        replay = self._replay
        blocks = sum(map(replay.addresses.blocks, replay.processes))
        needed = blocks * HPAGE_PMD_NR * BYTES_PER_PAGE
        if needed > self._available:
            raise BadTrace(
                f"host memory must hold about {format_size(needed)} for the pages that"
                f" this trace has touched so far, got"
                f" {format_size(int(self._available))} available: {self._recorded.path}"
            )


def report(study: Study, rows: list[dict[str, Any]]) -> str:
    """Return the table, and the regions of each variant."""
    parts = [table(study, rows)]
    for row in rows:
        if "regions" in row:
            name = name_of(study, row)
            parts.append(f"Regions with {name}:\n\n{regions.table(row['regions'])}")
    return "\n\n".join(parts)


def verdict(study: Study, rows: list[dict[str, Any]]) -> str:
    """Return which variant is fastest, and what NUMA balancing came to."""
    balanced = (_balanced(row) for row in rows if row.get("numa_scans"))
    return sentences(fastest(study, rows), *balanced)


def _balanced(row: dict[str, Any]) -> str:
    """Return what balancing did in a row, and whether it paid."""
    where = f" on {row['machine']}" if "machine" in row else ""
    says = (
        f"Balancing{where}: {row['numa_scans']:,} scans marked"
        f" {row['numa_pte_updates']:,} PTEs (mean {seconds(row['scan_mean_ns'])},"
        f" longest {seconds(row['scan_longest_ns'])}), {row['numa_hint_faults']:,} hint"
        " faults."
    )
    gain, busy = row["gain_ns"], row["task_time_ns"]
    if gain != gain:
        return f"{says} Its gain is known beside none (mechanisms=none,balancing)."
    if gain == 0:
        return f"{says} It changes no task time."
    what = "saves" if gain > 0 else "costs"
    part = percent(abs(gain) / (gain + busy))
    return f"{says} It {what} {seconds(abs(gain))} of task time, {part} of none's."
