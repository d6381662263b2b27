"""What pictures need of the file of a run: plain data, ready for JSON.

Long runs are thinned here, so that a page stays small: epochs are added up, and the
blocks of a snapshot become the cells of a strip.
"""

import json
import os
from typing import Any

import h5py
import numpy as np

from ...engine.errors import BadInput
from ...engine.output.describe import describe
from ...engine.output.reader import HDF5_ERRORS, RunFile, Table, damaged
from ...engine.state.snapshot import BlockKind
from ...engine.study.columns import SUMMARY, THP

#: Most points of a line over time, and most cells of a strip of blocks.
POINTS, CELLS = 300, 400
#: Most snapshots of a variant that are shown: the first, the last, and between them.
SNAPSHOTS = 12
#: What the epochs count that is drawn over time, and the names in the file.
COUNTED = {
    "local": "accesses_local",
    "remote": "accesses_remote",
    "faults": "pgfault",
    "migrated": "pgmigrate_success",
}
#: What the names of counters of huge pages begin with.
HUGE = ("thp_", "compact_", "numa_huge_")
#: Tables of the study's own, or of the runner, that a picture knows by name.
TABLES = ("locks",)


def gather(path: str | os.PathLike) -> dict[str, Any]:
    """Return what ``describe`` says of a file, and what pictures need beside it.

    columns     what the table on the screen makes of each variable of ``/summary``
    work        what work each variant does: those of the same are compared
    nodes       their numbers
    series      a dict of lists for each variant: over time, times in ns
    traffic     bytes, [variant][node of the CPU][node]
    huge        counts of each variant, by the counter of huge pages
    khugepaged  the same, by what its scans came to
    snapshots   a strip each
    replicas    values of columns, [variant][seed]
    tables      columns of the tables in ``TABLES``

    Raises BadInput as ``describe`` does.
    """
    found = describe(path)
    with RunFile(path) as file:
        try:
            return found | _gathered(file)
        except BadInput:
            raise
        except HDF5_ERRORS as error:
            raise damaged(file.path) from error


def _gathered(file: RunFile) -> dict[str, Any]:
    epochs = file.epochs
    rows = epochs["variant"]
    of = [np.flatnonzero(rows == i) for i in range(len(file.variants))]
    return {
        "columns": _columns(file),
        "work": _work(file),
        "nodes": _scale(epochs, "node"),
        "series": _series(file, of),
        "traffic": _traffic(epochs, of),
        "huge": _counts(epochs, of, [one for one in epochs if one.startswith(HUGE)]),
        "khugepaged": _khugepaged(epochs, of),
        "snapshots": _snapshots(file),
        "replicas": _replicas(file),
        "tables": {
            name: _table_rows(file.records[name])
            for name in TABLES
            if name in file.records
        },
    }


def _work(file: RunFile) -> list[str]:
    count = len(file.variants)
    works = json.loads(str(file.attributes.get("work", "[]")))
    fits = isinstance(works, list) and len(works) == count
    return list(map(str, works)) if fits else [""] * count


def _scale(table: Table, name: str) -> list:
    """Return the values of a dimension that does not grow."""
    for dataset in table.datasets:
        if dataset.name.endswith(f"/{name}"):
            texts = h5py.check_string_dtype(dataset.dtype) is not None
            return list((dataset.asstr() if texts else dataset)[()].tolist())
    return []


def _columns(file: RunFile) -> dict[str, dict[str, Any]]:
    """Return heading, style, unit and meaning of each variable of ``/summary``."""
    return {
        dataset.name.rpartition("/")[2]: column(dataset)
        for dataset in file.summary.datasets
    }


def column(dataset: h5py.Dataset) -> dict[str, Any]:
    """Return what the table on the screen makes of a variable.

    Older files do not say so: the columns of ours are known.
    """
    name, attrs = dataset.name.rpartition("/")[2], dataset.attrs
    one = next((one for one in (*SUMMARY, *THP) if one.name == name), None)
    heading = one.heading if one else name.replace("_", " ")
    return {
        "heading": str(attrs.get("heading", heading)),
        "style": str(attrs.get("style", one.style if one else "")),
        "first": bool(attrs.get("first", one.first if one else False)),
        "unit": str(attrs.get("units", "")),
        "meaning": str(attrs.get("long_name", "")),
    }


def _replicas(file: RunFile) -> dict[str, Any]:
    """Return the seeds and the values of columns, [variant][seed]; empty: one seed."""
    table = file.replicas
    if table is None:
        return {}
    seeds, count = table["seed"].tolist(), len(file.variants)
    shape = (count, len(seeds))
    values = {}
    for name in table:
        one = table[name]
        if one.dtype.kind in "if" and one.size == count * len(seeds) and one.ndim > 1:
            values[name] = [
                [None if v == -1 or v != v else v for v in row]
                for row in one.reshape(shape).tolist()
            ]
    return {"seeds": seeds, "values": values}


# --- over time ------------------------------------------------------------------------


def _series(file: RunFile, of: list[np.ndarray]) -> list[dict[str, list]]:
    """Return for each variant the ends of its epochs, and what they counted."""
    epochs = file.epochs
    times = epochs["time_ns"]
    counted = {
        name: _sum_of_nodes(epochs[there])
        for name, there in COUNTED.items()
        if there in epochs
    }
    pages, mapped = _pages(file, len(times))
    parked = _parked(file.processes, len(times))
    series = []
    for rows in of:
        starts = _starts(len(rows))
        one: dict[str, list] = {"time_ns": _lasts(times[rows], starts)}
        for name, values in counted.items():
            one[name] = _sums(values[rows], starts)
        known = rows[(pages[rows] >= 0).all(axis=1)] if len(pages) else rows[:0]
        starts = _starts(len(known))
        one["pages_at_ns"] = _lasts(times[known], starts)
        one["pages"] = [_lasts(node, starts) for node in pages[known].T]
        one["parked"] = _lasts(parked[known], starts)
        one["pages_mapped"] = [bool(mapped)]
        series.append(one)
    return series


def _sum_of_nodes(values: np.ndarray) -> np.ndarray:
    """Return the sum over nodes of [epochs, nodes]; -1 is a node that is not there."""
    values = np.maximum(values, 0)
    return values if values.ndim == 1 else values.sum(axis=1)


def _starts(count: int) -> np.ndarray:
    """Return where each of at most ``POINTS`` groups of equal length begins."""
    return np.arange(0, count, max(1, -(-count // POINTS)))


def _sums(values: np.ndarray, starts: np.ndarray) -> list:
    return np.add.reduceat(values, starts).tolist() if len(starts) else []


def _lasts(values: np.ndarray, starts: np.ndarray) -> list:
    """Return the last value of each group."""
    ends = [*(starts[1:] - 1), len(values) - 1] if len(starts) else []
    return values[ends].tolist() if ends else []


def _pages(file: RunFile, epochs: int) -> tuple[np.ndarray, bool]:
    """Return int64[epochs, nodes]: pages that processes map, and True; -1: not known.

    If they were counted in less than half of the epochs: frames in use, and False.
    """
    processes, found = file.processes, np.zeros((0, 0), np.int64)
    if "pages" in processes:
        found = _mapped(processes, epochs)
    known = (found >= 0).all(axis=1) if found.size else np.zeros(0, bool)
    if known.size and known.mean() >= 0.5:
        return found, True
    return _frames(file.epochs), False


def _mapped(processes: Table, epochs: int) -> np.ndarray:
    """Return int64[epochs, nodes]: pages mapped, -1 if those of any are not known."""
    pages, epoch = processes["pages"], processes["epoch"]
    rows = min(len(pages), len(epoch))
    pages, epoch = pages[:rows], epoch[:rows]
    there = epoch < epochs
    pages, epoch = pages[there], epoch[there]
    found = np.zeros((epochs, pages.shape[1]), np.int64)
    np.add.at(found, epoch, np.maximum(pages, 0))
    seen = np.zeros(epochs, bool)
    seen[epoch] = True
    found[~seen] = -1
    found[epoch[(pages < 0).all(axis=1)]] = -1
    return found


def _parked(processes: Table, epochs: int) -> np.ndarray:
    """Return int64[epochs]: pages behind swap slots and migration-cache entries."""
    pages, epoch = processes["swap_pages"], processes["epoch"]
    rows = min(len(pages), len(epoch))
    there = epoch[:rows] < epochs
    found = np.zeros(epochs, np.int64)
    np.add.at(found, epoch[:rows][there], np.maximum(pages[:rows][there], 0))
    return found


def _frames(epochs: Table) -> np.ndarray:
    """Return int64[epochs, nodes]: frames in use; -1: not known."""
    if "pages_used" not in epochs:
        return np.zeros((0, 0), np.int64)
    used = epochs["pages_used"]
    known = (used >= 0).any(axis=1, keepdims=True)
    return np.where(known, np.maximum(used, 0), -1)


# --- sums over a run ------------------------------------------------------------------


def _traffic(epochs: Table, of: list[np.ndarray]) -> list:
    """Return bytes of each variant, [node of the CPU][node]; nothing if none moved."""
    if "bytes" not in epochs:
        return []
    moved = np.maximum(epochs["bytes"], 0)
    sums = [moved[rows].sum(axis=0).tolist() for rows in of]
    return sums if np.any(sums) else []


def _counts(epochs: Table, of: list[np.ndarray], names: list[str]) -> dict[str, list]:
    """Return the sums of counters for each variant, those left out that are all 0."""
    sums = {}
    for name in names:
        values = _sum_of_nodes(epochs[name])
        total = [int(values[rows].sum()) for rows in of]
        if any(total):
            sums[name] = total
    return sums


def _khugepaged(epochs: Table, of: list[np.ndarray]) -> dict[str, list]:
    """Return what khugepaged's scans came to, by result, for each variant."""
    if "khugepaged_results" not in epochs:
        return {}
    scans = np.maximum(epochs["khugepaged_results"], 0)
    sums = np.array([scans[rows].sum(axis=0) for rows in of])
    names = _scale(epochs, "scan_result")
    return {
        name: column.tolist()
        for name, column in zip(names, sums.T, strict=True)
        if column.any()
    }


def _table_rows(table: Table) -> dict[str, list]:
    """Return the columns of a table: lists of equal length."""
    rows = table.rows
    return {
        name: table[name].tolist()
        for name in table
        if table[name].ndim == 1 and len(table[name]) == rows
    }


# --- snapshots ------------------------------------------------------------------------


def _snapshots(file: RunFile) -> list[dict[str, Any]]:
    """Return the strips of all variants, each as cells from low to high addresses.

    A strip has the blocks of all processes at one time, in the order of processes.
    """
    table = file.snapshots
    variants, times = table["variant"].tolist(), table["time_ns"].tolist()
    together: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(variants, times, strict=True)):
        together.setdefault(key, []).append(row)
    strips = []
    for variant in sorted(set(variants)):
        keys = sorted(key for key in together if key[0] == variant)
        for number, at in enumerate(_some(len(keys))):
            strips.append(_strip(file, together[keys[at]]) | {"number": number})
            strips[-1] |= {"variant": variant, "time_ns": keys[at][1]}
    return strips


def _some(count: int) -> list[int]:
    """Return at most ``SNAPSHOTS`` numbers below ``count``, evenly, the last too."""
    chosen = np.linspace(0, count - 1, min(count, SNAPSHOTS)).round()
    return chosen.astype(int).tolist()


def _strip(file: RunFile, rows: list[int]) -> dict[str, Any]:
    node = np.concatenate([file.placement(row) for row in rows])
    kind = np.concatenate([file.kinds(row) for row in rows])
    huge = np.isin(kind, (BlockKind.HUGE, BlockKind.HUGE_ZERO))
    numbers, blocks = np.unique(node, return_counts=True)
    return {
        "blocks": len(node),
        "by_node": dict(zip(map(str, numbers.tolist()), blocks.tolist(), strict=True)),
        "huge": int(huge.sum()),
        "node": _cells(node),
        "is_huge": _cells(huge.astype(np.int16)),
    }


def _cells(values: np.ndarray) -> list[int]:
    """Return at most ``CELLS`` values, each the one that most of its blocks have."""
    count = min(len(values), CELLS)
    if not count:
        return []
    low = int(values.min())
    cell = np.arange(len(values)) * count // len(values)
    votes = np.zeros((count, int(values.max()) - low + 1), np.int64)
    np.add.at(votes, (cell, values.astype(np.int64) - low), 1)
    return (votes.argmax(axis=1) + low).tolist()
