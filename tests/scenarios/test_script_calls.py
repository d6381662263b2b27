"""Memory scripts: what calls return, what profiles have, threads, and machines."""

import json

import pytest

from lazynuma.engine import BadInput
from lazynuma.engine.machines.presets import preset
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.script import footprint
from lazynuma.scenarios.script.grammar import parse
from lazynuma.scenarios.script.player import play as played
from lazynuma.scenarios.script.player import script_machine

TWO = "machine nodes=2 mem=256M\n"
THREE = "machine nodes=3 mem=256M distance=10,16,22/16,10,22/22,22,10\n"
SMALL = "set thp.enabled never\nmap A 16p\n"


def play(text, profile="linux-6.12"):
    """Return the records of a script, without their lines."""
    records = played(parse(text.splitlines()), profile)
    return [{k: v for k, v in one.items() if k != "line"} for one in records]


def results(text, profile="linux-6.12"):
    """Return the errors of a script."""
    return [one["result"] for one in play(text, profile)]


def nodes(text, profile="linux-6.12"):
    """Return the node of each page of region A after a script."""
    runs = play(text + "observe A\n", profile)[-1]["runs"]
    return [node for pages, _, node, _ in runs for _ in range(pages)]


# --- what a profile has ---------------------------------------------------------------

#: (operation on region A, kernel that brought it)
NEWER = (
    ("advise A free", 4.5),
    ("advise A cold", 5.04),
    ("advise A pageout", 5.04),
    ("advise A populate_read", 5.14),
    ("advise A populate_write", 5.14),
    ("advise A collapse", 6.01),
    ("policy A preferred_many 0,1", 5.15),
    ("policy A weighted_interleave 0,1", 6.09),
    ("taskpolicy preferred_many 0,1", 5.15),
    ("taskpolicy weighted_interleave 0,1", 6.09),
    ("taskpolicy bind 0 balancing", 5.12),
    ("taskpolicy preferred_many 0,1 balancing", 6.10),
)
VERSIONS = {"linux-3.8": 3.08, "linux-6.1": 6.01, "linux-6.12": 6.12}
VERSIONS |= {"balancenuma-v4": 3.07, "linux-3.9": 3.09, "linux-3.13": 3.13}
VERSIONS |= {"linux-3.19": 3.19, "linux-4.0-rc1": 4.0, "linux-4.0": 4.0}
VERSIONS |= {"linux-6.4": 6.04, "linux-6.16": 6.16, "linux-6.18": 6.18}
VERSIONS |= {"linux-7.3": 7.03}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("line", "since"), NEWER)
def test_what_a_kernel_has_not_is_einval(profile, line, since):
    text = TWO + "map A 4M\ntouch A 0 4M 4K w\n" + line + "\n"
    has = VERSIONS[profile] >= since
    assert results(text, profile) == ([] if has else ["EINVAL"])


def test_einval_comes_before_what_is_wrong_with_the_range():
    text = TWO + SMALL + "unmap A 4p 1p\nadvise A cold\npolicy A preferred_many 0\n"
    assert results(text, "linux-3.8") == ["EINVAL", "EINVAL"]
    assert results(text) == ["ENOMEM", "EFAULT"]


def test_a_write_after_fork_copies_huge_pages_before_5_8():
    """Eight huge pages, the job of BGSAVE: 16 MiB, or a page of each."""
    text = "machine nodes=1 mem=512M\nset thp.enabled always\nmap A 16M\n"
    text += "touch A 0 16M 4K w\nnodefree\nfork kid\ntouch A 0 16M 2M w\nobserve A\n"
    for profile, huge, kib in (("linux-3.8", 16384, 16384), ("linux-6.1", 0, 32)):
        before, seen, after = play(text + "nodefree\n", profile)
        assert seen["pmd_mapped_kb"] == huge
        assert before["free_kb"] - after["free_kb"] == kib


@pytest.mark.parametrize(
    ("profile", "second"), [("linux-3.8", 0), ("linux-6.1", 1), ("linux-6.12", 1)]
)
def test_fallback_goes_by_the_kernels_lists(profile, second):
    """Node 3 of two pairs is full: 5.17 (54d032ced983) goes to node 1 first."""
    text = "machine nodes=4 mem=128M distance=10,16,22,22/16,10,22,22/22,22,10,16"
    text += "/22,22,16,10\nset thp.enabled never\nmap A 120M\npolicy A bind 0,1,3\n"
    seen = nodes(text + "cpu 3\ntouch A 0 120M 4K w\n", profile)
    assert seen[0] == 3 and seen[-1] == second


# --- nodes that do not exist ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("policy A bind 5", "EINVAL"),
        ("policy A preferred 5", "EINVAL"),
        ("policy A default 0", "EINVAL"),
        ("policy A local 5", "EINVAL"),
        ("taskpolicy interleave 4-7", "EINVAL"),
        ("taskpolicy interleave 0 balancing", "EINVAL"),
        ("move A 0 4K 5", "ENODEV"),
        ("migrate 0 5", "EINVAL"),
        ("home A 5", "EINVAL"),
        ("set node.5.weight 2", "ENOENT"),
    ],
)
def test_absent_nodes_are_errors_of_the_call(line, error):
    assert results(TWO + SMALL + line + "\n") == [error]


def test_nodes_that_exist_are_taken_and_others_left_out():
    """mpol_set_nodemask, kernel_migrate_pages: before 4.16 all must have memory."""
    touch = "touch A 0 16p 4K w\n"
    assert nodes(TWO + SMALL + "policy A bind 1,5\n" + touch) == [1] * 16
    assert nodes(TWO + SMALL + "policy A interleave 0,1,5\n" + touch) == [0, 1] * 8
    migrate = TWO + SMALL + touch + "migrate 0 1,5\n"
    assert nodes(migrate) == [1] * 16
    assert results(migrate, "linux-3.8") == ["EINVAL"]
    assert nodes(TWO + SMALL + touch + "migrate 5 1\n") == [0] * 16


# --- weights, home nodes --------------------------------------------------------------


def test_weighted_interleave_goes_by_the_nodes_weights():
    text = TWO + SMALL + "set node.0.weight 3\npolicy A weighted_interleave 0,1\n"
    assert nodes(text + "touch A 0 16p 4K w\n") == [0, 0, 0, 1] * 4
    text = TWO + SMALL + "policy A weighted_interleave 0,1\n"
    assert nodes(text + "touch A 0 16p 4K w\n") == [0, 1] * 8
    assert results(TWO + "set node.0.weight 3\n", "linux-6.1") == ["ENOENT"]


def test_weights_change_policies_that_are_there():
    """Of VMAs, of shared mappings and of tasks; 0 is the default again."""
    text = TWO + SMALL + "policy A weighted_interleave 0,1\nset node.1.weight 3\n"
    assert nodes(text + "touch A 0 8p 4K w\n")[:8] == [0, 1, 1, 1] * 2
    text += "set node.1.weight 0\ntouch A 0 16p 4K w\n"
    assert nodes(text) == [0, 1] * 8
    shared = TWO + "map A 16p shared\npolicy A weighted_interleave 0,1\n"
    seen = nodes(shared + "set node.1.weight 3\ntouch A 0 16p 4K w\n")
    assert seen.count(1) == 12
    task = TWO + SMALL + "taskpolicy weighted_interleave 0,1\nset node.1.weight 3\n"
    assert nodes(task + "touch A 0 16p 4K w\n").count(1) == 12


def test_a_home_node_is_where_bind_begins():
    touch = "touch A 0 16p 4K w\n"
    bind = THREE + SMALL + "policy A bind 1,2\n"
    assert nodes(bind + touch) == [1] * 16
    assert nodes(bind + "home A 2\n" + touch) == [2] * 16
    assert nodes(bind + "home A 2 at 4p 8p\n" + touch) == [1] * 4 + [2] * 8 + [1] * 4
    many = THREE + SMALL + "policy A preferred_many 1,2\nhome A 2\n"
    assert nodes(many + touch) == [2] * 16
    # Another mbind forgets it; a child inherits it.
    assert nodes(bind + "home A 2\npolicy A bind 1,2\n" + touch) == [1] * 16
    forked = "home A 2\nfork kid\nin kid touch A 0 16p 4K w\nin kid observe A\n"
    assert play(bind + forked)[-1]["runs"] == [[16, "present", 2, False]]


@pytest.mark.parametrize(
    ("policy", "profile", "error"),
    [
        ("default", "linux-6.12", "ENOENT"),
        ("interleave 0,1", "linux-6.12", "EOPNOTSUPP"),
        ("bind 0", "linux-3.8", "ENOSYS"),
    ],
)
def test_a_home_node_needs_a_policy_that_has_one(policy, profile, error):
    text = TWO + SMALL + f"policy A {policy}\nhome A 1\n"
    assert results(text, profile) == [error]


# --- status of move_pages -------------------------------------------------------------

ENOENT, EACCES, EFAULT = -2, -13, -14
MOVES = """\
touch A 0 2p 4K w
touch A 2p 1p 4K r
unmap A 5p 1p
fork kid
touch A 1p 1p 4K w
"""


def test_move_tells_the_status_of_each_page_if_asked():
    text = TWO + SMALL + MOVES
    asked = text + "set move.status 1\nmove A 0 7p 1\n"
    want = [EACCES, 1, EFAULT, ENOENT, ENOENT, EFAULT, ENOENT]
    assert play(asked) == [{"status": want}]
    assert play(text + "move A 0 7p 1\n") == []
    assert play(asked + "set move.status 0\nmove A 0 7p 1\n") == [{"status": want}]
    end = "set move.status 1\nmove A 14p 4p 1\n"
    assert play(TWO + SMALL + end) == [{"status": [ENOENT, ENOENT, EFAULT, EFAULT]}]


def test_a_page_that_finds_no_room_is_enomem():
    text = "machine nodes=2 mem=256M,80M\nset thp.enabled never\nmap A 40M\n"
    text += "touch A 0 40M 4K w\nset move.status 1\nmove A 0 40M 1\n"
    status = play(text)[-1]["status"]
    assert {1, -12} == set(status) and status[0] == 1 and status[-1] == -12


def test_the_file_has_the_status_as_runs(tmp_path, capsys):
    from lazynuma.engine import RunFile

    script, output = tmp_path / "a.mm", tmp_path / "a.h5"
    script.write_text(TWO + SMALL + MOVES + "set move.status 1\nmove A 0 7p 1\n")
    assert commands.main(["replay", str(script), "-o", str(output)]) == 0
    shown = "status: 1 x -EACCES, 1 x 1, 1 x -EFAULT, 2 x -ENOENT"
    assert shown in capsys.readouterr().out
    with RunFile(output) as file:
        table = file.records["move_status"]
        assert table.rows == 6
        assert table["pages"].tolist() == [1, 1, 1, 2, 1, 1]
        assert table["status"].tolist() == [EACCES, 1, EFAULT, ENOENT, EFAULT, ENOENT]
        assert table["error"].tolist()[:2] == ["-EACCES", ""]


# --- threads --------------------------------------------------------------------------


def test_a_thread_has_its_own_cpu_and_policy_and_its_processs_memory():
    text = THREE + SMALL + "thread T\nin T cpu 1\ntouch A 0 4p 4K w\n"
    text += "in T touch A 4p 4p 4K w\nin T taskpolicy bind 2\n"
    text += "in T touch A 8p 4p 4K w\ntouch A 12p 4p 4K w\nin T map B 1p\n"
    assert nodes(text) == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 4
    assert play(text + "touch B 0 1p 4K w\nin T observe B\n")[-1]["runs"]


def test_a_thread_inherits_the_policy_and_dies_with_its_process():
    text = TWO + SMALL + "fork kid\nin kid taskpolicy bind 1\nin kid thread T\n"
    seen = play(text + "in T touch A 0 1p 4K w\nin T observe A\n")[-1]["runs"]
    assert seen[0] == [1, "present", 1, False]
    died = text + "in T unmap A 0 1p\nin T touch A 0 1p 4K w\nin kid cpu 1\n"
    want = [{"killed": "T", "signal": 11}, {"killed": "kid", "signal": 11}]
    assert play(died) == want
    assert play(text + "exit kid\nnodefree\n")
    for line in ("in T cpu 0", "exit T", "thread T"):
        with pytest.raises(BadInput, match="line 8"):
            parse((text + "exit kid\n" + line).splitlines())
    with pytest.raises(BadInput, match="main"):
        parse((text + "in T fork other").splitlines())
    with pytest.raises(BadInput, match="mapped memory"):
        play(TWO + SMALL + "thread T\nin T unmap A\nin T touch A 0 1p 4K w\n")


# --- machines and mappings ------------------------------------------------------------


def test_a_machine_has_the_cpus_of_each_node():
    text = "machine nodes=2 mem=256M cpus=2,0\n" + SMALL
    assert nodes(text + "cpu 1\ntouch A 0 16p 4K w\n") == [0] * 16
    with pytest.raises(BadInput, match="cpu must be one of"):
        play(text + "cpu 2\n")
    assert nodes("machine nodes=2 cpus=0,1\n" + SMALL + "touch A 0 1p 4K w\n")[0] == 1
    (first, *_) = parse(["machine nodes=2 mem=128M cpus=3"])
    assert script_machine(first).cpus == (3, 3)


def test_a_machine_has_the_tier_of_each_node():
    """What is hot leaves the slow node; one without CPUs is as fast as others."""
    (first, *_) = parse(["machine nodes=3 cpus=1,0,0 tier=0,0,2"])
    assert script_machine(first).tier == (0, 0, 2)
    # 240 pages are whole batches of new pages.
    text = (
        "machine nodes=2 mem=256M cpus=1,0 tier=0,1\nset thp.enabled never\n"
        "map A 960K\npolicy A bind 1\ntouch A 0 960K 4K w\npolicy A default\n"
        "set kernel.numa_balancing 2\nsettle A 0 960K 4K w 4\n"
    )
    assert nodes(text) == [0] * 240
    assert nodes(text.replace(" tier=0,1", "")) == [1] * 240


def test_a_mapping_may_begin_off_alignment():
    """numactl#177: 14 of 16 MiB are huge."""
    text = TWO + "set thp.enabled always\nmap A 16M at 1M\ntouch A 0 16M 4K w\n"
    seen = play(text + "observe A\n")[-1]
    assert seen["pmd_mapped_kb"] == 14 << 10
    assert [run[0] for run in seen["runs"]] == [256, 7 * 512, 256]
    assert play(TWO + "map A 4p shared at 3p\nobserve A\n")[-1]["runs"]


def test_another_machine_takes_the_place_of_the_scripts(tmp_path, capsys):
    script = tmp_path / "a.mm"
    script.write_text(TWO + SMALL + "cpu 40\ntouch A 0 16p 4K w\nobserve A\n")
    line = ["replay", str(script), "--json", "--machine", "2s"]
    assert commands.main(line) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["runs"] == [[16, "present", int(preset("2s").cpu_node[40]), False]]
    file = tmp_path / "node.txt"
    file.write_text(
        "available: 1 nodes (0)\nnode 0 cpus: 0 1\nnode 0 size: 512 MB\n"
        "node 0 free: 500 MB\nnode distances:\nnode   0\n  0:  10\n"
    )
    script.write_text(TWO + "map A 4p\nnodefree\n")
    assert commands.main([*line[:-1], str(file)]) == 0
    records = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [one["node"] for one in records] == [0]
    assert records[0]["free_kb"] < 512 << 10
    assert commands.main([*line[:-1], "nothing"]) == 2


# --- settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    "vm.swappiness vm.min_free_kbytes vm.watermark_scale_factor thp.shmem_enabled"
    " kernel.numa_balancing_settle_count thp.hugepages-64kB/enabled".split(),
)
def test_what_linux_has_and_we_do_not_is_said_so(name, tmp_path, capsys):
    (tmp_path / "a.mm").write_text(f"map A 4K\nset {name} 1\n")
    out = tmp_path / "a.h5"
    assert commands.main(["replay", str(tmp_path / "a.mm"), "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert "line 2" in said and f"lazynuma does not model {name}" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("alias", "value", "group", "field", "got"),
    [
        ("kernel.numa_balancing_scan_size_mb", "64", "balancing", "scan_size_mb", 64),
        ("balancing.scan_size_mb", "64", "balancing", "scan_size_mb", 64),
        ("numa.demotion_enabled", "true", "balancing", "demotion", True),
        ("/proc/sys/vm/zone_reclaim_mode", "1", "khugepaged", "node_reclaim", True),
        (
            *("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", "3"),
            *("khugepaged", "max_ptes_none", 3),
        ),
    ],
)
def test_other_names_of_what_we_have_are_taken(alias, value, group, field, got):
    from lazynuma.engine.settings.settings import Settings
    from lazynuma.scenarios.script.linux_settings import changed

    settings = changed(Settings(), alias, value)
    assert getattr(getattr(settings, group), field) == got
    assert parse([f"set {alias} {value}"])


# --- what no script may ask for -------------------------------------------------------

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("machine nodes=2 nodes=3 mem=64M", "each of its words once, got nodes="),
        ("machine nodes=2 cpus=1,2,3", "cpus of 2 nodes, got '1,2,3'"),
        ("machine nodes=2 cpus=1,0 tier=0,1,2", "tier of 2 nodes, got '0,1,2'"),
        ("machine nodes=2 tier=0,1", "tier 0 of node 1, which has CPUs, got 1"),
        (f"machine nodes={LONG}", "nodes=N as a number"),
        ("map A ٨M", "a length as a size"),
        (f"map A {LONG}", "a length below 256T"),
        ("map é 4K", "a region's name, got 'é'"),
        ("map A 4K at 2M", "whole pages below 2M"),
        ("map A 4K at 1", "whole pages below 2M"),
        (f"map {'A' * 65} 4K", "a region's name"),
        (f"khugepaged {LONG}", "a number of full scans as a number"),
        ("khugepaged 281474976710655", "at most 65536 full scans"),
        ("sleep 281474976710655", "at most 86400000 ms of sleep"),
        (f"set vm.page-cluster {LONG}", "vm.page-cluster must be a number"),
        ("set move.status 2", "move.status must be 0 or 1, got '2'"),
        ("set node.0.weight 256", "node.0.weight must be from 0 to 255, got 256"),
    ],
)
def test_absurd_lines_are_refused_in_one_sentence(line, message):
    with pytest.raises(BadInput) as caught:
        parse([line])
    said = str(caught.value)
    assert message in said and len(said) < 400 and "\n" not in said


@pytest.mark.parametrize("times", ["281474976710655", LONG])
def test_absurd_numbers_of_accesses_are_refused(times):
    with pytest.raises(BadInput, match="line 2"):
        parse(["map A 8M", f"touch A 0 8M 4K w {times}"])
    with pytest.raises(BadInput, match="fewer than 4294967296 accesses"):
        parse(["map A 8M", "touch A 0 281474976710655 4K w"])


def test_the_time_of_all_lines_together_has_a_limit():
    half = ["sleep 43200001"]
    assert parse(half)
    with pytest.raises(BadInput, match="line 2"):
        parse(half * 2)
    with pytest.raises(BadInput, match="line 2"):
        parse(["map A 4K", "settle A 0 4K 4K r 86401"])


# --- the host's memory ----------------------------------------------------------------


def pages_of(text):
    operations = parse(text.splitlines())
    return footprint.mapped_pages(operations, script_machine(operations[0]))


def test_a_script_is_counted_by_what_it_may_touch():
    """20 bytes a page: 8 of its entry in each process, 12 of its frame."""
    map_a = "machine nodes=1 mem=1G\nmap A 64M\n"
    assert pages_of(map_a) == 0
    assert pages_of(map_a + "touch A 0 32M 4K w\n") == 8192
    assert pages_of(map_a + "touch A 0 32M 4K w\ntouch A 0 64M 4K r\n") == 16384
    # A host page holds the entries of a block.
    assert pages_of(map_a + "touch A 0 64M 32M w\n") == 1024
    assert pages_of(map_a + "touch A 48M 64M 4K w\n") == 4096
    assert pages_of(map_a + "advise A populate_write 0 4M\n") == 1024
    forked = map_a + "touch A 0 32M 4K w\nfork kid\n"
    assert pages_of(forked) == 16384
    assert pages_of(forked + "exit kid\nfork other\n") == 16384
    assert pages_of(map_a + "thread T\nin T touch A 0 32M 4K w\n") == 8192
    # Frames are those of the machine: 64M of entries, 40M of frames.
    small = "machine nodes=1 mem=80M\nmap A 128M\ntouch A 0 128M 4K r\n"
    assert pages_of(small) == -(-(32768 * 8 + 20480 * 12) // 20)


def test_a_script_for_a_larger_host_is_refused_before_there_is_a_file(
    tmp_path, capsys, monkeypatch
):
    """A terabyte of pages takes more than 5 GB."""
    from lazynuma.engine.study import host_limits

    monkeypatch.setattr(host_limits, "memory_available", lambda: 900 << 20)
    script, output = tmp_path / "a.mm", tmp_path / "a.h5"
    script.write_text("machine nodes=1 mem=2048G\nmap A 1024G\ntouch A 0 1024G 4K w\n")
    assert commands.main(["replay", str(script), "-o", str(output)]) == 2
    assert "host memory must hold about" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["a.mm"]


def test_a_long_touch_is_played_in_pieces(monkeypatch):
    """What is left of a sweep goes on where the piece before it ended."""
    from lazynuma.scenarios.script import player

    text = TWO + SMALL + "touch A 1 13p 8K w 3\nobserve A\ncounters\n"
    whole = play(text)
    monkeypatch.setattr(player, "SWEEP_LIMIT", 5)
    assert play(text) == whole
    assert [run[0] for run in whole[0]["runs"]][0] == 1


def test_a_long_region_is_observed_in_pieces(monkeypatch):
    from lazynuma.engine.state import observation

    text = TWO + SMALL + "touch A 3p 9p 4K w\nobserve A\n"
    whole = play(text)
    monkeypatch.setattr(observation, "RANGE_LIMIT", 4)
    assert play(text) == whole


def test_a_script_is_a_regular_file(tmp_path, capsys):
    assert commands.main(["replay", str(tmp_path / "none.mm")]) == 2
    (tmp_path / "folder.mm").mkdir()
    assert commands.main(["replay", str(tmp_path / "folder.mm")]) == 2
    assert "folder.mm: Is a directory" in capsys.readouterr().err


def test_a_node_may_have_no_memory():
    """Its CPU uses the nearest other; as a target it is one that is not there."""
    text = "machine nodes=2 mem=256M,0\n" + SMALL + "cpu 1\ntouch A 0 16p 4K w\n"
    assert nodes(text) == [0] * 16
    lines = "policy A bind 1\nmove A 0 4K 1\nmigrate 0 1\npolicy A bind 0\nhome A 1\n"
    assert results(text + lines) == ["EINVAL", "ENODEV", "EINVAL"]
    free = [one["free_kb"] for one in play(text + "nodefree\n")]
    assert free[0] > 0 and free[1] == 0
