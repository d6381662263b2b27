"""What a run says as it goes on: which variant of how many, a rate, the time left."""

from types import SimpleNamespace

import pytest

from common.studies import study_of
from lazynuma.scenarios.cli import progress as progress_lines
from lazynuma.scenarios.cli.progress import Progress
from lazynuma.scenarios.cli.say import voice


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until ``now`` is set; a line is said at each call."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(progress_lines, "time", clock)
    monkeypatch.setattr(progress_lines, "_HEARTBEAT_S", 0)
    return clock


def studied(**accesses):
    """Return a study of variants with so many accesses each."""
    study = study_of(*accesses)
    for variant in study.variants:
        object.__setattr__(variant, "accesses", accesses[variant.name])
    return study


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_log_has_the_variant_the_share_the_rate_and_the_time_left(clock, capsys):
    study = studied(none=100, eager=300)
    progress = Progress(study, lambda: None)
    first, second = study.variants
    progress(first, 0, 0)
    clock.now += 10
    progress(first, 50, 1_500_000_000)
    # 5 accesses/s: 50 are left of this variant, and 300 of the next one.
    wanted = "none (1/2): 12 %, simulated 1.50 s, 5.00/s, 70.0 s left"
    assert lines(capsys) == [f"lazynuma: {wanted}"]
    clock.now += 10
    progress(first, 50, 3_000_000_000)
    progress.ended(first)
    progress(second, 0, 0)
    clock.now += 10
    progress(second, 10, 4_000_000_000)
    # Now at 1 access/s, which says nothing of the first one.
    assert lines(capsys)[-1].endswith("28 %, simulated 4.00 s, 1.00/s, 290 s left")
    progress.close()


def test_what_has_not_begun_is_expected_at_the_mean_rate(clock, capsys):
    study = studied(fast=1000, slow=100, later=110)
    progress = Progress(study, lambda: None)
    fast, slow, _ = study.variants
    progress(fast, 0, 0)
    clock.now += 10
    progress(fast, 1000, 1)
    progress.ended(fast)
    progress(slow, 0, 1)
    clock.now += 90
    progress(slow, 90, 2)
    # 10 at 1/s, and 110 at 1090 in 100 s.
    assert lines(capsys)[-1].endswith(f"1.00/s, {10 + 110 / 10.9:.1f} s left")
    progress.close()


def test_variants_side_by_side_share_the_time(clock, capsys):
    study = studied(a=100, b=100, c=100)
    progress = Progress(study, lambda: None)
    a, b, _ = study.variants
    progress(a, 0, 0)
    progress(b, 0, 0)
    clock.now += 10
    progress(a, 50, 1)
    progress(b, 50, 1)
    said = lines(capsys)[-1]
    # 50 and 50 at 5/s each, 100 at the mean rate of one, 5/s: 40 s of work for two.
    assert said.startswith("lazynuma: 0/3 done, 2 at once: 33 %")
    assert said.endswith("10.0/s, 20.0 s left")
    progress.ended(a)
    clock.now += 1
    progress(b, 1, 1)
    assert lines(capsys)[-1].startswith("lazynuma: b (2/3): ")
    progress.close()


def test_compilation_is_no_part_of_a_rate(clock, monkeypatch, capsys):
    compiled = SimpleNamespace(seconds=0.0, tell=None)
    monkeypatch.setattr(progress_lines, "compiled", compiled)
    study = studied(none=100)
    progress = Progress(study, lambda: None)
    progress(study.variants[0], 0, 0)
    clock.now, compiled.seconds = clock.now + 100, 90.0
    progress(study.variants[0], 50, 1)
    assert lines(capsys)[-1].endswith("50 %, simulated 1 ns, 5.00/s, 10.0 s left")
    progress.close()


def test_a_run_without_accesses_tells_its_time(clock, capsys):
    study = studied(idle=0)
    progress = Progress(study, lambda: None)
    progress(study.variants[0], 0, 0)
    progress(study.variants[0], 0, 3_000_000_000)
    progress.close()
    assert lines(capsys) == ["lazynuma: idle (1/1): simulated 3.00 s"]


class Bar:
    """A bar that keeps what it is told."""

    disable = False
    n = start_t = last_print_t = 0

    def __init__(self, **options):
        self.options, self.description, self.postfix = options, "", ""

    def set_description(self, text):
        self.description = text

    def set_postfix_str(self, text, refresh):
        self.postfix = text

    def update(self, accesses):
        self.n += accesses

    def close(self):
        pass


def test_a_bar_has_the_same(clock):
    study = studied(none=100, eager=100)
    progress = Progress(study, lambda: None, make_bar=Bar)
    first, second = study.variants
    progress(first, 0, 0)
    clock.now += 10
    progress(first, 50, 1)
    assert progress.bar.description == "none (1/2)"
    assert progress.bar.postfix == "5.00/s, 30.0 s left"
    progress.ended(first)
    assert progress.bar.n == 100  # what was expected of it
    progress(second, 100, 1)
    progress.ended(second)
    assert progress.bar.n == 200 and progress.bar.postfix == ""
    progress.close()


def test_a_bar_without_an_end_counts_and_tells_the_time(clock):
    study = studied(trace=0)
    progress = Progress(study, lambda: None, make_bar=Bar)
    progress(study.variants[0], 70, 2_000_000_000)
    assert progress.bar.options["total"] is None
    assert progress.bar.postfix == "simulated 2.00 s"
    progress.ended(study.variants[0])
    assert progress.bar.n == 70
    progress.close()


def test_quiet_says_nothing(clock, monkeypatch, capsys):
    monkeypatch.setattr(voice, "level", -1)
    study = studied(none=100)
    progress = Progress(study, lambda: None)
    progress(study.variants[0], 0, 0)
    clock.now += 10
    progress(study.variants[0], 50, 1)
    progress.ended(study.variants[0])
    progress.close()
    assert lines(capsys) == []


def test_verbose_says_how_long_a_variant_took(clock, monkeypatch, capsys):
    monkeypatch.setattr(voice, "level", 1)
    study = studied(none=100)
    progress = Progress(study, lambda: None)
    progress(study.variants[0], 0, 0)
    clock.now += 2.5
    progress.ended(study.variants[0])
    progress.close()
    assert lines(capsys) == ["lazynuma: none: 2.50 s"]
