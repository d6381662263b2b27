"""Hands on what a simulation reports: rows to who writes them, progress to who asks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..observer import NodeUse

#: Takes a row: a method of ``RunWriter`` by name, and its arguments but the variant.
Put = Callable[[str, tuple[Any, ...]], None]


class RowObserver:
    """The observer of one variant.

    put       takes each row, or None if rows are not kept
    progress  called with (accesses served since the last call, simulated ns)
    """

    def __init__(self, put: Put | None, progress: Callable[[int, int], None]) -> None:
        self._put, self._progress = put, progress

    @property
    def keeps(self) -> bool:
        return self._put is not None

    def progress(self, accesses: int, now_ns: int) -> None:
        self._progress(accesses, now_ns)

    def epoch(
        self,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray,
        use: NodeUse,
    ) -> None:
        self._row("epoch", time_ns, counters, processes, khugepaged, use)

    def event(
        self, time_ns: int, kind: str, node: int, process: int, value: int
    ) -> None:
        self._row("event", time_ns, kind, node, process, value)

    def snapshot(
        self, time_ns: int, process: int, node: np.ndarray, kind: np.ndarray
    ) -> None:
        self._row("snapshot", time_ns, process, node, kind)

    def record(self, time_ns: int, records: str, row: Mapping[str, Any]) -> None:
        self._row("record", time_ns, records, row)

    def _row(self, method: str, *values: Any) -> None:
        if self._put is not None:
            self._put(method, values)
