"""The verdict of a study: who wins, by how much, and what takes the time."""

import pytest

from common.studies import study_of
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.engine.study.verdict import verdict_of
from lazynuma.kernels.counters import Cause

NAN = float("nan")
S = 10**9


def row(name, time, **values):
    zeros = {column.name: 0 for column in SUMMARY}
    local = {"local_fraction": NAN, "time_access_local_ns": 0 if time != time else time}
    return zeros | local | {"mechanism": name, "run_time_ns": time} | values


def verdict(*rows):
    return verdict_of(study_of(*(one["mechanism"] for one in rows)), rows)


def test_the_fastest_wins_and_others_stand_behind_it():
    got = verdict(row("none", 3 * S), row("eager", 4 * S), row("hinting", 2 * S))
    assert got.startswith(
        "hinting is fastest: 2.00 s; none x1.50 and eager x2.00 of that."
    )


def test_of_many_only_the_next_and_the_last_are_named():
    got = verdict(*(row(name, (i + 2) * S) for i, name in enumerate("abcdefg")))
    assert got.startswith(
        "a is fastest: 2.00 s; b x1.50, 4 others and g x4.00 of that."
    )


def test_times_that_differ_by_less_than_a_hundredth_are_equal():
    got = verdict(row("a", 1000), row("b", 1009), row("c", 2000))
    assert got.startswith("a and b are fastest, within 1 %: 1.00 us; c x2.00 of that.")
    assert verdict(row("a", 1000), row("b", 1009)).startswith(
        "All take the same time within 1 %: 1.00 us."
    )


def test_one_variant_alone_has_its_time_and_share():
    got = verdict(row("none", 5000, local_fraction=0.7042))
    assert got.startswith("none takes 5.00 us, and 70.4 % of its accesses are local.")


def test_one_callers_flushes_come_before_the_mean():
    """The mean over 32 tasks hides what one of them does while 31 wait."""
    eager = row(
        "eager",
        100,
        tlb_flush_ns=98,
        tlb_flushes=512,
        pages_migrated=512,
        alone_ns=99,
        alone_cause=Cause.MIGRATION,
        time_access_local_ns=1,
        time_idle_ns=90,
    )
    got = verdict(row("none", 50), eager)
    assert "98 % of eager's time is one caller's TLB flushes, one a page." in got
    batched = eager | {"tlb_flushes": 1, "tlb_flush_ns": 60}
    assert "60 % of eager's time is one caller's TLB flushes, one for 512 pages." in (
        verdict(row("none", 50), batched)
    )


def test_what_one_task_does_while_others_wait_is_said():
    serial = row("a", 100, alone_ns=80, alone_cause=Cause.MINOR_FAULT)
    assert verdict(serial).endswith(
        "80 % of a's time is first touches of pages by one task, while the others wait."
    )


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("access_remote", "60 % of a's time is accesses to remote memory."),
        ("idle", "60 % of a's time is waiting."),
        ("swap_in", "60 % of a's time is reading from swap."),
    ],
)
def test_the_largest_part_of_the_time_is_said(cause, text):
    times = {"time_access_local_ns": 40, f"time_{cause}_ns": 60}
    assert verdict(row("a", 100, **times)).endswith(text)


def test_what_cannot_be_compared_stands_apart():
    dead = row("b", NAN, oom_kills=1)
    early = row("balancing", S, balancing_unscanned=1)
    got = verdict(row("a", 2 * S), dead, early)
    assert got.startswith("a takes 2.00 s.")
    assert "b was killed, and so has no time." in got
    assert "balancing marked no page in 1.00 s: the job ended before" in got
    both = verdict(dead, row("c", NAN, oom_kills=2))
    assert both == "b and c were killed, and so have no time."
