"""What an epoch says of nodes and processes: pages by node, bytes, utilisation."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from common.studies import study_of
from lazynuma.engine import (
    Mechanism,
    Settings,
    Simulation,
    Study,
    Sweep,
    Thp,
    Uniform,
    Variant,
    preset,
    results,
)
from lazynuma.engine.run import run_study
from lazynuma.engine.study.columns import SUMMARY

MIB = 1 << 20
PAGES = 1024
ACCESSES = 40_000
MACHINE = preset("2s", 1 << 30)
SECOND = MACHINE.cpus[0]  # the first CPU of node 1


def move(simulation: Simulation) -> dict:
    """Fill memory on node 0 with words, then use it from node 1, marked."""
    process = simulation.spawn("job")
    task = simulation.start_task(process, cpu=0)
    region = simulation.mmap(process, PAGES * 4096)
    simulation.run([Sweep(task=task, region=region, count=PAGES, refs=1)])
    simulation.move_task(task, cpu=SECOND)
    simulation.run([Uniform(task=task, region=region, count=ACCESSES, refs=2)])
    simulation.mark(task, region, Mechanism.HINTING)
    simulation.run([Uniform(task=task, region=region, count=ACCESSES, refs=2)])
    return {}


def study(**settings) -> Study:
    variant = Variant("hinting", MACHINE, Settings(**settings), move, 0, PAGES)
    return Study("What moves?", "mechanism", (variant,), SUMMARY)


@cache
def group(path: Path, name: str) -> xr.Dataset:
    """Return a group; h5netcdf takes seconds for /epochs."""
    return xr.open_dataset(path, group=name, engine="h5netcdf").load()


def groups(path: Path, *names: str) -> list[xr.Dataset]:
    return [group(path, name) for name in names]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("epochs")
    run_study(study(epoch_ns=1_000_000), output=folder / "run.h5")
    return folder


def test_bytes_are_what_accesses_moved(files):
    epochs, processes = groups(files / "run.h5", "epochs", "processes")
    assert epochs.sizes["epoch"] > 3
    moved = epochs.bytes.sum("epoch").values
    local = processes.accesses_local.sum().item() - PAGES
    remote = processes.accesses_remote.sum().item()
    assert local > 0 and local + remote == 2 * ACCESSES
    assert moved.tolist() == [[PAGES * 64, 0], [remote * 128, local * 128]]


def test_utilisation_is_bytes_of_bandwidth_and_time(files):
    (epochs,) = groups(files / "run.h5", "epochs")
    lengths = np.diff(epochs.time_ns.values)
    at = np.flatnonzero(lengths)[-1]
    last, seconds = epochs.isel(epoch=at + 1), lengths[at] / 1e9
    into = last.bytes.sum("cpu_node").values
    link = MACHINE.bandwidth
    expected = into / (link.diagonal() * seconds)
    assert np.allclose(last.memory_utilisation, expected)
    assert np.isnan(last.link_utilisation.values.diagonal()).all()
    one = last.bytes.sel(cpu_node=1, node=0).item() / (link[1, 0] * seconds)
    assert last.link_utilisation.sel(cpu_node=1, node=0).item() == pytest.approx(one)


def test_pages_by_node_add_up_to_rss_and_follow_the_job(files):
    epochs, processes = groups(files / "run.h5", "epochs", "processes")
    assert (processes.pages.sum("node") == processes.rss_pages).all()
    first, last = processes.pages.values[0], processes.pages.values[-1]
    assert first[0] > 0 and first[1] == 0
    assert last[1] > 0 and last.sum() == PAGES
    moved = epochs.numa_pages_migrated.sum().item()
    assert last.tolist() == [PAGES - moved, moved]
    total = np.array(MACHINE.memory) // 4096
    assert (epochs.pages_used + epochs.pages_free == total).all()
    used = epochs.pages_used.values
    # Frames in use follow the pages of the only process.
    assert (used[-1] - used[0] == last - first).all()


def test_pages_are_left_out_when_looking_costs_too_much(files, monkeypatch):
    monkeypatch.setattr(results, "LOOKS_FREE", 3 * PAGES)
    monkeypatch.setattr(results, "LOOKS_PER_ACCESS", 0)
    run_study(study(epoch_ns=1_000_000), output=files / "limited.h5")
    limited, whole = (
        groups(files / name, "processes")[0] for name in ("limited.h5", "run.h5")
    )
    known = limited.pages.notnull().all("node").values
    assert known[0] and not known[-1]
    assert (limited.pages.values[known] == whole.pages.values[known]).all()
    assert limited.drop_vars("pages").identical(whole.drop_vars("pages"))


def test_a_run_without_a_file_does_not_look(monkeypatch):
    def look(*_):
        raise AssertionError("nobody keeps it")

    monkeypatch.setattr(results, "pages_by_node", look)
    run_study(study_of("a", steps=move))


def test_pages_by_node_of_huge_zero_and_shared_pages():
    thp = Settings(thp=Thp(enabled="always"))
    simulation = Simulation(MACHINE, settings=thp)
    process = simulation.spawn("job")
    task = simulation.start_task(process, cpu=0)
    huge = simulation.mmap(process, 4 * MIB, "huge")
    small = simulation.mmap(process, MIB, "small")
    simulation.run([Sweep(task=task, region=huge, count=1024)])
    simulation.run([Sweep(task=task, region=small, count=100)])
    read = Sweep(task=task, region=small, count=156, first=100, write=0.0)
    simulation.run([read])
    simulation.move_pages(task, small, 1, pages=3)
    child = simulation.fork(process)
    for one in (process, child):
        assert simulation.pages_by_node(one).tolist() == [1024 + 97, 3]
        assert simulation.rss(one) == 1024 + 100
    assert simulation.huge_pages(process) == 1024
    simulation.close()


@pytest.mark.filterwarnings("default")
def test_snapshots_after_the_end_are_named(tmp_path):
    with pytest.warns(
        UserWarning, match=r"hinting ended at 0\.0\d+ s, .* at 5, 6\.5 s"
    ):
        times = (1_000_000, 5_000_000_000, 6_500_000_000)
        run_study(study(snapshots_ns=times), output=tmp_path / "run.h5")
    (snapshots,) = groups(tmp_path / "run.h5", "snapshots")
    assert snapshots.sizes["snapshot"] == 1
    assert snapshots.block_node.values.tolist() == [[0, 0]]
