"""Write a run as one HDF5 file that can be read at any moment, and after a kill.

The file has its final name from the first byte.  Everything in it is created before the
first event; then HDF5's SWMR mode is switched on and datasets only grow or change their
values.  ``docs/format.md`` is the schema; ``run_file.py`` reads it.
"""

import errno
import fcntl
import json
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...kernels.counters import Cause, Event, Refusal, ScanResult, Vm
from ..errors import BadInput
from ..study.columns import Column, Records
from ..study.study import Name, label, scales
from .growing import (
    INDEX,
    ROWS,
    RecordsTable,
    Table,
    cut_text,
    dimension_scale,
    fill_value,
    finish_variable,
    fixed_variable,
    name_scale,
    variant_scales,
)
from .lock import Lock
from .reader import FILETYPE, VERSION, RunState
from .schema import (
    BLOCK_VARIABLES,
    DELTA,
    EVENTS,
    KHUGEPAGED,
    PROCESSES,
    RUN,
    SNAPSHOTS,
    STAGES,
    TEXTS,
    TIME,
    VARIANT,
    Variable,
)
from .space import SPACE_CLOSE, SPACE_FIRST, Space
from .superblock import clear_flags

try:  # some times faster
    from isal.isal_zlib import compress
except ImportError:
    from zlib import compress
#: Seconds after which a row that comes takes the waiting ones to the file.
INTERVAL_S = 1.0

# The oldest format with SWMR: HDF5 1.10 and what was built on it since can read it.
_LIBVER = ("v110", "v110")
# Blocks in a chunk, which is written by itself, once, and never changed.
_BLOCKS = 1 << 20
_LEVEL = 1
# How netCDF-4 marks the scale of a dimension that has no coordinate.
_NO_COORDINATE = "This is a netCDF dimension but not a netCDF variable.%10d"
# What khugepaged did in an epoch: nothing.
_IDLE = np.zeros(len(ScanResult) + 2, np.int64)


class RunWriter:
    """Writes the file of one run, row by row.

    path        the file; beside it ``path.lock`` exists, and is locked, until ``close``
    title       one sentence
    attributes  more root attributes: str or numbers
    nodes       most nodes of any variant
    dimension   name of the dimension of ``/summary``, or of its two
    variants    its values, in the order in which methods count them, or pairs of values
    columns     the variables of ``/summary``
    records     groups of the study's own

    Raises BadInput, with nothing left behind, where ``path`` exists (unless ``force``),
    is in use or cannot be written; methods raise it for values that do not fit, and
    OSError where the disk is full: nothing but ``close`` may follow that.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        title: str,
        attributes: Mapping[str, Any],
        nodes: int,
        dimension: Name,
        variants: Sequence[Name],
        columns: Sequence[Column],
        records: Sequence[Records] = (),
        force: bool = False,
    ) -> None:
        values = _checked_scales(dimension, variants, columns)
        self.path = Path(path)
        self._nodes, self._variants, self._columns = nodes, len(variants), columns
        self._declared = records
        self._shape = tuple(map(len, values.values()))
        self._begin = self._flushed = time.monotonic()
        self._broken = False
        self._file: h5py.File = None  # None: not open yet, or closed
        self._space: Space | None = None
        existed = self.path.exists()
        self._lock = _claim(self.path, force)
        try:
            self._create(title, attributes, nodes, values)
        except BaseException as error:
            self._abandon(existed)
            if isinstance(error, OSError | RuntimeError):
                raise _unwritable(self.path, error) from error
            raise

    def _create(
        self,
        title: str,
        attributes: Mapping[str, Any],
        nodes: int,
        values: Mapping[str, Sequence[str]],
    ) -> None:
        """Create everything that the file will have, then switch SWMR mode on."""
        self._file = h5py.File(self.path, "w", libver=_LIBVER, track_order=True)
        self._space = Space(self.path)
        self._space.reserve(SPACE_FIRST)
        self._describe(title, attributes)
        self._create_summary(values, self._columns)
        self._create_runtime(values)
        self._create_tables(nodes)
        self._create_snapshots()
        self._records = {one.name: self._create_records(one) for one in self._declared}
        self._create_run()
        self._reserve()
        self._file.swmr_mode = True
        self._file.flush()

    def _abandon(self, existed: bool) -> None:
        """Leave nothing of a file that could not be created; keep one not touched."""
        if self._file is not None:
            with suppress(OSError, RuntimeError):
                self._file.close()
        if self._file is not None or not existed:
            self.path.unlink(missing_ok=True)
        if self._space is not None:
            self._space.close()
        self._lock.release()

    # --- rows -------------------------------------------------------------------------

    def epoch(
        self,
        variant: int,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray = _IDLE,
    ) -> None:
        """Add an epoch that ended at ``time_ns``.

        counters    int64[nodes of the variant, len(Vm)], of this epoch alone
        processes   for each process: process, name, policy, rss_pages, swap_pages,
                    accesses_local, accesses_remote and time_ns, int64[len(Cause)]
        khugepaged  int64[len(ScanResult) + 2], of this epoch alone: its scans by
                    result, full scans, pages collapsed
        """
        self._check_variant(variant)
        if np.shape(khugepaged) != _IDLE.shape:
            raise BadInput(
                f"khugepaged must have shape {_IDLE.shape}, got {np.shape(khugepaged)}"
            )
        nodes = len(counters)
        if nodes > self._nodes or counters.shape != (nodes, len(Vm)):
            raise BadInput(
                f"counters must have shape (at most {self._nodes}, {len(Vm)}), "
                f"got {counters.shape}"
            )
        # The epoch comes last: none is in the file before all of its processes are.
        index = self._epochs.written + self._epochs.waiting
        for process in processes:
            self._process(index, variant, process)
        row = self._next(self._epochs)
        self._epoch_rows[row] = variant, time_ns
        self._counters[row, :nodes] = counters
        self._counters[row, nodes:] = -1
        self._khugepaged[row] = khugepaged
        self._epochs.waiting += 1
        self._flush_if_due()

    def _process(self, epoch: int, variant: int, process: Mapping[str, Any]) -> None:
        _check_process(process)
        row = self._next(self._processes)
        known = len(PROCESSES) - len(Cause)
        names = (variable.name for variable in PROCESSES[2:known])
        values = self._process_rows[row]
        values[:2] = epoch, variant
        values[2:known] = [process[name] for name in names]
        values[known:] = process["time_ns"]
        for variable, texts in zip(TEXTS, self._texts, strict=True):
            texts[row] = cut_text(process[variable.name], texts.itemsize)
        self._processes.waiting += 1

    def event(
        self,
        variant: int,
        time_ns: int,
        kind: str,
        node: int,
        process: int,
        value: int,
    ) -> None:
        """Add an event; ``kind`` is a name of ``kernels.constants.Event``."""
        self._check_variant(variant)
        names = [one.name.lower() for one in Event]
        if kind not in names:
            raise BadInput(f"kind must be one of {', '.join(names)}, got {kind!r}")
        row = self._next(self._events)
        number = names.index(kind)
        self._event_rows[row] = time_ns, variant, number, node, process, value
        self._events.waiting += 1
        self._flush_if_due()

    def snapshot(
        self,
        variant: int,
        time_ns: int,
        process: int,
        node: np.ndarray,
        kind: np.ndarray,
    ) -> None:
        """Add what the blocks of a process are, as ``Simulation.snapshot`` has it.

        node  int8[blocks]: the node of each block, -1 for none
        kind  int8[blocks]: the ``BlockKind`` of each
        """
        self._check_variant(variant)
        _check_blocks(node, kind)
        row, count = self._next(self._snapshots), len(node)
        with self._disk():
            index = self._snapshots.written + row
            self._grow_blocks(index, count)
            for dataset, values in zip(self._blocks, (node, kind), strict=True):
                for first in range(0, count, _BLOCKS):
                    self._write_blocks(dataset, index, first, values)
        self._snapshot_rows[row] = time_ns, variant, process, count
        self._snapshots.waiting += 1
        self._flush_if_due()

    def record(
        self, variant: int, time_ns: int, records: str, row: Mapping[str, Any]
    ) -> None:
        """Add a row to the records of that name: a value for each of their fields."""
        self._check_variant(variant)
        if records not in self._records:
            raise BadInput(
                f"records must be one of {', '.join(self._records)}, got {records!r}"
            )
        table = self._records[records]
        table.fill(self._next(table), {"time_ns": time_ns, "variant": variant, **row})
        table.waiting += 1
        self._flush_if_due()

    def _grow_blocks(self, snapshot: int, count: int) -> None:
        """Make room for a snapshot of ``count`` blocks."""
        width = max(self._block.shape[0], count)
        self._block.resize(width, axis=0)
        for dataset in self._blocks:
            dataset.resize((snapshot + 1, width))

    def _write_blocks(
        self, dataset: h5py.Dataset, snapshot: int, first: int, values: np.ndarray
    ) -> None:
        """Write the chunk of a snapshot that begins at block ``first``."""
        chunk = np.ascontiguousarray(values[first : first + _BLOCKS])
        if len(chunk) < _BLOCKS:
            chunk = np.append(chunk, np.full(_BLOCKS - len(chunk), -1, np.int8))
        packed = compress(chunk, _LEVEL)
        self._reserve(len(packed) + INDEX)
        dataset.id.write_direct_chunk((snapshot, first), packed)

    def summary(self, variant: int, row: Mapping[str, Any]) -> None:
        """Write the row of a variant that has ended: a value for every column."""
        self._check_variant(variant)
        values = {c.name: _summary_value(c, row) for c in self._columns}
        with self._disk():
            for name, value in values.items():
                self._file["summary"][name][self._place(variant)] = value
        self.flush()

    def runtime(self, variant: int, stage: Mapping[str, float]) -> None:
        """Write the wall seconds of each of ``STAGES`` for a variant."""
        self._check_variant(variant)
        if set(stage) != set(STAGES):
            raise BadInput(f"stages must be {', '.join(STAGES)}, got {list(stage)}")
        with self._disk():
            for name in STAGES:
                self._file["runtime"][name][self._place(variant)] = stage[name]
        self.flush()

    # --- to the disk ------------------------------------------------------------------

    def flush(self) -> None:
        """Write the waiting rows, so that readers see them and no kill loses them."""
        with self._disk():
            self._reserve()
            for table in self._tables:
                table.write()
            self._file.flush()
            for table in self._tables:
                table.commit()
            self._write_progress()
            self._file.flush()
        self._flushed = time.monotonic()

    def close(self, state: RunState) -> None:
        """Write what waits and ``state``, and close; a second time does nothing.

        Raises OSError where what waits cannot be written, unless a method did before.
        The file is closed all the same, and its state is FAILED.
        """
        if self._file is None:
            return
        try:
            if not self._broken:
                self.flush()
        except OSError:
            state = RunState.FAILED
            raise
        finally:
            self._finish(state)

    def _finish(self, state: RunState) -> None:
        """Write ``state``, which takes no room, and close."""
        with suppress(OSError, RuntimeError):
            self._file["run/state"][()] = state
        with suppress(OSError, RuntimeError):
            self._file.close()
        self._file = None
        if self._space is not None:
            self._space.close()
        with suppress(OSError):
            clear_flags(self.path)  # where closing failed
        self._lock.release()

    def _check_variant(self, variant: int) -> None:
        if not 0 <= variant < self._variants:
            raise BadInput(
                f"variant must be from 0 to {self._variants - 1}, got {variant}"
            )

    def _place(self, variant: int) -> tuple[int, ...]:
        """Return where a variant is along the dimensions of ``/summary``."""
        return tuple(map(int, np.unravel_index(variant, self._shape)))

    def _next(self, table: Table) -> int:
        """Return the buffer row to fill next."""
        if table.waiting == ROWS:
            self.flush()
        return table.waiting

    def _flush_if_due(self) -> None:
        full = any(table.waiting == ROWS for table in self._tables)
        if full or time.monotonic() - self._flushed >= INTERVAL_S:
            self.flush()

    def _reserve(self, nbytes: int = 0) -> None:
        """Make sure that all waiting rows, and ``nbytes`` of blocks, find room."""
        used = self._file.id.get_filesize()
        assert self._space is not None
        self._space.reserve(used + self._room + nbytes + SPACE_CLOSE)

    def _write_progress(self) -> None:
        run = self._file["run"]
        run["epochs_done"][()] = self._epochs.written
        run["wall_seconds"][()] = time.monotonic() - self._begin
        usage = resource.getrusage(resource.RUSAGE_SELF)
        run["peak_rss_bytes"][()] = usage.ru_maxrss << 10

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn what HDF5 raises for a failed write into OSError, and remember it."""
        try:
            yield
        except OSError:
            self._broken = True
            raise
        except RuntimeError as error:
            self._broken = True
            raise OSError(
                errno.EIO, f"{self.path} could not be written: {error}"
            ) from error

    # --- everything in the file -------------------------------------------------------

    def _describe(self, title: str, attributes: Mapping[str, Any]) -> None:
        own = {
            "filetype": FILETYPE,
            "version": np.array(VERSION, np.int64),
            "title": title,
            "Conventions": "CF-1.11",
            "software": "lazynuma",
            "softwareVersion": version("lazynuma"),
            "provenance": _provenance(attributes),
        }
        for name, value in (dict(attributes) | own).items():
            self._file.attrs[name] = value

    def _create_summary(
        self, values: Mapping[str, Sequence[str]], columns: Sequence[Column]
    ) -> None:
        group = self._file.create_group("summary", track_order=True)
        group.attrs["dimension"] = " ".join(values)
        names = variant_scales(group, values)
        reasons = [reason.name.lower() for reason in Refusal]
        reason = name_scale(group, "reason", reasons, "why a page was refused")
        for column in columns:
            variable = Variable(
                column.name, column.unit, column.long_name, column.dtype
            )
            fixed_variable(
                group, variable, (*names, reason) if column.by_reason else names
            )

    def _create_runtime(self, values: Mapping[str, Sequence[str]]) -> None:
        group = self._file.create_group("runtime", track_order=True)
        names = variant_scales(group, values)
        for name in STAGES:
            stage = name.removesuffix("_s")
            variable = Variable(name, "s", f"wall time of the stage {stage}", "f8")
            fixed_variable(group, variable, names)

    def _create_tables(self, nodes: int) -> None:
        self._epochs = self._table("epochs", "epoch", "index of the epoch")
        node = dimension_scale(
            self._epochs.group, "node", "NUMA node", np.arange(nodes)
        )
        self._epoch_rows = self._epochs.add_all((VARIANT, TIME))
        self._counters = np.empty((ROWS, nodes, len(Vm)), np.int64)
        for counter in Vm:
            name = counter.name.lower()
            variable = Variable(name, "1", f"{name} in this epoch", "i8", DELTA)
            self._epochs.add(variable, self._counters[:, :, counter], node)
        self._create_khugepaged()

        self._processes = self._table("processes", "row", "index of the row")
        self._process_rows = self._processes.add_all(PROCESSES)
        self._texts = [np.empty(ROWS, text.dtype) for text in TEXTS]
        for variable, texts in zip(TEXTS, self._texts, strict=True):
            self._processes.add(variable, texts)

        self._events = self._table("events", "event", "index of the event")
        self._event_rows = self._events.add_all(EVENTS)

    def _create_khugepaged(self) -> None:
        self._khugepaged = np.empty((ROWS, _IDLE.size), np.int64)
        names = [result.name.lower() for result in ScanResult]
        scale = name_scale(
            self._epochs.group, "scan_result", names, "what a scan of a block came to"
        )
        variable = Variable(
            "khugepaged_results", "1", "scans of blocks in this epoch", "i8", DELTA
        )
        results = len(ScanResult)
        self._epochs.add(variable, self._khugepaged[:, :results], scale)
        for variable, column in zip(
            KHUGEPAGED, self._khugepaged.T[results:], strict=True
        ):
            self._epochs.add(variable, column)

    def _create_snapshots(self) -> None:
        self._snapshots = self._table("snapshots", "snapshot", "index of the snapshot")
        self._snapshot_rows = self._snapshots.add_all(SNAPSHOTS)
        group = self._snapshots.group
        self._block = group.create_dataset(
            "block", (0,), ">f4", maxshape=(None,), chunks=(_BLOCKS,)
        )
        self._block.make_scale(_NO_COORDINATE % 0)
        self._blocks = [self._create_blocks(one) for one in BLOCK_VARIABLES]

    def _create_blocks(self, variable: Variable) -> h5py.Dataset:
        """Create a variable of blocks: a row a snapshot, both dimensions grow."""
        dataset = self._snapshots.group.create_dataset(
            variable.name,
            (0, 0),
            variable.dtype,
            maxshape=(None, None),
            chunks=(1, _BLOCKS),
            fillvalue=fill_value(variable.dtype),
            compression="gzip",
            compression_opts=_LEVEL,
        )
        return finish_variable(dataset, variable, (self._snapshots.scale, self._block))

    def _create_records(self, records: Records) -> "RecordsTable":
        group = self._file.create_group(records.name, track_order=True)
        group.attrs["dimension"] = records.dimension
        return RecordsTable(group, records)

    def _create_run(self) -> None:
        group = self._file.create_group("run", track_order=True)
        for variable in RUN:
            fixed_variable(group, variable, ())
        group["state"][()] = RunState.RUNNING
        self._tables = (
            *(self._epochs, self._processes, self._events, self._snapshots),
            *self._records.values(),
        )
        self._room = sum(table.room() for table in self._tables)
        self._write_progress()

    def _table(self, name: str, dimension: str, long_name: str) -> Table:
        group = self._file.create_group(name, track_order=True)
        return Table(group, dimension, long_name)


# --- small things ---------------------------------------------------------------------


def _checked_scales(
    dimension: Name, variants: Sequence[Name], columns: Sequence[Column]
) -> dict[str, list[str]]:
    """Return the dimensions of ``/summary`` with their values, all names different."""
    if not variants:
        raise BadInput(f"{label(dimension)} must have at least one value, got none")
    values = scales(dimension, variants)
    names = [*values, "reason", *(column.name for column in columns)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            "dimension and columns must have different names other than reason, "
            f"got {', '.join(twice)} twice"
        )
    return values


def _check_process(process: Mapping[str, Any]) -> None:
    """Raise BadInput where a process lacks a value, or has too many or few times."""
    names = ["name", "policy", "time_ns", *(v.name for v in PROCESSES[2:])]
    missing = [n for n in names[: -len(Cause)] if n not in process]
    if missing:
        raise BadInput(f"process must have {', '.join(missing)}, got {list(process)}")
    shape = np.shape(process["time_ns"])
    if shape != (len(Cause),):
        raise BadInput(f"time_ns must have shape ({len(Cause)},), got {shape}")


def _check_blocks(node: np.ndarray, kind: np.ndarray) -> None:
    """Raise BadInput where a snapshot is not two arrays of int8[blocks]."""
    for name, values in (("node", node), ("kind", kind)):
        if values.dtype != np.int8 or values.shape != (node.size,):
            raise BadInput(
                f"{name} must be int8[{node.size}],"
                f" got {values.dtype}{list(values.shape)}"
            )


def _summary_value(column: Column, row: Mapping[str, Any]) -> np.ndarray:
    """Return the value of ``column``; raise BadInput where it is not of its shape."""
    if column.name not in row:
        raise BadInput(f"summary must have {column.name}, got {list(row)}")
    value = np.asarray(row[column.name])
    shape = (len(Refusal),) if column.by_reason else ()
    if value.shape != shape:
        raise BadInput(f"{column.name} must have shape {shape}, got {value.shape}")
    return value


def _provenance(attributes: Mapping[str, Any]) -> str:
    """Return how the file came to be, as tskit's provenance 1.0.0 says it: JSON."""
    return json.dumps(
        {
            "schema_version": "1.0.0",
            "software": {"name": "lazynuma", "version": version("lazynuma")},
            "parameters": dict(attributes),
            "environment": {
                "os": {"system": platform.system(), "release": platform.release()},
                "python": platform.python_version(),
                "libraries": {"h5py": h5py.__version__, "numpy": np.__version__},
            },
        },
        default=str,
    )


def _claim(path: Path, force: bool) -> Lock:
    """Lock ``path`` for writing; raise BadInput where it may not be written."""
    try:
        existed = path.exists()
        if existed and not force:
            raise BadInput(f"output must not exist unless --force is given, got {path}")
        lock = Lock(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    if existed:
        try:
            _check_unused(path)
        except BaseException:
            lock.release()
            raise
    return lock


def _check_unused(path: Path) -> None:
    """Raise BadInput where HDF5 would cut a file to nothing and then find it locked."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BadInput(f"output must not be open elsewhere, got {path}") from error
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> BadInput:
    return BadInput(f"output must be writable, got {path}: {error}")
