"""What a trace did with each region of its memory that has a name."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...engine.study.columns import Field, Records
from ...engine.study.figures import percent
from ...engine.traces.maps import PAGE_SHIFT, Mapping
from ...engine.traces.trace_chunk import TraceChunk
from ..common.table import aligned
from . import dense

if TYPE_CHECKING:
    from .replay import _Replay

#: The region of what lies in no mapping.
UNMAPPED = "(no mapping)"
#: Names of memory of no file: each such mapping is a region of its own.
_ANONYMOUS = ("", "//anon", "//anon (deleted)")
#: Regions that are shown, those with the most accesses, and letters of their names.
_SHOWN, _LETTERS = 20, 32
_NODES_SHOWN = 4

_WHO = (
    Field("process", "1", "number of the process in the trace"),
    Field("region", "1", "name of the mapping", "S64"),
)
#: The groups of the file.
RECORDS = (
    Records(
        "regions",
        "region_row",
        "what was accessed in each mapping of the trace",
        (
            *_WHO,
            Field("accesses", "event", "accesses"),
            Field("accesses_local", "event", "accesses to pages on the CPU's node"),
            Field("pages", "page", "distinct pages accessed"),
        ),
    ),
    Records(
        "region_nodes",
        "region_node_row",
        "where the accessed pages of each mapping are at the end",
        (
            *_WHO,
            Field("node", "1", "node, -1: no frame"),
            Field("pages", "page", "distinct pages accessed"),
        ),
    ),
)


class _Ranges(NamedTuple):
    """The regions of a process: from each of ``points`` to the next is one, or none."""

    points: np.ndarray
    place: np.ndarray
    names: list[str]

    def find(self, vpn: np.ndarray) -> np.ndarray:
        """Return int64[n]: the region of each page, an index in ``names``."""
        return self.place[np.searchsorted(self.points, vpn, "right")]


def _ranges(mappings: Sequence[Mapping]) -> _Ranges:
    """Return the regions of mappings, of which a later one hides an earlier one."""
    edges = [edge for one in mappings for edge in (one.first, one.end)]
    points = np.unique(np.array(edges, np.int64))
    index = np.zeros(points.size + 1, np.int64)
    names = {UNMAPPED: 0}
    for one in mappings:
        begin, end = np.searchsorted(points, (one.first, one.end))
        index[begin + 1 : end + 1] = names.setdefault(_name(one), len(names))
    return _Ranges(points, index, list(names))


def _name(mapping: Mapping) -> str:
    if mapping.name not in _ANONYMOUS:
        return mapping.name
    return f"anon {mapping.first << PAGE_SHIFT:x}"


class Regions:
    """The counts of a replay, by process and region."""

    def __init__(self, mappings: Sequence[Mapping], replay: "_Replay") -> None:
        self._mappings, self._replay = mappings, replay
        self._ranges: dict[int, _Ranges] = {}
        #: int64[2, regions] for each process: accesses, and local ones.
        self._counts: dict[int, np.ndarray] = {}

    def note(self, chunk: TraceChunk) -> None:
        """Count the accesses of a chunk that has been played.

        An access is local if its page is on the node of its CPU at the chunk's end.
        """
        for pid in dense.distinct(chunk.process).values.tolist():
            mine = chunk.process == pid
            ranges = self._of(pid)
            region = ranges.find(chunk.vpn[mine])
            counts = self._counts[pid]
            counts[0] += np.bincount(region, minlength=counts.shape[1])
            local = self._local(pid, TraceChunk(*(array[mine] for array in chunk)))
            counts[1] += np.bincount(region[local], minlength=counts.shape[1])

    def _of(self, pid: int) -> _Ranges:
        if pid not in self._ranges:
            mine = [one for one in self._mappings if one.process in (None, pid)]
            self._ranges[pid] = _ranges(mine)
            regions = len(self._ranges[pid].names)
            self._counts[pid] = np.zeros((2, regions), np.int64)
        return self._ranges[pid]

    def _local(self, pid: int, chunk: TraceChunk) -> np.ndarray:
        """Return bool[n]: whether each page of a process is on the CPU's node."""
        replay = self._replay
        threads = dense.distinct(chunk.thread)
        tasks = [replay.tasks.get((pid, one)) for one in threads.values.tolist()]
        own = np.array([task.cpu if task else 0 for task in tasks], np.int64)
        recorded = replay._cpus(chunk.cpu)
        cpu = np.where(recorded < 0, own[threads.which], recorded)
        home = np.asarray(replay.simulation.machine.cpu_node)[cpu]
        return self._nodes(pid, chunk.vpn) == home

    def _nodes(self, pid: int, vpn: np.ndarray) -> np.ndarray:
        """Return int64[n]: the node of each recorded page, -1 if it has no frame."""
        replay = self._replay
        process = replay.processes[pid]
        if not process.alive:
            return np.full(vpn.size, -1, np.int64)
        page = process.first_vpn + replay.addresses.translate(pid, vpn)
        return replay.simulation.nodes_of(process, page)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each region with an access, those with the most first."""
        found = [row for pid in self._counts for row in self._rows(pid)]
        return sorted(found, key=lambda row: -row["accesses"])

    def _rows(self, pid: int) -> Iterator[dict[str, Any]]:
        replay = self._replay
        count = replay.simulation.machine.nodes
        touched = np.flatnonzero(replay.touched[pid])
        block = replay.addresses.recorded(pid)[touched >> dense.BLOCK_SHIFT]
        within = touched & ((1 << dense.BLOCK_SHIFT) - 1)
        vpn = block << dense.BLOCK_SHIFT | within
        ranges, counts = self._of(pid), self._counts[pid]
        place = ranges.find(vpn) * (count + 1) + self._nodes(pid, vpn) + 1
        where = np.bincount(place, minlength=counts.shape[1] * (count + 1))
        for name, (accesses, local), pages in zip(
            ranges.names, counts.T.tolist(), where.reshape(-1, count + 1), strict=True
        ):
            if accesses:
                yield {
                    "process": pid,
                    "region": name,
                    "accesses": accesses,
                    "accesses_local": local,
                    "local_fraction": local / accesses,
                    "pages": int(pages.sum()),
                    "pages_by_node": pages[1:].tolist(),
                    "pages_without_frame": int(pages[0]),
                }


def record(rows: Sequence[dict[str, Any]], replay: "_Replay") -> None:
    """Write the rows to the file of the run."""
    for row in rows:
        who = {name: row[name] for name in ("process", "region")}
        values = {n: row[n] for n in ("accesses", "accesses_local", "pages")}
        replay.simulation.record("regions", who | values)
        for node, pages in enumerate(
            (row["pages_without_frame"], *row["pages_by_node"]), -1
        ):
            if pages:
                replay.simulation.record(
                    "region_nodes", who | {"node": node, "pages": pages}
                )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the regions with the most accesses."""
    shown = rows[:_SHOWN]
    columns = [
        ("region", [row["region"][-_LETTERS:].ljust(_LETTERS) for row in shown]),
        ("accesses", [f"{row['accesses']:,}" for row in shown]),
        ("local", [percent(row["local_fraction"]) for row in shown]),
        ("pages", [f"{row['pages']:,}" for row in shown]),
        ("on node", [_where(row) for row in shown]),
    ]
    if len({row["process"] for row in rows}) > 1:
        columns.insert(0, ("process", [str(row["process"]) for row in shown]))
    lines = aligned(columns)
    if len(rows) > len(shown):
        lines.append(f"and {len(rows) - len(shown)} regions with fewer accesses")
    return "\n".join(lines)


def _where(row: dict[str, Any]) -> str:
    """Return the nodes that have most of a region's pages, and how many."""
    pages = list(enumerate(row["pages_by_node"]))
    most = sorted(pages, key=lambda one: -one[1])[:_NODES_SHOWN]
    return ", ".join(f"{node}: {count:,}" for node, count in sorted(most) if count)
