"""Write a run as one HDF5 file that can be read at any moment, and after a kill.

Everything in it is created before the first event, under another name; then HDF5's SWMR
mode is switched on, the file gets its own name, and datasets only grow or change their
values.  ``docs/format.md`` is the schema; ``reader.py`` reads it.
"""

import errno
import io
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...kernels.counters import Refusal
from ..errors import BadInput
from ..observer import NodeUse
from ..study.columns import Column, Records
from ..study.study import Name, label, scales
from .growing import (
    Table,
    cut,
    dimension_scale,
    fill_value,
    fixed_variable,
    missing_value,
    name_scale,
    put_block,
)
from .in_order import put_in_order
from .node_axis import NodeAxis
from .place import claim, create, keep, publish, unwritable, withdraw
from .provenance import provenance
from .reader import FILETYPE, VERSION, RunState
from .run_tables import (
    IDLE,
    EpochTable,
    EventTable,
    ProcessTable,
    RecordsTable,
    check_process,
    event_number,
)
from .schema import RUN, STAGES, Variable
from .snapshot_table import SnapshotTable, check_blocks
from .space import SPACE_CLOSE, SPACE_FIRST, Cut, Space

#: Seconds after which a row that comes takes the waiting ones to the file.
INTERVAL_S = 1.0

#: Room for the verdict: attributes cannot grow in a file that others read.
VERDICT_BYTES = 2000
_VERDICT = h5py.string_dtype("utf-8", VERDICT_BYTES)

# The oldest format with SWMR: HDF5 1.10 and what was built on it since can read it.
_LIBVER = ("v110", "v110")
#: The last blank file, by what it was made of.
_blanks: dict[str, bytes] = {}
#: What h5py raises when HDF5 fails.
_HDF5 = (OSError, RuntimeError, KeyError, ValueError)


class RunWriter:
    """Writes the file of one run, row by row.

    path        the file; beside it ``path.lock`` exists, and is locked, until ``close``
    title       one sentence
    attributes  more root attributes: str or numbers
    nodes       most nodes of any variant, or the nodes' numbers of each (``NodeAxis``)
    dimension   name of the dimension of ``/summary``, or of its several
    variants    its values, in the order in which methods count them, or pairs of values
    columns     the variables of ``/summary``
    records     groups of the study's own
    seeds       of the replicas; ``/replicas`` is there if they are several
    fill        called with the new file, whose tables are empty, before it gets its
                name: it may copy rows into it

    Raises BadInput, and leaves everything as it was, if ``path`` exists (unless
    ``force``), is no regular file, is in use or cannot be written.  Methods raise it
    for values that do not fit, and OSError if the disk is full, or somebody else has
    removed, replaced or cut the file: nothing but ``close`` may follow that.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        title: str,
        attributes: Mapping[str, Any],
        nodes: int | Sequence[Sequence[int]],
        dimension: Name,
        variants: Sequence[Name],
        columns: Sequence[Column],
        records: Sequence[Records] = (),
        seeds: Sequence[int] = (),
        force: bool = False,
        fill: Callable[["RunWriter"], None] | None = None,
    ) -> None:
        values = _checked_scales(dimension, variants, columns)
        self.path = Path(path).absolute()  # wherever the process goes meanwhile
        self._variants, self._columns = len(variants), columns
        self._names = [label(variant) for variant in variants]
        self._axis = NodeAxis(nodes, len(variants))
        self._shape = tuple(map(len, values.values()))
        self._begin = self._flushed = self._checked = time.monotonic()
        self._broken = self._closed = self._unflushed = False
        self._fixed: dict[str, tuple[h5py.h5d.DatasetID, np.dtype]] = {}
        self._lock = claim(self.path, force)
        try:
            with ExitStack() as undo:
                replicas = seeds if len(seeds) > 1 else ()
                form = values, columns, records, replicas
                self._open(undo, self._blank(*form))
                _describe(self._file, title, attributes)
                self._create(self._file, *form)
                self._write_progress()
                self._reserve()
                if fill is not None:
                    self._fill(fill)
                self._file.swmr_mode = True
                self._file.flush()
                os.fsync(self._space.fileno)
                publish(self.path, force)
                self._space.path = self.path
                self._space.note(self._file.id.get_filesize())
                undo.pop_all()
        except (OSError, RuntimeError) as error:
            raise unwritable(self.path, error) from error

    def _blank(self, values: Mapping, columns: Sequence[Column], *more: Any) -> bytes:
        """Return a file with all that is created, and nothing said of the run.

        The last one is kept: in a sweep, one is like the other, and creating two
        hundred variables takes longer than a small run.
        """
        kinds = [(c.name, c.unit, c.long_name, c.dtype, c.by_reason) for c in columns]
        key = repr((values, kinds, more, self._names, self._axis.numbers.tolist()))
        if key not in _blanks:
            place = io.BytesIO()
            with h5py.File(place, "w", libver=_LIBVER, track_order=True) as file:
                self._create(file, values, columns, *more)
            _blanks.clear()
            _blanks[key] = place.getvalue()
        return _blanks[key]

    def _create(
        self,
        file: h5py.File,
        values: Mapping[str, Sequence[str]],
        columns: Sequence[Column],
        records: Sequence[Records],
        seeds: Sequence[int],
    ) -> None:
        """Create all groups and variables, or find them."""
        _create_summary(file, values, columns)
        if seeds:
            _create_replicas(file, values, columns, seeds)
        _create_runtime(file, values)
        self._create_tables(file, records)
        _create_run(file)

    def _open(self, undo: ExitStack, blank: bytes) -> None:
        """Create the file beside its place; ``undo`` is what leaves nothing of it."""
        undo.callback(self._lock.release)
        new = create(self.path)
        undo.callback(new.unlink, missing_ok=True)
        new.write_bytes(blank)
        self._file = h5py.File(new, "r+", libver=_LIBVER)
        undo.callback(_close_quietly, self._file)
        _keep_in_memory(self._file)
        self._space = Space(new)
        undo.callback(self._space.close)
        self._space.reserve(SPACE_FIRST)

    def _fill(self, fill: Callable[["RunWriter"], None]) -> None:
        """Let rows be copied into the file."""
        self._file.flush()
        self._space.note(self._file.id.get_filesize())
        fill(self)
        self.flush()

    def _create_tables(self, file: h5py.File, records: Sequence[Records]) -> None:
        names, axis = self._names, self._axis
        self._epochs = EpochTable(_group(file, "epochs"), names, axis)
        self._processes = ProcessTable(_group(file, "processes"), names, axis)
        self._events = EventTable(_group(file, "events"), names)
        self._snapshots = SnapshotTable(_group(file, "snapshots"), names)
        self._records = {
            one.name: RecordsTable(_group(file, one.name), names, one)
            for one in records
        }
        self._tables: tuple[Table, ...] = tuple(self.tables.values())
        self._room = sum(table.room() for table in self._tables)

    @property
    def tables(self) -> dict[str, Table]:
        """All groups that grow, by name."""
        return {
            "epochs": self._epochs,
            "processes": self._processes,
            "events": self._events,
            "snapshots": self._snapshots,
            **self._records,
        }

    def reserve(self, nbytes: int) -> None:
        """Make sure that ``nbytes`` more find room; raise OSError if they do not."""
        with self._disk():
            self._reserve(nbytes)

    # --- rows -------------------------------------------------------------------------

    def epoch(
        self,
        variant: int,
        time_ns: int,
        counters: np.ndarray,
        processes: Sequence[Mapping[str, Any]],
        khugepaged: np.ndarray = IDLE,
        use: NodeUse | None = None,
    ) -> None:
        """Add an epoch that ended at ``time_ns``.

        counters    int64[nodes of the variant, len(Vm)], of this epoch alone
        processes   for each process: process, name, policy, rss_pages, swap_pages,
                    accesses_local, accesses_remote, time_ns, int64[len(Cause)], and
                    pages, int64[nodes], or None if they were not counted
        khugepaged  int64[len(ScanResult) + 2], of this epoch alone: its scans by
                    result, full scans, pages collapsed
        use         what nodes hold, and the traffic; None: not known
        """
        self._check_variant(variant)
        self._epochs.check(variant, counters, khugepaged)
        # The epoch comes last: none is in the file before all of its processes are.
        index = self._epochs.next_index
        for process in processes:
            check_process(process)
            self._make_room(self._processes)
            self._processes.put_process(index, variant, time_ns, process)
        self._make_room(self._epochs)
        self._epochs.put_epoch(variant, time_ns, counters, khugepaged, use)
        self._flush_if_due()

    def event(
        self,
        variant: int,
        time_ns: int,
        kind: str,
        node: int,
        process: int,
        value: int,
    ) -> None:
        """Add an event; ``kind`` is a name of ``kernels.counters.Event``."""
        self._check_variant(variant)
        number = event_number(kind)
        self._make_room(self._events)
        self._events.put(
            {
                "time_ns": time_ns,
                "variant": variant,
                "kind": number,
                "node": self._axis.named(variant, np.array(node)),
                "process": process,
                "value": value,
            }
        )
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
        check_blocks(node, kind)
        self._make_room(self._snapshots)
        with self._disk():
            numbers = self._axis.named(variant, node)
            self._snapshots.write_blocks(numbers, kind, self._reserve)
        self._snapshots.put(
            {
                "time_ns": time_ns,
                "variant": variant,
                "process": process,
                "count": len(node),
            }
        )
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
        self._make_room(table)
        table.put({"time_ns": time_ns, "variant": variant, **row})
        self._flush_if_due()

    def summary(self, variant: int, row: Mapping[str, Any]) -> None:
        """Write the row of a variant that has ended: a value for every column."""
        self._check_variant(variant)
        self._write_at(
            "summary", variant, {c.name: _summary_value(c, row) for c in self._columns}
        )

    def replica(self, variant: int, at: int, row: Mapping[str, Any]) -> None:
        """Write the row of a variant that has ended with seed ``at`` of ``seeds``."""
        self._check_variant(variant)
        values = {c.name: _summary_value(c, row) for c in self._columns}
        self._write_at("replicas", variant, values, at)

    def verdict(self, text: str) -> None:
        """Write the verdict of the run, cut to what has room."""
        with self._disk():
            value = cut(text, VERDICT_BYTES)
            self._file.attrs.modify("verdict", np.array(value, _VERDICT))
        self.flush()

    def runtime(self, variant: int, stage: Mapping[str, float]) -> None:
        """Write the wall seconds of each of ``STAGES`` for a variant."""
        self._check_variant(variant)
        if set(stage) != set(STAGES):
            raise BadInput(f"stages must be {', '.join(STAGES)}, got {list(stage)}")
        self._write_at("runtime", variant, stage)

    # --- to the disk ------------------------------------------------------------------

    def flush(self) -> None:
        """Write the waiting rows, so that readers see them and no kill loses them."""
        with self._disk():
            self._reserve()
            for table in self._tables:
                table.write()
            self._file.flush()
            for table in self._tables:
                if table is not self._epochs:
                    table.commit()
            if self._processes.written and self._epochs.waiting:
                self._file.flush()  # no epoch without its processes
            self._epochs.commit()
            self._write_progress()
            self._file.flush()
            self._space.note(self._file.id.get_filesize())
        self._flushed, self._unflushed = time.monotonic(), False

    def sync(self) -> None:
        """Write the waiting rows, and wait until the disk has all of the file."""
        self.flush()
        os.fsync(self._space.fileno)

    def check(self) -> None:
        """Look now and then: raise OSError if the file is not there, or not as it was.

        Rows are checked as they are written; this is for long times without rows, in
        which summaries that wait are written, too.
        """
        if time.monotonic() - self._checked >= INTERVAL_S:
            with self._disk():
                self._checked = time.monotonic()
            if self._unflushed:
                self.flush()

    def close(self, state: RunState, in_order: bool = False) -> None:
        """Write what waits and ``state``, and close; a second time does nothing.

        in_order  whether rows of variants, which came as it happened, are put into the
                  order of the variants if the run is DONE

        Raises OSError if what waits cannot be written, unless a method did before.
        The file is closed all the same, and its state is FAILED.
        """
        if self._closed:
            return
        if self._broken:
            state = RunState.FAILED
        try:
            if not self._broken:
                self.flush()
        except OSError:
            state = RunState.FAILED
            raise
        finally:
            done = in_order and state == RunState.DONE
            self._finish(state, put_in_order if done else keep)

    def discard(self) -> None:
        """Close and remove the file, and put back what it replaced."""
        if not self._closed:
            self._finish(RunState.FAILED, withdraw)

    def _finish(self, state: RunState, leave: Callable[[Path], None]) -> None:
        """Write ``state``, which takes no room, close, and ``leave`` the place."""
        self._closed = True
        with suppress(*_HDF5):
            self._file["run/state"][()] = state
        _close_quietly(self._file)
        self._space.close()
        with suppress(OSError):
            leave(self.path)
        self._lock.release()

    def _check_variant(self, variant: int) -> None:
        if not 0 <= variant < self._variants:
            raise BadInput(
                f"variant must be from 0 to {self._variants - 1}, got {variant}"
            )

    def _write_at(
        self, group: str, variant: int, values: Mapping[str, Any], *at: int
    ) -> None:
        """Write the values of a variant into a group that does not grow."""
        place = (*map(int, np.unravel_index(variant, self._shape)), *at)
        with self._disk():
            for name, value in values.items():
                dataset, dtype = self._fixed_one(f"{group}/{name}")
                block = np.asarray(value, dtype)
                put_block(
                    dataset, place, block.reshape(*[1] * len(place), *block.shape)
                )
        self._unflushed = True
        self._flush_if_due()

    def _fixed_one(self, name: str) -> tuple[h5py.h5d.DatasetID, np.dtype]:
        """Return a dataset that does not grow, and its dtype: looking it up is slow."""
        if name not in self._fixed:
            dataset = self._file[name]
            self._fixed[name] = dataset.id, dataset.dtype
        return self._fixed[name]

    def _make_room(self, table: Table) -> None:
        """Make sure that ``table`` has room for one more row."""
        if table.full:
            self.flush()

    def _flush_if_due(self) -> None:
        full = any(table.full for table in self._tables)
        if full or time.monotonic() - self._flushed >= INTERVAL_S:
            self.flush()

    def _reserve(self, nbytes: int = 0) -> None:
        """Make sure that all waiting rows, and ``nbytes`` of blocks, find room."""
        used = self._file.id.get_filesize()
        self._space.reserve(used + self._room + nbytes + SPACE_CLOSE)

    def _write_progress(self) -> None:
        run = self._file["run"]
        run["epochs_done"][()] = self._epochs.written
        run["wall_seconds"][()] = time.monotonic() - self._begin
        usage = resource.getrusage(resource.RUSAGE_SELF)
        run["peak_rss_bytes"][()] = usage.ru_maxrss << 10

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn what HDF5 raises for a failed write into OSError, and remember it.

        A file that is not as it was is not touched any more.
        """
        try:
            self._space.check()
            yield
        except Cut:
            self._broken = True
            _let_go(self._file)
            raise
        except OSError:
            self._broken = True
            raise
        except (RuntimeError, KeyError) as error:
            self._broken = True
            raise OSError(
                errno.EIO, f"{self.path} could not be written: {error}"
            ) from error


def _keep_in_memory(file: h5py.File) -> None:
    """Let HDF5 never read again what it wrote.

    In SWMR mode it reads what looks wrong again and again, for hours if the file was
    cut by somebody else, and nothing ends that but SIGKILL.
    """
    config = file.id.get_mdc_config()
    config.evictions_enabled = False
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
    file.id.set_mdc_config(config)


def _let_go(file: h5py.File) -> None:
    """Let all that HDF5 still reads fail, and all that it writes go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, file.id.get_vfd_handle(), inheritable=False)
    os.close(nowhere)


def _close_quietly(file: h5py.File) -> None:
    with suppress(*_HDF5):
        file.close()


# --- what a file begins with ----------------------------------------------------------


def _group(file: h5py.File, name: str) -> h5py.Group:
    return file[name] if name in file else file.create_group(name, track_order=True)


def _describe(file: h5py.File, title: str, attributes: Mapping[str, Any]) -> None:
    own = {
        "filetype": FILETYPE,
        "version": np.array(VERSION, np.int64),
        "title": title,
        "Conventions": "CF-1.11",
        "software": "lazynuma",
        "softwareVersion": version("lazynuma"),
        "provenance": provenance(attributes),
    }
    for name, value in (dict(attributes) | own).items():
        file.attrs[name] = _utf_8(value) if isinstance(value, str) else value
    file.attrs.create("verdict", b"", dtype=_VERDICT)


def _utf_8(text: str) -> str:
    """Return a text with what is no UTF-8, as names of files may have it, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _create_summary(
    file: h5py.File, values: Mapping[str, Sequence[str]], columns: Sequence[Column]
) -> None:
    group = _group(file, "summary")
    group.attrs["dimension"] = " ".join(values)
    _create_columns(group, columns, _variant_scales(group, values))


def _create_replicas(
    file: h5py.File,
    values: Mapping[str, Sequence[str]],
    columns: Sequence[Column],
    seeds: Sequence[int],
) -> None:
    group = _group(file, "replicas")
    names = _variant_scales(group, values)
    seed = dimension_scale(group, "seed", "seed of all draws", np.array(seeds, "i8"))
    _create_columns(group, columns, (*names, seed))


def _create_columns(
    group: h5py.Group, columns: Sequence[Column], names: tuple[h5py.Dataset, ...]
) -> None:
    """Create a variable for each column along ``names``."""
    reasons = [reason.name.lower() for reason in Refusal]
    reason = name_scale(group, "reason", reasons, "why a page was refused")
    for column in columns:
        variable = Variable(
            *(column.name, column.unit, column.long_name, column.dtype),
            missing_value(column.dtype) | _shown(column),
        )
        along = (*names, reason) if column.by_reason else names
        fixed_variable(group, variable, along)


def _shown(column: Column) -> dict[str, Any]:
    """Return what the table on the screen makes of a column: its heading and style."""
    return {
        "heading": column.heading,
        "style": column.style,
        "first": int(column.first),
    }


def _create_runtime(file: h5py.File, values: Mapping[str, Sequence[str]]) -> None:
    group = _group(file, "runtime")
    names = _variant_scales(group, values)
    for name in STAGES:
        stage = name.removesuffix("_s")
        variable = Variable(name, "s", f"wall time of the stage {stage}", "f8")
        fixed_variable(group, variable, names)


def _variant_scales(
    group: h5py.Group, values: Mapping[str, Sequence[str]]
) -> tuple[h5py.Dataset, ...]:
    """Create the dimensions that the variants differ in."""
    text = "value of what the variants differ in"
    return tuple(name_scale(group, name, values[name], text) for name in values)


def _create_run(file: h5py.File) -> None:
    group = _group(file, "run")
    for variable in RUN:
        fixed_variable(group, variable, ())
    group["state"][()] = RunState.RUNNING


# --- checks ---------------------------------------------------------------------------


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


def _summary_value(column: Column, row: Mapping[str, Any]) -> np.ndarray:
    """Return the value of ``column``; raise BadInput if it is not of its shape."""
    if column.name not in row:
        raise BadInput(f"summary must have {column.name}, got {list(row)}")
    value = np.asarray(row[column.name])
    shape = (len(Refusal),) if column.by_reason else ()
    if value.shape != shape:
        raise BadInput(f"{column.name} must have shape {shape}, got {value.shape}")
    if column.dtype == "i8" and value.dtype.kind == "f" and np.isnan(value):
        return np.array(fill_value("i8"))
    return value
