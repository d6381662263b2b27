"""A run that is left at any quantum or call, and goes on, ends as one that was not."""

import random
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from common.broken_runs import differences, drive, in_pieces, state
from common.pair import MIB, Pair
from common.small_scenarios import SMALL
from common.stories import balanced_story, story
from lazynuma.engine import (
    BadInput,
    Balancing,
    Mechanism,
    Mode,
    Policy,
    Recording,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Uniform,
    uniform,
)
from lazynuma.engine.checkpoint import checkpoint_file, image, packed_items
from lazynuma.engine.checkpoint.keeper import Keeper, Suspended
from lazynuma.engine.errors import BadScenario, Segfault
from lazynuma.kernels.state import Family, Info, Mm, Node, Task
from lazynuma.kernels.state import Vma as Row
from lazynuma.kernels.words import (
    FRAME_VPN,
    PMD_NID_SHIFT,
    PTE_KIND_ONE,
    PTE_PRESENT,
    PTE_SWAP,
    Kind,
)

#: Of each scenario the first and the last variant, and one more.
CASES = [(name, which) for name in SMALL for which in (0, 0.4, 1)]
#: Scenarios with variants in which no task works: a run goes on for a quantum at least.
CALLS_ALONE = {"move_pages_rate", "tlb_shootdown"}


@pytest.mark.parametrize(("name", "which"), CASES)
def test_a_scenario_ends_as_if_it_had_never_been_left(name, which, tmp_path):
    module, values = SMALL[name]

    def variant():
        variants = module.build(module.Parameters(**values)).variants
        return variants[int(which * (len(variants) - 1))]

    rng, expected = random.Random(name), []
    result = drive(variant(), expected)

    def run(keeper, rows):
        return drive(variant(), rows, keeper, threads=rng.choice([1, 2]))

    rows, found, stops = in_pieces(tmp_path / "x", rng, _polls(variant(), rng), run)
    assert stops or name in CALLS_ALONE
    assert not differences(expected, rows)
    assert not differences(result, found)


def _polls(variant, rng):
    """Return a third of the quanta and calls of a variant, which takes no files."""
    count = [0]

    class Counting(Keeper):
        def __init__(self):
            super().__init__("/nowhere/x", {}, due=self.ask, flushed=dict)

        def ask(self):
            count[0] += 1
            return 0

    drive(variant, [], Counting())
    return max(1, count[0] // 3)


class Broken(Pair):
    """A simulation, and one that is left and resumed."""

    keeper = None

    def simulations(self, machine, options, seed):
        plain = Simulation(machine, options, seed=seed)
        self.real = Simulation(machine, options, seed=seed, threads=2)
        return [plain, self.keeper.stand_in(self.real)]

    def compare(self):
        """Compare nothing yet: not all of the stand-in can be looked at."""

    def check(self):
        self.keeper.steps_ended()
        for simulation in (self.sims[0], self.real):
            simulation.check()


@pytest.mark.parametrize("kind", [story, balanced_story])
@pytest.mark.parametrize("seed", [0, 1, 3, 5, 1003, 1008])  # the last have locks
def test_a_story_goes_on(kind, seed, tmp_path):
    def run(keeper, rows):
        half = type("Half", (Broken,), {"keeper": keeper})
        return kind(seed, 14, huge=seed % 2 > 0, kind=half, shares=seed % 3 > 0)

    _, pair, stops = in_pieces(tmp_path / "x", random.Random(seed), 12, run)
    assert stops
    assert not differences(state(pair.sims[0]), state(pair.real))


# --- steps that this file makes up ----------------------------------------------------


def simulation(**settings):
    return Simulation(
        uniform(2, 64 * MIB), Settings(thp=Thp(enabled="never"), **settings)
    )


def keep(path, answers=(), identity=None):
    """Return a keeper that is asked to do ``answers``, one after the other."""
    left = list(answers)
    return Keeper(
        path,
        identity or {},
        due=lambda: left.pop(0) if left else 0,
        flushed=lambda: {"epochs": 3},
    )


def left_after(path, calls, steps, **settings):
    """Leave steps after a number of quanta and calls; return at what keeper."""
    keeper = keep(path, [0] * calls + [1])
    sim = simulation(**settings)
    steps(keeper.stand_in(sim))
    return keeper


def begin(sim):
    process = sim.spawn()
    task = sim.start_task(process, 0)
    return process, task, sim.mmap(process, 4 * MIB)


def test_what_was_raised_is_raised_again_and_caught_again(tmp_path):
    caught = []

    def steps(sim):
        process, task, region = begin(sim)
        for bad in (
            lambda: sim.mmap(process, -1),
            lambda: sim.start_task(process, 99),
            lambda: sim.total("nothing"),
            lambda: sim.mmap("no process", 1),
        ):
            with pytest.raises((BadInput, AttributeError)) as error:
                bad()
            caught.append((type(error.value), str(error.value)))
        sim.mprotect(task, region, "none")
        with pytest.raises(Segfault) as fault:
            sim.run([Sweep(task=task, region=region, count=1)])
        caught.append((fault.value.page, fault.value.write, fault.value.process))

    left_after(tmp_path / "x", 9, steps)
    first, caught[:] = caught[:], []
    again = keep(tmp_path / "x")
    steps(again.stand_in(simulation()))
    again.steps_ended()
    assert caught == first and len(first) == 5


def test_steps_see_objects_as_they_were_at_each_call(tmp_path):
    def steps(sim, seen):
        process, task, region = begin(sim)
        for cpu in (1, 0, 1):
            sim.move_task(task, cpu)
            seen.append((task.cpu, sim.now, len(sim.processes), process.alive))
            sim.run([Sweep(task=task, region=region, count=500, write=0.0)])
            sim.mprotect(task, region, "r", 10 * cpu, 5)
            sim.mprotect(task, region, "rw", 10 * cpu, 3)
            seen.append([(vma.start, vma.end, vma.write) for vma in process.vmas])
            seen.append(sim.spent.tolist())
        child = sim.fork(process)
        sim.mmap(child, MIB, shared=True)
        sim.exit(process)
        seen += [process.alive, child.vmas[0].start, sim.processes == [process, child]]

    expected = []
    steps(simulation(), expected)
    for calls in range(1, 24):
        kept, again = [], []
        left_after(tmp_path / "x", calls, lambda sim, kept=kept: steps(sim, kept))
        sim, keeper = simulation(), keep(tmp_path / "x")
        steps(keeper.stand_in(sim), again)
        keeper.steps_ended()
        assert kept == expected
        assert again == expected
        sim.check()


def test_a_recording_goes_on_in_the_middle(tmp_path):
    rng = np.random.default_rng(1)
    n = 40_000
    arrays = {
        "who": rng.integers(0, 2, n),
        "vpn": rng.integers(0, 1024, n),
        "writes": rng.random(n) < 0.5,
        "cpu": rng.integers(-1, 4, n),
        "time_ns": np.sort(rng.integers(0, 3 * 10**9, n)),
    }
    arrays["time_ns"][n // 2 :] += 12 * 10**9  # nothing is due for so long

    def run(keeper, rows):
        knobs = Balancing(mode="normal", scan_delay_ms=1)
        settings = Settings(epoch_ns=10**8, balancing=knobs)
        sim = Simulation(uniform(2, 64 * MIB, 2), settings)
        steps = keeper.stand_in(sim) if keeper else sim
        process, _, region = begin(steps)
        tasks = [sim.tasks[0], steps.start_task(process, 2)]
        steps.play(Recording(tasks=tasks, regions=[region] * 2, **arrays))
        steps.idle(2 * 10**10)
        return state(sim)

    expected = run(None, [])
    for seed in range(4):
        path = tmp_path / f"{seed}"
        _, found, stops = in_pieces(path, random.Random(seed), 15, run)
        assert stops > 2
        assert not differences(expected, found)


def test_a_fresh_process_goes_on(tmp_path):
    """Two processes leave a run, the third ends it, as one process does it alone."""
    program = textwrap.dedent(
        """
        import hashlib, sys
        from lazynuma.engine import Balancing, Settings, Simulation, Uniform, uniform
        from lazynuma.engine.checkpoint.keeper import Keeper, Suspended

        path, count = sys.argv[1], int(sys.argv[2])
        left = [count]

        def due():
            left[0] -= 1
            return 2 if left[0] == 0 else 0

        keeper = Keeper(path, {}, due=due, flushed=dict)
        knobs = Balancing(mode="normal", scan_delay_ms=1)
        settings = Settings(balancing=knobs, quantum_ns=10**6)
        sim = Simulation(uniform(2, 1 << 26), settings)
        steps = keeper.stand_in(sim)
        process = steps.spawn()
        tasks = [steps.start_task(process, cpu) for cpu in (0, 1)]
        region = steps.mmap(process, 1 << 23)
        loads = [Uniform(task=t, region=region, count=60_000) for t in tasks]
        try:
            steps.run(loads)
        except Suspended:
            print("left")
            sys.exit()
        memory = sim.memory
        arrays = memory.task, memory.numa, memory.vm, memory.pte[: 1 << 14]
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(array.tobytes())
        print(sim.now, digest.hexdigest())
        """
    )

    def process(path, count):
        command = [sys.executable, "-c", program, str(path), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    alone = process(tmp_path / "alone", 0)
    assert [process(tmp_path / "x", 9) for _ in range(2)] == ["left", "left"]
    assert process(tmp_path / "x", 0) == alone


def test_no_run_is_left_before_it_has_done_a_quantum(tmp_path):
    stops = 0
    for _ in range(50):
        steps = keep(tmp_path / "x", [2] * 1000).stand_in(simulation(quantum_ns=10**6))
        try:
            _, task, region = begin(steps)
            steps.run([Uniform(task=task, region=region, count=1000)])
            break
        except Suspended:
            stops += 1
    assert 2 < stops < 49


# --- what is refused ------------------------------------------------------------------


def three_calls(sim):
    process = sim.spawn()
    task = sim.start_task(process, 0)
    return task, sim.mmap(process, MIB)


def another_name(sim):
    process = sim.spawn()
    sim.synchronize()
    return process


def another_argument(sim):
    process = sim.spawn()
    sim.start_task(process, 1)


def too_short(sim):
    sim.start_task(sim.spawn(), 0)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (another_name, "call 2 of the steps must be .* start_task, got synchronize"),
        (another_argument, "call 2 of the steps .* got start_task with other"),
        (too_short, "got their end after call 2"),
    ],
)
def test_steps_that_differ_are_refused_by_the_call(steps, text, tmp_path):
    left_after(tmp_path / "x", 2, three_calls)
    keeper = keep(tmp_path / "x")
    with pytest.raises(BadScenario, match=text):
        steps(keeper.stand_in(simulation()))
        keeper.steps_ended()


def test_a_call_that_was_left_must_be_the_same(tmp_path):
    def steps(sim, count):
        task, region = three_calls(sim)
        sim.run([Sweep(task=task, region=region, count=count)])

    with pytest.raises(Suspended):
        sim = keep(tmp_path / "x", [0, 0, 0, 0, 2]).stand_in(simulation(quantum_ns=99))
        steps(sim, 9000)
    again = keep(tmp_path / "x").stand_in(simulation(quantum_ns=99))
    with pytest.raises(BadScenario, match="call 4 .* got run with other arguments"):
        steps(again, 9001)


def test_steps_that_catch_a_refusal_do_not_go_on(tmp_path):
    left_after(tmp_path / "x", 2, three_calls)
    keeper = keep(tmp_path / "x")
    steps = keeper.stand_in(simulation())
    process = steps.spawn()
    with pytest.raises(BadScenario, match="call 2"):
        steps.start_task(process, 1)
    with pytest.raises(BadScenario, match="call 2"):
        steps.start_task(process, 0)
    with pytest.raises(BadScenario, match="call 2"):
        keeper.steps_ended()


@pytest.mark.parametrize("look", ["memory", "daemons", "team", "observer", "_rows"])
def test_what_cannot_be_handed_out_again_is_refused(look, tmp_path):
    steps = keep(tmp_path / "x").stand_in(simulation())
    with pytest.raises(BadScenario, match=f"got a look at {look}"):
        getattr(steps, look)
    with pytest.raises(BadScenario, match="got a new now"):
        steps.now = 5


def test_another_identity_is_refused_by_name(tmp_path):
    sim = keep(tmp_path / "x", [1], {"seed": "1", "version": "2"}).stand_in(
        simulation()
    )
    sim.spawn()
    keep(tmp_path / "x", (), {"seed": "1", "version": "2"})
    for identity in ({"seed": "2", "version": "2"}, {"version": "2"}, {}):
        with pytest.raises(
            BadInput, match="^seed must be that of the checkpoint .*, 1"
        ):
            keep(tmp_path / "x", (), identity)


def test_an_ended_variant_is_known_by_its_outcome(tmp_path):
    keeper = left_after(tmp_path / "x", 2, three_calls)
    assert keeper.outcome is None
    keeper.finish('{"run_time_ns": 5}')
    again = keep(tmp_path / "x")
    assert again.outcome == '{"run_time_ns": 5}'
    assert again.rows == {"epochs": 3}
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_an_altered_or_cut_file_is_refused_or_the_one_before_is_used(tmp_path):
    path, rng = tmp_path / "x", random.Random(4)
    left_after(path, 1, three_calls)
    whole = path.read_bytes()
    for _ in range(60):
        path.write_bytes(_spoilt(whole, rng))
        with pytest.raises(BadInput) as error:
            keep(path)
        assert "\n" not in str(error.value)
    path.write_bytes(whole)
    steps = keep(path, [1, 1]).stand_in(simulation())
    three_calls(steps)
    path.write_bytes(_spoilt(path.read_bytes(), rng))
    with pytest.warns(UserWarning, match="the one before it is used"):
        again = keep(path)
    three_calls(again.stand_in(simulation()))
    again.steps_ended()


def _spoilt(whole, rng):
    """Return a file that is cut, longer, or has another byte somewhere."""
    kind, at = rng.choice(["cut", "byte", "byte", "longer"]), rng.randrange(len(whole))
    if kind == "cut":
        return whole[:at]
    if kind == "longer":
        return whole + b"\0"
    if 120 < at < 512:  # the user block is not full
        at = 30
    return whole[:at] + bytes([whole[at] ^ rng.randint(1, 255)]) + whole[at + 1 :]


def test_a_full_disk_is_warned_of_and_the_run_goes_on(tmp_path, monkeypatch):
    left_after(tmp_path / "x", 1, three_calls)
    before = (tmp_path / "x").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image, "save", full)
    steps = keep(tmp_path / "x", [1, 1]).stand_in(simulation())
    with pytest.warns(UserWarning, match="the one before stays: No space left"):
        three_calls(steps)
    assert (tmp_path / "x").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def spoil(path, change):
    """Change a checkpoint as a stranger would, who knows how its checksum is made."""

    def copy(file):
        with h5py.File(path) as old:
            for name in old:
                old.copy(name, file)
        change(file)

    checkpoint_file.write(path, copy)
    checkpoint_file.previous(path).unlink()


def full(sim):
    """Do a little of everything, so that no array is empty."""
    process, task, region = begin(sim)
    sim.set_mempolicy(task, Policy(Mode.WEIGHTED_INTERLEAVE, (0, 1), (1, 2)))
    sim.populate(task, region)
    sim.mark(task, region, Mechanism.SWAPCACHE, pages=100)
    sim.run([Uniform(task=task, region=region, count=3000)])


def test_a_file_that_is_written_again_unchanged_is_taken(tmp_path):
    """Or what follows would prove nothing."""
    left_after(tmp_path / "x", 7, full, swap_bytes=MIB)
    spoil(tmp_path / "x", lambda file: None)
    steps = keep(tmp_path / "x").stand_in(simulation(swap_bytes=MIB))
    full(steps)
    assert steps.now > 0


def tables_to_spoil():
    """Return (table, column) of what kernels index with."""
    columns = {
        "task": (Task.MM, Task.NID, Task.WEIGHTS, Task.CPU, Task.OWNER, Task.LAST),
        "mm": (Mm.FAMILY, Mm.NEXT, Mm.FIRST_VMA, Mm.END_VMA, Mm.PGD_NID),
        "family": (Family.HEAD, Family.FIRST_VMA, Family.END_VMA),
        "vma": (Row.WEIGHTS, Row.NUMAB),
        "node": (Node.PARTIAL_HEAD, Node.RETURNED_HEAD, Node.VIRGIN, Node.END_BLOCK),
        "info": (Info.NODE_SHIFT, Info.SHARDS, Info.TLB_SETS_4K, Info.SLOTS),
    }
    return [(table, one) for table, ones in columns.items() for one in ones]


@pytest.mark.parametrize(("table", "column"), tables_to_spoil())
def test_a_table_that_leads_outside_is_refused(table, column, tmp_path):
    path = tmp_path / "x"
    left_after(path, 7, full, swap_bytes=MIB)

    def change(file):
        file["state"][table][..., column] = 1 << 30

    spoil(path, change)
    with pytest.raises(BadInput, match="must be as it was written"):
        full(keep(path).stand_in(simulation(swap_bytes=MIB)))


@pytest.mark.parametrize(
    ("array", "word"),
    [
        ("pte", PTE_PRESENT | 1 << 39),
        ("pte", PTE_SWAP | 1 << 39),
        ("pte", Kind.MIGCACHE * PTE_KIND_ONE | 1 << 39),
        ("pmd", PTE_PRESENT | 1 << 39),
        ("pmd", 63 << PMD_NID_SHIFT),
        ("frame", FRAME_VPN),
        ("frame_entry", 1 << 30),
        ("block_next", 1 << 30),
        ("block_used", 514),
        ("block_list", 9),
        ("slot_frame", 1 << 40),
    ],
)
def test_a_word_that_leads_outside_is_refused(array, word, tmp_path):
    path = tmp_path / "x"
    left_after(path, 7, full, swap_bytes=MIB)

    def change(file):
        group = file["state"][array]
        values = next(packed_items.read(group["values"], lambda block: None, 1)).copy()
        del group["values"]
        values[5] = word
        packed_items.write(group, "values", [values], values.size, 1)

    spoil(path, change)
    with pytest.raises(BadInput, match="must be as it was written"):
        full(keep(path).stand_in(simulation(swap_bytes=MIB)))


@pytest.mark.parametrize("name", ["mm", "task", "cause", "vm", "pool", "weights"])
@pytest.mark.parametrize("how", ["rows", "dtype", "missing"])
def test_a_table_of_another_form_is_refused(name, how, tmp_path):
    path = tmp_path / "x"
    left_after(path, 7, full, swap_bytes=MIB)

    def change(file):
        table = file["state"][name][()]
        del file["state"][name]
        if how == "rows":
            file["state"][name] = np.concatenate([table, table], axis=-1)
        if how == "dtype":
            file["state"][name] = table.astype(np.float32)

    spoil(path, change)
    with pytest.raises(BadInput, match="must be as it was written"):
        full(keep(path).stand_in(simulation(swap_bytes=MIB)))


@pytest.mark.parametrize("name", ["about", "calls", "state/parts"])
def test_texts_that_say_anything_else_are_refused(name, tmp_path):
    path, rng = tmp_path / "x", random.Random(name)
    left_after(path, 7, full, swap_bytes=MIB)
    whole = path.read_bytes()
    for _ in range(25):
        path.write_bytes(whole)

        def change(file):
            text = bytearray(file[name][()])
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 9)] = rng.choice(
                [b"", b"9", b"[", b'"', b"{}"]
            )
            del file[name]
            file[name] = np.frombuffer(bytes(text), np.uint8)

        spoil(path, change)
        try:
            full(keep(path).stand_in(simulation(swap_bytes=MIB)))
        except BadInput as error:
            assert "\n" not in str(error)


# --- nothing is forgotten -------------------------------------------------------------


def test_every_part_of_a_simulation_is_saved_or_made_again():
    """Objects of our classes hang on a simulation as parts, or are made again."""
    sim = simulation()
    for name, made_again in image.MADE_AGAIN.items():
        part = image._part(sim, name)
        assert not made_again - vars(part).keys(), f"{name} has no such attribute"
        for key, value in image._values(sim, name).items():
            kind = type(value).__module__.partition(".")[0]
            assert kind != "lazynuma", f"{name}.{key} is neither saved nor made again"
    parts = {name for name, value in vars(sim).items() if hasattr(value, "__dict__")}
    known = image.MADE_AGAIN.keys() | image.MADE_AGAIN[""]
    assert parts <= known | {"_memory"}, parts - known
