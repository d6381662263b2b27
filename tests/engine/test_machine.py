"""Machines: what is refused, what presets and real machines give, fallback orders."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.engine.errors import BadInput
from lazynuma.engine.machines.machine import Machine, from_slit
from lazynuma.engine.machines.numactl import from_numactl
from lazynuma.engine.machines.presets import PRESETS, preset, uniform
from lazynuma.engine.machines.spec import machine
from lazynuma.engine.machines.sysfs import from_sysfs
from lazynuma.engine.machines.zones import watermarks

MIB = 1 << 20
GIB = 1 << 30

PAIRS = [[10, 16, 22, 22], [16, 10, 22, 22], [22, 22, 10, 16], [22, 22, 16, 10]]
TRIANGLE = [[10, 20, 30], [20, 10, 40], [30, 40, 10]]

NUMACTL = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1 4 5
node 0 size: 7939 MB
node 0 free: 6613 MB
node 1 cpus: 2 3 6 7
node 1 size: 8053 MB
node 1 free: 7010 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""


def two_nodes(**changes):
    fields = {
        "name": "two",
        "memory": (64 * MIB, 32 * MIB),
        "system": (2 * MIB, 0),
        "cpus": (2, 1),
        "distance": [[10, 20], [20, 10]],
        "latency_ns": [[100, 200], [200, 100]],
        "bandwidth": [[10**11, 10**10], [10**10, 10**11]],
        "tier": (0, 0),
    }
    return Machine(**{**fields, **changes})


def refused(*parts):
    return pytest.raises(BadInput, match=".*".join(map(re.escape, parts)))


# --- Machine ----------------------------------------------------------------


def test_machine_keeps_what_it_is_given():
    m = two_nodes()
    assert m.nodes == 2
    assert m.pages.tolist() == [16384, 8192]
    assert m.cpu_node.tolist() == [0, 0, 1]
    for array in (m.pages, m.cpu_node, m.distance, m.latency_ns, m.bandwidth):
        assert array.dtype == np.int64
    assert m.distance.tolist() == [[10, 20], [20, 10]]


def test_machine_does_not_share_the_arrays_it_was_built_from():
    distance = np.array([[10, 20], [20, 10]])
    m = two_nodes(distance=distance)
    distance[0, 1] = 99
    assert m.distance[0, 1] == 20


def test_cpu_lists_give_cpus_their_numbers_and_holes_no_node():
    m = two_nodes(cpu_lists=((0, 4), (2,)))
    assert m.cpu_node.tolist() == [0, -1, 1, -1, 0]
    assert (
        two_nodes(cpus=(0, 3), cpu_lists=((), (1, 0, 2))).cpu_node.tolist() == [1] * 3
    )


@pytest.mark.parametrize("name", ["distance", "latency_ns", "bandwidth"])
def test_a_matrix_of_the_wrong_shape_is_refused_by_name(name):
    with refused(name, "must have shape (2, 2)", "got shape (1, 2)"):
        two_nodes(**{name: [[10, 20]]})
    with refused(name, "must have shape (2, 2)", "got rows of unequal length"):
        two_nodes(**{name: [[10, 20], [20]]})
    with refused(name, "must have shape (2, 2)", "got shape ()"):
        two_nodes(**{name: None})
    with refused(name, "must hold 64-bit integers"):
        two_nodes(**{name: [[10.0, 20.5], [20.0, 10.0]]})


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"distance": [[10, 9], [20, 10]]}, ("distance[0][1]", "10 to 255", "got 9")),
        ({"distance": [[10, 20], [256, 10]]}, ("distance[1][0]", "got 256")),
        (
            {"distance": [[10, 20], [20, 11]]},
            ("distance[1][1]", "must be 10", "got 11"),
        ),
        ({"memory": (0, 0)}, ("memory", "on a node at least", "got none")),
        ({"memory": (4097, 4096)}, ("memory[0]", "got 4097")),
        ({"memory": (-4096, 4096)}, ("memory[0]", "got -4096")),
        ({"memory": ()}, ("memory", "1 to 62 nodes", "got 0")),
        ({"memory": (4096,) * 65}, ("memory", "1 to 62 nodes", "got 65")),
        ({"memory": 4096}, ("memory", "one number for each node", "got 4096")),
        ({"memory": (1.5, 4096)}, ("memory", "whole numbers")),
        ({"memory": (1 << 52, 4096)}, ("memory", "in all at most")),
        ({"system": (64 * MIB, 0)}, ("system[0]", "below the node's memory")),
        ({"system": (0, -4096)}, ("system[1]", "got -4096")),
        ({"system": (1, 0)}, ("system[0]", "multiple of 4096", "got 1")),
        ({"system": (0,)}, ("system", "2 entries", "got 1")),
        ({"cpus": (2, -1)}, ("cpus[1]", "must not be negative", "got -1")),
        ({"cpus": (0, 0)}, ("cpus", "1 to 8192 in all", "got 0")),
        ({"cpus": (8000, 8000)}, ("cpus", "1 to 8192 in all", "got 16000")),
        ({"cpus": (1, 1, 1)}, ("cpus", "2 entries", "got 3")),
        ({"cpus": "12"}, ("cpus", "whole numbers", "got '12'")),
        ({"tier": (0, -1)}, ("tier[1]", "must not be negative")),
        ({"latency_ns": [[1, 0], [1, 1]]}, ("latency_ns[0][1]", "positive", "got 0")),
        ({"bandwidth": [[1, 1], [1, -5]]}, ("bandwidth[1][1]", "positive", "got -5")),
        ({"cpu_lists": ((0,), (1,))}, ("cpu_lists", "(2, 1)", "got (1, 1)")),
        ({"cpu_lists": ((0, 1), (1,))}, ("cpu_lists", "once", "comes twice")),
        ({"cpu_lists": ((0, 1), (9999,))}, ("cpu_lists", "0 to 8191", "0 to 9999")),
        ({"cpu_lists": ((0, 1), 2)}, ("cpu_lists", "a list of CPU numbers")),
        ({"numbers": (8, 0)}, ("numbers must rise", "got (8, 0)")),
        ({"numbers": (0, 1024)}, ("numbers must rise", "1023 at most")),
        ({"numbers": (0,)}, ("numbers", "2 entries", "got 1")),
    ],
)
def test_a_bad_field_is_refused_by_name(changes, parts):
    with refused(*parts):
        two_nodes(**changes)


def test_an_asymmetric_slit_is_a_warning_that_names_the_pair():
    with pytest.warns(UserWarning, match="got 20 from node 0 to node 1 and 21 back"):
        two_nodes(distance=[[10, 20], [21, 10]])
    slit = [[10, 20, 30], [21, 10, 40], [31, 40, 10]]
    with pytest.warns(UserWarning, match=r"node 1 and 21 back \(and 1 more"):
        from_slit("three", (GIB,) * 3, (1,) * 3, slit)


# --- fallback order ---------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "node", "filled"),
    [
        (PAIRS, 3, [3, 2, 1, 0]),  # fallback-100 (preferred 3) and fallback-101
        (PAIRS, 2, [2, 3, 0]),  # fallback-102
        (PAIRS, 2, [2, 3, 0, 1]),  # fallback-104
        (TRIANGLE, 1, [1, 0]),  # fallback-103
        (TRIANGLE, 0, [0, 1]),  # fallback-105 (preferred 0)
    ],
)
def test_fallback_is_the_order_in_which_linux_filled_the_nodes(distance, node, filled):
    n = len(distance)
    m = from_slit("recorded", (128 * MIB,) * n, (1,) * n, distance)
    assert m.zonelist()[node, : len(filled)].tolist() == filled


@pytest.mark.parametrize("distance", [10, 20])
def test_equal_nodes_fall_back_to_the_next_ones(distance):
    # "Fallback order for Node" lines of a booted 8-node fake-NUMA machine.
    order = uniform(8, 16 * MIB, distance=distance).zonelist().tolist()
    assert order == [[(i + j) % 8 for j in range(8)] for i in range(8)]


def test_fallback_takes_turns_within_and_between_groups():
    # The boot lines that Wei Yang posted to linux-mm in April 2022.
    group = np.arange(8) // 4
    slit = np.where(group[:, None] == group, 20, 40)
    np.fill_diagonal(slit, 10)
    assert from_slit("8", (GIB,) * 8, (1,) * 8, slit).zonelist().tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [1, 2, 3, 0, 5, 6, 7, 4],
        [2, 3, 0, 1, 6, 7, 4, 5],
        [3, 0, 1, 2, 7, 4, 5, 6],
        [4, 5, 6, 7, 0, 1, 2, 3],
        [5, 6, 7, 4, 1, 2, 3, 0],
        [6, 7, 4, 5, 2, 3, 0, 1],
        [7, 4, 5, 6, 3, 0, 1, 2],
    ]


def test_a_node_without_cpus_comes_before_its_equals():
    slit = [[10, 20, 20], [20, 10, 20], [20, 20, 10]]
    with_cpus = from_slit("cpus", (GIB,) * 3, (1, 1, 1), slit).zonelist()
    without = from_slit("no cpus", (GIB,) * 3, (1, 1, 0), slit).zonelist()
    assert with_cpus[0].tolist() == [0, 1, 2]
    assert without[0].tolist() == [0, 2, 1]


def test_before_5_17_a_load_was_set_and_not_added_up():
    """54d032ced983: its message has the lists of 8 nodes before and after it."""
    pairs = from_slit("pairs", (GIB,) * 4, (1,) * 4, PAIRS)
    assert pairs.zonelist(accumulated=False)[3].tolist() == [3, 2, 0, 1]
    assert pairs.zonelist()[3].tolist() == [3, 2, 1, 0]


def slow_zonelist(m, accumulated=True):
    """Fallback orders as ``find_next_best_node`` finds them, one node at a time."""
    node_load = [0] * m.nodes
    orders = []
    for local in range(m.nodes):
        order, previous = [], local
        load = m.nodes - (m.memory[local] == 0)
        while len(order) < sum(size > 0 for size in m.memory):
            best, best_value = local, None
            for n in range(m.nodes):
                if n in order or not m.memory[n] or (not order and m.memory[local]):
                    continue
                value = int(m.distance[local, n]) + (n < local) + (m.cpus[n] > 0)
                value = value * 1024 + node_load[n]
                if best_value is None or value < best_value:
                    best, best_value = n, value
            if m.distance[local, best] != m.distance[local, previous]:
                node_load[best] = node_load[best] + 1 if accumulated else load
            load -= 1
            order.append(best)
            previous = best
        orders.append(order)
    return orders


@st.composite
def machines(draw):
    n = draw(st.integers(1, 9))
    slit = np.array(draw(st.lists(st.integers(10, 14), min_size=n * n, max_size=n * n)))
    slit = slit.reshape(n, n)
    np.fill_diagonal(slit, 10)
    cpus = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n).filter(any))
    sizes = st.lists(st.sampled_from([0, 16 * MIB]), min_size=n, max_size=n)
    memory = draw(sizes.filter(any))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return from_slit("drawn", memory, cpus, slit)


@given(machines())
def test_zonelists_begin_as_the_slow_model_has_them_and_end_without_memory(m):
    zonelist, there = m.zonelist(), np.array(m.memory) > 0
    assert zonelist.dtype == np.int64
    assert zonelist[there, 0].tolist() == np.flatnonzero(there).tolist()
    assert (np.sort(zonelist, axis=1) == np.arange(m.nodes)).all()
    assert zonelist[:, : there.sum()].tolist() == slow_zonelist(m)
    old = m.zonelist(accumulated=False)[:, : there.sum()]
    assert old.tolist() == slow_zonelist(m, False)


def test_62_nodes_have_a_zonelist():
    m = uniform(62, 4 * MIB)
    assert m.zonelist().tolist() == slow_zonelist(m)


# --- watermarks -------------------------------------------------------------


def test_watermarks_of_a_128_gib_zone():
    # min_free_kbytes = isqrt(2^27 * 16) = 46340; the gap is a thousandth of the zone.
    low, gap = 11585, 33554
    expected = [low, low + gap, low + 2 * gap, low + 3 * gap]
    assert watermarks([1 << 25]).tolist() == [expected]
    assert watermarks([1 << 25]).dtype == np.int64


def test_watermarks_of_a_small_zone_are_a_quarter_of_min_apart():
    # 512 MiB: min_free_kbytes 2896; min // 4 = 181 is more than 131072 // 1000.
    assert watermarks([131072]).tolist() == [[724, 905, 1086, 1267]]


def test_watermarks_share_the_reserve_by_size():
    # 4 GiB in all: min_free_kbytes 8192, 2048 pages.
    marks = watermarks([1 << 18, 3 << 18])
    assert marks[:, 0].tolist() == [512, 1536]
    assert marks[:, 1].tolist() == [512 + 262, 1536 + 786]


def test_the_reserve_has_bounds():
    assert watermarks([256])[0, 0] == 32  # 128 KiB
    assert watermarks([1 << 34, 1 << 34])[:, 0].tolist() == [32768, 32768]  # 256 MiB


def test_thp_asks_for_eleven_pageblocks_a_zone():
    assert watermarks([131072], thp=True).tolist() == [[5632, 7040, 8448, 9856]]
    # More than that is left alone.
    large = [1 << 26] * 4
    assert watermarks(large, thp=True).tolist() == watermarks(large).tolist()


def test_thp_asks_for_a_twentieth_of_what_lies_above_the_high_marks():
    # 128 MiB: high is 542 without THP; (32768 - 542) // 20 = 1611 < 5632.
    assert watermarks([32768])[0, 2] == 542
    assert watermarks([32768], thp=True).tolist() == [[1611, 2013, 2415, 2817]]


def test_an_empty_zone_has_no_watermarks():
    assert watermarks([131072, 0])[1].tolist() == [0, 0, 0, 0]


# --- presets ----------------------------------------------------------------


def test_watermarks_lie_apart_as_the_scale_factor_says():
    # 2 % of 131,072 pages are 2,621; min stays.
    marks = watermarks([131072], scale_factor=200)[0]
    assert marks.tolist() == [724, 724 + 2621, 724 + 2 * 2621, 724 + 3 * 2621]
    # 400 KiB are 100 pages, 25 for each of these.
    marks = watermarks([131072, 3 * 131072], min_free_kbytes=400)
    assert marks[:, 0].tolist() == [25, 75]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_plausible_machine(name):
    m = preset(name, "64GiB")
    assert m.name == name
    assert sum(m.memory) == 64 * GIB
    assert all(size % (2 * MIB) == 0 for size in (*m.memory, *m.system))
    assert all(
        0 < taken <= size // 32 for taken, size in zip(m.system, m.memory, strict=True)
    )
    assert (m.distance == m.distance.T).all()
    assert (m.latency_ns == m.latency_ns.T).all()
    assert (np.diagonal(m.bandwidth) >= m.bandwidth.max(axis=0)).all()
    # The farther, the slower.
    for near, slow in zip(m.distance, m.latency_ns, strict=True):
        order = np.argsort(near, kind="stable")
        assert (np.diff(slow[order]) >= 0).all()


def test_presets_have_their_nodes_and_distances():
    assert [preset(name).nodes for name in PRESETS] == [2, 4, 4, 8, 16, 3]
    two = preset("2s")
    assert two.distance.tolist() == [[10, 21], [21, 10]]
    assert two.latency_ns.tolist() == [[108, 196], [196, 108]]
    assert sum(preset("4s").memory) == 1 << 40
    assert np.unique(preset("4s").distance).tolist() == [10, 21]
    assert preset("4s-ring").distance[0].tolist() == [10, 21, 31, 21]
    assert sorted(preset("8s").distance[5]) == [10, 21, 21, 21, 31, 31, 31, 41]
    assert (
        preset("16-node").distance[5].tolist() == [41] * 4 + [21, 10, 21, 21] + [41] * 8
    )
    assert preset("4s").cpu_node.tolist() == sorted(list(range(4)) * 32)


def test_dram_cxl_has_a_slow_node_without_cpus():
    m = preset("dram-cxl", "64GiB")
    assert m.cpus == (32, 32, 0)
    assert m.tier == (0, 0, 1)
    assert m.memory == (16 * GIB, 16 * GIB, 32 * GIB)
    assert 170 <= m.latency_ns[:2, 2].min() <= m.latency_ns[:2, 2].max() <= 250


def test_preset_memory_is_split_into_whole_pageblocks():
    assert preset("4s", "17MiB").memory == (4 * MIB,) * 4
    assert preset("4s", 16 * MIB).system == (2 * MIB,) * 4
    with refused("memory must be at least 16 MiB", "4 nodes of 4s", "got 15 MiB"):
        preset("4s", "15MiB")
    with refused("memory must be at least 16 MiB", "dram-cxl", "got 0 B"):
        preset("dram-cxl", 0)
    with refused("memory must be", "-5"):
        preset("2s", -5)
    with refused("memory must be a size", "lots"):
        preset("2s", "lots")
    with refused("memory must be", "in all at most"):
        preset("2s", "8PiB")


def test_an_unknown_preset_is_refused_with_the_nearest():
    with refused("preset must be one of 2s, 4s", "got '4s-rng'", "4s-ring"):
        preset("4s-rng")


def test_uniform():
    m = uniform(3, "8MiB", cpus_per_node=2, distance=30, system_bytes=4096)
    assert m.memory == (8 * MIB,) * 3
    assert m.system == (4096,) * 3
    assert m.cpu_node.tolist() == [0, 0, 1, 1, 2, 2]
    assert m.distance[0].tolist() == [10, 30, 30]
    assert uniform(1, 4096).system == (0,)
    with refused("nodes must be 1 to 62", "got 0"):
        uniform(0, "8MiB")
    with refused("distance[0][1] must be 10 to 255", "got 0"):
        uniform(2, "8MiB", distance=0)


# --- sysfs ------------------------------------------------------------------


def write_node(root, number, kbytes, cpulist, distance):
    folder = root / f"node{number}"
    folder.mkdir()
    (folder / "meminfo").write_text(
        f"Node {number} MemTotal:       {kbytes} kB\nNode {number} MemFree: 1 kB\n"
    )
    (folder / "cpulist").write_text(cpulist + "\n")
    (folder / "distance").write_text(distance + "\n")


@pytest.fixture
def sysfs(tmp_path):
    (tmp_path / "online").write_text("0-1,4\n")
    write_node(tmp_path, 0, 65537, "0-1,6-7", "10 21 50")
    write_node(tmp_path, 1, 65536, "2-3", "21 10 60")
    write_node(tmp_path, 2, 65536, "4-5", "offline")
    write_node(tmp_path, 4, 131072, "", "50 60 10")
    return tmp_path


def test_sysfs_gives_online_nodes_and_the_true_numbers_of_nodes_and_cpus(sysfs):
    m = from_sysfs(sysfs)
    assert m.name == sysfs.name
    assert m.node_numbers == (0, 1, 4)
    assert m.memory == (64 * MIB, 64 * MIB, 128 * MIB)
    assert m.system == (2 * MIB,) * 3
    assert m.cpus == (4, 2, 0)
    assert m.tier == (0, 0, 0)
    assert m.cpu_node.tolist() == [0, 0, 1, 1, -1, -1, 0, 0]
    assert m.distance.tolist() == [[10, 21, 50], [21, 10, 60], [50, 60, 10]]
    assert m.latency_ns[0].tolist() == [108, 196, 428]


def test_a_node_without_memory_stays_and_keeps_its_cpus(tmp_path):
    (tmp_path / "online").write_text("0-2\n")
    write_node(tmp_path, 0, 65536, "0", "10 20 30")
    write_node(tmp_path, 1, 0, "1-2", "20 10 15")
    write_node(tmp_path, 2, 65536, "3", "30 15 10")
    m = from_sysfs(tmp_path)
    assert m.memory == (64 * MIB, 0, 64 * MIB)
    assert m.cpu_node.tolist() == [0, 1, 1, 2]
    assert m.zonelist()[1].tolist() == [2, 0, 1]
    assert m.latency_ns[1].tolist() == [188, 108, 148]


def test_sysfs_that_is_missing_or_strange_is_refused(sysfs, tmp_path):
    with refused("machine must be a folder such as", "nowhere"):
        from_sysfs(tmp_path / "nowhere")
    (sysfs / "node1" / "cpulist").write_text("2-x\n")
    with refused("node1/cpulist", "list of numbers", "2-x"):
        from_sysfs(sysfs)
    (sysfs / "node1" / "cpulist").write_text("2-3\n")
    (sysfs / "node1" / "distance").write_text("21 10\n")
    with pytest.warns(UserWarning, match="node1/distance should have 3 .* '21 10'"):
        assert from_sysfs(sysfs).distance[1].tolist() == [20, 10, 20]
    (sysfs / "node1" / "meminfo").write_text("\n")
    with refused("node1/meminfo", "MemTotal"):
        from_sysfs(sysfs)


# --- numactl ----------------------------------------------------------------


def test_numactl_text():
    m = from_numactl(NUMACTL)
    assert m.name == "numactl"
    assert m.memory == (7938 * MIB, 8052 * MIB)
    assert m.cpu_node.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert m.distance.tolist() == [[10, 21], [21, 10]]
    assert m.latency_ns.tolist() == [[108, 196], [196, 108]]


def test_numactl_numbers_may_have_holes_and_nodes_no_cpus():
    text = NUMACTL.replace("node 1 cpus: 2 3 6 7", "node 1 cpus:")
    text = text.replace("node 1", "node 8").replace("  1:", "  8:")
    m = from_numactl(text.replace("node   0   1", "node   0   8"))
    assert m.cpus == (4, 0)
    assert m.tier == (0, 0)
    assert m.node_numbers == (0, 8)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("size: 7939 MB", "size: 7939", ("line 3", "'node N size: X MB'")),
        ("size: 7939 MB", "size: <not available>", ("a size of node 0",)),
        ("0 1 4 5", "0 1 ... 5", ("line 2", "a whole list of CPUs")),
        ("0 1 4 5", "0 one", ("line 2", "list of numbers such as 0-3,8")),
        ("node 1 free", "hello", ("line 7", "must be", "hello")),
        ("node 1 free", "node 1 size", ("line 7", "only one of node 1")),
        ("node distances:\n", "", ("a line 'node distances:'", "got none")),
        ("node   0   1", "nodes", ("line 9", "'node 0 1 ...'", "nodes")),
        ("  1:  21  10", "  1:  21", ("line 11", "'1:' and 2 distances", "1: 21")),
        ("  1:  21  10", "  2:  21  10", ("line 11", "'1:' and 2 distances")),
        ("  1:  21  10", "  1:  21  ten", ("line 11", "'1:' and 2 distances")),
        ("  1:  21  10\n", "", ("line 10", "followed by the distances of node 1")),
        ("  1:  21  10", "  1:  21  10\n  2: 10", ("line 12", "absent", "2: 10")),
        ("  1:  21  10", "  1:  21  10\n" + NUMACTL, ("line 19", "second machine")),
        ("  1:  21  10", "  1:  21  11", ("distance[1][1]", "must be 10")),
        ("node 1 size: 8053 MB\n", "", ("'node 1 size:'", "got none")),
        ("node   0   1\n  0:  10  21\n  1:  21  10\n", "", ("line 8", "followed by")),
        ("node   0   1\n  0:  10  21\n  1:  21  10", "node 0\n0: 10", ("node 1",)),
    ],
)
def test_malformed_numactl_text_is_refused_with_its_line(old, new, parts):
    assert old in NUMACTL
    with refused(*parts):
        from_numactl(NUMACTL.replace(old, new))


@given(st.text(alphabet="node cpusizedtanc:-0123456789MB\n", max_size=200))
def test_any_other_text_is_bad_input(text):
    for whole in (text, text + "\nnode distances:" + text):
        with pytest.raises(BadInput):
            from_numactl(whole)


@given(st.text(alphabet="node cpusizedtanc:-0123456789MB\n$>", max_size=60))
def test_text_in_between_is_passed_over_or_bad_input(text):
    lines = NUMACTL.splitlines()
    for at in range(len(lines)):
        try:
            m = from_numactl("\n".join([*lines[:at], text, *lines[at:]]))
        except BadInput:
            continue
        assert m.memory == (7938 * MIB, 8052 * MIB)


# --- machine ----------------------------------------------------------------


def test_machine_finds_presets_and_files(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(NUMACTL)
    assert machine("8s", "64GiB").memory == (8 * GIB,) * 8
    assert machine(str(path)).name == "box.txt"
    half = machine(str(path), "8GiB")
    assert half.cpu_node.tolist() == machine(str(path)).cpu_node.tolist()
    assert sum(half.memory) == pytest.approx(8 * GIB, abs=4 * MIB)
    assert half.memory[0] / half.memory[1] == pytest.approx(7938 / 8052, rel=1e-3)
    with refused("memory must be at least", "box.txt", "got 1 MiB"):
        machine(str(path), "1MiB")


def test_an_asymmetric_file_is_warned_about_once(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(NUMACTL.replace("  1:  21  10", "  1:  22  10"))
    with pytest.warns(UserWarning, match="21 from node 0 to node 1 and 22") as caught:
        machine(str(path), "8GiB")
    assert len(caught) == 1


def test_an_unknown_machine_is_refused_with_the_nearest_names(tmp_path):
    with refused("machine must be one of 2s", "got '16-nodes'", "16-node"):
        machine("16-nodes")
    with refused("machine must be one of 2s", "got 'hots'", "host"):
        machine("hots")
    with refused("machine must be a folder such as"):
        machine(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with refused("machine must be a file of text", "binary"):
        machine(str(tmp_path / "binary"))


def test_a_machine_can_be_changed_with_replace():
    m = replace(preset("2s", "8GiB"), system=(0, 0), name="bare")
    assert (m.name, m.system) == ("bare", (0, 0))
