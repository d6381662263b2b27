"""Who is told what a run does."""


class Silent:
    """An observer that ignores everything."""

    def progress(self, accesses, now_ns):
        """Take note of accesses served since the last call."""

    def epoch(self, time_ns, counters, processes, khugepaged):
        """Take the counters of an epoch, and what khugepaged did in it."""

    def event(self, time_ns, kind, node, process, value):
        """Take a rare event."""

    def snapshot(self, time_ns, process, node, kind):
        """Take what the blocks of a process are."""

    def record(self, time_ns, records, row):
        """Take a row of the study's own."""
