"""Who is told what a simulation does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from ..kernels.counters import Cause


def cause_time(cause: Cause) -> str:
    """Return the name under which the time that went to a cause is told."""
    return f"time_{cause.name.lower()}_ns"


#: What user time is, and time that tasks sleep, by the names of causes.
USER = ("ACCESS_LOCAL", "ACCESS_REMOTE", "PAGE_WALK")
ASLEEP = ("LOCK_SLEEP", "SWAP_IN")


class NodeUse(NamedTuple):
    """What N nodes hold at the end of an epoch, and the traffic in it.

    pages_free          int64[N], 4 KiB frames
    pages_used          int64[N], 4 KiB frames
    memory_utilisation  float64[N], share of the bandwidth of the node's memory
    bytes               int64[N, N] that accesses moved, row: node of the CPU
    link_utilisation    float64[N, N], share of the bandwidth of the link; NaN: no link

    Utilisation is NaN if no time has passed.
    """

    pages_free: np.ndarray
    pages_used: np.ndarray
    memory_utilisation: np.ndarray
    bytes: np.ndarray
    link_utilisation: np.ndarray


class Observer(Protocol):
    """What a simulation reports to; times are simulated, in ns."""

    @property
    def keeps(self) -> bool:
        """Whether epochs are kept: if not, what takes long to find out is left out."""

    def progress(self, accesses: int, now_ns: int) -> None:
        """Take note of ``accesses`` more that were served since the last call."""

    def epoch(
        self,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray,
        use: NodeUse,
    ) -> None:
        """Take what was counted in an epoch that ended at ``time_ns``.

        The arrays and rows are those of ``RunWriter.epoch``.
        """

    def event(
        self, time_ns: int, kind: str, node: int, process: int, value: int
    ) -> None:
        """Take a rare event, the name of an ``Event``; node and process -1: none."""

    def snapshot(
        self, time_ns: int, process: int, node: np.ndarray, kind: np.ndarray
    ) -> None:
        """Take the blocks of a process, as ``Simulation.snapshot`` returns them."""

    def record(self, time_ns: int, records: str, row: Mapping[str, Any]) -> None:
        """Take a row of the records of that name, which are the study's own."""


class Silent:
    """An observer that ignores everything."""

    keeps = False

    def progress(self, accesses: int, now_ns: int) -> None:
        """Ignore progress."""

    def epoch(
        self,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray,
        use: NodeUse,
    ) -> None:
        """Ignore an epoch."""

    def event(
        self, time_ns: int, kind: str, node: int, process: int, value: int
    ) -> None:
        """Ignore an event."""

    def snapshot(
        self, time_ns: int, process: int, node: np.ndarray, kind: np.ndarray
    ) -> None:
        """Ignore a snapshot."""

    def record(self, time_ns: int, records: str, row: Mapping[str, Any]) -> None:
        """Ignore a record."""
