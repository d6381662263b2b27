"""The file of a run: its schema, what refuses it, and what a full disk leaves."""

import errno
import fcntl
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from common.run_files import NODES, counters, process, writer
from lazynuma.engine.errors import BadInput
from lazynuma.engine.output import space
from lazynuma.engine.output.counter_names import MEANINGS
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.growing import ROWS
from lazynuma.engine.output.lock import is_locked
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.output.recovery import recover
from lazynuma.engine.output.superblock import lookup3
from lazynuma.engine.study.columns import SUMMARY, Column
from lazynuma.kernels.counters import Cause, Event, Refusal, ScanResult, Vm
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.script.player import COUNTERS
from lazynuma.scenarios.script.records import RECORDS

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"
GROUPS = ("summary", "runtime", "epochs", "processes", "events", "snapshots", "run")
SCRIPTS = tuple(f"/{one.name}/" for one in RECORDS)
BLOCKS = np.zeros(2, np.int8)
GRID = {
    "dimension": ("workload", "variant"),
    "variants": [
        (workload, variant)
        for workload in ("numa01", "numa02")
        for variant in ("off", "split", "native")
    ],
}


def row(value: int) -> dict:
    by_reason = np.arange(len(Refusal)) + value
    return {c.name: by_reason if c.by_reason else value for c in SUMMARY}


def khugepaged(epoch: int) -> np.ndarray:
    return np.arange(len(ScanResult) + 2) + epoch


def write(path: Path, epochs: int = 5, second: int = 0, **changes) -> Path:
    """Write a file; of its summary row 0, and row ``second`` unless that is 0, too."""
    file = writer(path, **changes)
    for epoch in range(epochs):
        processes = [process(0), process(1)]
        file.epoch(0, 10 * epoch, counters(epoch), processes, khugepaged(epoch))
    file.event(0, 44, "wedged", 2, 1, 99)
    file.snapshot(0, 45, 1, np.array([0, 1, -1], np.int8), np.array([1, 3, 2], np.int8))
    file.snapshot(0, 46, 0, np.full(70_000, 2, np.int8), np.full(70_000, 1, np.int8))
    file.summary(0, row(5))
    if second:
        file.summary(second, row(5 + second))
    file.runtime(0, {"setup_s": 0.5, "run_s": 2.0, "output_s": 0.25, "compile_s": 0.0})
    file.close(RunState.DONE)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("output") / "run.h5", epochs=2 * ROWS + 3)


def group(path: Path, name: str, **options) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", group=name, **options) as dataset:
        return dataset.load()


# --- what a reader sees ---------------------------------------------------------------


def test_summary_has_named_variants_and_fill_values(path):
    summary = group(path, "summary")
    assert summary.mechanism.values.tolist() == ["none", "lazy_migcache"]
    assert summary.reason.values.tolist() == [r.name.lower() for r in Refusal]
    assert summary.pages_refused_by.dims == ("mechanism", "reason")
    assert summary.pages_refused_by.sel(mechanism="none", reason="busy") == 7
    assert summary.faults[0] == 5 and np.isnan(summary.faults[1])
    assert summary.faults.mean() == 5
    raw = group(path, "summary", mask_and_scale=False)
    assert raw.faults.dtype == np.int64 and raw.faults.values.tolist() == [5, -1]
    assert summary.local_fraction[0] == 5 and np.isnan(summary.local_fraction[1])
    assert summary.run_time_ns.attrs["units"] == "ns"


def test_a_verdict_is_there_before_the_file_is_closed(tmp_path):
    file = writer(tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r", swmr=True) as reading:
        assert reading.attrs["verdict"] == b""
    file.verdict("é wins" + "é" * 2000)
    with h5py.File(tmp_path / "run.h5", "r", swmr=True) as reading:
        assert reading.attrs["verdict"].decode() == "é wins" + "é" * 996
    file.close(RunState.DONE)
    with RunFile(tmp_path / "run.h5") as done:
        assert done.attributes["verdict"].decode().startswith("é wins")


def test_a_time_that_there_is_not_is_the_fill_value(tmp_path):
    file = writer(tmp_path / "run.h5")
    file.summary(0, row(5) | {"run_time_ns": float("nan")})
    file.close(RunState.DONE)
    summary = group(tmp_path / "run.h5", "summary")
    assert np.isnan(summary.run_time_ns.values[0]) and summary.faults.values[0] == 5


def test_epochs_are_exact(path):
    epochs = group(path, "epochs")
    assert dict(epochs.sizes) == {
        "epoch": 2 * ROWS + 3,
        "node": NODES,
        "cpu_node": NODES,
        "scan_result": len(ScanResult),
    }
    for epoch in (0, ROWS - 1, ROWS, 2 * ROWS + 2):
        for counter in Vm:
            values = epochs[counter.name.lower()][epoch].values
            assert (values == counters(epoch)[:, counter]).all()
        results = epochs.khugepaged_results[epoch]
        assert results.sel(scan_result="pmd_mapped") == epoch + ScanResult.PMD_MAPPED
        assert results.values.tolist() == khugepaged(epoch)[:-2].tolist()
        assert epochs.khugepaged_full_scans[epoch] == len(ScanResult) + epoch
        assert epochs.khugepaged_pages_collapsed[epoch] == len(ScanResult) + 1 + epoch
    assert epochs.pgfault.attrs["cell_methods"] == "epoch: sum"
    assert epochs.time_ns.values[-1] == 10 * (2 * ROWS + 2)


def test_nodes_that_a_variant_lacks_hold_the_fill_value(tmp_path):
    file = writer(tmp_path / "run.h5")
    file.epoch(0, 1, counters(0), [])
    file.epoch(1, 1, counters(0, nodes=2), [])
    file.close(RunState.DONE)
    epochs = group(tmp_path / "run.h5", "epochs")
    assert epochs.pgfault.values[1, :2].tolist() == [0, len(Vm)]
    assert np.isnan(epochs.pgfault.values[1, 2])
    assert not epochs.khugepaged_results.values.any()


def test_processes_events_and_snapshots(path):
    with RunFile(path) as file:
        processes, events = file.processes, file.events
        assert processes.rows == 2 * (2 * ROWS + 3)
        assert processes["epoch"][-2:].tolist() == [2 * ROWS + 2] * 2
        assert processes["process"][:2].tolist() == [0, 1]
        assert processes["name"][1] == "rank 1 " + "é" * 12
        assert processes["policy"][1] == "preferred_many"
        assert processes["rss_pages"][0] == 11
        assert processes[f"time_{Cause(3).name.lower()}_ns"][0] == 103
        assert events["kind"].tolist() == [Event.WEDGED]
        assert [int(events[name][0]) for name in ("node", "process", "value")] == [
            2,
            1,
            99,
        ]
        assert file.snapshots["process"].tolist() == [1, 0]
        assert file.placement(0).tolist() == [0, 1, -1]
        assert file.kinds(0).tolist() == [1, 3, 2]
        assert file.placement(1).tolist() == [2] * 70_000
        assert file.kinds(1).tolist() == [1] * 70_000


def test_kinds_and_states_are_cf_flags(path):
    kind = group(path, "events").kind
    assert kind.attrs["flag_meanings"].split() == [e.name.lower() for e in Event]
    assert kind.attrs["flag_values"].tolist() == list(Event)
    assert group(path, "run").state.attrs["flag_meanings"].split()[1] == "done"


def test_the_end_of_a_run(path):
    with RunFile(path) as file:
        assert file.state is RunState.DONE
        assert file.variants == ["none", "lazy_migcache"]
        assert file.run["epochs_done"] == file.epochs.rows == 2 * ROWS + 3
        assert file.runtime["run_s"][0] == 2.0
        assert file.attributes["version"].tolist() == [2, 0]
        provenance = json.loads(file.attributes["provenance"])
        assert provenance["parameters"]["seed"] == 7
    assert list(path.parent.glob("*.lock")) == []


def test_equal_runs_give_equal_bytes_in_all_but_run_and_runtime(path, tmp_path):
    other = write(tmp_path / "again.h5", epochs=2 * ROWS + 3)
    for name in set(GROUPS) - {"run", "runtime"}:
        assert group(path, name).identical(group(other, name))


def test_describe_has_state_and_summary(path):
    found = describe(path)
    assert found["state"] == "done" and found["format"] == "2.0"
    assert [row["faults"] for row in found["rows"]] == [5, None]
    assert found["rows"][0]["pages_refused_by"]["busy"] == 7
    assert found["units"]["faults"] == "event"
    # Two processes in each of 2 * ROWS + 3 epochs.
    assert found["rows"][0]["time_by_cause"]["cow"] == 2 * (2 * ROWS + 3) * 103
    json.dumps(found, allow_nan=False)


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """A file whose variants differ in two things."""
    path = tmp_path_factory.mktemp("grid") / "run.h5"
    return write(path, **GRID, second=4)


def test_two_dimensions_are_both_in_the_summary(grid):
    summary = group(grid, "summary")
    assert summary.workload.values.tolist() == ["numa01", "numa02"]
    assert summary.variant.values.tolist() == ["off", "split", "native"]
    assert summary.faults.dims == ("workload", "variant")
    raw = group(grid, "summary", mask_and_scale=False)
    assert raw.faults.values.tolist() == [[5, -1, -1], [-1, 9, -1]]
    assert summary.pages_refused_by.dims == ("workload", "variant", "reason")
    cell = {"workload": "numa02", "variant": "split", "reason": "busy"}
    assert summary.pages_refused_by.sel(cell) == 11
    assert group(grid, "runtime").run_s.sel(workload="numa01", variant="off") == 2


def test_two_dimensions_can_be_read_and_described(grid):
    with RunFile(grid) as file:
        assert file.dimension == GRID["dimension"]
        assert file.variants == GRID["variants"]
    rows = describe(grid)["rows"]
    assert [(row["workload"], row["variant"]) for row in rows] == GRID["variants"]
    assert [row["faults"] for row in rows] == [5, None, None, None, 9, None]


def test_two_dimensions_must_be_a_grid(tmp_path):
    with pytest.raises(BadInput, match="every value of the one with every value"):
        writer(tmp_path / "run.h5", **(GRID | {"variants": GRID["variants"][1:]}))
    assert list(tmp_path.iterdir()) == []


# --- docs/format.md -------------------------------------------------------------------


def documented(text: int, *dimensions: str) -> set[tuple[str, str, str, str]]:
    """Return (path, dtype, dimensions, unit) of every variable of docs/format.md.

    text  bytes of the longest name of a variant
    """
    rows = re.findall(r"^\| `(/.*?)` \|(.*?)\|(.*?)\|(.*?)\|", FORMAT.read_text(), re.M)
    found = set()
    for name, dtype, dims, unit in rows:
        for path in expand(name, dimensions):
            own = path.rpartition("/")[2] if "{dimension}" in name else dims.strip()
            along = own.replace("{dimension}", ", ".join(dimensions))
            along = along.replace("{text}", f"text{text}")
            counter = Vm.__members__.get(path.rpartition("/")[2].upper())
            its_own = "" if counter is None else MEANINGS[counter][0]
            of_it = unit.strip().replace("its own", its_own)
            found.add((path, dtype.strip(), along, of_it))
    return found


HOLDERS = {"{counter}": Vm, "{cause}": Cause, "{event}": COUNTERS}


def expand(name: str, dimensions: tuple[str, ...]) -> list[str]:
    if "{dimension}" in name:
        return [name.replace("{dimension}", one) for one in dimensions]
    for holder, members in HOLDERS.items():
        if holder in name:
            return [name.replace(holder, m.name.lower()) for m in members]
    return [] if "{column}" in name else [name]


def dtype_of(dataset: h5py.Dataset) -> str:
    if dataset.dtype.kind == "O":
        return "str"
    return dataset.dtype.str[1:]


def dims_of(dataset: h5py.Dataset) -> str:
    own = [dataset.name.rpartition("/")[2]] if dataset.is_scale else None
    names = own or [Path(dim[0].name).name for dim in dataset.dims]
    grows = ["*" if length is None else "" for length in dataset.maxshape]
    return ", ".join(map("".join, zip(names, grows, strict=True)))


def real(path: Path, columns: set[str]) -> set[tuple[str, str, str, str]]:
    found = set()

    def visit(name: str, item) -> None:
        bare = re.fullmatch(r"snapshots/block|\w+/text\d+", name)
        if isinstance(item, h5py.Group) or name in columns or bare:
            return
        assert item.attrs["long_name"]
        found.add((f"/{name}", dtype_of(item), dims_of(item), item.attrs["units"]))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_the_document_agrees_with_a_file_of_two_dimensions(grid):
    columns = {f"summary/{c.name}" for c in SUMMARY if not c.by_reason}
    scripts = {path for path in documented(14) if path[0].startswith(SCRIPTS)}
    assert real(grid, columns) == documented(14, *GRID["dimension"]) - scripts


def test_the_document_agrees_with_a_file_of_a_script(tmp_path):
    path = write(tmp_path / "run.h5", records=RECORDS)
    columns = {f"summary/{c.name}" for c in SUMMARY if not c.by_reason}
    assert real(path, columns) == documented(13, "mechanism")


def test_the_document_agrees_with_a_file(path):
    columns = {f"summary/{c.name}" for c in SUMMARY if not c.by_reason}
    scripts = {path for path in documented(13) if path[0].startswith(SCRIPTS)}
    assert real(path, columns) == documented(13, "mechanism") - scripts
    text = FORMAT.read_text()
    assert all(f"`{cause.name.lower()}`" in text for cause in Cause)
    with RunFile(path) as file:
        assert all(f"`{name}`" in text for name in file.attributes)


def listed(title: str) -> list[str]:
    """Return the names in the paragraph of docs/format.md that begins with a title."""
    paragraph = re.search(rf"^{title}:(.*?)\.\n", FORMAT.read_text(), re.M | re.S)
    return re.findall(r"`(\w+)`", paragraph[1])


def test_every_counter_has_a_meaning_of_its_own():
    assert list(MEANINGS) == list(Vm)
    assert {unit for unit, _ in MEANINGS.values()} == {"page", "event"}
    assert len({text for _, text in MEANINGS.values()}) == len(Vm)


def test_the_document_lists_all_counters_in_order():
    linux = [one.name.lower() for one in Vm if not one.ours]
    assert listed("Of `/proc/vmstat`") == linux
    assert listed("Of the model alone") == [one.name.lower() for one in Vm if one.ours]


# --- refusals -------------------------------------------------------------------------


def test_a_file_that_exists_is_kept_without_force(tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("old")
    with pytest.raises(BadInput, match="output must not exist unless --force"):
        writer(path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
    write(path, force=True)
    assert describe(path)


def test_a_file_that_is_being_written_is_refused_even_with_force(tmp_path):
    file = writer(tmp_path / "run.h5")
    with pytest.raises(BadInput, match="must not be in use"):
        writer(tmp_path / "run.h5", force=True)
    file.close(RunState.DONE)
    assert describe(tmp_path / "run.h5")["state"] == "done"


@pytest.mark.parametrize("place", ["no/run.h5", ".", "/proc/run.h5"])
def test_an_unwritable_place_is_refused(tmp_path, place):
    with pytest.raises(BadInput, match="output must"):
        writer(tmp_path / place, force=True)
    assert list(tmp_path.iterdir()) == []


def test_force_spares_a_file_that_someone_reads(path, tmp_path):
    copy = tmp_path / "run.h5"
    copy.write_bytes(path.read_bytes())
    with copy.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        with pytest.raises(BadInput, match="must not be open elsewhere"):
            writer(copy, force=True)
    assert copy.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [copy]


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"attributes": {"x": object()}}, TypeError), ({"variants": []}, BadInput)],
)
def test_a_creation_that_fails_leaves_nothing(tmp_path, changes, error):
    with pytest.raises(error):
        writer(tmp_path / "run.h5", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("epoch", (2, 0, counters(0), []), "variant must be from 0 to 1, got 2"),
        ("epoch", (0, 0, counters(0, NODES + 1), []), "counters must have shape"),
        ("epoch", (0, 0, counters(0)[:, :1], []), "counters must have shape"),
        ("epoch", (0, 0, counters(0), [{"process": 1}]), "process must have name"),
        (
            "epoch",
            (0, 0, counters(0), [process(0) | {"time_ns": [1]}]),
            "time_ns must have shape",
        ),
        ("event", (0, 0, "fire", 0, 0, 0), "kind must be one of oom_kill, .*'fire'"),
        (
            "epoch",
            (0, 0, counters(0), [], np.zeros(len(ScanResult))),
            "khugepaged must have shape",
        ),
        ("snapshot", (0, 0, 0, np.array([300]), BLOCKS), "node must be int8"),
        ("snapshot", (0, 0, 0, BLOCKS, BLOCKS[1:]), "kind must be int8"),
        ("snapshot", (2, 0, 0, BLOCKS, BLOCKS), "variant must be from 0"),
        ("summary", (-1, row(1)), "variant must be from 0"),
        ("summary", (0, {}), "summary must have run_time_ns"),
        ("summary", (0, row(1) | {"pages_refused_by": 1}), "must have shape"),
        ("runtime", (0, {"lunch_s": 1.0}), "stages must be setup_s"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path, method, values, message):
    file = writer(tmp_path / "run.h5")
    with pytest.raises(BadInput, match=message):
        getattr(file, method)(*values)
    file.close(RunState.DONE)
    assert group(tmp_path / "run.h5", "epochs").sizes["epoch"] == 0


def test_two_variables_of_one_name_are_refused(tmp_path):
    columns = (*SUMMARY, Column("reason", "reason", "1", "why"))
    with pytest.raises(BadInput, match="got reason twice"):
        writer(tmp_path / "run.h5", columns=columns)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_file_is_refused(tmp_path, path):
    whole = path.read_bytes()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["filetype"] = "statepoint"
    with h5py.File(tmp_path / "later.h5", "w") as file:
        file.attrs.update(filetype="lazynuma-run", version=[3, 0])
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.h5").write_bytes(whole[:20])
    (tmp_path / "text.h5").write_text("a table\n")
    (tmp_path / "empty.h5").touch()
    for name in ("other", "later", "short", "head", "text", "empty", "missing"):
        for read in (RunFile, recover, describe):
            with pytest.raises(BadInput, match="^file must [^\n]*$"):
                read(tmp_path / f"{name}.h5")


def test_a_stale_lock_is_taken_over(tmp_path):
    (tmp_path / "run.h5.lock").touch()
    write(tmp_path / "run.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_recover_leaves_a_finished_file_as_it_is(tmp_path):
    path = write(tmp_path / "run.h5")
    before = path.read_bytes()
    (tmp_path / "run.h5.lock").touch()
    recover(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_the_lock_is_seen(tmp_path):
    with (tmp_path / "run.h5.lock").open("w") as lock:
        assert not is_locked(tmp_path / "run.h5")
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_locked(tmp_path / "run.h5")


def test_lookup3_agrees_with_its_author():
    # The values of driver5() in lookup3.c.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


# --- a disk that fills up -------------------------------------------------------------


FILL = """
import errno, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from common.run_files import counters, process, writer
from lazynuma.engine.output.reader import RunState

path = Path("run.h5")
size = {size}
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
file = writer(path)
try:
    for epoch in range(100_000):
        file.epoch(0, epoch, counters(epoch), [process(0)])
except OSError as error:
    assert error.errno == errno.EFBIG, error
else:
    raise AssertionError("the disk never filled up")
file.close(RunState.FAILED)
print(epoch)
"""


def fill(folder: Path, size: int) -> subprocess.CompletedProcess:
    code = FILL.format(tests=str(Path(__file__).parents[1]), size=size)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_full_disk_leaves_what_was_flushed(tmp_path):
    done = fill(tmp_path, 6 << 20)
    assert (done.returncode, done.stderr) == (0, "")
    epochs = group(tmp_path / "run.h5", "epochs")
    assert int(done.stdout) - ROWS <= epochs.sizes["epoch"] and epochs.sizes["epoch"]
    last = epochs.sizes["epoch"] - 1
    assert (epochs.pgfault[last].values == counters(last)[:, Vm.PGFAULT]).all()
    with RunFile(tmp_path / "run.h5") as file:
        assert file.state is RunState.FAILED
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_a_close_that_loses_rows_says_so(tmp_path, monkeypatch):
    file = writer(tmp_path / "run.h5")
    file.epoch(0, 1, counters(0), [])

    def full(self, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(space.Space, "reserve", full)
    with pytest.raises(OSError, match="No space left"):
        file.close(RunState.DONE)
    file.close(RunState.DONE)  # once more does nothing
    with RunFile(tmp_path / "run.h5") as run:
        assert run.state is RunState.FAILED
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_a_disk_that_is_full_from_the_start_is_refused(tmp_path):
    done = fill(tmp_path, 1 << 20)
    assert done.stderr.splitlines()[-1].startswith("lazynuma.engine.errors.BadInput")
    assert "HDF5" not in done.stderr and list(tmp_path.iterdir()) == []


# --- through the command line ---------------------------------------------------------


def test_a_run_of_mechanisms_ends_in_its_file(tmp_path, capsys):
    path = tmp_path / "mechanisms.h5"
    arguments = ["run", "mechanisms", "--set", "memory=64MiB", "-o", str(path)]
    assert commands.main(arguments) == 0, capsys.readouterr().err
    summary = group(path, "summary")
    assert summary.mechanism.values.tolist() == [
        "none",
        "eager",
        "lazy_swapcache",
        "lazy_migcache",
        "hinting",
        "balancing",
    ]
    assert {c.name for c in SUMMARY} <= set(summary.data_vars)
    assert (summary.accesses > 0).all()
    epochs = group(path, "epochs")
    assert set(epochs.variant.values.tolist()) == set(range(6))
    served = (epochs.accesses_local + epochs.accesses_remote).sum("node")
    totals = served.groupby(epochs.variant).sum()
    assert totals.values.tolist() == summary.accesses.values.tolist()
    capsys.readouterr()
    assert commands.main(["info", str(path)]) == 0
    assert "lazy_migcache" in capsys.readouterr().out
