"""Memory scripts: what is read, what is refused and how, and what is played.

What Linux does with scripts is in ``tests/linux``.
"""

import json

import pytest

from lazynuma.engine import BadInput
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.script.grammar import parse
from lazynuma.scenarios.script.player import play as played

MACHINE = "machine nodes=2 mem=512M distance=10,21/21,10\n"
SMALL = "set thp.enabled never\nmap A 16p\n"
ALWAYS = "set thp.enabled always\nmap A 1h\ntouch A 0 4K 4K w\n"


def play(text):
    """Return the records of a script on two nodes, without their lines."""
    records = played(parse((MACHINE + text).splitlines()))
    return [{k: v for k, v in one.items() if k != "line"} for one in records]


def runs(text, region="A"):
    """Return where the pages of a region are after a script."""
    return play(f"{text}observe {region}\n")[-1]["runs"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tuoch A 0 4K 4K w", "the operation: one of machine, set, map,"),
        ("touch", "a region's name, got nothing"),
        ("touch B 0 4K 4K w", "a region that main maps, got 'B'"),
        ("touch A 0 4K 0 w", "a stride of at least one byte, got 0"),
        ("touch A 0 4X 4K w", "a length as a size such as 4K, 2M, 17p or 3h"),
        ("touch A 0 4K 4K x", "the access: one of r, w, got 'x'"),
        ("touch A 0 4K 4K w -1", "a number of times as a number, got '-1'"),
        ("touch A 0 4K 4K w 1 2", "nothing after touch's words, got '2'"),
        ("unmap A 1 4K", "an offset in whole pages of 4096 bytes, got 1 bytes"),
        ("map A 4K", "a name not used before, got 'A'"),
        ("map B 0", "a length of at least one byte, got 0"),
        ("advise A willneed", "the advice: one of hugepage, nohugepage,"),
        ("policy A bind 3-1", "nodes from 0 to 63, lower ones first"),
        ("policy A bind 0 fast", "the flag: one of move, move_all, strict, lazy, at"),
        ("in kid cpu 0", "a process that was forked before, got 'kid'"),
        ("exit kid", "a child that was forked before, got 'kid'"),
        ("machine nodes=2", "the machine before everything else"),
        ("set thp.enabled maybe", "enabled must be one of never, madvise, always"),
        ("set thp.enbled always", "did you mean thp.enabled"),
        ("set kernel.numa_balancing 7", "must be from 0 to 3, got 7"),
        ("set khugepaged.max_ptes_none many", "must be a number, got 'many'"),
    ],
)
def test_a_mistake_is_refused_with_its_line(line, message):
    """Nothing is played of a script with a mistake."""
    with pytest.raises(BadInput) as caught:
        parse([*MACHINE.splitlines(), *SMALL.splitlines(), line])
    assert str(caught.value).startswith(f"line 4 {line!r} must have ")
    assert message in str(caught.value)


def test_what_only_the_machine_knows_is_refused_with_its_line():
    """A node or a CPU that there is not."""
    with pytest.raises(BadInput, match="line 4 'cpu 2' cpu must be one of"):
        play(SMALL + "cpu 2\n")


def test_an_access_outside_every_mapping_ends_the_replay():
    """The error has the line and the address."""
    text = SMALL + "unmap A 0 1p\ntouch A 0 4K 4K w\n"
    with pytest.raises(BadInput, match="line 5 .* must write mapped memory, got addr"):
        play(text)


def test_an_access_outside_every_mapping_kills_a_child():
    """A dead child says so again and again; others go on."""
    text = "fork kid\nin kid unmap A 0 1p\nin kid touch A 0 4K 4K r\nin kid cpu 1\n"
    dead = {"killed": "kid", "signal": 11}
    assert play(SMALL + text) == [dead, dead]
    assert runs(SMALL + text + "touch A 0 4K 4K r\n")[0] == [1, "zero", None, False]


def test_mpol_mf_lazy_and_holes_are_errors():
    """Errors of operations are records."""
    text = "policy A bind 1 move lazy\nunmap A 4p 1p\npolicy A bind 1\n"
    text += "advise A dontneed\nadvise A dontneed 0 4p\n"
    errors = [one["result"] for one in play(SMALL + text)]
    assert errors == ["EINVAL", "EFAULT", "ENOMEM"]


def test_populate_read_maps_zero_pages():
    """MADV_POPULATE_READ faults in without a write."""
    assert runs(SMALL + "advise A populate_read 2p 3p\n") == [
        [2, "none", None, False],
        [3, "zero", None, False],
        [11, "none", None, False],
    ]


def test_cold_and_free_split_a_huge_page_that_sticks_out():
    """Nothing is unmapped."""
    for advice in ("cold", "free"):
        text = ALWAYS + f"advise A {advice} 0 1p\n"
        assert runs(text) == [[512, "present", 0, False]]
        assert runs(ALWAYS + f"advise A {advice}\n") == [[512, "present", 0, True]]


def test_free_forgets_what_is_in_swap():
    """An entry of swap becomes none; a page that is mapped stays."""
    text = "swapon\ntouch A 0 16p 4K w\nadvise A pageout 0 4p\nadvise A free 2p 4p\n"
    assert runs(SMALL + text) == [
        [2, "swap", None, False],
        [2, "none", None, False],
        [12, "present", 0, False],
    ]


def test_a_shared_page_is_not_paged_out():
    """Neither a small page nor the pages of a huge one."""
    text = "swapon\nfork kid\nadvise A pageout\n"
    small = SMALL + "touch A 0 16p 4K w\n"
    assert runs(small + text) == [[16, "present", 0, False]]
    assert runs(ALWAYS + text) == [[512, "present", 0, True]]


def test_without_swap_a_huge_page_is_split_and_stays():
    """Shrinking finds no slot for the whole, and then none for its parts."""
    assert runs(ALWAYS + "advise A pageout\n") == [[512, "present", 0, False]]
    counted = play(ALWAYS + "counters\nadvise A pageout\ncounters\n")[-1]["counters"]
    assert counted["thp_swpout_fallback"] == counted["thp_split_page"] == 1


def test_swapoff_brings_all_processes_pages_back():
    """Shared ones once; they come to the node of the caller."""
    text = SMALL + "swapon\ntouch A 0 16p 4K w\nadvise A pageout 0 8p\nfork kid\n"
    text += "cpu 1\nswapoff\n"
    want = [[8, "present", 1, False], [8, "present", 0, False]]
    assert runs(text) == want
    seen = play(text + "in kid observe A\ncounters\n")
    assert seen[0]["runs"] == want and seen[0]["swap_kb"] == 0
    assert seen[1]["counters"]["pswpin"] == 8


def test_listing_and_json(tmp_path, capsys):
    """JSON has a line for each record and nothing else; without it there is a text."""
    script = tmp_path / "script.mm"
    script.write_text(MACHINE + SMALL + "touch A 0 1p 4K w\nobserve A\nnodefree\n")
    assert commands.main(["replay", str(script), "--json"]) == 0
    records = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [one["line"] for one in records] == [5, 6, 6]
    assert commands.main(["replay", str(script)]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith(
        "   5  main A: 1 present on 0  15 none  (PMD-mapped 0 KiB"
    )


def test_main_killed_for_want_of_memory_is_a_failed_run(tmp_path, capsys):
    """Exit status 1, and the line."""
    script = tmp_path / "script.mm"
    script.write_text(
        "machine nodes=1 mem=128M distance=10\nmap A 200M\ntouch A 0 200M 4K w\n"
    )
    assert commands.main(["replay", str(script), "--json"]) == 1
    assert "line 3" in capsys.readouterr().err


def test_profiles_differ_in_their_rules(tmp_path, capsys):
    """mbind MOVE of a huge page: split by 3.8, moved whole from 4.14 on."""
    path = tmp_path / "move.mm"
    path.write_text(
        "machine nodes=2 mem=128M distance=10,20/20,10\n"
        "map A 2M\ntouch A 0 2M 4K w\npolicy A bind 1 move\nobserve A\n"
    )
    for profile, huge in (("linux-3.8", False), ("linux-6.12", True)):
        assert commands.main(["replay", str(path), "--json", "--profile", profile]) == 0
        (record,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert record["runs"] == [[512, "present", 1, huge]], profile
    assert commands.main(["replay", str(path), "--profile", "linux-2.6"]) == 2
    profiles = "balancenuma-v4, linux-3.8, linux-3.9, linux-3.13, linux-3.19,"
    profiles += " linux-4.0-rc1, linux-4.0, linux-6.1, linux-6.4, linux-6.12,"
    profiles += " linux-6.16, linux-6.18, linux-7.3"
    assert profiles in capsys.readouterr().err
