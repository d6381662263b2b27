"""``--set`` reaches every setting in every scenario, or is refused by name."""

from dataclasses import fields, is_dataclass

import pytest

from common.small_scenarios import SMALL
from lazynuma.engine import BadInput, Policy, Settings, Simulation, Sweep, preset
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.parameters import split_settings
from lazynuma.engine.state.policies import policy_of
from lazynuma.engine.study.overrides import with_overrides
from lazynuma.kernels.knobs import Mode
from lazynuma.scenarios import hot_remove, mechanisms, thp_unit
from lazynuma.scenarios.recorded import replay


def leaves(settings, prefix=""):
    """Yield (name, value, field) of each setting, those of groups in full."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from leaves(value, f"{field.name}.")
        else:
            yield prefix + field.name, value, field


def other(value, field):
    """Return another value that a setting may have."""
    choices = field.metadata.get("choices")
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return [1 << 21]
    if isinstance(value, str):
        return "local"
    return value - 1 if value else 1


def value_of(settings, name):
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize("name", SMALL)
def test_every_setting_reaches_every_variant_or_is_refused(name):
    module, parameters = SMALL[name]
    study = module.build(module.Parameters(**parameters))
    for setting, default, field in leaves(Settings()):
        want = other(default, field)
        values = {value_of(one.settings, setting) for one in study.variants}
        if len(values) > 1 or setting in study.varied:
            with pytest.raises(BadInput, match=f"^{setting} must be left alone"):
                with_overrides(study, {setting: want})
            continue
        changed = with_overrides(study, {setting: want})
        got = {value_of(one.settings, setting) for one in changed.variants}
        assert got == {tuple(want) if isinstance(want, list) else want}, setting


def test_a_setting_changes_what_a_scenario_does_that_does_not_know_of_it():
    study = hot_remove.build(hot_remove.Parameters(memory=256 << 20, occupancy=(0.25,)))
    typed = {"kernel.numa_balancing": 1, "thp": "always"}
    own, others = split_settings(hot_remove.Parameters, Settings, typed)
    assert not own and set(others) == {"balancing.mode", "thp.enabled"}
    (plain,), (huge,) = run_study(study), run_study(with_overrides(study, others))
    assert huge["faults"] < plain["faults"] / 5


def test_what_the_variants_set_themselves_is_refused_by_name():
    study = thp_unit.build(thp_unit.Parameters(memory=1 << 30))
    with pytest.raises(BadInput, match="^thp.unit_hinting must be left alone"):
        with_overrides(study, {"thp.unit_hinting": "false"})
    one = mechanisms.build(mechanisms.Parameters(memory=1 << 30, mechanisms=("none",)))
    with pytest.raises(BadInput, match="^balancing.mode must be left alone"):
        with_overrides(one, {"balancing.mode": 1})


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("thp.enabled", "sometimes", "thp.enabled must be one of never"),
        ("balancing.mode", 4, "balancing.mode must be one of off"),
        ("quantum_ns", 0, "quantum_ns must be at least 1"),
        ("policy", "bind:9", "policy must have nodes of 4s, 0, 1, 2, 3, got .bind:9"),
        ("policy", "near", "policy must be one of default"),
    ],
)
def test_a_bad_value_is_refused_before_anything_runs(setting, value, message):
    study = hot_remove.build(hot_remove.Parameters(memory=256 << 20))
    with pytest.raises(BadInput, match=message):
        with_overrides(study, {setting: value})


def test_a_job_that_loses_its_huge_pages_may_need_more_of_the_host():
    study = thp_unit.build(thp_unit.Parameters(memory=8 << 30))
    changed = with_overrides(study, {"thp.enabled": "never"})
    assert study.variants[0].mapped_pages == 0
    assert changed.variants[0].mapped_pages == (8 << 30) // 4096


def test_settings_reach_a_replay(tmp_path):
    trace = tmp_path / "trace.txt"
    lines = [
        f"job 7/7 [000] 1.{i:09d}: page-faults: {0x7F0000000000 + 4096 * i:x}\n"
        for i in range(2000)
    ]
    trace.write_text("".join(lines))
    parameters = replay.Parameters(file=str(trace), machine="2s")
    (plain,) = run_study(replay.build(parameters))
    spread = with_overrides(replay.build(parameters), {"policy": "interleave"})
    (row,) = run_study(spread)
    assert plain["local_fraction"] == 1
    assert row["local_fraction"] == 0.5
    with pytest.raises(BadInput, match="^balancing.mode must be left alone"):
        with_overrides(spread, {"balancing.mode": "normal"})


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("default", Policy(Mode.DEFAULT)),
        ("local", Policy(Mode.LOCAL)),
        ("interleave", Policy(Mode.INTERLEAVE, (0, 1, 2, 3))),
        ("interleave:all", Policy(Mode.INTERLEAVE, (0, 1, 2, 3))),
        ("--interleave=0,2-3", Policy(Mode.INTERLEAVE, (0, 2, 3))),
        ("membind:1", Policy(Mode.BIND, (1,))),
        ("preferred=1", Policy(Mode.PREFERRED, (1,))),
        ("preferred-many:1,2", Policy(Mode.PREFERRED_MANY, (1, 2))),
    ],
)
def test_policies_are_typed_as_numactl_takes_them(text, want):
    assert policy_of(text, preset("4s", 64 << 20)) == want


@pytest.mark.parametrize("text", ["near", "bind:4", "bind:x", "bind:1-", "local:1", ""])
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(BadInput, match="policy"):
        policy_of(text, preset("4s", 64 << 20))


def test_tasks_begin_with_the_policy():
    machine = preset("2s", 64 << 20)
    simulation = Simulation(machine, Settings(policy="bind:1"))
    task = simulation.start_task(simulation.spawn(), cpu=0)
    region = simulation.mmap(task.process, 1 << 20)
    simulation.run([Sweep(task=task, region=region, count=256)])
    assert simulation.page(task.process, region.first).node == 1
    assert simulation.summary()["local_fraction"] == 0
