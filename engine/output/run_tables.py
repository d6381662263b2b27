"""The tables of a run: epochs, processes, events, and the records of a study."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from ...kernels.counters import Cause, Event, ScanResult, Vm
from ..errors import BadInput
from ..observer import cause_time
from ..study.columns import Field, Records
from .growing import ROWS, Table, dimension_scale, name_scale
from .schema import (
    DELTA,
    EVENTS,
    KHUGEPAGED,
    KHUGEPAGED_RESULTS,
    PROCESSES,
    TEXTS,
    TIME,
    VARIANT,
    Variable,
)

#: What khugepaged did in an epoch: scans by result, then the totals of ``KHUGEPAGED``.
IDLE = np.zeros(len(ScanResult) + len(KHUGEPAGED), np.int64)
_EVENTS = {one.name.lower(): one for one in Event}


class EpochTable(Table):
    """``/epochs``: the counters of each node, and what khugepaged did."""

    def __init__(self, group: h5py.Group, nodes: int) -> None:
        super().__init__(group, "epoch", "index of the epoch")
        node = dimension_scale(group, "node", "NUMA node", np.arange(nodes))
        self.add_values((VARIANT, TIME))
        self._counters = np.empty((ROWS, nodes, len(Vm)), np.int64)
        for counter in Vm:
            name = counter.name.lower()
            variable = Variable(name, "1", f"{name} in this epoch", "i8", DELTA)
            self.add(variable, self._counters[:, :, counter], node)
        self._khugepaged = np.empty((ROWS, IDLE.size), np.int64)
        names = [result.name.lower() for result in ScanResult]
        result = name_scale(
            group, "scan_result", names, "what a scan of a block came to"
        )
        by_result, totals = np.split(self._khugepaged, [len(ScanResult)], axis=1)
        self.add(KHUGEPAGED_RESULTS, by_result, result)
        for variable, total in zip(KHUGEPAGED, totals.T, strict=True):
            self.add(variable, total)

    @property
    def next_index(self) -> int:
        """The index of the epoch that is put next."""
        return self.written + self.waiting

    def check(self, counters: np.ndarray, khugepaged: np.ndarray) -> None:
        """Raise BadInput if an epoch has not the shape of the table."""
        if np.shape(khugepaged) != IDLE.shape:
            raise BadInput(
                f"khugepaged must have shape {IDLE.shape}, got {np.shape(khugepaged)}"
            )
        most, nodes = self._counters.shape[1], len(counters)
        if nodes > most or counters.shape != (nodes, len(Vm)):
            raise BadInput(
                f"counters must have shape (at most {most}, {len(Vm)}), "
                f"got {counters.shape}"
            )

    def put_epoch(
        self, variant: int, time_ns: int, counters: np.ndarray, khugepaged: np.ndarray
    ) -> None:
        """Let an epoch wait; nodes that the variant does not have are -1."""
        row, nodes = self.waiting, len(counters)
        self._counters[row, :nodes] = counters
        self._counters[row, nodes:] = -1
        self._khugepaged[row] = khugepaged
        self.put({"variant": variant, "time_ns": time_ns})


class ProcessTable(Table):
    """``/processes``: a row for each process and epoch."""

    def __init__(self, group: h5py.Group) -> None:
        super().__init__(group, "row", "index of the row", (*PROCESSES, *TEXTS))

    def put_process(self, epoch: int, variant: int, process: Mapping[str, Any]) -> None:
        """Let a row wait; ``process`` is as ``RunWriter.epoch`` takes it."""
        times = zip(Cause, process["time_ns"], strict=True)
        named = {cause_time(cause): time for cause, time in times}
        self.put({**process, **named, "epoch": epoch, "variant": variant})


def check_process(process: Mapping[str, Any]) -> None:
    """Raise BadInput if a process lacks a value, or has too many or few times."""
    ours = {"epoch", "variant", *(cause_time(cause) for cause in Cause)}
    names = [one.name for one in (*TEXTS, *PROCESSES) if one.name not in ours]
    missing = [name for name in (*names, "time_ns") if name not in process]
    if missing:
        raise BadInput(f"process must have {', '.join(missing)}, got {list(process)}")
    shape = np.shape(process["time_ns"])
    if shape != (len(Cause),):
        raise BadInput(f"time_ns must have shape ({len(Cause)},), got {shape}")


class EventTable(Table):
    """``/events``: rare things with their time."""

    def __init__(self, group: h5py.Group) -> None:
        super().__init__(group, "event", "index of the event", EVENTS)


def event_number(kind: str) -> int:
    """Return the number of an event; BadInput if there is none of that name."""
    if kind not in _EVENTS:
        raise BadInput(f"kind must be one of {', '.join(_EVENTS)}, got {kind!r}")
    return _EVENTS[kind]


class RecordsTable(Table):
    """A table of the study's own: ``records`` says what is in it."""

    def __init__(self, group: h5py.Group, records: Records) -> None:
        group.attrs["dimension"] = records.dimension
        variables = (TIME, VARIANT, *map(_variable, records.fields))
        super().__init__(group, records.dimension, records.long_name, variables)
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
    texts = kind.kind == "S"
    attributes: dict[str, Any] = {}
    if field.flags:
        attributes["flag_values"] = np.arange(len(field.flags), dtype=kind)
        attributes["flag_meanings"] = " ".join(field.flags)
    return Variable(
        field.name,
        field.unit,
        field.long_name,
        h5py.string_dtype("utf-8", kind.itemsize) if texts else kind,
        attributes,
    )
