"""Machines as people paste and gather them: mails, lscpu, hwloc, sysfs, archives."""

import io
import json
import re
import tarfile
import textwrap

import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.engine.machines.choice import MachineChoice
from lazynuma.engine.machines.cpu_numbers import Cpus, ranges
from lazynuma.engine.machines.firmware import mask_list
from lazynuma.engine.machines.numactl import from_numactl
from lazynuma.engine.machines.presets import preset
from lazynuma.engine.machines.spec import machine
from lazynuma.engine.machines.sysfs import from_sysfs

MIB, GIB = 1 << 20, 1 << 30

NUMACTL = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1 4 5
node 0 size: 8192 MB
node 0 free: 6613 MB
node 1 cpus: 2 3 6 7
node 1 size: 4096 MB
node 1 free: 7010 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""


def refused(*parts):
    return pytest.raises(BadInput, match=".*".join(map(re.escape, parts)))


def is_the_machine(m):
    return (
        m.memory == (8 * GIB, 4 * GIB)
        and m.cpu_node.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
        and m.distance.tolist() == [[10, 21], [21, 10]]
    )


# --- numactl ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + NUMACTL,
        NUMACTL.replace("\n", "\r\n"),
        NUMACTL.replace(" ", "\u00a0"),
        "$ numactl --hardware\n" + NUMACTL + "[user@host ~]$\n",
        "root@node01:~# numactl -H\n" + NUMACTL + "root@node01:~#",
        "```\n" + NUMACTL + "```\n",
        "".join(f"> {line}\n" for line in NUMACTL.splitlines()),
        "".join(f">> > {line}\n" for line in NUMACTL.splitlines()),
        "Hello,\nthis is my machine:\n\n" + NUMACTL + "\nWhat do you think?\n-- \nX\n",
        NUMACTL.replace("available", "libnuma: Warning: /sys not mounted\navailable"),
        NUMACTL.replace("node 1 cpus", "libnuma: Warning: node 1 odd\nnode 1 cpus"),
        NUMACTL.replace("size: 8192 MB", "size: 8192 MB   <-- all of it"),
        NUMACTL.replace("size: 8192 MB", "size: 8192 MB (8 GB)"),
        NUMACTL.replace("0 1 4 5", "0 1 4 5   # first socket"),
        NUMACTL.replace("10  21", "10  21   <- slow"),
        NUMACTL.replace("0 1 4 5", "0 1\n4 5"),
        NUMACTL.replace("0 1 4 5", "0-1,4-5"),
        NUMACTL.replace("10  21\n", "10\n21\n"),
        NUMACTL.replace("node   0   1", "node   0\n  1"),
        NUMACTL.replace("8192 MB", "8 GB"),
    ],
)
def test_what_mails_and_shells_put_around_is_passed_over(text):
    assert is_the_machine(from_numactl(text))


def test_without_distances_they_are_those_that_linux_takes():
    head = NUMACTL[: NUMACTL.index("node distances")]
    text = head + "No distance information available.\n"
    assert from_numactl(text).distance.tolist() == [[10, 20], [20, 10]]
    one = "node 0 cpus: 0\nnode 0 size: 16222 MB\nNo distance information available."
    assert from_numactl(one).distance.tolist() == [[10]]
    cut = text.replace("node 1 cpus: 2 3 6 7\nnode 1 size: 4096 MB\n", "")
    with refused("line 1 of the numactl text", "1 nodes that follow"):
        from_numactl(cut.replace("node 1 free: 7010 MB\n", ""))


def test_lists_that_a_mail_wrapped_and_numbers_with_holes():
    first, second = (
        textwrap.fill(" ".join(map(str, range(a, a + 32))), 70) for a in (0, 64)
    )
    text = (
        "available: 4 nodes (0,8,254-255)\n"
        f"node 0 cpus: {first}\nnode 0 size: 130210 MB\n"
        f"node 8 cpus: {second}\nnode 8 size: 130784 MB\n"
        "node 254 cpus:\nnode 254 size: 0 MB\nnode 255 cpus:\nnode 255 size: 0 MB\n"
        "node distances:\nnode   0   8  254  255\n  0:  10  40  80  80\n"
        "  8:  40  10  80  80\n 254:  80  80  10  80\n 255:  80  80  80  10\n"
    )
    m = from_numactl(text)
    assert m.node_numbers == (0, 8, 254, 255)
    assert m.cpus == (32, 32, 0, 0)
    assert m.memory[2:] == (0, 0)


def test_nodes_that_the_text_does_not_have_in_order_are_put_in_order():
    text = NUMACTL.replace("node   0   1\n  0:  10  21\n  1:  21  10", "@")
    m = from_numactl(text.replace("@", "node   1   0\n  1:  10  21\n  0:  21  10"))
    assert is_the_machine(m)


def test_cpus_that_the_text_does_not_have_can_be_set(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text(re.sub("node . cpus.*\n", "", NUMACTL))
    with refused("old.txt must say which CPUs", "machine.cpus=8,8"):
        machine(path)
    m = machine(MachineChoice(str(path), cpus=(3, 1)))
    assert m.cpu_node.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "box.txt"
    path.write_bytes(("Grüße\n" + NUMACTL).encode(encoding))
    assert is_the_machine(machine(path))


def test_more_nodes_than_masks_have_bits_are_refused():
    nodes = range(63)
    text = "".join(f"node {n} cpus: {n}\nnode {n} size: 64 MB\n" for n in nodes)
    with refused("must have 62 nodes at most, got 63"):
        from_numactl(text + "No distance information available.")


# --- lscpu ------------------------------------------------------------------

LSCPU = """\
Architecture:            x86_64
CPU(s):                  8
  On-line CPU(s) list:   0-7
NUMA:
  NUMA node(s):          3
  NUMA node0 CPU(s):     0,1,4,5
  NUMA node1 CPU(s):     2,3,6,7
  NUMA node2 CPU(s):
"""
TABLE = "# CPU,Core,Socket,Node,,L1d\n" + "".join(
    f"{cpu},{cpu},0,{cpu // 2 % 2},,{cpu}\n" for cpu in range(8)
)
COLUMNS = "CPU NODE SOCKET CORE ONLINE\n" + "".join(
    f"{cpu:3} {cpu // 2 % 2:4} 0 {cpu} yes\n" for cpu in range(8)
)
FIELDS = [
    {"field": "NUMA:", "data": None, "children": []},
    {"field": "NUMA node0 CPU(s):", "data": "0,1,4,5"},
    {"field": "NUMA node1 CPU(s):", "data": "2,3,6,7"},
]
FIELDS[0]["children"] = FIELDS[1:]
CPUS = [{"cpu": cpu, "node": cpu // 2 % 2} for cpu in range(8)]


@pytest.mark.parametrize(
    "text",
    [
        LSCPU.replace("  NUMA node2 CPU(s):\n", ""),
        "$ lscpu\n" + LSCPU.replace("  NUMA node2 CPU(s):\n", ""),
        TABLE,
        COLUMNS,
        json.dumps({"lscpu": FIELDS[1:]}),
        json.dumps({"lscpu": FIELDS[:1]}),
        json.dumps({"cpus": CPUS}),
    ],
)
def test_lscpu_in_all_its_forms(tmp_path, text):
    path = tmp_path / "lscpu.txt"
    path.write_text(text)
    m = machine(path, "4GiB")
    assert m.cpu_node.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert m.memory == (2 * GIB, 2 * GIB)
    assert m.distance.tolist() == [[10, 20], [20, 10]]


def test_lscpu_says_no_sizes(tmp_path):
    path = tmp_path / "lscpu.txt"
    path.write_text(LSCPU)
    with refused("memory must be given: lscpu.txt does not say it"):
        machine(path)
    with pytest.warns(UserWarning, match="taken to have 8 GiB, in equal parts"):
        assert machine(path, None, 8 * GIB).memory == (4 * GIB, 4 * GIB, 0)


def test_lscpu_of_a_container_has_no_nodes(tmp_path):
    path = tmp_path / "lscpu.txt"
    path.write_text("CPU(s):   4\nOn-line CPU(s) list:   0-2,8\n")
    assert machine(path, "1GiB").cpu_node.tolist() == [0] * 3 + [-1] * 5 + [0]
    path.write_text("CPU(s):   4\nOn-line CPU(s) list:   0-x\n")
    with refused("On-line CPU(s) list of the lscpu text", "0-x"):
        machine(path, "1GiB")
    path.write_text('{"lscpu": [')
    with refused("machine must be a file with the output of"):
        machine(path, "1GiB")


# --- hwloc ------------------------------------------------------------------

V2 = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0x0000000f" gp_index="1">
    <object type="Package" os_index="0" cpuset="0x0000000f" gp_index="2">
      <object type="NUMANode" os_index="1" cpuset="0x0000000f"
        local_memory="1073741824" gp_index="8" subtype="HBM"/>
      <object type="NUMANode" os_index="0" cpuset="0x0000000f"
        local_memory="8589934592" gp_index="7"/>
      <object type="PU" os_index="0"/><object type="PU" os_index="1"/>
    </object>
  </object>
  <distances2 type="NUMANode" nbobjs="2" kind="5" indexing="os">
    <indexes length="4">0 1 </indexes>
    <u64values length="12">10 13 13 10 </u64values>
  </distances2>
  <memattr name="Bandwidth" flags="5">
    <memattr_value target_obj_gp_index="7" value="131072" initiator_cpuset="0xf"/>
    <memattr_value target_obj_gp_index="8" value="524288" initiator_cpuset="0xf"/>
  </memattr>
  <memattr name="Latency" flags="6">
    <memattr_value target_obj_gp_index="7" value="100" initiator_cpuset="0xf"/>
    <memattr_value target_obj_gp_index="8" value="120" initiator_cpuset="0xf"/>
  </memattr>
</topology>
"""
V1 = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc.dtd">
<topology>
  <object type="Machine" os_index="0" cpuset="0x0000000f">
    <distances nbobjs="2" relative_depth="1" latency_base="10.000000">
      <latency value="1.000000"/><latency value="2.100000"/>
      <latency value="2.100000"/><latency value="1.000000"/>
    </distances>
    <object type="NUMANode" os_index="0" cpuset="0x00000003" local_memory="8589934592">
      <object type="PU" os_index="0"/><object type="PU" os_index="1"/>
    </object>
    <object type="NUMANode" os_index="1" local_memory="4294967296">
      <object type="Core"><object type="PU" os_index="2"/></object>
      <object type="PU" os_index="3"/>
    </object>
  </object>
</topology>
"""


def test_hwloc_version_2_with_memory_attributes(tmp_path):
    path = tmp_path / "topology.xml"
    path.write_text(V2)
    m = machine(path)
    assert m.memory == (8 * GIB, GIB)
    assert m.cpus == (4, 0)
    assert m.distance.tolist() == [[10, 13], [13, 10]]
    assert m.latency_ns[0].tolist() == [100, 120]
    assert m.bandwidth[0].tolist() == [131072 * MIB, 524288 * MIB]
    # 576 * 120 / 100 * 1 / 4 = 172: nearer than DRAM's 576.
    assert m.tier == (1, 0)
    assert m.top_tier == 1


def test_hwloc_version_1(tmp_path):
    path = tmp_path / "topology.xml"
    path.write_text(V1)
    m = machine(path)
    assert m.memory == (8 * GIB, 4 * GIB)
    assert m.cpu_node.tolist() == [0, 0, 1, 1]
    assert m.distance.tolist() == [[10, 21], [21, 10]]


def test_hwloc_xml_that_is_strange_is_refused(tmp_path):
    path = tmp_path / "topology.xml"
    entity = V2.replace('dtd">', 'dtd" [<!ENTITY a "b">]>')
    for text, parts in (
        (V2.replace("</topology>", ""), ("well formed",)),
        (entity, ("entities",)),
        (V2.replace('cpuset="0x0000000f"', 'cpuset="x"'), ("cpuset", "a mask")),
        (V2.replace('os_index="1"', 'os_index="0"'), ("different numbers",)),
        ("<topology></topology>", ("an object NUMANode or Machine",)),
    ):
        path.write_text(text)
        with refused(*parts):
            machine(path)


# --- sysfs ------------------------------------------------------------------


def meminfo(node, kbytes):
    return f"Node {node} MemTotal:       {kbytes} kB\nNode {node} MemFree: 1 kB\n"


TREE = {
    "devices/system/node/online": "0-1\n",
    "devices/system/node/node0/meminfo": meminfo(0, 8 << 20),
    "devices/system/node/node0/cpumap": "00000000,00000033\n",
    "devices/system/node/node0/distance": "10 21\n",
    "devices/system/node/node1/meminfo": meminfo(1, 4 << 20),
    "devices/system/node/node1/cpumap": "000000cc\n",
    "devices/system/node/node1/distance": "21 10\n",
    "devices/system/cpu/online": "0-7\n",
}


def write_tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())


def write_archive(path, files, mode):
    with tarfile.open(path, mode) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            # As hwloc's gathering leaves them.
            data = text.encode() + b"\0" * 7
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("below", ["", "sys/", "box/sys/"])
def test_a_folder_of_sysfs_wherever_it_begins(tmp_path, below):
    write_tree(tmp_path, {below + name: text for name, text in TREE.items()})
    assert is_the_machine(machine(tmp_path))
    assert is_the_machine(from_sysfs(tmp_path / below / "devices/system/node"))


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_an_archive_of_sysfs_is_read_in_memory(tmp_path, kind):
    path = tmp_path / "box.tar"
    evil = {"../evil": "x", "/etc/evil": "x"}
    files = {f"box/sys/{name}": text for name, text in TREE.items()}
    write_archive(path, evil | files, f"w:{kind}")
    m = machine(path)
    assert is_the_machine(m)
    assert m.name == "box.tar"
    assert list(tmp_path.iterdir()) == [path]


def test_archives_that_are_damaged_foreign_or_of_two_machines_are_refused(tmp_path):
    path = tmp_path / "box.tar.gz"
    two = {f"{box}/sys/{n}": text for box in "ab" for n, text in TREE.items()}
    write_archive(path, two, "w:gz")
    with refused("machine must be of one computer", "a/sys", "b/sys"):
        machine(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with refused("machine must be a whole tar archive"):
        machine(path)
    write_archive(path, {"readme": "x"}, "w:gz")
    with refused("machine must be a folder such as", "no node0/meminfo"):
        machine(path)


def test_cpus_and_nodes_that_are_offline_are_left_out(tmp_path):
    files = TREE | {"devices/system/cpu/online": "0-1,4-6\n"}
    write_tree(tmp_path, files)
    assert machine(tmp_path).cpu_node.tolist() == [0, 0, -1, -1, 0, 0, 1]
    write_tree(tmp_path, {"devices/system/node/online": "1\n"})
    m = machine(tmp_path)
    assert m.node_numbers == (1,)
    # Its row has a number for each node, also for the one that is gone.
    assert m.distance.tolist() == [[10]]


def test_a_kernel_without_numa_is_one_node(tmp_path):
    files = {
        "sys/devices/system/cpu/online": "0-3\n",
        "proc/meminfo": "MemTotal:        1048576 kB\n",
    }
    write_tree(tmp_path, files)
    m = machine(tmp_path)
    assert (m.memory, m.cpus, m.node_numbers) == ((GIB,), (4,), (0,))


def test_a_cpu_on_two_nodes_is_refused_with_its_number(tmp_path):
    write_tree(tmp_path, TREE | {"devices/system/node/node1/cpumap": "000000cd\n"})
    with refused("each CPU on one node, got CPU 0 on nodes 0 and 1"):
        machine(tmp_path)


def test_hmat_and_tiers_of_sysfs(tmp_path):
    node = "devices/system/node/node{}/access1/initiators/{}"
    gpu = "devices/system/node/node1/access0/initiators/read_latency"
    files = TREE | {
        gpu: "50\n",
        "devices/system/node/node1/cpumap": "0\n",
        node.format(0, "read_latency"): "100\n",
        node.format(0, "read_bandwidth"): "120000\n",
        node.format(1, "read_latency"): "250\n",
        node.format(1, "read_bandwidth"): "30000\n",
    }
    write_tree(tmp_path, files)
    m = machine(tmp_path)
    assert m.latency_ns[0].tolist() == [100, 250]
    assert m.bandwidth[0].tolist() == [120 * 10**9, 30 * 10**9]
    assert m.tier == (0, 1)
    tier = "devices/virtual/memory_tiering/memory_tier{}/nodelist"
    write_tree(tmp_path, {tier.format(4): "0-1\n"})
    assert machine(tmp_path).tier == (0, 0)


def test_masks():
    assert mask_list("00000001,00000003\n", "mask") == (0, 1, 32)
    assert mask_list("0xf...f".replace("...", ""), "mask") == tuple(range(8))
    assert mask_list("0x0", "mask") == ()
    with refused("mask must be a mask", "7g"):
        mask_list("7g", "mask")


# --- what is known beside it ----------------------------------------------------


@pytest.fixture
def hbm(tmp_path):
    path = tmp_path / "hbm.txt"
    path.write_text(
        "node 0 cpus: 0 1\nnode 0 size: 8192 MB\n"
        "node 1 cpus: 2 3\nnode 1 size: 8192 MB\n"
        "node 2 cpus:\nnode 2 size: 1024 MB\nnode distances:\nnode 0 1 2\n"
        "0: 10 21 13\n1: 21 10 23\n2: 13 23 10\n"
    )
    return str(path)


def test_a_node_without_cpus_is_dram_until_more_is_known(hbm):
    m = machine(hbm)
    assert m.tier == (0, 0, 0)
    assert m.latency_ns[:2, 2].tolist() == [132, 212]
    assert m.bandwidth[2, 2] == m.bandwidth[0, 0]


def test_one_number_for_each_node_or_for_each_pair(hbm):
    m = machine(
        MachineChoice(
            hbm,
            latency_ns=(100.4, 100, 130),
            bandwidth_gbps=(100, 100, 400),
            tier=(1, 1, 0),
        )
    )
    assert m.latency_ns[:2].tolist() == [[100, 188, 130], [188, 100, 210]]
    assert m.bandwidth[0].tolist() == [100 * 10**9, 56 * 10**9, 400 * 10**9]
    assert m.bandwidth[1, 2] == 56 * 10**9 * 21 // 23
    assert m.bandwidth[2, 2] == 400 * 10**9
    assert m.tier == (1, 1, 0)
    pairs = (100, 200, 130, 200, 100, 220, 130, 220, 90)
    m = machine(MachineChoice(hbm, latency_ns=pairs))
    assert m.latency_ns.ravel().tolist() == list(pairs)
    with refused("latency_ns must have 3 or 9 numbers", "got 2"):
        machine(MachineChoice(hbm, latency_ns=(1, 2)))
    with refused("tier must have 3 entries"):
        machine(MachineChoice(hbm, tier=(1, 2)))


def test_presets_take_knowledge_too():
    m = machine(MachineChoice("2s", cpus=(2, 6), distance=(10, 32, 32, 10)), "8GiB")
    assert m.cpus == (2, 6)
    assert m.distance.tolist() == [[10, 32], [32, 10]]
    assert m.latency_ns[0, 1] == 108 + 8 * 22
    assert machine("dram-cxl", "8GiB").tier == preset("dram-cxl").tier == (0, 0, 1)


MLC = """\
Measuring idle latencies for random access (in ns)...
\t\tNuma node
Numa node\t     0\t     1\t     2
       0\t 110.5\t 190.0\t 250.0
       1\t 191.0\t 111.5\t 330.0

Measuring Memory Bandwidths between nodes within system
Bandwidths are in MB/sec (1 MB/sec = 1,000,000 Bytes/sec)
Using Read-only traffic type
\t\tNuma node
Numa node\t     0\t     1\t     2
       0\t110826.2\t51393.2\t24000.0
       1\t51401.9\t110862.6\t20000.0
"""


def test_the_matrices_of_mlc(hbm, tmp_path):
    path = tmp_path / "mlc.txt"
    path.write_text(MLC)
    m = machine(MachineChoice(hbm, mlc=str(path)))
    assert m.latency_ns[:2].tolist() == [[110, 190, 250], [191, 112, 330]]
    assert m.bandwidth[0].tolist() == [110_826_200_000, 51_393_200_000, 24 * 10**9]
    assert m.bandwidth[2, 2] == 24 * 10**9
    # 576 * 250 / 110 * 110.8 / 24: a tier below DRAM.
    assert m.tier == (0, 0, 1)
    path.write_text(MLC.replace("     2", "     7"))
    with refused("mlc text must be of the nodes of hbm.txt, 0, 1, 2, got node 7"):
        machine(MachineChoice(hbm, mlc=str(path)))
    path.write_text("nothing")
    with refused("mlc text must have a matrix"):
        machine(MachineChoice(hbm, mlc=str(path)))


def hmat_table(kind, base, entries):
    lines = [
        "[028h 0040   2]               Structure Type : 0001 [System Locality]",
        f"[031h 0049   1]                    Data Type : {kind:02X}",
        f"[040h 0064   8]              Entry Base Unit : {base:016X}",
        "[048h 0072   4] Initiator Proximity Domain List : 00000000",
        "[04Ch 0076   4] Initiator Proximity Domain List : 00000001",
        *(f"[050h 0080   4] Target Proximity Domain List : {n:08X}" for n in range(3)),
        *(f"[05Ch 0092   2]                        Entry : {e:04X}" for e in entries),
    ]
    return "\n".join(lines) + "\n"


def test_the_tables_of_hmat(hbm, tmp_path):
    path = tmp_path / "hmat.dsl"
    latency = hmat_table(1, 1000, (100, 200, 130, 200, 100, 0xFFFF))
    bandwidth = hmat_table(4, 100, (1000, 500, 4000, 500, 1000, 0))
    path.write_text(latency + bandwidth)
    m = machine(MachineChoice(hbm, hmat=str(path)))
    assert m.latency_ns[:2].tolist() == [[100, 200, 130], [200, 100, 212]]
    assert m.bandwidth[0].tolist() == [100 * 10**9, 50 * 10**9, 400 * 10**9]
    assert m.tier == (1, 1, 0)
    path.write_text(hmat_table(1, 1000, (100, 200)))
    with refused("HMAT text must have 6 entries", "got 2"):
        machine(MachineChoice(hbm, hmat=str(path)))
    path.write_text("nothing")
    with refused("HMAT text must have a structure"):
        machine(MachineChoice(hbm, hmat=str(path)))
    with refused("machine.hmat must be a file", "absent"):
        machine(MachineChoice(hbm, hmat="absent"))


# --- sizes and CPUs -------------------------------------------------------------


def test_a_file_has_its_own_sizes_and_a_preset_those_of_the_scenario(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(NUMACTL)
    assert machine(path, None, 64 * GIB).memory == (8 * GIB, 4 * GIB)
    assert machine(path, None, 64 * GIB).system == (2 * MIB, 2 * MIB)
    assert machine("2s", None, 64 * GIB).memory == (32 * GIB, 32 * GIB)
    assert machine(path, 6 * GIB, 64 * GIB).memory == (4 * GIB, 2 * GIB)


def test_nodes_without_memory_get_none_of_it(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(NUMACTL.replace("size: 4096", "size: 0"))
    assert machine(path, "2GiB").memory == (2 * GIB, 0)


def test_cpus_that_the_machine_has_are_themselves_and_others_go_by_rank(tmp_path):
    path = tmp_path / "box.txt"
    path.write_text(NUMACTL.replace("0 1 4 5", "0 8").replace("2 3 6 7", "16 24"))
    cpus = Cpus(machine(path))
    assert [cpus.of(n) for n in (0, 8, 16, 24)] == [0, 8, 16, 24]
    with pytest.warns(UserWarning, match="whose 4 are 0,8,16,24, got CPU 1: it is"):
        assert cpus.of(1) == 8
    # Said once.
    assert [cpus.of(n) for n in (2, 3, 6, 200)] == [16, 24, 16, 0]
    assert [cpus.nth(n) for n in range(5)] == [0, 8, 16, 24, 0]


def test_ranges():
    assert ranges([0, 1, 2, 3, 8, 10, 11]) == "0-3,8,10-11"
