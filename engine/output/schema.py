"""Names, units and meanings of what a run file holds."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import h5py
import numpy as np

from ...kernels.counters import Cause, Event
from ..state.snapshot import BlockKind
from .reader import RunState

#: Stages of ``/runtime``.
STAGES = ("setup_s", "run_s", "output_s", "compile_s")
_NAME = h5py.string_dtype("utf-8", 32)
_POLICY = h5py.string_dtype("utf-8", 24)


class Variable(NamedTuple):
    """What is declared of a variable, apart from its dimensions."""

    name: str
    unit: str
    long_name: str
    dtype: Any = "i8"
    attributes: Mapping[str, Any] = {}


def cause_time(cause: Cause) -> str:
    """Return the name of the variable with the time that went to a cause."""
    return f"time_{cause.name.lower()}_ns"


DELTA = {"cell_methods": "epoch: sum"}
VARIANT = Variable("variant", "1", "index of the variant in /summary")
TIME = Variable("time_ns", "ns", "simulated time since the start of the variant")
PROCESSES = (
    Variable("epoch", "1", "index of the epoch in /epochs"),
    VARIANT,
    Variable("process", "1", "number of the process"),
    Variable("rss_pages", "page", "4 KiB pages mapped at the end of the epoch"),
    Variable("swap_pages", "page", "pages behind slots and entries at its end"),
    Variable("accesses_local", "1", "accesses to the task's own node", "i8", DELTA),
    Variable("accesses_remote", "1", "accesses to other nodes", "i8", DELTA),
    *(
        Variable(
            cause_time(cause),
            "ns",
            f"simulated time of all tasks, cause {cause.name.lower()}, in this epoch",
            "i8",
            DELTA,
        )
        for cause in Cause
    ),
)
TEXTS = (
    Variable("name", "1", "name of the process", _NAME),
    Variable("policy", "1", "memory policy, mixed where VMAs differ", _POLICY),
)
SNAPSHOTS = (
    TIME,
    VARIANT,
    Variable("process", "1", "number of the process"),
    Variable("count", "1", "how many blocks the snapshot has"),
)
KHUGEPAGED_RESULTS = Variable(
    "khugepaged_results", "1", "scans of blocks in this epoch", "i8", DELTA
)
KHUGEPAGED = (
    Variable(
        "khugepaged_full_scans",
        "1",
        "rounds of khugepaged through all processes that ended in this epoch",
        "i8",
        DELTA,
    ),
    Variable(
        "khugepaged_pages_collapsed",
        "1",
        "huge pages that khugepaged made in this epoch",
        "i8",
        DELTA,
    ),
)


def _flags(members: type[IntEnum]) -> dict[str, Any]:
    """Return the CF attributes that name the values of an enumeration."""
    return {
        "flag_values": np.array(list(members), np.int8),
        "flag_meanings": " ".join(member.name.lower() for member in members),
    }


BLOCK_VARIABLES = (
    Variable("block_node", "1", "node of each 2 MiB block, -1 for none", "i1"),
    Variable("block_kind", "1", "how the block is mapped", "i1", _flags(BlockKind)),
)
EVENTS = (
    TIME,
    VARIANT,
    Variable("kind", "1", "what happened", "i1", _flags(Event)),
    Variable("node", "1", "node where it happened"),
    Variable("process", "1", "number of the process, -1 for none"),
    Variable("value", "1", "number that goes with the kind"),
)
RUN = (
    Variable("state", "1", "state of the run", "i1", _flags(RunState)),
    Variable("epochs_done", "1", "complete rows of /epochs"),
    Variable("wall_seconds", "s", "wall time since the file was created", "f8"),
    Variable("peak_rss_bytes", "byte", "most host memory of the writing process"),
)
