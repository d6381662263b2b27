"""Settings typed on a command line: what they become, and how they are refused."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.engine import Balancing, Khugepaged, Settings, Thp
from lazynuma.engine.errors import BadInput
from lazynuma.engine.settings.costs import Costs
from lazynuma.engine.settings.parameters import (
    describe,
    fill,
    override,
    parse_settings,
    split_costs,
    split_settings,
)


@dataclass(frozen=True)
class Group:
    enabled: str = field(default="never", metadata={"choices": ("never", "always")})
    limit: int = field(default=511, metadata={"min": 0, "max": 511, "help": "most"})


@dataclass(frozen=True)
class Parameters:
    memory: int = field(
        default=1 << 40,
        metadata={"kind": "size", "min": 1 << 20, "help": "RAM of the machine"},
    )
    rounds: int = field(default=3, metadata={"min": 1, "max": 100})
    drift: int = field(default=0, metadata={"min": -5})
    share: float = 0.5
    eager: bool = False
    machine: str = field(default="4s", metadata={"choices": ("2s", "4s", "8s")})
    label: str = "x"
    swaps: tuple[int, ...] = field(default=(1 << 30,), metadata={"kind": "size"})
    names: tuple[str, ...] = ("none", "lazy")
    limit: int | None = None
    group: Group = Group(limit=7)


def filled(*pairs):
    return fill(Parameters, parse_settings(pairs))


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("a=8", 8),
        ("a=0x10", 16),
        ("a=1e-3", 1e-3),
        ("a=true", True),
        ("a=[1,2]", [1, 2]),
        ('a="x y"', "x y"),
        ("a=lazy", "lazy"),
        ("a=64GiB", "64GiB"),
        ("a=b=c", "b=c"),
        ("a=", ""),
        ("a=" + "9" * 5000, "9" * 5000),
    ],
)
def test_value_is_toml_or_text(pair, value):
    assert parse_settings([pair]) == {"a": value}


@pytest.mark.parametrize("pair", ["memory", "=8", " = 8", ""])
def test_setting_without_key_or_value_is_refused(pair):
    with pytest.raises(BadInput, match="must read KEY=VALUE"):
        parse_settings([pair])


def test_last_of_a_repeated_key_counts():
    assert filled("rounds=4", "rounds=5").rounds == 5


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("memory=8GiB", "memory", 8 << 30),
        ("memory=4194304", "memory", 4 << 20),
        ("rounds=100", "rounds", 100),
        ("drift=-5", "drift", -5),
        ("share=1", "share", 1.0),
        ("eager=true", "eager", True),
        ("eager=1", "eager", True),
        ("eager=on", "eager", True),
        ("eager=0", "eager", False),
        ("machine=8S", "machine", "8s"),
        ("machine=8s", "machine", "8s"),
        ("label=12", "label", "12"),
        ("swaps=1GiB,2G", "swaps", (1 << 30, 2 << 30)),
        ('swaps=["1GiB", 4096]', "swaps", (1 << 30, 4096)),
        ("swaps=[1GiB, 2G]", "swaps", (1 << 30, 2 << 30)),
        ("swaps=4K", "swaps", (4096,)),
        ("names=eager", "names", ("eager",)),
        ("limit=none", "limit", None),
        ("limit=7", "limit", 7),
    ],
)
def test_value_takes_the_type_of_its_field(pair, name, value):
    result = getattr(filled(pair), name)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("memroy=8GiB", "did you mean memory"),
        ("zzz=1", "must be one of memory, rounds, drift"),
        ("memory=8GoB", "memory must be a size such as 64GiB"),
        ("memory=-8GiB", "memory must be a size"),
        ("memory=true", "memory must be a size"),
        ("memory=4K", "memory must be at least 1 MiB, got 4 KiB"),
        ("memory=9999999PiB", "memory must be at most"),
        ("rounds=0", "rounds must be from 1 to 100, got 0"),
        ("rounds=101", "rounds must be from 1 to 100, got 101"),
        ("rounds=1.5", "rounds must be an integer, got 1.5"),
        ("rounds=true", "rounds must be an integer, got True"),
        ("rounds=many", "rounds must be an integer, got 'many'"),
        ("rounds=", "rounds must be an integer, got ''"),
        ("drift=-6", "drift must be at least -5"),
        ("share=-0.1", "share must be at least 0"),
        ("share=nan", "share must be a finite number"),
        ("share=half", "share must be a number, got 'half'"),
        ("eager=2", "eager must be true or false, got 2"),
        ("eager=maybe", "eager must be true or false, got 'maybe'"),
        ("machine=4x", "machine must be one of 2s, 4s, 8s, got '4x' .did you mean 4s"),
        ("label=[1]", "label must be a text"),
        ("swaps=1GiB,huge", "swaps must be a size"),
        ("swaps=[]", "swaps must have at least one item"),
        ("swaps=", "swaps must have at least one item"),
        ("limit=-1", "limit must be at least 0"),
    ],
)
def test_refusal_says_what_was_expected_and_got(pair, message):
    with pytest.raises(BadInput, match=message) as refusal:
        filled(pair)
    assert "\n" not in str(refusal.value)


@given(st.text(), st.text())
def test_any_text_is_taken_or_refused(key, value):
    try:
        filled(f"{key}={value}", f"rounds={value}", f"swaps={value}")
    except BadInput:
        pass


def test_a_group_is_set_field_by_field():
    assert filled("group.enabled=always").group == Group("always", 7)
    assert filled("group=always", "group.limit=3").group == Group("always", 3)
    assert filled("enabled=always").group == Group("always", 7)
    # The plain field of that name comes first.
    assert filled("limit=3") == Parameters(limit=3)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("group.limit=512", "^group.limit must be from 0 to 511, got 512$"),
        ("enabled=7", "^group.enabled must be one of never, always, got '7'"),
        ("group=sometimes", "^group.enabled must be one of never, always, got 'some"),
        (
            "group.limt=1",
            "must be one that there is, got 'group.limt' .did you mean gr",
        ),
        (
            "grop.limit=1",
            "must be one that there is, got 'grop.limit' .did you mean gr",
        ),
        ("vm.swappiness=1", "it does not model 'vm.swappiness'"),
        ("/proc/sys/vm/swappiness=1", "it does not model"),
        ("memory.limit=1", "must be one that there is, .*did you mean memory"),
    ],
)
def test_refused_setting_of_a_group_is_named_in_full(pair, message):
    with pytest.raises(BadInput, match=message):
        filled(pair)


def test_missing_value_is_refused():
    @dataclass(frozen=True)
    class Needy:
        file: str

    with pytest.raises(BadInput, match="file must be given"):
        fill(Needy, {})


def test_costs_are_filled_apart():
    settings, costs = split_costs(parse_settings(["memory=8G", "cost.syscall_ns=7"]))
    assert settings == {"memory": "8G"}
    assert fill(Costs, costs, "cost.").syscall_ns == 7


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("cost.syscal_ns=7", "did you mean cost.syscall_ns"),
        ("cost.syscall_ns=-7", "cost.syscall_ns must be at least 0, got -7"),
        ("cost.syscall_ns=slow", "cost.syscall_ns must be a time such as 100ms"),
    ],
)
def test_refused_cost_is_named_in_full(pair, message):
    _, costs = split_costs(parse_settings([pair]))
    with pytest.raises(BadInput, match=message):
        fill(Costs, costs, "cost.")


def test_described_defaults_can_be_typed_back():
    described = {name: default for name, default, _ in describe(Parameters)}
    assert described["memory"] == "1TiB"
    assert described["names"] == "none,lazy"
    assert filled(*(f"{n}={d}" for n, d in described.items())) == Parameters()


def test_help_is_described():
    assert ("group.limit", "7", "most") in describe(Parameters)
    assert ("memory", "1TiB", "RAM of the machine") in describe(Parameters)


@pytest.mark.parametrize(
    ("pair", "changed"),
    [
        ("balancing.mode=1", {"balancing": Balancing(mode="normal")}),
        ("balancing.mode=tiering", {"balancing": Balancing(mode="tiering")}),
        ("kernel.numa_balancing=3", {"balancing": Balancing(mode="both")}),
        ("kernel/numa_balancing=1", None),
        ("/proc/sys/kernel/numa_balancing=1", {"balancing": Balancing(mode="normal")}),
        (
            "kernel.numa_balancing_scan_size_mb=512",
            {"balancing": Balancing(scan_size_mb=512)},
        ),
        (
            "/sys/kernel/debug/sched/numa_balancing/scan_delay_ms=10",
            {"balancing": Balancing(scan_delay_ms=10)},
        ),
        (
            "kernel.numa_balancing_promote_rate_limit_MBps=10",
            {"balancing": Balancing(promote_rate_limit_mbps=10)},
        ),
        ("numa.demotion_enabled=1", {"balancing": Balancing(demotion=True)}),
        ("thp=always", {"thp": Thp(enabled="always")}),
        ("thp.defrag=defer_madvise", {"thp": Thp(defrag="defer+madvise")}),
        (
            "/sys/kernel/mm/transparent_hugepage/enabled=madvise",
            {"thp": Thp(enabled="madvise")},
        ),
        (
            "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag=0",
            {"khugepaged": Khugepaged(defrag=False)},
        ),
        ("vm.zone_reclaim_mode=1", {"khugepaged": Khugepaged(node_reclaim=True)}),
        ("epoch=100ms", {"epoch_ns": 100_000_000}),
        ("epoch_ns=5", {"epoch_ns": 5}),
        ("quantum=1.5ms", {"quantum_ns": 1_500_000}),
        ("swap=8GiB", {"swap_bytes": 8 << 30}),
        ("policy=interleave:0-1", {"policy": "interleave:0-1"}),
    ],
)
def test_settings_go_by_the_names_of_linux(pair, changed):
    own, rest = split_settings(Parameters, Settings, parse_settings([pair]))
    if changed is None:
        assert list(own) == ["kernel/numa_balancing"] and not rest
        return
    assert not own
    assert override(Settings(), rest) == Settings(**changed)


def test_a_scenarios_own_parameter_comes_before_a_setting_of_that_name():
    @dataclass(frozen=True)
    class Own:
        swap: int = 0
        thp: Thp = Thp()

    typed = parse_settings(["swap=1", "thp=always", "balancing.scan_delay_ms=7"])
    own, rest = split_settings(Own, Settings, typed)
    assert fill(Own, own) == Own(1, Thp(enabled="always"))
    assert override(Settings(), rest).balancing.scan_delay_ms == 7


def test_overriding_keeps_what_a_scenario_has_set():
    base = Settings(balancing=Balancing(mode="normal", filter="last_nid"))
    changed = override(base, {"balancing.scan_delay_ms": 7}).balancing
    assert changed == Balancing(mode="normal", filter="last_nid", scan_delay_ms=7)
