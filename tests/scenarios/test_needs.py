"""``--dry-run``: what a run takes, known before it is run."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.studies import study_of
from lazynuma.engine import Uniform
from lazynuma.engine.running import pilot
from lazynuma.engine.running.pilot import Pace, measured_pace, time_needed
from lazynuma.engine.running.run_variant import Setup
from lazynuma.kernels.jit.compiling import Compiling, compiled
from lazynuma.scenarios.cli import commands

SCENARIO = '''
"""Is it known before?"""

from dataclasses import dataclass

from lazynuma.engine import SUMMARY, Settings, Study, Uniform, Variant, preset


@dataclass(frozen=True)
class Parameters:
    mapped: int = 64
    count: int = 3_000_000


def build(parameters):
    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, 64 * 4096)
        simulation.run([Uniform(task=task, region=region, count=parameters.count)])
        return {}

    machine = preset("4s", 1 << 34)
    variants = [
        Variant(name, machine, Settings(), steps, parameters.count, parameters.mapped)
        for name in ("first", "second")
    ]
    return Study(__doc__, "name", tuple(variants), SUMMARY)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dry(*words):
    return commands.main(["run", "mine.py", "--dry-run", *words])


def test_it_says_machine_memory_accesses_and_time_and_writes_nothing(folder, capsys):
    assert dry("-o", "out.h5", "--threads=1") == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {line[:12].strip(): line[12:] for line in out.splitlines()}
    assert rows["name"] == "first, second"
    assert rows["machine"] == "4 nodes, 128 CPUs, 16 GiB"
    assert rows["runs"] == "2, 1 at once, 1 thread"
    assert rows["memory"].startswith("300.1 MiB, of ")
    assert rows["accesses"] == "6.00 M"
    assert "from a moment of each variant" in rows["time"]
    assert rows["file"] == "out.h5"
    assert sorted(path.name for path in Path(".").iterdir()) == ["mine.py"]


def test_it_is_json_for_programs(folder, capsys):
    assert dry("--json", "--seeds=3", "--jobs=2") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["variants"] == {"name": ["first", "second"]}
    assert found["runs"] == 6 and found["at_once"] == 2
    assert found["machines"] == [[4, 128, 1 << 34]]
    assert found["accesses"] == 18_000_000
    assert found["measured"] and 0 < found["seconds"][0] < found["seconds"][1]
    assert found["memory"] == 2 * ((64 * 20) + (8192 * 16) + (300 << 20))


def test_what_does_not_fit_is_said_and_refused(folder, capsys):
    assert dry("--set", f"mapped={1 << 40}") == 2
    out, err = capsys.readouterr()
    out = " ".join(out.split())
    assert "20 TiB, of " in out and "a guess (it does not fit)" in out
    assert err.startswith("lazynuma: host memory must hold about 20 TiB")


def test_lines_fit_on_a_screen(capsys):
    arguments = ["run", "swap_space", "--set=memory=64GiB", "--set=mapped=4MiB"]
    assert commands.main([*arguments, "--dry-run"]) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


# --- pace -----------------------------------------------------------------------------


def busy(simulation):
    task = simulation.start_task(simulation.spawn(), cpu=0)
    region = simulation.mmap(task.process, 64 * 4096)
    simulation.run([Uniform(task=task, region=region, count=10**10)])
    return {}


def of(accesses, **more):
    study = study_of("a", "b", **more)
    variants = [replace(one, accesses=accesses) for one in study.variants]
    return replace(study, variants=tuple(variants))


def test_a_variant_without_end_is_ended_and_its_rate_known():
    begin = time.monotonic()
    pace = measured_pace(of(10**10, steps=busy), Setup())
    assert time.monotonic() - begin < 60  # of hours
    assert pace.ended == {} and pace.rates.keys() == {"a", "b"}
    assert all(1e4 < rate < 1e10 for rate in pace.rates.values())


def test_a_variant_that_ends_has_its_time():
    pace = measured_pace(study_of("a"), Setup())
    assert pace.rates == {} and pace.ended.keys() == {"a"}
    low, high = time_needed(study_of("a"), pace)
    assert low < pace.ended["a"][0] < high


def test_a_study_of_ten_times_the_accesses_takes_ten_times_as_long():
    pace = Pace({}, {"a": (3.0, 100), "b": (1.0, 100)})
    assert time_needed(of(1000), pace) == pytest.approx((20, 80))


def test_a_variant_that_fails_has_no_part():
    def fails(simulation):
        raise KeyError("x")

    assert measured_pace(study_of("a", steps=fails), Setup()) == Pace({}, {})


def test_nobody_waits_for_the_compiler(monkeypatch):
    def compiles(*_):
        compiled.tell(Compiling(1, 2, False))

    monkeypatch.setattr(pilot, "run_variant", compiles)
    tell = compiled.tell
    assert measured_pace(study_of("a"), Setup()) is None
    assert compiled.tell is tell


def test_time_is_accesses_by_the_rate_of_each_variant():
    low, high = time_needed(of(1000), Pace({"a": 10.0, "b": 1000.0}, {}))
    assert low == pytest.approx((100 + 1) / 2, abs=0.2)
    assert high == pytest.approx((100 + 1) * 2, abs=0.2)
    # Without one of its own, at the mean of the others.
    assert time_needed(of(1000), Pace({"a": 10.0}, {})) == pytest.approx(
        (100, 400), abs=0.2
    )


def test_without_accesses_no_time_is_known():
    assert time_needed(of(0), Pace({}, {})) is None
    assert time_needed(of(0), None) is None


def test_without_a_pace_known_rates_are_taken():
    low, high = time_needed(of(10**9), None)
    assert low == pytest.approx(2e9 / pilot.KNOWN_RATES[1], rel=0.01)
    assert high == pytest.approx(2e9 / pilot.KNOWN_RATES[0], rel=0.01)
