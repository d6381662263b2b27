"""The recorder's parts that need no machine: scripts, joining runs, comparing."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "recorder"))

import compare  # noqa: E402
import generate  # noqa: E402
import record  # noqa: E402

KERNEL = {
    "kernel": "6.1.0-50-amd64",
    "build": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
}


def seen(line, *runs):
    """Return an observation with runs of pages."""
    sizes = {"pmd_mapped_kb": 0, "rss_kb": 0, "swap_kb": 0}
    return {"line": line, "proc": "main", "region": "A", "runs": list(runs)} | sizes


@pytest.mark.parametrize("family", generate.FAMILIES)
def test_a_seed_is_a_script(family):
    """The same seed gives the same script, another one another."""
    scripts = {seed: generate.script(family, seed) for seed in range(20)}
    assert all(generate.script(family, seed) == scripts[seed] for seed in scripts)
    assert len(set(scripts.values())) == len(scripts)


@pytest.mark.parametrize("family", generate.FAMILIES)
def test_scripts_ask_for_a_machine(family):
    """Every script's machine is one that can be started."""
    for seed in range(20):
        machine = record.machine(generate.script(family, seed))
        assert len(machine.memory) == len(machine.distance)


def test_main_touches_only_what_is_mapped():
    """Parts that are unmapped or protected are not accessed by main afterwards."""
    story = generate.Story("walk", 1)
    story.machine()
    story.map("A", 1024)
    story.forbidden["main"]["A"] = set(range(1024))
    before = len(story.lines)
    story.touch("A")
    assert len(story.lines) == before


def test_machine_of_a_script():
    """Memory and distances are a node's; what is left out is as usual."""
    machine = record.machine("# x\nmachine nodes=2 mem=1G,256M distance=10,21/21,10\n")
    assert machine.memory == (1024, 256)
    assert machine.distance == (("10", "21"), ("21", "10"))
    assert record.machine("map A 4K\n").memory == (512,) * 4
    with pytest.raises(record.Unrecorded, match="not recorded yet"):
        record.machine("map A 4K\nin kid thread T\n")


def test_a_status_is_compared():
    """Of each page that a script moved."""
    want = {"line": 3, "status": [1, -2]}
    assert compare.differences({"expect": [want]}, [want]) == []
    other = {"line": 3, "status": [0, -2]}
    assert compare.differences({"expect": [want]}, [other]) == [(want, other)]


def test_what_linux_did_not_have_is_a_difference():
    """A call that fails, a process that is killed; not where two runs differed."""
    want = {"line": 3, "result": "EIO"}
    failed, killed = {"line": 4, "result": "EIO"}, {"line": 5, "killed": "kid"}
    ours = [want, failed, killed, seen(6), {"line": 7, "status": [1]}]
    case = {"expect": [want]}
    assert compare.differences(case, ours) == [(None, failed), (None, killed)]
    assert compare.differences(case | {"lost": [4]}, ours) == [(None, killed)]


@pytest.mark.parametrize(
    "line",
    [
        "nodes=3 mem=1G,1G",
        "nodes=2 distance=10,20",
        "nodes=1 mem=4096",
        "nodes=2 cpus=1,1,1",
        "nodes=2 cpus=1,0 mem=0,512M",
    ],
)
def test_machines_that_cannot_be(line):
    """A machine line that contradicts itself is refused."""
    with pytest.raises(record.Unrecorded, match="must"):
        record.machine(f"machine {line}\n")


def test_runs_are_joined():
    """What both runs say is kept; counters that differ are unstable."""
    one = [
        KERNEL,
        seen(1, [4, "present", 0, False]),
        seen(2, [4, "present", 0, False]),
        {"line": 3, "counters": {"pswpin": 1, "pswpout": 2, "pgfault": 7}},
        {"line": 4, "result": "EINVAL"},
        {"end": True},
    ]
    other = [
        KERNEL,
        seen(1, [4, "present", 0, False]),
        seen(2, [4, "present", 1, False]),
        {"line": 3, "counters": {"pswpin": 2, "pswpout": 2, "oom_kill": 1}},
        {"end": True},
    ]
    found, lost = record.case("walk-1", [one, other])
    assert found["kernel"] == "Linux 6.1.176 (Debian 6.1.0-50-amd64)"
    assert found["expect"] == [
        seen(1, [4, "present", 0, False]),
        {"line": 3, "counters": {"pswpout": 2}, "unstable": ["oom_kill", "pswpin"]},
    ]
    assert lost == [2, 4]


def test_filled_nodes_are_joined():
    """Of filled nodes, the order stays, and the counts that are near."""
    one = [KERNEL, seen(1, [30000, "present", 1, False], [5000, "present", 0, False])]
    other = [
        KERNEL,
        seen(1, [18000, "present", 1, False], [17000, "present", 0, False]),
    ]
    found, _ = record.case("fallback-1", [one, one])
    assert found["expect"] == [one[1]]
    found, _ = record.case("fallback-1", [one, other])
    (want,) = found["expect"]
    assert want["fill_order"] == [1]
    assert want["node_pages"] == {}
    other[1]["runs"][0][0] = 28000
    found, _ = record.case("fallback-1", [one, other])
    (want,) = found["expect"]
    assert want["node_pages"] == {"1": 29000}
    assert compare.same(want, one[1])
    assert not compare.same(want, seen(1, [12000, "present", 1, False]))


def test_evicted_regions_are_joined():
    """Of a shortage only regions stay that are kept or evicted but for a few pages."""
    one = [
        KERNEL,
        seen(1, [100, "present", 1, False], [2, "swap", None, False]),
        seen(2, [100, "swap", None, False]),
        seen(3, [50, "present", 1, False], [50, "swap", None, False]),
        {"line": 4, "counters": {"pswpout": 2}},
    ]
    found, lost = record.case("evict-1", [one, one])
    assert [want.get("kept") for want in found["expect"]] == ["all", "none"]
    assert lost == [3, 4]
    assert compare.same(found["expect"][0], seen(1, [99, "present", 1, False]))
    for page in ([99, "swap", None, False], [50, "none", None, False]):
        assert not compare.same(found["expect"][0], seen(1, page))
    half = seen(1, [50, "present", 1, False], [50, "swap", None, False])
    assert not compare.same(found["expect"][0], half)


def test_records_are_compared():
    """Ours must say what Linux's says, and may say more."""
    want = {"line": 1, "counters": {"pswpin": 1}, "unstable": ["pswpout"]}
    got = {"line": 1, "counters": {"pswpin": 1, "pswpout": 5, "numa_hit": 9}}
    assert compare.same(want, got)
    assert not compare.same(want, {"line": 1, "counters": {}})
    assert not compare.same(want, {"line": 1, "counters": {"pswpin": 1, "oom_kill": 1}})
    assert not compare.same({"line": 1, "result": "EINVAL"}, None)
    assert compare.same({"line": 1, "result": "EIO"}, {"line": 1, "result": "EIO"})
    assert not compare.same(seen(1, [4, "zero", None, False]), seen(1))
