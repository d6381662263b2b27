"""The engine and the reference, driven alike and compared word for word."""

import numpy as np

from lazynuma.engine import Costs, Mechanism, Simulation
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.words import (
    FOLIO_DEFERRED,
    FOLIO_QUEUED,
    FOLIO_REMAPPED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_IN_USE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_REFERENCED,
    FRAME_VPN,
    NONE,
    PMD_EXCLUSIVE,
    PMD_NID_SHIFT,
    PMD_NUMA,
    PMD_OWES,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_KIND_ONE,
    PTE_OWES_ONE,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Kind,
)
from reference import BLOCK, Pmd, Reference

MIB = 1 << 20


class Pair:
    """The engine and the reference, driven alike."""

    def __init__(self, machine, options, seed):
        self.sims = self.simulations(machine, options, seed)
        self.processes, self.tasks, self.regions = [], [], []
        self.balances = options.balancing.mode != "off"
        self.shares = False

    @staticmethod
    def costs(seed):
        """Return the costs; in a fifth of the stories lines that others wrote cost."""
        return Costs(line_transfer_permille=0 if seed % 5 else 700)

    def simulations(self, machine, options, seed):
        """Return the two that must agree."""
        costs = self.costs(seed)
        return [
            Simulation(machine, options, costs, seed, batch=77),
            Reference(machine, options, costs, seed),
        ]

    def call(self, name, *args, **options):
        """Do an operation on both; return both results."""
        return [
            getattr(sim, name)(
                *(pick(value, i) for value in args),
                **{key: pick(value, i) for key, value in options.items()},
            )
            for i, sim in enumerate(self.sims)
        ]

    def alive(self):
        """Return the pairs of processes that live."""
        return [pair for pair in self.processes if pair[0].alive]

    def compare(self):
        """Demand that everything to be seen is equal."""
        engine, slow = self.sims
        for fast, model in self.processes:
            assert fast.alive == model.alive, fast.name
            assert engine.rss(fast) == slow.rss(model), fast.name
            assert engine.swapents(fast) == slow.swapents(model), fast.name
            assert list(engine.times(fast)) == list(slow.times(model)), fast.name
            assert engine.huge_pages(fast) == slow.huge_pages(model), fast.name
            by_node = list(engine.pages_by_node(fast))
            assert by_node == list(slow.pages_by_node(model)), fast.name
            self.compare_pages(fast, model)
            assert vmas_of(fast) == vmas_of(model), fast.name
        for fast, model in self.tasks:
            assert engine.clock(fast) == slow.clock(model), fast.id
        assert np.array_equal(*map(moved_bytes, self.sims))
        self.compare_samples()
        for node in range(len(engine.machine.memory)):
            assert engine.free(node) == slow.free(node), node
        names = [one.name.lower() for one in Vm]
        counted = zip(names, engine.counters().T, slow.counters().T, strict=True)
        for name, got, want in counted:
            assert got.tolist() == want.tolist(), name
        assert engine.refusals().tolist() == slow.refusals().tolist()
        assert list(engine.scan_results()) == list(slow.scan_results())
        assert engine.load_balances() == slow.load_balances()
        assert engine.run_delays() == slow.run_delays()
        for fast, model in self.tasks:
            assert fast.cpu == model.cpu, fast.id
        if self.balances:
            self.compare_balancing()
        for name in SINGLES:
            assert getattr(engine, name) == getattr(slow, name), name

    def compare_samples(self):
        """Demand that the samples since the last time are equal."""
        engine, slow = self.sims
        if engine.settings.sampling.period:
            got = engine.take_samples().tolist()
            want = [tuple(one) for one in slow.take_samples()]
            assert got == want, first_of(got, want)

    def compare_balancing(self):
        """Demand that what balancing knows is equal."""
        engine, slow = self.sims
        for fast, model in self.tasks:
            assert fast.cpu == model.cpu, fast.id
            if model.process.alive:
                alike(engine.numa(fast), slow.numa(model), f"task {fast.id}")
        alive = [model for _, model in self.tasks if model.process.alive]
        for number in {slow.numa(task).group for task in alive} - {NONE}:
            got, want = engine.numa_group(number), slow.numa_group(number)
            alike(got, want, f"group {number}")
        for fast, model in self.processes:
            if model.alive:
                assert engine.scan_state(fast) == slow.scan_state(model), fast.name
        assert engine.scan_skips().tolist() == slow.scan_skips().tolist()
        assert engine.numa_scans() == slow.numa_scans()
        for node in range(len(engine.machine.memory)):
            assert engine.tier_state(node) == slow.tier_state(node), node

    def compare_pages(self, fast, model):
        """Demand that all pages of a process are equal, word for word."""
        engine, slow = self.sims
        memory = engine.memory
        for vma in model.vmas:
            for kind, got, want in words(memory, slow, model, vma):
                assert (got == want).all(), self.first(kind, fast, vma, got, want)
            for vpn in sample(vma):
                assert engine.page(fast, vpn) == slow.page(model, vpn), vpn
                if self.balances:
                    assert engine.cpupid(fast, vpn) == slow.cpupid(model, vpn), vpn

    @staticmethod
    def first(kind, process, vma, got, want):
        """Tell of the first word that differs."""
        i = int(np.flatnonzero(got != want)[0])
        return (
            f"{kind} {i} of {process.name} from page {vma.start}:"
            f" {int(got[i]):x}, must be {int(want[i]):x}"
        )

    def check(self):
        """Let both prove their invariants."""
        for sim in self.sims:
            sim.check()


def moved_bytes(sim):
    """Return the bytes from node to node of an engine or a reference."""
    return sim.bytes if isinstance(sim, Reference) else sim.prices.bytes


def first_of(got, want):
    """Return the first two items that differ, or how many there are."""
    both = zip(got, want, strict=False)
    return next((pair for pair in both if pair[0] != pair[1]), (len(got), len(want)))


def alike(got, want, what):
    """Demand that two tuples of numbers and a table are equal."""
    assert got[:-1] == want[:-1], (what, got[:-1], want[:-1])
    assert (got.faults == want.faults).all(), (what, got.faults, want.faults)


def sample(vma):
    """Return some pages of a VMA: its ends, and one of each block."""
    return sorted({vma.start, vma.end - 1, *range(vma.start + 7, vma.end, BLOCK)})


ENTRY_KINDS = {
    "present": PTE_PRESENT,
    "zero": PTE_ZERO,
    "swap": PTE_SWAP,
    "parked": Kind.MIGCACHE * PTE_KIND_ONE,
    "table": PMD_TABLE,
}
#: Those of the package.
MECHANISMS = [one for one in Mechanism if one != Mechanism.OWN]
#: What a frame's word holds that both sides keep alike.
FRAME_BITS = FRAME_VPN | FRAME_MAPCOUNT | FRAME_IN_USE | FRAME_COMPOUND
FRAME_BITS |= FRAME_ACTIVE | FRAME_REFERENCED | FRAME_FROM


def pte_word(pte):
    """Return the word of one of the reference's PTEs."""
    word = ENTRY_KINDS[pte.kind] | max(0, pte.payload)
    word |= pte.write * PTE_WRITE | pte.young * PTE_YOUNG
    word |= pte.dirty * PTE_DIRTY | pte.protnone * PTE_PROTNONE
    owes, exclusive = PTE_OWES_ONE, PTE_EXCLUSIVE
    if isinstance(pte, Pmd):
        owes, exclusive = PMD_OWES, PMD_EXCLUSIVE
    return word | pte.owes * owes | pte.exclusive * exclusive


def pmd_word(pmd):
    """Return the word of one of the reference's PMD entries, which may be None."""
    if not pmd:
        return 0
    return pte_word(pmd) | pmd.nid << PMD_NID_SHIFT | pmd.numa * PMD_NUMA


def frame_word(frame):
    """Return the word of one of the reference's frames or folios."""
    word = frame.vpn | frame.mapcount << FRAME_MAPCOUNT_SHIFT | FRAME_IN_USE
    word |= frame.active * FRAME_ACTIVE | frame.referenced * FRAME_REFERENCED
    word |= frame.moved_from << FRAME_FROM_SHIFT
    return word | frame.compound * FRAME_COMPOUND


def folio_word(folio):
    """Return the word of one of the reference's folios."""
    word = frame_word(folio) | folio.remapped * FOLIO_REMAPPED
    return word | folio.deferred * FOLIO_DEFERRED | folio.queued * FOLIO_QUEUED


def words(memory, slow, model, vma):
    """Yield (kind, words of the engine, words of the reference) of a VMA."""
    start, end, delta = vma.start, vma.end, model.delta
    table, pmds = slow.tables[model.id], slow.pmds[model.id]
    found = [table.get(vpn) for vpn in range(start, end)]
    want = np.array([pte_word(pte) if pte else 0 for pte in found])
    yield "PTE", memory.pte[start + delta : end + delta], want
    mapped = [pte.payload for pte in found if pte and pte.kind == "present"]
    want = np.array([frame_word(slow.frames[pfn]) for pfn in mapped], np.int64)
    yield "frame", memory.frame[mapped] & FRAME_BITS, want
    blocks = range(start // BLOCK, -(-end // BLOCK))
    found = [pmds.get(block) for block in blocks]
    first = blocks.start + delta // BLOCK
    want = np.array([pmd_word(pmd) for pmd in found])
    yield "PMD", memory.pmd[first : first + len(blocks)], want
    mapped = [pmd.payload // BLOCK for pmd in found if pmd and pmd.kind == "present"]
    want = np.array([folio_word(slow.folios[b]) for b in mapped], np.int64)
    yield "folio", memory.block_huge[mapped], want
    owing = [pmd for pmd in found if pmd and pmd.kind == "present" and pmd.owes]
    owing = [pmd.payload // BLOCK for pmd in owing]
    want = np.array([slow.folios[b].owes for b in owing], np.int64)
    yield "debt", memory.block_owes[owing], want


SINGLES = (
    *("slots_in_use", "slots_peak", "entries_in_use", "entries_peak"),
    *("now", "oom_kills", "full_scans", "pages_collapsed"),
)


class Engines(Pair):
    """Two engines that differ in nothing that may change a result."""

    def simulations(self, machine, options, seed):
        costs = self.costs(seed)
        return [
            Simulation(machine, options, costs, seed),
            Simulation(machine, options, costs, seed, threads=2, batch=1),
        ]

    def compare_pages(self, fast, model):
        for vma in fast.vmas:
            start, end = vma.start + fast.delta, vma.end + fast.delta
            blocks = slice(start // BLOCK, -(-end // BLOCK))
            one, other = (sim.memory for sim in self.sims)
            assert (one.pte[start:end] == other.pte[start:end]).all(), vma
            assert (one.pmd[blocks] == other.pmd[blocks]).all(), vma


def vmas_of(process):
    """Return what VMAs of a process are, without the objects that they map."""
    names = "start end read write mof policy advice anon_vma chain linked".split()
    return [[getattr(vma, name) for name in names] for vma in process.vmas]


def pick(value, i):
    """Return the engine's or the reference's half of a pair."""
    return value[i] if isinstance(value, list) and len(value) == 2 else value


def job(pair, size, cpu=0):
    """Start a process with a task and a region of ``size`` MiB."""
    process = pair.call("spawn", "job", 128 * MIB)
    pair.processes.append(process)
    task = pair.call("start_task", process, cpu)
    pair.tasks.append(task)
    return process, task, pair.call("mmap", process, size * MIB)


def toil(pair, kind, task, region, **options):
    """Let one task work, and compare."""
    for i, sim in enumerate(pair.sims):
        sim.run([kind(task=task[i], region=region[i], **options)])
    pair.compare()


def demand(pair, *names):
    """Demand that counters have counted, and that all is well."""
    missing = [name for name in names if not pair.sims[0].total(name)]
    assert not missing
    pair.check()
