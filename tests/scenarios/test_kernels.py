"""``lazynuma kernels``: profiles, records, and in what two kernels differ."""

import json
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.scenarios.cli.commands import main
from lazynuma.scenarios.linux.kernel_differences import compared
from lazynuma.scenarios.linux.kernel_rules import rules
from lazynuma.scenarios.linux.plain_records import in_words
from lazynuma.scenarios.linux.recorded_kernels import cases, kernels, records_place

ROOT = Path(__file__).parents[2]
OURS = records_place()
READ = {kernel: cases(OURS, kernel) for kernel in kernels(OURS)}
SIZES = {"pmd_mapped_kb": 0, "rss_kb": 4, "swap_kb": 0}
RULE = """
[[rule]]
name = "collapse fails"
says = "It fails."
source = "collapse_file (mm/khugepaged.c)"
since = "9.9"
kernels = ["linux-9.9"]
switch = ""
decides = ["a:3"]
"""


def seen(line, *runs):
    """Return an observation."""
    place = {"line": line, "proc": "main", "region": "A"}
    return place | {"runs": list(runs)} | SIZES


def wrote(folder, kernel, name, script, expect, **more):
    """Write a case."""
    (folder / kernel).mkdir(exist_ok=True)
    (folder / kernel / f"{name}.mm").write_text(script)
    found = {"kernel": kernel.replace("linux-", "Linux "), "expect": expect} | more
    (folder / kernel / f"{name}.json").write_text(json.dumps(found))


@pytest.fixture
def two(tmp_path):
    """Two kernels that differ in a call and in a page."""
    script = "map A 8K\ntouch A 0 4K 4K w\nadvise A collapse  # now\nobserve A\n"
    node = [[1, "present", 0, False], [1, "none", None, False]]
    other = [[1, "present", 1, False], [1, "none", None, False]]
    wrote(tmp_path, "linux-9.8", "a", script, [seen(4, *node)])
    failed = {"line": 3, "result": "EINVAL"}
    wrote(tmp_path, "linux-9.9", "a", script, [failed, seen(4, *other)])
    (tmp_path / "rules.toml").write_text(RULE)
    return tmp_path


def said(capsys, *arguments):
    """Return what the command prints."""
    assert main(["kernels", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """Return the one line with which it refuses."""
    assert main(["kernels", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    return err


def test_what_two_kernels_did(two, capsys):
    out = said(capsys, "diff", "linux-9.8", "linux-9.9", "--records", two)
    assert out.splitlines() == [
        "Linux 9.8 and Linux 9.9. 1 scripts were recorded on both; 1 differ, in 2",
        "observations. No rule explains 1 of them.",
        "",
        "collapse fails: It fails.",
        "  since 9.9; collapse_file (mm/khugepaged.c)",
        "  a:3  advise A collapse",
        "    linux-9.8  succeeds",
        "    linux-9.9  fails: EINVAL",
        "",
        "No rule explains these:",
        "  a:4  observe A",
        "    linux-9.8  page 0 on node 0",
        "    linux-9.9  page 0 on node 1",
    ]


def test_a_page_of_it(two, capsys):
    page = said(
        capsys, "diff", "linux-9.8", "linux-9.9", "--records", two, "--markdown"
    )
    assert "| a:3 | `advise A collapse` | succeeds | fails: EINVAL |" in page
    assert "| collapse fails | 9.9 |  |  | yes |" in page
    assert "\n### No rule explains these\n" in page


def test_a_kernel_does_what_it_does_itself(two, capsys):
    out = said(capsys, "diff", "linux-9.9", "linux-9.9", "--records", two)
    assert "1 scripts were recorded on both; 0 differ." in out


def test_what_is_not_stable_is_no_difference(tmp_path):
    """A lost line, a loose counter, an observation that one of them lacks."""
    script = "map A 4K\nadvise A collapse\ncounters\nobserve A\n"
    one = [{"line": 3, "counters": {"pswpin": 1}, "unstable": ["pswpout"]}]
    other = [
        {"line": 2, "result": "EAGAIN"},
        {"line": 3, "counters": {"pswpin": 1, "pswpout": 7}},
        seen(4, [1, "none", None, False]),
    ]
    wrote(tmp_path, "linux-9.8", "a", script, one, lost=[2])
    wrote(tmp_path, "linux-9.9", "a", script, other)
    sides = [cases(tmp_path, kernel) for kernel in ("linux-9.8", "linux-9.9")]
    assert compared(("linux-9.8", "linux-9.9"), *sides, ()).differences == ()


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (None, {"line": 1, "killed": "kid", "signal": 9}, "kid is killed by the OOM"),
        ({"line": 1, "status": [0, 1]}, {"line": 1, "status": [0, -2]}, "-ENOENT"),
        (
            seen(1, *[[1, "present", n % 2, False] for n in range(9)]),
            seen(1, [9, "zero", None, True]),
            "pages 0-8 huge, zero pages",
        ),
        (
            {"line": 1, "counters": {"pswpin": 3}},
            {"line": 1, "counters": {"pgmigrate_fail": 1}},
            "pswpin 0, pgmigrate_fail 1",
        ),
    ],
)
def test_records_in_words(one, other, words):
    assert words in in_words(one, other)[1]


def test_kernels_are_listed(capsys):
    out = said(capsys, "list")
    listed = [line.split()[0] for line in out.splitlines()[:-2]]
    assert listed == list(PROFILES)
    for kernel in READ:
        assert f"{len(READ[kernel])} scripts recorded on Linux" in out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["diff", "linux-6.1"], "KERNEL must be given twice"),
        (["diff", "linux-6.1", "linux-6.2"], "did you mean linux-6.12"),
        (["list", "linux-6.1"], "left out with list"),
        (["list", "--records", "/nowhere"], "--records must be a folder"),
    ],
)
def test_what_cannot_be_is_refused(capsys, arguments, what):
    assert what in refused(capsys, *arguments)


@pytest.mark.parametrize(
    "broken", ["{", "[]", '{"kernel": "x", "expect": [{"line": 77, "result": "E"}]}']
)
def test_a_record_that_is_none_is_refused(two, capsys, broken):
    (two / "linux-9.9" / "a.json").write_text(broken)
    err = refused(capsys, "diff", "linux-9.8", "linux-9.9", "--records", two)
    assert "a.json must be the record of a.mm" in err


def test_a_table_of_rules_that_is_none_is_refused(two, capsys):
    (two / "rules.toml").write_text('[[rule]]\nname = "x"\n')
    err = refused(capsys, "diff", "linux-9.8", "linux-9.9", "--records", two)
    assert "rules.toml must be a table of rules" in err


def test_packed_records_say_the_same(two, tmp_path, monkeypatch):
    """As an installed package has them."""
    packed = tmp_path / "records.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(two.rglob("*.*")):
            if path != packed and path.is_file():
                file.write(path, path.relative_to(two).as_posix())
    monkeypatch.setattr(
        "lazynuma.scenarios.linux.recorded_kernels.PACKED", packed, raising=True
    )
    place = records_place()
    assert kernels(place) == ["linux-9.8", "linux-9.9"]
    assert cases(place, "linux-9.9") == cases(two, "linux-9.9")
    assert rules(place) == rules(two)


def value(settings, switch):
    """Return a setting by its full name."""
    for name in switch.split("."):
        settings = getattr(settings, name)
    return settings


@pytest.mark.parametrize("rule", rules(OURS), ids=lambda rule: rule.name)
def test_profiles_have_the_rules_of_their_kernels(rule):
    """The setting of a rule tells the kernels that have it from those that do not."""
    assert set(rule.kernels) <= set(READ)
    if rule.switch:
        have = {str(value(PROFILES[kernel], rule.switch)) for kernel in rule.kernels}
        rest = {
            str(value(PROFILES[kernel], rule.switch))
            for kernel in READ
            if kernel not in rule.kernels
        }
        assert have and rest and not have & rest


def settings_of(settings, before=""):
    """Yield (full name, value) of all settings."""
    for one in fields(settings):
        found = getattr(settings, one.name)
        if is_dataclass(found):
            yield from settings_of(found, f"{before}{one.name}.")
        else:
            yield f"{before}{one.name}", str(found)


def test_every_setting_in_which_kernels_differ_is_a_rule():
    """The table has a row for each: a profile may not differ by what nobody named."""
    profiles = [dict(settings_of(PROFILES[kernel])) for kernel in READ]
    differ = {
        name for name in profiles[0] if len({found[name] for found in profiles}) > 1
    }
    assert differ - {rule.switch for rule in rules(OURS)} == set()


@pytest.mark.parametrize("rule", rules(OURS), ids=lambda rule: rule.name)
def test_a_rule_decides_what_kernels_do_otherwise(rule):
    """Each record that is named differs between two kernels that it tells apart."""
    differ = set()
    for one in rule.kernels:
        for other in set(READ) - set(rule.kernels):
            found = compared((one, other), READ[one], READ[other], ())
            differ |= {f"{d.script}:{d.line}" for d in found.differences}
            differ |= {d.script for d in found.differences}
    assert set(rule.decides) <= differ


def test_scripts_of_one_name_are_one_script():
    texts = {}
    for found in READ.values():
        for name, case in found.items():
            assert texts.setdefault(name, case.script) == case.script, name


def test_the_page_is_up_to_date(capsys):
    """docs/kernels.md is what its command prints."""
    text = (ROOT / "docs" / "kernels.md").read_text()
    (command,) = (line for line in text.splitlines() if "`lazynuma kernels" in line)
    words = command.split("`")[1].split()[2:]
    assert said(capsys, *words) == text, "run the command that the page names"
