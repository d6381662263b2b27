"""DAMON in plain Python: a list of regions, one sample and one region at a time.

``docs/model/damon.md``.  What happens to pages is the caller's: he says which were
used, and acts.
"""

from types import SimpleNamespace

from .draws import draw, unit

BP, PAGE, STREAM = 10_000, 4096, (1 << 62) + (1 << 61)


def region(target, start, end):
    """A region that was never looked at."""
    return SimpleNamespace(
        target=target, start=start, end=end, seen=0, bp=0, last=0, age=0
    )


class Damon:
    """One DAMON.

    given                  the attributes of the engine's: intervals, regions, schemes
    used(target, page)     whether a page was used in this sampling interval
    act(scheme, region)    do it; returns bytes
    share(goal)            the metric of a goal, 1e-4
    """

    def __init__(self, seed, stream, regions, given, used, act, share):
        self.seed, self.stream = seed, STREAM + stream
        self.regions, self.given = regions, given
        self.used, self.act, self.share = used, act, share
        self.window = given.aggregation_ns // given.sampling_ns
        self.draws = self.passed = self.last_count = self.now = 0
        self.next_aggregation = self.window
        total = sum(one.end - one.start for one in regions)
        self.limit = max(1, total // given.min_regions)
        self.schemes = [self.scheme_of(one) for one in given.schemes]
        self.seen = []
        self.prepare()

    def scheme_of(self, given):
        wait = given.apply_interval_ns or self.given.aggregation_ns
        counts = dict.fromkeys("esz esz_bp charged total ns least tried sz".split(), 0)
        counts |= dict.fromkeys("applied sz_applied exceeds".split(), 0)
        step = wait // self.given.sampling_ns
        return SimpleNamespace(
            given=given, step=step, next=step, since=None, behind=None, **counts
        )

    def random(self, n, number):
        return int(unit(draw(self.seed, self.stream, number)) * n)

    # --- sampling

    def prepare(self):
        self.pages = []
        for one in self.regions:
            page = one.start + self.random(one.end - one.start, self.draws)
            self.pages.append(page)
            self.draws += 1

    def sample(self, now):
        """A sampling interval is over."""
        self.now = now
        self.passed += 1
        for one, page in zip(self.regions, self.pages, strict=True):
            drop = one.last * BP // self.window
            found = bool(self.used(one.target, page))
            one.bp += BP * found - drop
            one.seen += found
        aggregated = self.passed >= self.next_aggregation
        if aggregated:
            self.merge(max(one.seen for one in self.regions) // 10)
            self.seen.append([(r.start, r.end, r.seen, r.age) for r in self.regions])
        self.apply()
        if aggregated:
            self.next_aggregation = self.passed + self.window
            for one in self.regions:
                one.last, one.seen = one.seen, 0
            self.split()
        self.prepare()

    # --- regions

    def merge(self, threshold):
        for one in self.regions:
            one.age = 0 if abs(one.seen - one.last) > threshold else one.age + 1
        while True:
            self.merge_once(threshold)
            if len(self.regions) <= self.given.max_regions or threshold >= self.window:
                return
            doubled = max(1, threshold * 2)
            threshold = doubled if threshold < self.window // 2 else self.window

    def merge_once(self, threshold):
        kept = []
        for one in self.regions:
            left = kept[-1] if kept else None
            if left and self.alike(left, one, threshold):
                a, b = left.end - left.start, one.end - one.start
                left.seen = (left.seen * a + one.seen * b) // (a + b)
                left.age = (left.age * a + one.age * b) // (a + b)
                left.bp, left.end = left.seen * BP, one.end
            else:
                kept.append(one)
        self.regions = kept

    def alike(self, left, right, threshold):
        return (
            left.target == right.target
            and left.end == right.start
            and abs(left.seen - right.seen) <= threshold
            and right.end - left.start <= self.limit
        )

    def cut(self, one, pages):
        """Split a region; return the part behind."""
        behind = SimpleNamespace(**vars(one))
        behind.start = one.end = one.start + pages
        self.regions.insert(self.regions.index(one) + 1, behind)
        return behind

    def split(self):
        count, most = len(self.regions), self.given.max_regions
        if count > most // 2:
            return
        parts = 3 if count == self.last_count and count < most // 3 else 2
        for i, one in enumerate(list(self.regions)):
            for k in range(parts - 1):
                size = one.end - one.start
                if size <= 2:
                    break
                tenths = 1 + self.random(9, self.draws + 2 * i + k)
                left = tenths * size // 10
                if 0 < left < size:
                    self.cut(one, left)
        self.draws += 2 * count
        self.last_count = count

    # --- schemes

    def apply(self):
        ready = [one for one in self.schemes if self.passed >= one.next]
        for scheme in ready:
            self.adjust(scheme)
        walked = [one for one in ready if not self.full(one)]
        i = 0
        while i < len(self.regions):
            for scheme in ready:
                one = self.regions[i]
                if not self.full(scheme) and not self.skip(scheme, one):
                    self.attempt(scheme, one)
            i += 1
        for scheme in walked:
            scheme.behind = scheme.behind if self.full(scheme) else None
        for scheme in ready:
            scheme.next = self.passed + scheme.step

    def full(self, scheme):
        return scheme.esz > 0 and scheme.charged >= scheme.esz

    def skip(self, scheme, one):
        """Whether a region was done before the last interval ended."""
        if scheme.behind is None:
            return False
        target, page = scheme.behind
        if one.target != target:
            return one.target < target
        if one.start < page < one.end:
            self.cut(one, page - one.start)
        return one.start < page

    def matches(self, scheme, one):
        size, given = (one.end - one.start) * PAGE, scheme.given
        seen = one.bp // BP
        return (
            given.min_sz <= size <= given.max_sz
            and given.min_nr_accesses <= seen <= given.max_nr_accesses
            and given.min_age <= one.age <= given.max_age
        )

    def score(self, scheme, one):
        given, quota = scheme.given, scheme.given.quota
        if given.action not in ("migrate_hot", "migrate_cold", "pageout"):
            return 99
        often = one.bp // BP * 100 // self.window
        seconds = one.age * self.given.aggregation_ns // quota.age_unit_ns
        log = min(seconds.bit_length(), 32)
        long = ((-log if often == 0 else log) + 32) * 100 // 32 // 2
        weights = quota.weight_nr_accesses + quota.weight_age
        hot = quota.weight_nr_accesses * often + quota.weight_age * long
        hot = min(max(hot // max(1, weights) * 99 // 100, 0), 99)
        return hot if given.action == "migrate_hot" else 99 - hot

    def attempt(self, scheme, one):
        if not self.matches(scheme, one):
            return
        if scheme.esz and self.score(scheme, one) < scheme.least:
            return
        size = (one.end - one.start) * PAGE
        scheme.tried += 1
        if scheme.esz and scheme.charged + size > scheme.esz:
            pages = (scheme.esz - scheme.charged) // PAGE
            if not pages:
                return
            self.cut(one, pages)
            size = pages * PAGE
        done = self.act(scheme.given, one)
        scheme.charged += size
        scheme.sz += size
        scheme.applied += done > 0
        scheme.sz_applied += done
        if self.full(scheme):
            scheme.behind = one.target, one.end
        if scheme.given.action != "stat":
            one.age = 0

    # --- quotas

    def adjust(self, scheme):
        quota = scheme.given.quota
        if not (quota.sz or quota.goals):
            return
        if scheme.since is None:
            scheme.since, scheme.esz = self.now, self.allowed(scheme, quota)
        elif self.now - scheme.since >= quota.reset_interval_ns:
            scheme.exceeds += self.full(scheme)
            scheme.since, scheme.charged = self.now, 0
            scheme.esz = self.allowed(scheme, quota)
        sizes = [0] * 100
        for one in self.regions:
            if self.matches(scheme, one):
                sizes[self.score(scheme, one)] += (one.end - one.start) * PAGE
        total, score = 0, max((i for i in range(100) if sizes[i]), default=0)
        while True:
            total += sizes[score]
            if total >= scheme.esz or score == 0:
                break
            score -= 1
        scheme.least = score

    def allowed(self, scheme, quota):
        if not quota.goals:
            return quota.sz
        score = max(self.share(one) * BP // one.target_value for one in quota.goals)
        scheme.esz_bp = next_input(max(scheme.esz_bp, BP), score)
        size = scheme.esz_bp // BP
        return min(size, quota.sz) if quota.sz else size


def next_input(last, score):
    """The feedback loop of a goal, in whole numbers."""
    if score == BP:
        return last
    if score >= 2 * BP:
        return BP
    if score > BP:
        return max(last - last * (score - BP) // BP, BP)
    return last + last * (BP - score) // BP
