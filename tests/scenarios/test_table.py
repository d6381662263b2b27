"""The table that a run prints."""

from dataclasses import replace

import numpy as np
import pytest

from common.studies import study_of
from lazynuma.engine.study.columns import SUMMARY, TIMES, Column
from lazynuma.engine.study.figures import count, seconds
from lazynuma.kernels.counters import Refusal
from lazynuma.scenarios.common.table import WIDTH, legend, table


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (12_345, "12,345"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (33_554_432, "33.6 M"),
        (999_600_000, "1.00 G"),
        (4_500_000_000_000, "4.50 T"),
        (-2_000_000, "-2.00 M"),
        (0.25, "0.25"),
        (12.345, "12.3"),
    ],
)
def test_counts_are_made_for_people(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1500, "1.50 us"),
        (3_400_000, "3.40 ms"),
        (41_230_000_000, "41.2 s"),
        (1_203_400_000_000, "1,203 s"),
    ],
)
def test_times_are_made_for_people(nanoseconds, text):
    assert seconds(nanoseconds) == text


SECOND = 10**9


def row(name, run_time_ns, **values):
    """Return a row whose time is all spent on local memory, unless values say so."""
    summary = {column.name: 0 for column in SUMMARY}
    summary["pages_refused_by"] = np.zeros(len(Refusal), np.int64)
    return summary | {
        "mechanism": name,
        "run_time_ns": run_time_ns,
        "time_access_local_ns": run_time_ns,
        "local_fraction": np.float64(0.9312),
        "local_fraction_end": 1.0,
        "wall_s": 1.5,
        **values,
    }


def shown(*rows, **study):
    """Return the lines of the table of rows."""
    names = [one["mechanism"] for one in rows]
    return table(replace(study_of(*names), **study), list(rows)).splitlines()


def test_the_answer_comes_first_and_is_compared_with_the_best():
    lines = shown(row("none", 3 * SECOND), row("eager", 2 * SECOND))
    assert lines[0] == "Does it run?"
    assert lines[2].startswith("eager is fastest: 2.00 s; none x1.50 of that.")
    rule = lines.index(next(line for line in lines if line.startswith("-")))
    assert lines[rule + 1].split() == [
        *("none", "3.00", "s", "x1.50", "93.1", "%", "100.0", "%")
    ]
    assert lines[rule + 2].split() == [
        *("eager", "2.00", "s", "best", "93.1", "%", "100.0", "%")
    ]
    # Then where the time went, and last what this machine took.
    assert "Where the time of the job went, a mean over its tasks:" in lines
    assert lines[-1].split() == ["eager", "1.50", "s"]


def test_a_table_of_all_columns_fits_on_a_screen():
    full = {column.name: 987_654 for column in SUMMARY if column.dtype == "i8"}
    full |= {column.name: 3.3e9 for column in TIMES if column.style == "cause"}
    full |= {"oom_kills": 0, "balancing_unscanned": 0, "alone_cause": 0}
    full |= {"converged_ns": 5e9}
    full["pages_refused_by"] = np.full(len(Refusal), 31_457_280)
    names = ("a name of twenty-six chars", "b")
    lines = shown(*(row(name, 3 * SECOND) | full for name in names))
    assert max(map(len, lines)) <= WIDTH
    # Each block begins with the names.
    assert sum(line.startswith(names[0]) for line in lines) > 3
    assert "(pages)" in "".join(lines)


def test_table_says_why_pages_were_refused():
    refused = np.zeros(len(Refusal), np.int64)
    refused[Refusal.NO_SWAP_SLOT] = 31_457_280
    refused[Refusal.BUSY] = 12
    lines = shown(row("a", 1, pages_refused_by=refused))
    assert lines[-1] == "a refused: 31.5 M no_swap_slot, 12 busy"


def test_table_shows_a_share_of_nothing_as_such():
    assert "nan" not in " ".join(shown(row("a", 0, local_fraction=float("nan"))))


def test_a_killed_job_has_no_time_and_no_share():
    dead = row("b", float("nan"), oom_kills=1, time_access_local_ns=5)
    lines = shown(row("a", 3 * SECOND), dead)
    text = " ".join(lines)
    assert "b was killed, and so has no time." in text
    assert ["b", "killed", "-", "-", "-"] in [line.split() for line in lines]
    assert "best" in text and "nan" not in text


def test_a_job_that_ended_before_the_first_scan_is_not_ranked():
    early = row("balancing", SECOND, balancing_unscanned=1)
    lines = shown(row("none", 2 * SECOND), early)
    text = " ".join(lines)
    assert "balancing marked no page in 1.00 s: the job ended before" in text
    (line,) = (one for one in lines if "no scan" in one)
    assert line.split()[0] == "balancing"
    assert "none takes 2.00 s" in text


def test_times_are_compared_within_a_group():
    rows = [row(name, time) for name, time in (("a 1", 2), ("b 1", 4), ("a 2", 20))]
    lines = shown(*rows, group=lambda one: one["mechanism"][-1])
    cells = {line[:3]: line for line in lines if "%" in line and " ns " in line}
    assert "best" in cells["a 1"] and "x2.00" in cells["b 1"] and "best" in cells["a 2"]


def test_small_causes_are_one_column_and_none_is_lost():
    small = {"time_cow_ns": 5, "time_scan_ns": 4, "time_access_local_ns": 9_991}
    lines = shown(row("a", 10_000, **small))
    (line,) = (one for one in lines if "9.99 us" in one)
    assert line.split() == ["a", "9.99", "us", "9", "ns"]


def test_a_legend_says_what_each_column_means():
    rows = [row("a", 2, pages_migrated=5), row("b", 3)]
    text = legend(study_of("a", "b"), rows)
    assert "migrated (pages)  pages moved to another node" in text
    assert "against best      time as a multiple of the shortest one" in text
    assert "swap peak" not in text  # all 0, so it is not shown
    assert max(map(len, text.splitlines())) <= WIDTH


def test_only_the_first_line_of_a_question_is_the_title():
    study = replace(study_of("a"), question="What?\n\nA long story.\n")
    assert study.question == "What?"
    assert table(study, [row("a", 1)]).startswith("What?\n\na takes 1 ns, and 93.1 %")


def test_a_column_of_the_question_can_be_the_answer():
    column = Column("speed", "speed", "1", "how fast", first=True)
    study = study_of("a", columns=(column,))
    lines = table(study, [{"mechanism": "a", "speed": 0, "wall_s": 1.0}]).splitlines()
    assert lines[2].split() == ["mechanism", "speed"] and lines[4].split() == ["a", "0"]
