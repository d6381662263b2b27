"""The tables of a run: epochs, processes, events, and the records of a study."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from ...kernels.counters import Cause, Event, ScanResult, Vm
from ..errors import BadInput
from ..observer import ASLEEP, USER, NodeUse, cause_time
from ..settings.locks import ROWS as LOCKS
from ..study.columns import Field, Records
from .growing import ROWS, Table, dimension_scale, fill_value, name_scale
from .node_axis import NodeAxis
from .schema import (
    COUNTERS,
    EVENTS,
    KHUGEPAGED,
    KHUGEPAGED_RESULTS,
    LINK_USE,
    LOCK_WAITS,
    NODE_USE,
    PAGES_BY_NODE,
    PROCESSES,
    TEXTS,
    TIME,
    VARIANT,
    WHEN,
    Variable,
)

#: What khugepaged did in an epoch: scans by result, then the totals of ``KHUGEPAGED``.
IDLE = np.zeros(len(ScanResult) + len(KHUGEPAGED), np.int64)
_CPU_TIMES = USER, ASLEEP
_EVENTS = {one.name.lower(): one for one in Event}


class EpochTable(Table):
    """``/epochs``: what nodes counted and hold, and what khugepaged did."""

    def __init__(self, group: h5py.Group, names: Sequence[str], axis: NodeAxis) -> None:
        super().__init__(group, names, "epoch", "index of the epoch", (VARIANT, TIME))
        self._axis, nodes = axis, len(axis.numbers)
        node = _node_scale(group, "node", "NUMA node of the memory, of a CPU", axis)
        cpu_node = _node_scale(group, "cpu_node", "NUMA node of the CPU", axis)
        self._counters = np.empty((ROWS, nodes, len(Vm)), np.int64)
        for counter, variable in COUNTERS.items():
            self.add(variable, self._counters[:, :, counter], node)
        self._of_nodes = [np.empty((ROWS, nodes), one.dtype) for one in NODE_USE]
        for variable, buffer in zip(NODE_USE, self._of_nodes, strict=True):
            self.add(variable, buffer, node)
        self._of_links = [np.empty((ROWS, nodes, nodes), one.dtype) for one in LINK_USE]
        for variable, buffer in zip(LINK_USE, self._of_links, strict=True):
            self.add(variable, buffer, cpu_node, node)
        self._add_khugepaged()

    def _add_khugepaged(self) -> None:
        self._khugepaged = np.empty((ROWS, IDLE.size), np.int64)
        names = [result.name.lower() for result in ScanResult]
        result = name_scale(
            self.group, "scan_result", names, "what a scan of a block came to"
        )
        by_result, totals = np.split(self._khugepaged, [len(ScanResult)], axis=1)
        self.add(KHUGEPAGED_RESULTS, by_result, result)
        for variable, total in zip(KHUGEPAGED, totals.T, strict=True):
            self.add(variable, total)

    @property
    def next_index(self) -> int:
        """The index of the epoch that is put next."""
        return self.written + self.waiting

    def check(self, variant: int, counters: np.ndarray, khugepaged: np.ndarray) -> None:
        """Raise BadInput if an epoch has not the shape of the table."""
        if np.shape(khugepaged) != IDLE.shape:
            raise BadInput(
                f"khugepaged must have shape {IDLE.shape}, got {np.shape(khugepaged)}"
            )
        most, nodes = self._axis.most(variant), len(counters)
        if nodes > most or counters.shape != (nodes, len(Vm)):
            raise BadInput(
                f"counters must have shape (at most {most}, {len(Vm)}), "
                f"got {counters.shape}"
            )

    def put_epoch(
        self,
        variant: int,
        time_ns: int,
        counters: np.ndarray,
        khugepaged: np.ndarray,
        use: NodeUse | None,
    ) -> None:
        """Let an epoch wait; nodes that the variant does not have are not written."""
        row, at = self.waiting, self._axis.places(variant, len(counters))
        self._counters[row] = -1
        self._counters[row, at] = counters
        self._khugepaged[row] = khugepaged
        for buffer in (*self._of_nodes, *self._of_links):
            buffer[row] = fill_value(buffer.dtype)
        if use is not None:
            self._put_use(row, at, use)
        self.put({"variant": variant, "time_ns": time_ns})

    def _put_use(self, row: int, at: np.ndarray, use: NodeUse) -> None:
        for variable, buffer in zip(NODE_USE, self._of_nodes, strict=True):
            buffer[row, at] = getattr(use, variable.name)
        for variable, buffer in zip(LINK_USE, self._of_links, strict=True):
            buffer[row, at[:, None], at] = getattr(use, variable.name)


def _node_scale(
    group: h5py.Group, name: str, long_name: str, axis: NodeAxis
) -> h5py.Dataset:
    return dimension_scale(group, name, long_name, axis.numbers)


class ProcessTable(Table):
    """``/processes``: a row for each process and epoch."""

    coordinates = (*WHEN, "process", "name")

    def __init__(self, group: h5py.Group, names: Sequence[str], axis: NodeAxis) -> None:
        variables = (*PROCESSES, *TEXTS)
        super().__init__(group, names, "row", "index of the row", variables)
        self._axis = axis
        node = _node_scale(group, "node", "NUMA node of the memory", axis)
        self._pages = np.empty((ROWS, len(axis.numbers)), np.int64)
        self.add(PAGES_BY_NODE, self._pages, node)
        locks = [row.name for row in LOCKS]
        lock = name_scale(group, "lock", locks, "lock of the kernel")
        self._waits = np.empty((ROWS, len(locks)), np.int64)
        self.add(LOCK_WAITS, self._waits, lock)

    def put_process(
        self, epoch: int, variant: int, time_ns: int, process: Mapping[str, Any]
    ) -> None:
        """Let a row wait; ``process`` is as ``RunWriter.epoch`` takes it."""
        times = dict(zip(Cause, process["time_ns"], strict=True))
        named = {cause_time(cause): time for cause, time in times.items()}
        user, asleep = (sum(times[Cause[one]] for one in some) for some in _CPU_TIMES)
        named["user_time_ns"] = user
        named["system_time_ns"] = sum(times.values()) - user - asleep
        pages, row = process.get("pages"), self.waiting
        self._waits[row] = process.get("lock_wait_ns", 0)
        self._pages[row] = fill_value(self._pages.dtype)
        if pages is not None:
            self._pages[row, self._axis.places(variant, len(pages))] = pages
        when = {"epoch": epoch, "variant": variant, "time_ns": time_ns}
        self.put({**process, **named, **when})


def check_process(process: Mapping[str, Any]) -> None:
    """Raise BadInput if a process lacks a value, or has too many or few times."""
    ours = {"epoch", "variant", "time_ns", "user_time_ns", "system_time_ns"}
    ours |= {cause_time(cause) for cause in Cause}
    names = [one.name for one in (*TEXTS, *PROCESSES) if one.name not in ours]
    missing = [name for name in (*names, "time_ns") if name not in process]
    if missing:
        raise BadInput(f"process must have {', '.join(missing)}, got {list(process)}")
    shape = np.shape(process["time_ns"])
    if shape != (len(Cause),):
        raise BadInput(f"time_ns must have shape ({len(Cause)},), got {shape}")


class EventTable(Table):
    """``/events``: rare things with their time."""

    def __init__(self, group: h5py.Group, names: Sequence[str]) -> None:
        super().__init__(group, names, "event", "index of the event", EVENTS)


def event_number(kind: str) -> int:
    """Return the number of an event; BadInput if there is none of that name."""
    if kind not in _EVENTS:
        raise BadInput(f"kind must be one of {', '.join(_EVENTS)}, got {kind!r}")
    return _EVENTS[kind]


class RecordsTable(Table):
    """A table of the study's own: ``records`` says what is in it."""

    def __init__(
        self, group: h5py.Group, names: Sequence[str], records: Records
    ) -> None:
        group.attrs["dimension"] = records.dimension
        variables = (TIME, VARIANT, *map(_variable, records.fields))
        super().__init__(group, names, records.dimension, records.long_name, variables)
        self.name = records.name

    def put(self, row: Mapping[str, Any]) -> None:
        """Let a row wait; raise BadInput if it lacks a value, or has one too many."""
        if set(row) != set(self.buffers):
            raise BadInput(
                f"row of {self.name} must have {', '.join(self.buffers)},"
                f" got {', '.join(row)}"
            )
        super().put(row)


def _variable(field: Field) -> Variable:
    """Return how a field of a study's own records is declared."""
    kind = np.dtype(field.dtype)
    attributes: dict[str, Any] = {}
    if field.flags:
        attributes["flag_values"] = np.arange(len(field.flags), dtype=kind)
        attributes["flag_meanings"] = " ".join(field.flags)
    return Variable(
        field.name,
        field.unit,
        field.long_name,
        kind,
        attributes,
    )
