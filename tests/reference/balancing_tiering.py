"""Memory tiers: the threshold and the limits of promotion.

``docs/model/balancing.md`` states the rules.
"""


class Tiering:
    """A part of ``Reference`` (``model.py``)."""

    def tier_windows(self):
        """Step 1: add pages; thresholds and windows of the nodes."""
        knobs, now = self.knobs, self.ms()
        rows = [self.serial_notes, *self.shard_notes]
        for d, tier in enumerate(self.tiers):
            new = sum(one.candidates.get(d, 0) for one in rows)
            tier.candidates += new
            tier.migrated += sum(one.migrated.get(d, 0) for one in rows)
            self.note_limited(d, tier)
            if d in self.roomy:
                tier.threshold = 0
            late = now - tier.th_start > knobs.scan_period_max_ms
            if d in self.asked and late:
                self.adjust_threshold(tier)
            if new and now - tier.window > 1000:
                tier.window, tier.base = now, tier.candidates
            if now - tier.migrate_start > 100:
                tier.migrate_start, tier.migrated = now, 0

    def note_limited(self, d, tier):
        """migrate_ratelimited: until when a node is not scanned from."""
        rows = [self.serial_notes, *self.shard_notes]
        if 0 < self.migrate_limit <= tier.migrated:
            tier.limited_until = tier.migrate_start + 100 + 1000 + 1
        elif any(one.migrated.get(d, 0) for one in rows):
            tier.limited_until = 0

    def adjust_threshold(self, tier):
        hot = self.knobs.hot_threshold_ms
        ref = self.promote_limit * self.knobs.scan_period_max_ms // 1000
        new, unit = tier.candidates - tier.th_candidates, hot * 2 // 16
        th = tier.threshold or hot
        if new > ref * 11 // 10:
            th = max(th - unit, unit)
        elif new < ref * 9 // 10:
            th = min(th + unit, 2 * hot)
        tier.th_start, tier.th_candidates = self.ms(), tier.candidates
        tier.threshold = th
