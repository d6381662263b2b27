"""MEMTIS: a histogram of access counts says which pages fill the fast tier.

Lee et al., "MEMTIS: Efficient Memory Tiering with Dynamic Page Classification and Page
Size Determination", SOSP 2023.  Sampled accesses are counted a page; the hotness of a
page is its count per 2 MiB (512 times that of a base page).  A histogram in powers of
two holds the memory of each hotness; the hot threshold is the lowest bin above which
all fits in the fast tier (section 4.2).  Counts are halved after 2,000,000 samples.
kmigrated wakes every 500 ms: it promotes hot pages, and demotes cold ones, then warm
ones, while less than 2 % of the fast tier is free.  If base pages would serve more
accesses from fast memory than huge pages do, by 5 % or more, those with the most skewed
accesses are split (section 4.3).

Left out: stores are sampled as loads are; the period of sampling is fixed, where the
paper's follows the load of ksampled, of which 3 % of a core is charged; split pages are
not collapsed again, zero-filled pages of a split are kept.
Scaled: kmigrated's period, and the numbers of samples between coolings and adaptations,
as there are so many pages less.
"""

from functools import partial

import numpy as np

from ...engine.machines.machine import Machine
from ...engine.settings.sampled_accesses import Sampling
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.words import HPAGE_PMD_NR
from . import Rival, Scale
from .tiers import Sampled, Tiers, next_wake, take_sampled

#: One in so many loads is sampled at first (section 4.1).
SAMPLED = 200
#: Share of a core that ksampled may take (section 4.1).
KSAMPLED = 0.03
#: Samples between adaptations of the threshold, and between coolings (section 4.2).
ADAPTATION, COOLING = 100_000, 2_000_000
#: Bins of the histogram: bin n has hotness 2^n and more (section 4.2).
BINS = 16
#: If the hot set fills less of the fast tier, the bin below it is warm (section 4.2).
ALPHA = 0.9
#: kmigrated's period, and the share of the fast tier that it keeps free (section 4.2).
PERIOD_NS, FREE = 500_000_000, 0.02
#: Gain in hits that a split must promise, and how boldly to split (section 4.3).
GAIN, BETA = 0.05, 0.4


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("memtis", partial(_settings, scale), start=partial(_start, scale))


def _settings(scale: Scale, _machine: Machine) -> Settings:
    return Settings(sampling=Sampling(period=scale.period(SAMPLED)))


def _start(
    scale: Scale, simulation: Simulation, _process: Process, region: Region
) -> None:
    simulation.start_daemon(Memtis(region, simulation.machine, scale))


def bin_of(hotness: np.ndarray) -> np.ndarray:
    """Return the bin of each hotness: floor(log2), from 0 to ``BINS`` - 1."""
    power = np.frexp(np.maximum(hotness, 1))[1] - 1
    return np.minimum(power, BINS - 1)


def thresholds(histogram: np.ndarray, fast_pages: int) -> tuple[int, int]:
    """Return the lowest hot and the lowest warm bin (algorithm 1).

    histogram  4 KiB pages of each bin
    """
    filled, hot = 0, BINS
    while hot > 0 and filled + histogram[hot - 1] <= fast_pages:
        hot -= 1
        filled += int(histogram[hot])
    warm = hot if filled >= ALPHA * fast_pages else hot - 1
    return hot, warm


class Memtis:
    """ksampled and kmigrated of one process."""

    def __init__(self, region: Region, machine: Machine, scale: Scale) -> None:
        self.region, self.tiers = region, Tiers(machine)
        self.period_ns = scale.time(PERIOD_NS)
        self.adaptation = scale.time(ADAPTATION)
        self.cooling = scale.time(COOLING)
        self.wakes_ns = self.period_ns
        self.last_ns = 0
        #: Latency that slow memory has more than fast memory, as a share of the latter.
        self.penalty = _penalty(machine, self.tiers)
        #: Samples of each base page, halved by each cooling.
        self.counts = np.zeros(region.pages, np.int64)
        self.hot = self.warm = 0
        self.since_adaptation = self.since_cooling = 0
        #: Since the last cooling: samples of fast memory, and all.
        self.hits = self.seen = 0
        self.coolings = self.splits = 0

    def wake(self, simulation: Simulation) -> None:
        """Count what was sampled, classify pages, and move some."""
        huge = self._huge(simulation)
        sampled = take_sampled(simulation, self.region)
        if self.track(sampled, huge, self.tiers.size(simulation)):
            self._split(simulation, huge)
            self.counts >>= 1
            self.hits = self.seen = 0
            self.coolings += 1
        self._move(simulation, huge)
        simulation.charge(int(KSAMPLED * (simulation.now - self.last_ns)))
        self.last_ns = simulation.now
        self.wakes_ns = next_wake(simulation, self.period_ns)

    def _huge(self, simulation: Simulation) -> np.ndarray:
        """Return which pages are part of a huge page."""
        blocks = simulation.huge(self.region)
        return np.repeat(blocks, HPAGE_PMD_NR)[: self.region.pages]

    def track(self, sampled: Sampled, huge: np.ndarray, fast_pages: int) -> bool:
        """Count samples; return whether it is time to cool."""
        self.counts += np.bincount(sampled.page, minlength=len(self.counts))
        count = len(sampled.page)
        self.hits += int(self.tiers.of(sampled.node).fast.sum())
        self.seen += count
        self.since_adaptation += count
        self.since_cooling += count
        cools = self.since_cooling >= self.cooling
        if cools or self.since_adaptation >= self.adaptation:
            bins = bin_of(self.hotness(huge))
            touched = np.bincount(bins, minlength=BINS)
            self.hot, self.warm = thresholds(touched, fast_pages)
            self.since_adaptation = 0
        if cools:
            self.since_cooling = 0
        return cools

    def hotness(self, huge: np.ndarray) -> np.ndarray:
        """Return the hotness of each page: that of its huge page if it is in one."""
        whole = np.repeat(_by_block(self.counts), HPAGE_PMD_NR)[: len(self.counts)]
        return np.where(huge, whole, self.counts * HPAGE_PMD_NR)

    def _move(self, simulation: Simulation, huge: np.ndarray) -> None:
        """Promote what is hot and slow, hottest first; demote for room."""
        placed = self.tiers.of(simulation.where(self.region))
        bins = bin_of(self.hotness(huge))
        kept = int(FREE * self.tiers.size(simulation))
        hot, warm = max(self.hot, 1), max(self.warm, 1)
        wanted = np.flatnonzero(placed.slow & (bins >= hot))
        wanted = wanted[np.argsort(-bins[wanted], kind="stable")]
        lowest = np.flatnonzero(placed.fast & (bins < hot))
        lowest = lowest[np.argsort(bins[lowest], kind="stable")]
        # Warm pages go only if free memory is short, not to make room for hot ones.
        cold = int(np.count_nonzero(bins[lowest] < warm))
        room = self.tiers.room(simulation, kept)
        short = min(len(lowest), max(0, -room))
        out = min(max(short, cold), max(short, len(wanted) - room))
        if out > 0:
            simulation.demote(self.region, lowest[:out])
        if len(wanted):
            self.tiers.promote(simulation, self.region, wanted, kept)

    def _split(self, simulation: Simulation, huge: np.ndarray) -> None:
        """Split the most skewed huge pages, if that promises more hits."""
        gain = self.expected_hits(self.tiers.size(simulation)) - self.hit_share
        if gain < GAIN:
            return
        blocks = self.skewed(huge, gain)
        if len(blocks):
            simulation.split_blocks(self.region, blocks)
            self.splits += len(blocks)

    @property
    def hit_share(self) -> float:
        """Share of the samples that fast memory served since the last cooling (rHR)."""
        return self.hits / self.seen if self.seen else 0.0

    def expected_hits(self, fast_pages: int) -> float:
        """Return the share of samples if all pages were small and well placed (eHR)."""
        total = int(self.counts.sum())
        if not total:
            return 0.0
        if fast_pages >= len(self.counts):
            return 1.0
        best = np.partition(self.counts, len(self.counts) - fast_pages)
        return float(best[len(best) - fast_pages :].sum()) / total

    def skewed(self, huge: np.ndarray, gain: float) -> np.ndarray:
        """Return the huge pages to split: blocks, the most skewed first.

        As many as would bring the missing hits, times what a hit saves and beta; by
        the sum of squares of subpages' counts over the square of those in use.
        """
        whole = huge[::HPAGE_PMD_NR]
        sums, used = _by_block(self.counts), _by_block(self.counts > 0)
        squares = _by_block(self.counts**2)
        blocks = np.flatnonzero(whole & (sums > 0))
        if not len(blocks):
            return blocks
        mean = sums[blocks].mean()
        wanted = gain * sums.sum() / mean * self.penalty * BETA
        skew = squares[blocks] / used[blocks] ** 2
        order = np.argsort(-skew, kind="stable")
        return blocks[order[: int(np.ceil(wanted))]]


def _by_block(values: np.ndarray) -> np.ndarray:
    """Return the sum of each block of 2 MiB: int64."""
    padded = np.zeros(-(-len(values) // HPAGE_PMD_NR) * HPAGE_PMD_NR, np.int64)
    padded[: len(values)] = values
    return padded.reshape(-1, HPAGE_PMD_NR).sum(axis=1)


def _penalty(machine: Machine, tiers: Tiers) -> float:
    """Return how much longer slow memory takes, from the CPUs nearest to it."""
    cpus = [node for node, count in enumerate(machine.cpus) if count]
    fast = machine.latency_ns[np.ix_(cpus, tiers.fast)].min()
    slow = machine.latency_ns[np.ix_(cpus, tiers.slow)].min()
    return float(slow - fast) / float(fast)
