"""Each knob that names a column of the kernels sets that column, and no other."""

from dataclasses import MISSING, fields, is_dataclass, replace

import numpy as np
import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.engine.settings.costs import Costs
from lazynuma.engine.settings.knob_columns import cost_columns, set_knobs
from lazynuma.engine.settings.locks import Locks
from lazynuma.engine.settings.multigen_lru import LruGen
from lazynuma.engine.settings.settings import Settings
from lazynuma.engine.settings.thp import Thp
from lazynuma.kernels.state import INFO_WIDTH, Cost, Info

PAGES_PER_MB = 256
#: Columns that follow from knobs which have columns of their own.
FOLLOW = {Info.MAY_BE_HUGE, Info.CONTENT}


def written(settings):
    info = np.zeros(INFO_WIDTH, np.int64)
    set_knobs(info, settings)
    return info


def knobs_with_columns():
    """Return (group or None, field, column) of each."""
    for one in fields(Settings):
        if is_dataclass(one.default):
            for inner in fields(one.default):
                yield one.name, inner, inner.metadata.get("column")
        else:
            yield None, one, one.metadata.get("column")


@pytest.mark.parametrize(
    ("group", "knob", "column"),
    [pytest.param(*one, id=one[2]) for one in knobs_with_columns() if one[2]],
)
def test_a_knob_sets_its_column_alone(group, knob, column):
    assert knob.default is not MISSING
    number = 1
    if "choices" in knob.metadata:
        choices = knob.metadata["choices"]
        number = (choices.index(knob.default) + 1) % len(choices)
        other = choices[number]
    elif isinstance(knob.default, bool):
        number, other = int(not knob.default), not knob.default
    else:
        step = -1 if knob.default == knob.metadata.get("max") else 1
        number = other = knob.default + step
    settings = Settings()
    change = {knob.name: other}
    if group:
        change = {group: replace(getattr(settings, group), **change)}
    old, new = written(settings), written(replace(settings, **change))
    assert new[Info[column]] == number
    changed = {Info(at) for at in np.flatnonzero(old != new)} - FOLLOW
    assert changed == {Info[column]}


@pytest.mark.parametrize("asks", ["split_to_zero_pages", "split_underused", None])
def test_what_pages_hold_is_known_if_somebody_asks(asks):
    assert written(Settings())[Info.CONTENT] == 0
    asking = Settings(swap_zeromap=True)
    if asks:
        asking = Settings(thp=Thp(**{asks: True}))
    assert written(asking)[Info.CONTENT] == 1


def test_no_two_knobs_have_one_column():
    columns = [column for _, _, column in knobs_with_columns() if column]
    assert len(columns) == len(set(columns))


def test_limits_are_written_in_pages():
    settings = Settings()
    knobs = replace(
        settings.balancing, promote_rate_limit_mbps=3, migrate_rate_limit_mbps=20
    )
    info = written(replace(settings, balancing=knobs))
    assert info[Info.PROMOTE_LIMIT] == 3 * PAGES_PER_MB  # a second
    assert info[Info.MIGRATE_LIMIT] == 2 * PAGES_PER_MB  # in 100 ms


def test_batches_need_the_scripts_order():
    assert written(Settings(lru_batches=True))[Info.LRU_BATCHES] == 0
    in_order = Settings(lru_batches=True, sequential=True)
    assert written(in_order)[Info.LRU_BATCHES] == 15
    larger = replace(in_order, locks=Locks(lru_lock_batch=31))
    assert written(larger)[Info.LRU_BATCHES] == 31
    larger = replace(in_order, locks=Locks(lru_lock_batch=100))
    assert written(larger)[Info.LRU_BATCHES] == 31


def test_memory_that_may_be_huge_stays_so():
    info = written(Settings(thp=Thp(enabled="always")))
    set_knobs(info, Settings())
    assert info[Info.MAY_BE_HUGE] == 1
    assert info[Info.THP_ENABLED] == 0


def test_each_column_of_costs_has_its_cost():
    row = cost_columns(Costs(walk_ns=11, tlb_flush_cpu_ns=12))
    assert row.shape == (len(Cost),) and row.dtype == np.int64
    assert row[Cost.WALK] == 11 and row[Cost.TLB_FLUSH_CPU] == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(swap_bytes=-1), "swap_bytes must be at least 0 B, got -1 B"),
        (lambda: Settings(swap_bytes="1GiB"), "swap_bytes must be an integer"),
        (lambda: Settings(epoch_ns=1 << 63), "epoch_ns must be at most"),
        (lambda: Settings(sequential=1), "sequential must be true or false, got 1"),
        (lambda: Settings(shards=0), "^shards must be from 1 to 65536, got 0"),
        (lambda: Costs(walk_ns=1.5), "^cost.walk_ns must be an integer, got 1.5"),
        (lambda: Thp(enabled="alway"), "thp.enabled .* .did you mean always"),
    ],
)
def test_settings_made_in_python_are_checked_the_same(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_new_pages_enter_the_second_generation_if_there_are_generations():
    for enabled in (False, True):
        knobs = LruGen(enabled, new_second=True)
        assert written(Settings(lru_gen=knobs))[Info.LRU_GEN_SECOND] == enabled
