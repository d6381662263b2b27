"""The file of a run, read by the libraries that people use; each in its own process.

A file that netCDF-C does not like corrupts the heap of the process that reads it.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.run_files import counters, process, writer
from lazynuma.engine.observer import NodeUse
from lazynuma.engine.output.reader import RunState
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Refusal, Vm
from lazynuma.scenarios.script.records import RECORDS

VARIANTS = ["none", "zurück", "lazy_migcache"]
NUMBERS = [(0, 2), (0, 2, 8), (2, 8)]
ROW = {c.name: range(len(Refusal)) if c.by_reason else 5 for c in SUMMARY}
NATURAL = {"first_page": 0, "pages": 3, "state": 1, "huge": 0}


def use(nodes: int) -> NodeUse:
    n = np.arange(nodes)
    links = n[:, None] * 10 + n
    return NodeUse(n + 100, n + 200, n / 4, links, links / 8)


def write(path: Path, rows: int) -> Path:
    """Write a file of three variants, the last of which has not ended."""
    file = writer(path, variants=VARIANTS, nodes=NUMBERS, records=RECORDS)
    for i in range(rows):
        variant = i % 2
        nodes = len(NUMBERS[variant])
        row = process(i) | {"pages": np.arange(nodes) + i}
        file.epoch(variant, 10 * i, counters(i, nodes), [row], use=use(nodes))
        file.event(variant, 10 * i, "fork", 1, -1, i)
        file.record(variant, i, "runs", NATURAL | {"observation": i, "node": -1})
        kill = {"line": i, "process": "é" * 40, "signal": 9}
        file.record(variant, i, "kills", kill)
    blocks = np.array([0, 1, -1], np.int8)
    file.snapshot(2, 45, 1, blocks, blocks + 1)
    file.summary(0, ROW)
    file.summary(1, ROW)
    file.close(RunState.DONE)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("readers") / "run.h5", 600)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("readers") / "empty.h5", 0)


def said(*command: str) -> str:
    """Return what a process prints that must not die."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    return done.stdout


NETCDF4 = """
import json, sys, netCDF4, numpy as np

def walk(group):
    found = {}
    for name, variable in group.variables.items():
        values = variable[:]
        found[f"{group.path}/{name}"] = [
            list(variable.dimensions), np.ma.count_masked(values).item(),
            str(values.dtype), values.size,
        ]
    for one in group.groups.values():
        found |= walk(one)
    return found

print(json.dumps(walk(netCDF4.Dataset(sys.argv[1]))))
"""


@pytest.mark.parametrize("which", ["path", "empty"])
def test_netcdf4_python_reads_every_variable(which, request):
    file = request.getfixturevalue(which)
    found = json.loads(said(sys.executable, "-c", NETCDF4, str(file)))
    rows = 600 if which == "path" else 0
    dims, masked, dtype, size = found["/epochs/pgfault"]
    assert (dims, dtype, size) == (["epoch", "node"], "int64", 3 * rows)
    # Every second epoch is of the variant that lacks a node.
    assert masked == rows // 2
    assert found["/summary/run_time_ns"][1] == 1
    assert found["/processes/pages"] == [["row", "node"], rows // 2, "int64", 3 * rows]
    assert found["/epochs/variant_name"][0] == ["epoch", "text13"]
    # netCDF4 joins the characters of a text.
    assert found["/kills/process"][3] == rows
    assert found["/epochs/time_ns"][1:] == [0, "int64", rows]


XARRAY = """
import json, sys, warnings
import xarray as xr

warnings.simplefilter("error")
path, engine = sys.argv[1:]
tree = xr.open_datatree(path, engine=engine).load()
summary, epochs = tree["summary"].to_dataset(), tree["epochs"].to_dataset()
processes, kills = tree["processes"].to_dataset(), tree["kills"].to_dataset()
row = epochs.isel(epoch=epochs.variant_name == "zurück").isel(epoch=1)
print(json.dumps({
    "mean": summary.run_time_ns.mean().item(),
    "names": summary.mechanism.values.tolist(),
    "groups": {
        name: sorted(set(one.coords) & {"time_ns", "variant", "variant_name"})
        for name, one in tree.children.items()
    },
    "time": [str(epochs.time_ns.dtype), row.time_ns.item()],
    "node": [row.node.values.tolist(), row.cpu_node.values.tolist()],
    "bytes": row.bytes.values.tolist(),
    "link": row.link_utilisation.sel(cpu_node=8, node=2).item(),
    "used": row.pages_used.sel(node=8).item(),
    "lacking": int(epochs.isel(epoch=0).pgfault.isnull().sum()),
    "process": [processes.name.values[1], processes.pages.sel(node=2).values[1]],
    "units": epochs.pgfault.attrs["units"],
    "block": tree["snapshots"].block_node.values.tolist(),
    "event": tree["events"].node.values[:2].tolist(),
    "killed": kills.process.values[3],
}))
"""


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_reads_names_times_and_nodes(path, engine):
    found = json.loads(said(sys.executable, "-c", XARRAY, str(path), engine))
    when = ["time_ns", "variant", "variant_name"]
    growing = {"epochs", "processes", "events", "snapshots", *(r.name for r in RECORDS)}
    groups = found.pop("groups")
    assert {name for name, coords in groups.items() if coords == when} == growing
    assert found == {
        "mean": 5,  # of two; the third was not written
        "names": VARIANTS,
        "time": ["int64", 30],
        "node": [[0, 2, 8], [0, 2, 8]],
        "bytes": [[0, 1, 2], [10, 11, 12], [20, 21, 22]],
        "link": 21 / 8,
        "used": 202,
        "lacking": 1,
        "process": ["rank 1 é" + "é" * 11, 2],
        "units": "event",
        "block": [[2, 8, -1]],
        "event": [2, 2],
        "killed": "é" * 32,
    }


def test_ncdump_shows_every_value(path):
    if shutil.which("ncdump") is None:
        pytest.skip("ncdump (Debian: netcdf-bin) is not installed")
    text = said("ncdump", str(path))
    assert text.rstrip().endswith("}")
    assert '"none"' in text and "run_time_ns = 5, 5, _ ;" in text


def test_r_reads_masked_values_and_names(path):
    code = "quit(status = !requireNamespace('ncdf4', quietly = TRUE))"
    if (
        shutil.which("Rscript") is None
        or subprocess.run(["Rscript", "-e", code]).returncode
    ):
        pytest.skip("R with ncdf4 (Debian: r-cran-ncdf4) is not installed")
    code = (
        f"n <- ncdf4::nc_open('{path}');"
        "for (v in names(n$var)) x <- suppressWarnings(ncdf4::ncvar_get(n, v));"
        "cat(ncdf4::ncvar_get(n, 'summary/run_time_ns'),"
        " ncdf4::ncvar_get(n, 'epochs/variant_name')[1:2])"
    )
    assert said("Rscript", "-e", code).endswith("5 5 NA none zurück")


def test_nodes_lie_on_the_axis_by_their_numbers(tmp_path):
    import xarray as xr

    file = writer(tmp_path / "run.h5", variants=["a", "b"], nodes=[(1, 3), (0, 3)])
    for variant in range(2):
        file.epoch(variant, 1, counters(0, 2), [])
    file.close(RunState.DONE)
    epochs = xr.open_dataset(tmp_path / "run.h5", group="epochs", engine="h5netcdf")
    assert epochs.node.values.tolist() == [0, 1, 3]
    first, second = 0, len(Vm)
    assert np.array_equal(
        epochs.pgfault.values,
        [[np.nan, first, second], [first, np.nan, second]],
        equal_nan=True,
    )
    # An observer that does not say what nodes hold leaves it out.
    assert epochs.pages_used.isnull().all() and epochs.bytes.isnull().all()
