"""What pages hold: zeros, until an access writes.

``docs/model/page.md`` states the rules.
"""

from .words import BLOCK, Pte


class Content:
    """A part of ``Reference`` (``model.py``)."""

    def start_content(self):
        thp = self.settings.thp
        self.follows = self.settings.swap_zeromap or thp.split_to_zero_pages
        self.follows |= thp.split_underused
        # Frames and slots that hold something else, slots of which nothing is on disk.
        self.filled, self.written_slots, self.zeromap = set(), set(), set()

    def copy_content(self, old, new):
        if old in self.filled:
            self.filled.add(new)

    def copy_contents(self, old, new):
        """Do ``copy_content`` for the frames of two blocks."""
        for i in range(BLOCK):
            self.copy_content(old * BLOCK + i, new * BLOCK + i)

    def forget_contents(self, b):
        self.filled -= set(range(b * BLOCK, (b + 1) * BLOCK))

    def swap_write(self, pfns, first):
        """Put frames into slots in a row; return the pages that go to disk."""
        slots = range(first, first + len(pfns))
        self.written_slots -= {*slots}
        self.zeromap -= {*slots}
        written = [pfn in self.filled for pfn in pfns]
        self.written_slots |= {s for s, w in zip(slots, written, strict=True) if w}
        if self.settings.swap_zeromap and not any(written):
            self.zeromap |= {*slots}
            return 0
        return len(pfns)

    def swap_read(self, slot, pfn):
        """Let a frame hold what a slot does; return the pages read: 1 or 0."""
        if slot in self.written_slots:
            self.filled.add(pfn)
        return self.pages_read(slot)

    def pages_read(self, slot):
        return int(slot not in self.zeromap)

    def map_unused_to_zeropage(self, b):
        """Map the zero page in place of zero-filled pages of a folio that is split."""
        for pfn in range(b * BLOCK, (b + 1) * BLOCK):
            if pfn in self.filled:
                continue
            frame = self.frames[pfn]
            for process, pte in self.mappings(pfn):
                protnone = self.stays(process, frame.vpn, pte)
                zero = Pte("zero", young=True, protnone=protnone)
                self.tables[process.id][frame.vpn] = zero
                frame.mapcount -= 1
                self._rss[process.id] -= 1

    def underused(self, b):
        """Tell whether a folio holds more zeros than khugepaged puts up with."""
        held = sum(pfn in self.filled for pfn in range(b * BLOCK, (b + 1) * BLOCK))
        most = self.settings.khugepaged.max_ptes_none
        if BLOCK - held > most:
            return True
        self.folios[b].queued = False
        return False
