"""VMAs are cut, merged and forked at random; the reference says what they are then.

It notes each first page as it is faulted in; the engine looks for it afterwards.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.pair import MIB, Pair
from common.stories import begin_task, change, region_of, start, work
from lazynuma.engine import Settings, Thp, uniform

#: Operations, and how often.
NAMES = (
    ["work"] * 6
    + ["mprotect"] * 5
    + ["advise"] * 3
    + ["mbind"] * 3
    + ["fork"] * 3
    + ["exit"] * 2
    + ["munmap", "populate", "move_pages", "collapse"]
)


def tell(pair, rng):
    """Do one operation that cuts or merges, or what decides how."""
    alive = [task for task in pair.tasks if task[0].process.alive]
    if not alive:
        start(pair, rng)
        return
    task, name = rng.choice(alive), rng.choice(NAMES)
    process = [half.process for half in task]
    region = region_of(pair, rng, process, lambda one: True)
    if name == "work":
        work(pair, rng)
    elif name == "fork":
        if len(pair.alive()) < 5:
            pair.processes.append(pair.call("fork", process, "child"))
            begin_task(pair, rng, pair.processes[-1])
    elif name == "exit":
        if len(pair.alive()) > 2:
            pair.call("exit", process)
    elif region is not None:
        change(pair, rng, 2, name, task, region)


def story(seed, steps, huge):
    rng = random.Random(seed)
    options = Settings(
        shards=rng.choice([1, 3]),
        sequential=rng.random() < 0.3,
        merge_into_unfaulted=rng.random() < 0.5,
        thp=Thp(
            enabled="always" if huge else "never", use_zero_page=rng.random() < 0.5
        ),
    )
    pair = Pair(uniform(2, 256 * MIB, 2, 20), options, seed)
    start(pair, rng)
    for _ in range(steps):
        tell(pair, rng)
        pair.compare()
    return pair


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_they_agree_on_vmas(huge, seed):
    story(seed, 25, huge)


def test_the_stories_merge_and_keep_apart():
    """Some VMAs share what they hold, some of a child cannot, some have none."""
    kinds = set()
    for seed in range(8):
        for process, _ in story(seed, 30, False).processes:
            for vma in process.vmas:
                kinds.add(min(3, len(vma.chain)))
    assert kinds == {0, 1, 2, 3}
