"""``lazynuma collect``: many runs as one dataset, for the libraries that people use."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from common.sweeps import GRID, SCENARIO, swept
from lazynuma.engine import open_run
from lazynuma.scenarios.cli import commands


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> Path:
    """A sweep of 2 x 2 settings and 2 seeds; with touches=3 seed 2 fails."""
    text = GRID.replace("touches = [2, 3]", '"cost.tlb_flush_ns" = [0, 700]\n')
    text = text.replace("[grid]", "[grid]\ntouches = [2, 3]")
    text = text.replace('size = ["512KiB", "1MiB"]', "")
    return swept(tmp_path_factory.mktemp("sweep"), text)


def collect(capsys, *arguments) -> xr.Dataset:
    """Return what ``collect`` writes, opened in one line."""
    assert commands.main(["collect", *map(str, arguments)]) == 0, capsys.readouterr()
    with xr.open_dataset(arguments[arguments.index("-o") + 1]) as data:
        return data.load()


def test_a_sweep_is_one_dataset(points, tmp_path, capsys):
    data = collect(capsys, points, "-o", tmp_path / "all.nc")
    out, err = capsys.readouterr()
    assert dict(data.sizes) == {
        "touches": 2,
        "cost_tlb_flush_ns": 2,
        "seed": 2,
        "mechanism": 2,
        "reason": 13,
    }
    assert data.touches.values.tolist() == [2, 3]
    assert data.cost_tlb_flush_ns.attrs["long_name"] == "cost.tlb_flush_ns"
    assert data.run_time_ns.dims == (
        *("touches", "cost_tlb_flush_ns", "seed", "mechanism"),
    )
    assert data.run_time_ns.attrs["units"] == "ns"
    assert "simulated time" in data.run_time_ns.attrs["long_name"]
    assert data.attrs["title"].startswith("Is a process that moves")
    assert "6 of 8 runs" in out
    assert err.count("missing: point") == 2 and "No space left" in err


def test_each_value_is_at_its_place_and_failed_points_are_nan(points, tmp_path, capsys):
    data = collect(capsys, points, "-o", tmp_path / "all.nc")
    failed = data.sel(touches=3, seed=2)
    for name in data.data_vars:
        assert np.isnan(failed[name]).all(), name
    number = 0
    for touches in (2, 3):
        for flush in (0, 700):
            for seed in (1, 2):
                if (touches, seed) != (3, 2):
                    one = open_run(points / f"point-{number:04}.h5")
                    at = {"touches": touches, "cost_tlb_flush_ns": flush, "seed": seed}
                    mine, wanted = data.sel(at), one["summary"].dataset
                    for name in wanted.data_vars:
                        assert (mine[name].values == wanted[name].values).all() or (
                            np.isnan(wanted[name].values).any()
                        ), name
                    assert one.attrs["seed"] == seed
                number += 1
    assert len(np.unique(data.run_time_ns.sel(mechanism="hinting"))) > 4


NETCDF4 = """
import json, sys, netCDF4
data = netCDF4.Dataset(sys.argv[1])
time, names = data["run_time_ns"], data["mechanism"][:].tolist()
found = [time.dimensions, time[0, 0, 0].tolist(), names]
print(json.dumps(found, default=bytes.decode))
"""
H5NETCDF = NETCDF4.replace("netCDF4.Dataset(", "h5netcdf.File(").replace(
    "netCDF4", "h5netcdf"
)


def said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.mark.parametrize("code", [NETCDF4, H5NETCDF], ids=["netCDF4", "h5netcdf"])
def test_netcdf_libraries_open_it(code, points, tmp_path, capsys):
    data = collect(capsys, points, "-o", tmp_path / "all.nc")
    dims, first, names = json.loads(
        said(sys.executable, "-c", code, str(tmp_path / "all.nc"))
    )
    assert tuple(dims) == data.run_time_ns.dims
    assert first == data.run_time_ns.values[0, 0, 0].tolist()
    assert names == ["none", "hinting"]


@pytest.mark.skipif(not shutil.which("ncdump"), reason="there is no ncdump")
def test_ncdump_opens_it(points, tmp_path, capsys):
    collect(capsys, points, "-o", tmp_path / "all.nc")
    header = said("ncdump", "-h", str(tmp_path / "all.nc"))
    assert "double run_time_ns(touches, cost_tlb_flush_ns, seed, mechanism)" in header


def test_epochs_are_series_by_the_number_of_the_epoch(points, tmp_path, capsys):
    data = collect(
        capsys, points, "-o", tmp_path / "all.nc", "--epochs", "pgfault,pages_used"
    )
    names = {name for name in data.data_vars if name.startswith("epoch_")}
    assert names == {"epoch_time", "epoch_pgfault", "epoch_pages_used"}
    assert data.epoch_pgfault.dims[-3:] == ("mechanism", "epoch", "node")
    at = {"touches": 3, "cost_tlb_flush_ns": 700, "seed": 1, "mechanism": "hinting"}
    mine = data.sel(at)
    wanted = open_run(points / "point-0006.h5")["epochs"].dataset.sel(variant="hinting")
    count = wanted.sizes["epoch"]
    assert count > 1
    assert (mine.epoch_time[:count].values == wanted.time.values).all()
    assert np.isnan(mine.epoch_time[count:]).all()
    assert (mine.epoch_pgfault[:count].values == wanted.pgfault.values).all()
    every = collect(capsys, points, "-o", tmp_path / "more.nc", "--epochs")
    assert "epoch_khugepaged_results" in every
    assert every.epoch_bytes.dims[-2:] == ("cpu_node", "node")


def test_settings_that_go_together_are_one_dimension(tmp_path, capsys):
    text = (
        'scenario = "mine.py"\n[zip]\nsize = ["512KiB", "1MiB", "1MiB"]\n'
        'touches = [2, 2, 3]\n[grid]\nnames = ["none", "none,hinting"]\n'
    )
    data = collect(capsys, swept(tmp_path, text), "-o", tmp_path / "all.nc")
    assert data.run_time_ns.dims == ("zip", "names", "seed", "mechanism")
    assert data["size"].dims == data.touches.dims == ("zip",)
    assert data["size"].values.tolist() == [1 << 19, 1 << 20, 1 << 20]
    assert data.names.values.tolist() == ["none", "none,hinting"]
    # A run without a mechanism has no value of it.
    alone = data.run_time_ns.sel(names="none")
    assert np.isnan(alone.sel(mechanism="hinting")).all()
    assert (alone.sel(mechanism="none") > 0).all()
    assert (data.run_time_ns.sel(names="none,hinting") > 0).all()


def test_files_differ_in_what_makes_dimensions(points, tmp_path, capsys):
    files = [points / f"point-{number:04}.h5" for number in (0, 1, 2, 3)]
    data = collect(capsys, *files, "-o", tmp_path / "all.nc")
    assert data.run_time_ns.dims == ("cost_tlb_flush_ns", "seed", "mechanism")
    odd = [points / f"point-{number:04}.h5" for number in (0, 6)]
    data = collect(capsys, *odd, "-o", tmp_path / "odd.nc")
    assert data.run_time_ns.dims == ("zip", "seed", "mechanism")
    assert data.touches.values.tolist() == [2, 3]
    assert data.cost_tlb_flush_ns.dims == ("zip",)


def test_replicas_of_a_file_are_along_seed(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(SCENARIO)
    for name, touches in (("a", 2), ("b", 3)):
        run = ["run", str(tmp_path / "mine.py"), "--seeds", "3", "--threads", "1"]
        run += ["--set", f"touches={touches}", "-o", str(tmp_path / f"{name}.h5")]
        assert commands.main(run) == 0
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    out = tmp_path / "all.nc"
    data = collect(capsys, *files, "-o", out, "--epochs", "pgfault")
    assert data.run_time_ns.dims == ("touches", "seed", "mechanism")
    assert data.seed.values.tolist() == [1, 2, 3]
    replicas = open_run(files[1])["replicas"].run_time_ns.transpose("seed", ...)
    assert (data.run_time_ns.sel(touches=3).values == replicas.values).all()
    assert len(np.unique(replicas.sel(mechanism="hinting"))) == 3
    # The epochs are those of the first seed.
    assert not np.isnan(data.epoch_time.sel(seed=1).isel(epoch=0)).any()
    assert np.isnan(data.epoch_time.sel(seed=2)).all()


def refusal(capsys, *arguments) -> str:
    assert commands.main(["collect", *map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_what_cannot_be_collected_is_refused_in_one_line(points, tmp_path, capsys):
    all_ = tmp_path / "all.nc"
    first = points / "point-0000.h5"
    (tmp_path / "text.h5").write_text("no HDF5")
    assert "must be one of a sweep" in refusal(capsys, tmp_path, "-o", all_)
    assert "must differ" in refusal(capsys, first, first, "-o", all_)
    assert "text.h5" in refusal(capsys, first, tmp_path / "text.h5", "-o", all_)
    assert "--epochs must" in refusal(capsys, points, "-o", all_, "--epochs", "x")
    assert not all_.exists()
    all_.write_text("mine")
    assert "must not exist" in refusal(capsys, points, "-o", all_)
    assert all_.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.nc", "text.h5"]
    collect(capsys, points, "-o", all_, "--force")


def test_a_damaged_point_is_missing(points, tmp_path, capsys):
    copy = shutil.copytree(points, tmp_path / "copy")
    (copy / "point-0001.h5").write_bytes((copy / "point-0001.h5").read_bytes()[:5000])
    data = collect(capsys, copy, "-o", tmp_path / "all.nc")
    err = capsys.readouterr().err
    assert err.count("missing: point") == 3 and "point-0001.h5" in err
    assert np.isnan(data.run_time_ns.sel(touches=2, cost_tlb_flush_ns=0, seed=2)).all()


def test_points_that_are_not_there_yet_are_counted(points, tmp_path, capsys):
    copy = shutil.copytree(points, tmp_path / "copy")
    for number in (0, 1, 2):
        (copy / ".sweep" / f"{number:04}.done").unlink()
    data = collect(capsys, copy, "-o", tmp_path / "all.nc")
    err = capsys.readouterr().err
    assert "missing: 3 points waiting" in err and err.count("missing:") == 3
    assert np.isnan(data.run_time_ns.sel(touches=2, cost_tlb_flush_ns=0)).all()


def test_a_folder_that_does_not_list_its_points_is_told_how(points, tmp_path, capsys):
    copy = shutil.copytree(points, tmp_path / "copy")
    (copy / ".sweep" / "points.json").unlink()
    assert "--status writes it" in refusal(capsys, copy, "-o", tmp_path / "all.nc")
    toml = str(points.parent / "out.toml")
    assert commands.main(["sweep", toml, "-o", str(copy), "--status"]) == 0
    collect(capsys, copy, "-o", tmp_path / "all.nc")


def test_files_of_two_scenarios_are_refused(points, tmp_path, capsys):
    other = tmp_path / "other.h5"
    shutil.copy(points / "point-0000.h5", other)
    with h5py.File(other, "r+") as file:
        file.attrs["title"] = "Another?"
        file.attrs["seed"] = 9
    err = refusal(capsys, points / "point-0000.h5", other, "-o", tmp_path / "all.nc")
    assert "one scenario" in err and "Another?" in err


def test_without_xarray_one_line_says_what_to_install(
    points, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "xarray", None)
    assert "lazynuma[xarray]" in refusal(capsys, points, "-o", tmp_path / "all.nc")
