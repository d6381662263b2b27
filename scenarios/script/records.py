"""A memory script as a study, with its records in the file (``docs/format.md``)."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from ...engine.machines.machine import Machine
from ...engine.output.counter_names import MEANINGS
from ...engine.simulation import Simulation
from ...engine.state.observation import STATES
from ...engine.study.columns import SUMMARY, Field, Records
from ...engine.study.study import Study, Variant
from .footprint import mapped_pages
from .grammar import Operation, parse
from .player import (
    COUNTERS,
    Player,
    Record,
    script_machine,
    script_settings,
    status_runs,
)

_LINE = Field("line", "1", "line of the script")
_PROCESS = Field("process", "1", "name of the process", "S64")
#: An observation comes after its runs: if it is in the file, its runs are too.
RECORDS = (
    Records(
        "runs",
        "run",
        "index of the run of equal pages",
        (
            Field("observation", "1", "index of the observation in /observations"),
            Field("first_page", "page", "where in the region the run begins"),
            Field("pages", "page", "its 4 KiB pages"),
            Field("state", "1", "what they are", "i1", STATES),
            Field("node", "1", "NUMA node, -1 where it cannot be seen"),
            Field("huge", "1", "whether of huge pages", "i1", ("no", "yes")),
        ),
    ),
    Records(
        "observations",
        "observation",
        "index of the observation",
        (
            _LINE,
            _PROCESS,
            Field("region", "1", "name of the region", "S64"),
            Field("pmd_mapped_kb", "KiB", "memory that PMD entries map"),
            Field("rss_kb", "KiB", "memory that is mapped"),
            Field("swap_kb", "KiB", "memory that is in swap"),
        ),
    ),
    Records(
        "counters",
        "record",
        "index of the record",
        (
            _LINE,
            *(Field(one.name.lower(), *MEANINGS[one]) for one in COUNTERS),
        ),
    ),
    Records(
        "results",
        "result",
        "index of the operation that failed",
        (
            _LINE,
            Field("errno", "1", "error number, as on x86-64"),
            Field("error", "1", "its name", "S64"),
        ),
    ),
    Records(
        "kills",
        "kill",
        "index of the operation that a process died at, or was dead at",
        (_LINE, _PROCESS, Field("signal", "1", "number of the signal that killed it")),
    ),
    Records(
        "move_status",
        "status_run",
        "index of the run of pages with an equal status",
        (
            _LINE,
            Field("first_page", "page", "where in the range the run begins"),
            Field("pages", "page", "its 4 KiB pages"),
            Field("status", "1", "node, or an error number below 0"),
            Field("error", "1", "the name of that, empty for a node", "S64"),
        ),
    ),
    Records(
        "nodefree",
        "row",
        "index of the row: one a node and nodefree",
        (
            _LINE,
            Field("node", "1", "NUMA node"),
            Field("free_kb", "KiB", "memory that is free there"),
        ),
    ),
)


def study(
    text: str,
    profile: str,
    show: Callable[[Record], None],
    machine: Machine | None = None,
) -> Study:
    """Return a script as a study of one variant, its profile.

    ``show`` is called with each record as it comes; ``machine`` replaces that of the
    script.  Raises BadInput with the line that is wrong.
    """
    operations = parse(text.splitlines())
    machine = machine or script_machine(operations[0])
    variant = Variant(
        profile,
        machine,
        script_settings(profile),
        partial(_play, operations=operations, show=show),
        accesses=0,
        mapped_pages=mapped_pages(operations, machine),
    )
    question = "Where does Linux put the pages of a memory script?"
    return Study(question, "profile", (variant,), SUMMARY, records=RECORDS)


def provenance(study: Study, text: str, file: str) -> dict[str, str]:
    """Return the root attributes that say where the records came from."""
    (variant,) = study.variants
    machine = variant.machine
    parameters = {
        "file": file,
        "profile": variant.name,
        "memory": [int(size) for size in machine.memory],
        "cpus": [int(count) for count in machine.cpus],
        "distance": machine.distance.tolist(),
        "settings": asdict(variant.settings),
    }
    return {
        "scenario": "memory_script",
        "parameters": json.dumps(parameters, default=str),
        "script": text,
    }


def _play(
    simulation: Simulation, operations: list[Operation], show: Callable[[Record], None]
) -> None:
    observations = 0
    for record in Player(operations, simulation).play():
        show(record)
        for records, row in rows(record, observations):
            simulation.record(records, row)
        observations += "runs" in record


def rows(record: Record, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name of the records, row) for a record.

    index  how many observations came before it
    """
    line = {"line": record["line"]}
    if "runs" in record:
        yield from _runs(record["runs"], index)
        names = {"process": record["proc"], "region": record["region"]}
        sizes = {key: record[key] for key in ("pmd_mapped_kb", "rss_kb", "swap_kb")}
        yield "observations", line | names | sizes
    elif "counters" in record:
        none = {one.name.lower(): 0 for one in COUNTERS}
        yield "counters", line | none | record["counters"]
    elif "result" in record:
        error = record["result"]
        yield "results", line | {"errno": getattr(errno, error), "error": error}
    elif "status" in record:
        for row in _status_rows(record["status"]):
            yield "move_status", line | row
    elif "killed" in record:
        yield "kills", line | {"process": record["killed"], "signal": record["signal"]}
    else:
        yield "nodefree", line | {key: record[key] for key in ("node", "free_kb")}


def _status_rows(status: list[int]) -> Iterator[dict[str, Any]]:
    first = 0
    for pages, text in status_runs(status):
        row: dict[str, Any] = {"first_page": first, "pages": pages}
        row["status"] = status[first]
        yield row | {"error": text if text.startswith("-") else ""}
        first += pages


def _runs(
    runs: list[tuple[int, str, int | None, bool]], index: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    first = 0
    for pages, state, node, huge in runs:
        row = {"observation": index, "first_page": first, "pages": pages}
        row |= {"state": STATES.index(state), "node": -1 if node is None else node}
        yield "runs", row | {"huge": huge}
        first += pages
