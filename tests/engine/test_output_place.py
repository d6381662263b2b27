"""Where a run's file comes to lie: what is never touched, and what a kill leaves."""

import gzip
import os
import socket
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from common.run_files import counters, process, writer
from lazynuma.engine.errors import BadInput
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.place import abandon, check_output, write_text
from lazynuma.engine.output.reader import TABLES, RunFile, RunState
from lazynuma.engine.output.recovery import recover
from lazynuma.kernels.counters import Vm

KILLED = Path(__file__).parents[1] / "data" / "killed"


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def unpack(name: str, folder: Path) -> Path:
    path = folder / f"{name}.h5"
    path.write_bytes(gzip.decompress((KILLED / f"{name}.h5.gz").read_bytes()))
    return path


# --- what is no regular file ----------------------------------------------------------


def special(folder: Path, kind: str) -> Path:
    path = folder / "out.h5"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    else:
        (folder / "there").write_text("old")
        path.symlink_to("there")
    return path


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "dangling link", "link"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_regular_file_is_neither_opened_nor_removed(tmp_path, kind, force):
    path = special(tmp_path, kind)
    before, kept = names(tmp_path), os.lstat(path)
    for create in (
        lambda: writer(path, force=force),
        lambda: write_text(path, "x", force),
        lambda: check_output(path, force),
    ):
        with pytest.raises(BadInput, match="^output must "):
            create()
    assert names(tmp_path) == before
    assert os.path.samestat(os.lstat(path), kept)


@pytest.mark.parametrize("suffix", [".lock", ".creating"])
def test_a_link_beside_the_output_is_not_followed(tmp_path, suffix):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / f"out.h5{suffix}").symlink_to("mine")
    with pytest.raises(BadInput, match="must be"):
        writer(tmp_path / "out.h5")
    assert (tmp_path / "mine").read_text() == "precious"
    assert f"out.h5{suffix}" in names(tmp_path) and "out.h5" not in names(tmp_path)


# --- creation -------------------------------------------------------------------------


def test_the_file_has_its_name_only_when_readers_can_open_it(tmp_path, monkeypatch):
    path, seen = tmp_path / "out.h5", []
    rename = os.link

    def look(new, old, **options):
        assert not path.exists()
        with h5py.File(new, "r", swmr=True) as file:
            seen.append(sorted(file))
        rename(new, old, **options)

    monkeypatch.setattr(os, "link", look)
    file = writer(path)
    assert set(TABLES) <= set(seen[0])
    assert names(tmp_path) == ["out.h5", "out.h5.lock"]
    file.close(RunState.DONE)
    assert names(tmp_path) == ["out.h5"]


def test_force_keeps_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "out.h5"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BadInput, match="No space left on device$"):
        writer(path, force=True)
    assert names(tmp_path) == ["out.h5"] and path.read_text() == "old"


def test_a_discarded_file_gives_its_place_back(tmp_path):
    path = tmp_path / "out.h5"
    path.write_text("old")
    writer(path, force=True).discard()
    assert names(tmp_path) == ["out.h5"] and path.read_text() == "old"
    path.unlink()
    writer(path).discard()
    assert names(tmp_path) == []


def test_the_next_run_removes_what_a_kill_left(tmp_path):
    for suffix in ("", ".creating", ".replaced", ".recovering"):
        (tmp_path / f"out.h5{suffix}").write_text("left")
    (tmp_path / "out.h5.lock").write_text(f"999999999 {os.uname().nodename}\n")
    writer(tmp_path / "out.h5", force=True).close(RunState.DONE)
    assert names(tmp_path) == ["out.h5"]


def test_a_lock_of_another_host_is_taken_over_with_force_only(tmp_path):
    lock = tmp_path / "out.h5.lock"
    lock.write_text("17 elsewhere\n")
    with pytest.raises(BadInput, match="which process 17 on elsewhere may be writing"):
        writer(tmp_path / "out.h5")
    assert lock.read_text() == "17 elsewhere\n"
    writer(tmp_path / "out.h5", force=True).close(RunState.DONE)
    assert names(tmp_path) == ["out.h5"]


def test_a_process_removes_what_it_has_begun_but_not_what_others_have(tmp_path):
    path = tmp_path / "out.h5"
    file = writer(path)
    (tmp_path / "out.h5.creating").write_text("mine")
    (tmp_path / "out.h5.lock").write_text(f"1 {os.uname().nodename}\n")
    abandon(path)
    assert names(tmp_path) == ["out.h5", "out.h5.creating", "out.h5.lock"]
    (tmp_path / "out.h5.lock").write_text(f"{os.getpid()} {os.uname().nodename}\n")
    abandon(path)
    assert names(tmp_path) == ["out.h5"]
    file.close(RunState.DONE)


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "costs.toml"
    write_text(path, "a = 1\n", False)
    with pytest.raises(BadInput, match="must not exist"):
        write_text(path, "b = 2\n", False)
    write_text(path, "b = 2\n", True)
    assert path.read_text() == "b = 2\n" and names(tmp_path) == ["costs.toml"]


# --- a file that somebody else takes away ---------------------------------------------


def vanish(path: Path, how: str) -> None:
    if how == "removed":
        path.unlink()
    elif how == "moved":
        path.rename(path.with_name("moved.h5"))
    elif how == "replaced":
        other = path.with_name("other.h5")
        other.write_text("other")
        other.rename(path)
    elif how == "cut":
        os.truncate(path, 4096)
    else:
        path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "cut", "overwritten"])
def test_a_file_that_somebody_takes_away_ends_the_run(tmp_path, how):
    path = tmp_path / "out.h5"
    file = writer(path)
    file.epoch(0, 1, counters(0), [process(0)])
    file.flush()
    vanish(path, how)
    left = path.read_bytes() if path.exists() else None
    file.epoch(0, 2, counters(1), [process(0)])
    with pytest.raises(OSError, match=f"^output must be left alone .* {how}|{how}$"):
        file.flush()
    file.close(RunState.DONE)  # prompt, and touches nothing that is not ours
    assert left is None or path.read_bytes() == left
    if how == "moved":
        with RunFile(tmp_path / "moved.h5") as moved:
            assert moved.state is RunState.FAILED and moved.epochs.rows == 1
    assert "out.h5.lock" not in names(tmp_path)


def test_closing_says_that_the_file_is_gone(tmp_path):
    file = writer(tmp_path / "out.h5")
    (tmp_path / "out.h5").unlink()
    with pytest.raises(OSError, match="removed"):
        file.close(RunState.DONE)


def test_a_file_that_is_cut_between_two_looks_does_not_hang_the_writer(
    tmp_path, monkeypatch
):
    path = tmp_path / "out.h5"
    file = writer(path)
    file.epoch(0, 0, counters(0), [process(0)])
    file.flush()
    monkeypatch.setattr(file._space, "check", lambda: None)
    os.truncate(path, 4096)
    for epoch in range(600):  # HDF5 would read again and again what it needs
        file.epoch(0, epoch, counters(epoch), [process(0)])
    file.close(RunState.DONE)


# --- recovery -------------------------------------------------------------------------


def test_recover_cuts_a_file_killed_in_a_flush_to_whole_rows(tmp_path):
    path = unpack("killed_midflush", tmp_path)
    assert describe(path)["state"] == "killed"
    with h5py.File(path, "r", swmr=True) as file:
        assert file["epochs/time_ns"].shape[0] > file["epochs/epoch"].shape[0]
    recover(path)
    for group, coordinate in TABLES.items():
        with xr.open_dataset(path, engine="h5netcdf", group=group) as data:
            rows = data.sizes[coordinate]
            assert data[coordinate].values.tolist() == list(range(rows)), group
    with RunFile(path) as file:
        assert file.run["epochs_done"] == file.epochs.rows
        assert (file.processes["epoch"] < file.epochs.rows).all()
    before = path.read_bytes()
    recover(path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["killed_midflush.h5"]


def test_recover_cuts_rows_of_epochs_that_are_not_whole(tmp_path):
    path = tmp_path / "out.h5"
    file = writer(path)
    for epoch in range(5):
        file.epoch(0, epoch, counters(epoch), [process(0), process(1)])
    blocks = np.zeros(9, np.int8)
    file.snapshot(0, 1, 0, blocks, blocks)
    file.close(RunState.STOPPED)
    with h5py.File(path, "r+") as file:  # as if the last two epochs had not come
        file["epochs/epoch"].resize((3,))
        file["snapshots/snapshot"].resize((0,))
    recover(path)
    with RunFile(path) as file:
        assert file.epochs["pgfault"][:, 0].tolist() == [
            counters(epoch)[0, Vm.PGFAULT] for epoch in range(3)
        ]
        assert file.processes["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    with h5py.File(path) as file:
        assert file["epochs/pgfault"].shape[0] == 3
        assert file["snapshots/block_node"].shape[0] == 0
        assert file["run/epochs_done"][()] == 3


@pytest.mark.parametrize("name", ["killed_creating", "info_hangs_one_byte"])
def test_what_cannot_be_read_is_refused_at_once(tmp_path, name):
    path = unpack(name, tmp_path)
    for read in (describe, recover):
        with pytest.raises(BadInput, match="^file must [^\n]*$"):
            read(path)
    assert names(tmp_path) == [path.name]


# --- what a file must not lead to -----------------------------------------------------


@pytest.mark.parametrize("way", ["external data", "external link", "soft link"])
def test_a_file_that_leads_elsewhere_is_refused(tmp_path, way):
    path = tmp_path / "out.h5"
    writer(path).close(RunState.DONE)
    (tmp_path / "secret").write_text("root:x:0:0")
    with h5py.File(path, "r+") as file:
        if way == "external data":
            outside = [(str(tmp_path / "secret"), 0, 8)]
            file["summary"].create_dataset("more", (1,), "i8", external=outside)
        elif way == "external link":
            file["more"] = h5py.ExternalLink("secret", "/")
        else:
            file["more"] = h5py.SoftLink("/nowhere")
    for read in (describe, recover):
        with pytest.raises(BadInput, match="^file must (have no links|hold its data)"):
            read(path)


def test_texts_of_a_file_are_shown_without_control_characters(tmp_path):
    path = tmp_path / "out.h5"
    writer(path, title="\x1b]0;owned\x07\nstate done").close(RunState.DONE)
    title = describe(path)["title"]
    assert title == r"\x1b]0;owned\x07\nstate done"


def test_a_pipe_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (describe, recover):
        with pytest.raises(BadInput, match="must be a regular file"):
            read(tmp_path / "pipe")
