"""Scripts as people write them, kinds of difference, and the shrinker: no machine."""

import json
import sys
from pathlib import Path

import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.scenarios.script.grammar import parse

sys.path.insert(0, str(Path(__file__).parent / "recorder"))

import differences  # noqa: E402
import generate  # noqa: E402
import habits  # noqa: E402
import kinds  # noqa: E402
import shrink  # noqa: E402
import story  # noqa: E402
import words  # noqa: E402

PEOPLE = [name for name, tell in story.FAMILIES.items() if tell.__module__ == "people"]
#: Lines of a script; most machines a recorder starts for all of them.
MOST_LINES, MACHINES = 45, 4


def seen(line, *runs, rss=0):
    """Return an observation with runs of pages."""
    sizes = {"pmd_mapped_kb": 0, "rss_kb": rss, "swap_kb": 0}
    return {"line": line, "proc": "main", "region": "A", "runs": list(runs)} | sizes


# --- scripts --------------------------------------------------------------------------


@pytest.mark.parametrize("family", PEOPLE)
def test_people_write_scripts_that_can_be_played(family):
    """Short ones, which end with what is observed."""
    for seed in range(30):
        text = generate.script(family, seed)
        operations = parse(text.splitlines())
        assert 8 <= len(operations) <= MOST_LINES
        assert operations[-1].name in ("observe", "counters")
        assert "observe" in {one.name for one in operations}


def test_people_need_few_machines():
    """A machine's state is kept, so scripts share a few of them."""
    lines = {
        line
        for family in PEOPLE
        for seed in range(30)
        for line in generate.script(family, seed).splitlines()
        if line.startswith("machine")
    }
    assert len(lines) <= MACHINES


def test_people_have_what_random_walks_lack():
    """Holes, absent nodes, protected parts, children, zero-filled pages, sizes."""
    scripts = [generate.script(name, seed) for name in PEOPLE for seed in range(10)]
    for word in (
        *("unmap A", "fork young", "populate_write", "advise A collapse", "swapoff"),
        *("protect A", "interleave", "home A", "settle", "move.status 1", "bind 5"),
    ):
        assert any(word in script for script in scripts), word


def test_main_keeps_out_of_what_it_may_not_access():
    """After a protection main writes elsewhere; reads are allowed again after r."""
    told = story.Story("guards", 1)
    habits.machine(told)
    told.map("A", 1024)
    habits.guard(told, "A", "r", (0, 1024))
    before = list(told.lines)
    habits.reach(told, "A", access="w")
    assert told.lines == before
    habits.reach(told, "A", access="r")
    assert told.lines[-1].startswith("touch A")
    habits.dig(told, "A", (0, 1024))
    habits.guard(told, "A", "rw", (0, 1024))
    before = list(told.lines)
    habits.reach(told, "A", access="r")
    assert told.lines == before


# --- kinds ----------------------------------------------------------------------------


def test_kinds_of_pages():
    """State, node, and size of a page; what is the same has no kind."""
    want = seen(1, [2, "present", 0, False], [1, "zero", None, False])
    assert kinds.kinds(want, want) == set()
    got = seen(1, [1, "present", 1, False], [2, "present", 0, False], rss=4)
    assert kinds.kinds(want, got) == {"node", "zero -> present", "rss_kb"}
    got = seen(1, [2, "present", 0, True], [1, "zero", None, False])
    assert kinds.kinds(want, got) == {"huge False -> True"}


def test_kinds_of_counters_results_and_deaths():
    """A counter says which way; a call that fails too much is a kind of its own."""
    want = {"line": 1, "counters": {"pswpout": 3}, "unstable": ["pswpin"]}
    got = {"line": 1, "counters": {"pswpin": 9, "thp_split_page": 1}}
    assert kinds.kinds(want, got) == {"pswpout fewer", "thp_split_page more"}
    fails = {"line": 2, "result": "EIO"}
    assert kinds.kinds(None, fails) == {"result none -> EIO"}
    assert kinds.kinds(fails, None) == {"result EIO -> none"}
    dies = {"line": 3, "killed": "kid", "signal": 11}
    assert kinds.kinds(None, dies) == {"killed none -> signal 11"}
    assert kinds.kinds(seen(1), None) == {"region missing"}
    one, other = {"line": 4, "status": [0, -2]}, {"line": 4, "status": [0, 1]}
    assert kinds.kinds(one, other) == {"status -2 -> 1"}


def test_a_table_of_differences(tmp_path):
    """Counts by family and by kind, from scripts that are played here."""
    script = tmp_path / "tiny-1.mm"
    script.write_text(
        "machine nodes=2\nset thp.enabled never\nmap A 4p\ntouch A 0 4p 4K w\n"
        "observe A\n"
    )
    want = seen(5, [4, "present", 1, False], rss=16)
    case = {"script": script.name, "kernel": "Linux", "expect": [want]}
    script.with_suffix(".json").write_text(json.dumps(case))
    table = tmp_path / "table.md"
    assert differences.report([script], "linux-6.1", table)
    assert "| tiny | 1 | 0 | 1 | 0 |" in table.read_text()
    assert "| node | 1 | tiny-1:5 |" in table.read_text()


# --- the shrinker, with a Linux that is made up ---------------------------------------

LONG = """# a long story
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1636p
map B 300p
cpu 2
touch A 0 1636p 8K w
fork kid
in kid cpu 1
in kid touch A 10p 90p 4K w
policy A interleave 0,2,3 move at 1h 100p
protect A 612p 50p r
protect A 662p 30p r
touch B 0 100p 4K w
move A 100p 700p 3
observe A
in kid observe A
counters
"""


def made_up(text):
    """Return the kinds that a Linux would show which has a rule about moves.

    A move of what somebody protected is one; any move after a fork is another.
    """
    lines = [line.split() for line in text.splitlines()]
    found, protected = {}, False
    for number, line in enumerate(lines, 1):
        protected |= line[0] == "protect"
        if line[0] == "move":
            found |= {"node": number} if protected else {}
            found |= {"rss_kb": number} if "fork kid" in text else {}
    return found


def test_shrinking_keeps_the_kind():
    """What is left shows the kind that was asked for, and has nothing to spare."""
    small = shrink.shrink(LONG, made_up, "node")
    assert "node" in made_up(small)
    assert [line.split()[0] for line in small.splitlines()] == ["protect", "move"]
    other = shrink.shrink(LONG, made_up, "rss_kb")
    assert [line.split()[0] for line in other.splitlines()] == ["fork", "move"]


def test_shrinking_stops_and_refuses():
    """After so many tries it takes the best; a script that is equal is refused."""
    tries = []

    def shows(text):
        tries.append(text)
        return made_up(text)

    small = shrink.shrink(LONG, shows, "node", most=5)
    assert len(tries) == 5
    assert "node" in made_up(small)
    with pytest.raises(ValueError, match="must show 'node'"):
        shrink.shrink("map A 1h\n", made_up, "node")


def test_shrinking_with_a_recorder():
    """Between the model's profiles: one that has no MADV_FREE is the recorded one."""
    text = (
        "machine nodes=3\nset thp.enabled never\nmap A 700p\nmap B 30p\n"
        "touch B 0 30p 4K w\ntouch A 10p 300p 4K w\nadvise A free 20p 100p\n"
        "fork kid\nin kid touch A 0 1p 4K w\nobserve B\ncounters\n"
    )

    def recorded(name, text):
        return {"expect": shrink.model.replay(text, "linux-3.8")[0]}

    def shows(text):
        return shrink.shown("tiny", text, recorded, "linux-6.1")

    small = shrink.shrink(text, shows, "result EINVAL -> none").splitlines()
    assert [line.split()[0] for line in small] == ["map", "advise"]


def test_a_script_that_is_refused_shows_nothing():
    """It is not even recorded."""
    assert shrink.shown("tiny", "touch A 0 1p 4K w\n", None, "linux-6.1") == {}


def test_lines_are_joined():
    """Two that do the same become one about both parts."""
    lines = ["protect A 612p 50p r", "observe A", "protect A 662p 30p r"]
    assert list(words.joined(lines, 0)) == [["protect A 612p 80p r", "observe A"]]
    lines = ["in kid touch A 0 1h 4K w", "touch A 1h 1h 4K w"]
    assert list(words.joined(lines, 0)) == []


def test_lines_get_simpler_and_can_be_read():
    """Each candidate is a line of the language, and says something else."""
    head = ["machine nodes=4", "map A 5h", "fork kid"]
    for line in LONG.splitlines()[1:]:
        for simple in words.simpler(line):
            assert simple != line
            if line.split()[0] not in ("machine", "map", "fork"):
                try:
                    parse([*head, "map B 1h", simple])
                except BadInput as error:
                    pytest.fail(f"{simple}: {error}")


def test_processes_and_regions_go_whole():
    """With all their lines."""
    lines = LONG.splitlines()[1:]
    assert words.children(lines) == ["kid"]
    assert words.regions(lines) == ["B", "A"]
    assert not any("kid" in line for line in words.without_child(lines, "kid"))
    assert not any(" B" in line for line in words.without_region(lines, "B"))
