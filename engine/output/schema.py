"""Names, units and meanings of what a run file holds."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from ...kernels.counters import Cause, Event, Vm
from ..observer import cause_time
from ..state.snapshot import BlockKind
from .counter_names import MEANINGS
from .reader import RunState

#: Stages of ``/runtime``.
STAGES = ("setup_s", "run_s", "output_s", "compile_s")


class Variable(NamedTuple):
    """What is declared of a variable, apart from its dimensions.

    An integer of unit ``"1"`` is the number of something, such as a process or a line;
    what has another unit is an amount.
    """

    name: str
    unit: str
    long_name: str
    dtype: Any = "i8"
    attributes: Mapping[str, Any] = {}


#: What a cause of time is, for long names.
CAUSES = {
    Cause.ACCESS_LOCAL: "accesses to memory of their own node",
    Cause.ACCESS_REMOTE: "accesses to memory of other nodes",
    Cause.MINOR_FAULT: "faults that mapped a base page",
    Cause.COW: "faults that copied a page",
    Cause.HINT_FAULT: "faults on PROT_NONE marks, without the move",
    Cause.LAZY_FAULT: "faults on parked pages, without the move",
    Cause.MIGRATION: "moving pages, flushes of TLBs among it",
    Cause.SWAP_IN: "reading pages from swap",
    Cause.RECLAIM: "reclaiming memory themselves",
    Cause.SYSCALL: "system calls",
    Cause.HUGE_FAULT: "faults that mapped a huge page",
    Cause.COMPACTION: "compacting memory themselves",
    Cause.PAGE_WALK: "page walks after TLB misses",
    Cause.SCAN: "scans that set PROT_NONE marks",
    Cause.LOCK_SLEEP: "waiting asleep for locks",
    Cause.LOCK_SPIN: "spinning on locks",
    Cause.SAMPLE: "samples of accesses",
}
DELTA = {"cell_methods": "epoch: sum"}
AT_END = {"cell_methods": "epoch: point"}
VARIANT = Variable("variant", "1", "index of the variant in /summary")
TIME = Variable("time_ns", "ns", "simulated time since the start of the variant")
VARIANT_NAME = "variant_name"
#: What says when and of which variant a row of any table is.
WHEN = (TIME.name, VARIANT.name, VARIANT_NAME)
COUNTERS = {
    counter: Variable(
        counter.name.lower(), MEANINGS[counter][0], MEANINGS[counter][1], "i8", DELTA
    )
    for counter in Vm
}
#: Of each node at the end of an epoch, and the traffic of its memory.
NODE_USE = (
    Variable(
        "pages_free", "page", "4 KiB frames that are free at its end", "i8", AT_END
    ),
    Variable("pages_used", "page", "4 KiB frames in use at its end", "i8", AT_END),
    Variable(
        "memory_utilisation",
        "1",
        "share of the bandwidth of the node's memory that accesses used",
        "f8",
        {"cell_methods": "epoch: mean"},
    ),
)
#: From each node to each node, in an epoch.
LINK_USE = (
    Variable("bytes", "byte", "bytes that accesses of its CPUs moved", "i8", DELTA),
    Variable(
        "link_utilisation",
        "1",
        "share of the bandwidth of the link that accesses used, of two nodes",
        "f8",
        {"cell_methods": "epoch: mean"},
    ),
)
PROCESSES = (
    Variable("epoch", "1", "index of the epoch in /epochs"),
    TIME,
    VARIANT,
    Variable("process", "1", "number of the process"),
    Variable("rss_pages", "page", "4 KiB pages mapped at the end of the epoch"),
    Variable(
        "swap_pages",
        "page",
        "pages behind swap slots and migration-cache entries at its end",
    ),
    Variable("accesses_local", "event", "accesses to the task's own node", "i8", DELTA),
    Variable("accesses_remote", "event", "accesses to other nodes", "i8", DELTA),
    *(
        Variable(
            cause_time(cause),
            "ns",
            f"time that its tasks spent in this epoch on {CAUSES[cause]}",
            "i8",
            DELTA,
        )
        for cause in Cause
    ),
    Variable("user_time_ns", "ns", "time of its tasks in user mode", "i8", DELTA),
    Variable("system_time_ns", "ns", "time of its tasks in the kernel", "i8", DELTA),
)
LOCK_WAITS = Variable(
    "lock_wait_ns", "ns", "time that its tasks waited for each lock", "i8", DELTA
)
PAGES_BY_NODE = Variable(
    "pages", "page", "4 KiB pages mapped at the end of the epoch, by their node"
)
TEXTS = (
    Variable("name", "1", "name of the process", "S32"),
    Variable("policy", "1", "memory policy, mixed where VMAs differ", "S24"),
)
SNAPSHOTS = (
    TIME,
    VARIANT,
    Variable("process", "1", "number of the process"),
    Variable("count", "block", "how many blocks of 2 MiB the snapshot has"),
)
KHUGEPAGED_RESULTS = Variable(
    "khugepaged_results",
    "event",
    "khugepaged's scans of blocks, by result",
    "i8",
    DELTA,
)
KHUGEPAGED = (
    Variable(
        "khugepaged_full_scans",
        "event",
        "rounds of khugepaged through all processes that ended in this epoch",
        "i8",
        DELTA,
    ),
    Variable(
        "khugepaged_pages_collapsed",
        "event",
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
    Variable("block_node", "1", "node of each 2 MiB block, -1 for none", "i2"),
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
    Variable("epochs_done", "epoch", "complete rows of /epochs"),
    Variable("wall_seconds", "s", "wall time since the file was created", "f8"),
    Variable("peak_rss_bytes", "byte", "most host memory of the writing process"),
)
