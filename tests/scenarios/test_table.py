"""The table that a run prints."""

import numpy as np
import pytest

from common.studies import study_of
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Refusal
from lazynuma.scenarios.common.table import count, seconds, table


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


def row(name, run_time_ns, **values):
    summary = {column.name: 0 for column in SUMMARY}
    summary["pages_refused_by"] = np.zeros(len(Refusal), np.int64)
    return summary | {
        "mechanism": name,
        "run_time_ns": run_time_ns,
        "local_fraction": np.float64(0.9312),
        "wall_s": 1.5,
        **values,
    }


def test_table_aligns_and_compares_with_the_best():
    lines = table(
        study_of("none", "eager"), [row("none", 3_000_000_000), row("eager", 2 * 10**9)]
    ).splitlines()
    rule, none, eager = lines[-3:]
    assert set(rule) == {"-", " "}
    assert len(rule) == len(none) == len(eager) < 120
    assert "93.1 %" in none
    assert none.split()[-5:] == ["3.00", "s", "x1.50", "1.50", "s"]
    assert "best" in eager


def test_table_says_why_pages_were_refused():
    refused = np.zeros(len(Refusal), np.int64)
    refused[Refusal.NO_SWAP_SLOT] = 31_457_280
    refused[Refusal.BUSY] = 12
    text = table(study_of("a"), [row("a", 1, pages_refused_by=refused)])
    assert text.splitlines()[-1] == "  refused: 31.5 M no_swap_slot, 12 busy"


def test_table_shows_a_share_of_nothing_as_such():
    text = table(study_of("a"), [row("a", 0, local_fraction=float("nan"))])
    assert "nan" not in text
