"""Scenarios and replays on machines that files describe: numbers, sizes, costs."""

import warnings

import h5py
import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.engine.machines.choice import MachineChoice
from lazynuma.engine.machines.spec import machine
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.parameters import fill, parse_settings
from lazynuma.engine.state.policies import policy_of
from lazynuma.scenarios import hot_remove, mechanisms, tiering
from lazynuma.scenarios.recorded import replay
from lazynuma.scenarios.script import records

MIB = 1 << 20

#: POWER9: nodes 0 and 8, and a GPU whose memory is not in use.
SPARSE = """\
node 0 cpus: 0 8 16 24
node 0 size: 16 MB
node 8 cpus: 32 40
node 8 size: 64 MB
node 255 cpus:
node 255 size: 0 MB
node distances:
node   0   8  255
  0:  10  40  80
  8:  40  10  80
 255:  80  80  10
"""


@pytest.fixture
def box(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(SPARSE)
    return str(path)


def faults(tmp_path, pages, cpu=""):
    path = tmp_path / "trace.txt"
    path.write_text(
        "".join(
            f"job 7/7 {cpu} 1.{i:09d}: page-faults: {0x7F0000000000 + 4096 * i:x}\n"
            for i in range(pages)
        )
    )
    return str(path)


def replayed(tmp_path, box, pages, cpu="", **settings):
    """Return the pages of each node, by the number that the file has, and the row."""
    out = tmp_path / "run.h5"
    parameters = fill(
        replay.Parameters,
        {"file": faults(tmp_path, pages, cpu), "machine": box} | settings,
    )
    (row,) = run_study(replay.build(parameters), output=str(out), force=True)
    with h5py.File(out) as file:
        epochs = file["epochs"]
        counts = epochs["pgalloc_normal"][()].clip(0).sum(0)
        numbers = epochs["node"][()].tolist()
    return dict(zip(numbers, counts.tolist(), strict=True)), row


def test_files_have_the_numbers_of_the_machine(tmp_path, box):
    pages, row = replayed(tmp_path, box, 100, "[040]")
    assert pages == {0: 0, 8: 100, 255: 0}
    assert row["local_fraction"] == 1


def test_a_replay_has_the_sizes_of_the_file(tmp_path, box):
    pages, row = replayed(tmp_path, box, 5000, "[000]")
    # 14 MiB of node 0 are for processes, down to the low mark.
    assert 3400 < pages[0] < 3584
    assert pages[8] == 5000 - pages[0]
    larger, _ = replayed(tmp_path, box, 5000, "[000]", memory="160MiB")
    assert larger == {0: 5000, 8: 0, 255: 0}


def test_a_cpu_that_is_not_there_is_the_one_of_its_rank(tmp_path, box):
    with pytest.warns(UserWarning, match="got CPU 5: it is taken to be CPU 40"):
        pages, _ = replayed(tmp_path, box, 100, "[005]")
    assert pages == {0: 0, 8: 100, 255: 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The first thread of a trace without CPUs.
        assert replayed(tmp_path, box, 100)[0][0] == 100


def test_policies_name_nodes_as_the_machine_does(box):
    sparse = machine(box)
    assert policy_of("bind:8", sparse).nodes == (1,)
    assert policy_of("interleave", sparse).nodes == (0, 1)
    with pytest.raises(BadInput, match="nodes of box.txt, 0, 8, 255, got 'bind:1'"):
        policy_of("bind:1", sparse)
    with pytest.raises(BadInput, match="policy nodes must have memory"):
        policy_of("bind:255", sparse)


SCRIPT = """\
map a 64K
policy a bind 8
touch a 0 64K 4K w
observe a
set move.status 1
move a 0 16K 0
move a 0 4K 255
policy a bind 1
observe a
nodefree
"""


def test_scripts_name_nodes_as_the_machine_does(tmp_path, box):
    found = []
    run_study(records.study(SCRIPT, "linux-6.12", found.append, machine(box)))
    assert [one["runs"] for one in found if "runs" in one] == [
        [[16, "present", 8, False]],
        [[4, "present", 0, False], [12, "present", 8, False]],
    ]
    assert [one["status"] for one in found if "status" in one] == [[0] * 4]
    assert [one["node"] for one in found if "node" in one] == [0, 8, 255]
    assert [one["result"] for one in found if "result" in one] == ["ENODEV", "EINVAL"]


def test_hot_remove_takes_the_number_of_the_machine(box):
    parameters = hot_remove.Parameters(
        machine=MachineChoice(box), node=8, occupancy=(0.1,)
    )
    (row,) = run_study(hot_remove.build(parameters))
    assert row["pages_left"] == 0
    with pytest.raises(BadInput, match="with memory, 0, 8, got 1"):
        hot_remove.build(hot_remove.Parameters(machine=MachineChoice(box), node=1))


def test_the_memory_of_a_scenario_is_the_files_or_the_presets(box):
    study = mechanisms.build(mechanisms.Parameters(machine=MachineChoice(box)))
    assert study.variants[0].machine.memory == (16 * MIB, 64 * MIB, 0)
    assert study.variants[0].settings.swap_bytes == 80 * MIB // 128
    study = mechanisms.build(mechanisms.Parameters())
    assert sum(study.variants[0].machine.memory) == 1 << 40


def test_what_is_known_of_a_node_comes_from_set(tmp_path):
    path = tmp_path / "cxl.txt"
    path.write_text(
        "node 0 cpus: 0-3\nnode 0 size: 256 MB\nnode 1 cpus:\nnode 1 size: 512 MB\n"
        "node distances:\nnode 0 1\n0: 10 20\n1: 20 10\n"
    )
    settings = [f"machine={path}", "machine.tier=0,1", "machine.latency_ns=100,250"]
    parameters = fill(tiering.Parameters, parse_settings(settings))
    found = tiering.build(parameters).variants[0].machine
    assert found.tier == (0, 1)
    assert found.latency_ns[0].tolist() == [100, 250]
    rows = parse_settings([*settings[:2], "machine.latency_ns=[[100, 240], [240, 90]]"])
    found = tiering.build(fill(tiering.Parameters, rows)).variants[0].machine
    assert found.latency_ns.tolist() == [[100, 240], [240, 90]]
    with pytest.raises(BadInput, match="machine.latency_ns must be from 1 to 10"):
        fill(tiering.Parameters, parse_settings(["machine.latency_ns=0,1"]))
    with pytest.raises(BadInput, match=r"machine\.tier must be an integer, got 'x'"):
        fill(tiering.Parameters, parse_settings(["machine.tier=0,x"]))
