"""Invariants: counts and mappings agree, and nothing leaks.

``docs/model/page.md`` states the rules.
"""

from .words import BLOCK


class Checks:
    """A part of ``Reference`` (``model.py``)."""

    def check(self):
        """Assert that counts and mappings agree."""
        for n, node in enumerate(self.nodes):
            here = [pfn for pfn in self.frames if self.node_of(pfn) == n]
            used = sum(not self.frames[pfn].compound for pfn in here)
            used += sum(BLOCK for b in self.folios if self.node_of(b * BLOCK) == n)
            assert node.free + used == node.span, f"node {n}"
        held, mapped, leaves = {"swap": {}, "parked": {}}, {}, {}
        for process in self.processes:
            self.check_process(process)
            for pte in self.tables[process.id].values():
                if pte.kind == "present":
                    mapped[pte.payload] = mapped.get(pte.payload, 0) + 1
                elif pte.kind != "zero":
                    counts = held[pte.kind]
                    counts[pte.payload] = counts.get(pte.payload, 0) + 1
            for pmd in self.pmds[process.id].values():
                if pmd.kind == "present":
                    b = pmd.payload // BLOCK
                    leaves[b] = leaves.get(b, 0) + 1
        for pfn, frame in self.frames.items():
            assert frame.mapcount == mapped.get(pfn, 0), f"frame {pfn}"
            if frame.compound:
                assert self.folios[pfn // BLOCK].compound, f"frame {pfn}"
            else:
                assert pfn // BLOCK not in self.folios, f"frame {pfn}"
                held_by = frame.mapcount or frame.cache or frame.shmem
                assert held_by, f"frame {pfn} leaked"
        for b, folio in self.folios.items():
            assert folio.mapcount == leaves.get(b, 0), f"folio {b}"
            frames = [self.frames[pfn] for pfn in self.frames_of(b)]
            assert len(frames) == BLOCK * folio.compound, f"folio {b}"
            assert folio.ptes == sum(frame.mapcount > 0 for frame in frames)
            assert folio.mapcount or folio.ptes, f"folio {b} leaked"
            assert not folio.remapped or (folio.compound and folio.mapcount)
        self.check_page_cache()
        for kind, slot in self.page_cache.values():
            if kind == "swap":
                held[kind][slot] = held[kind].get(slot, 0) + 1
        for ids, kind in ((self.slots, "swap"), (self.entries, "parked")):
            for one, count in ids.count.items():
                assert count == held[kind].get(one, 0), f"{kind} {one}"

    def check_process(self, process):
        table, pmds = self.tables[process.id], self.pmds[process.id]
        kinds = [pte.kind for pte in table.values()]
        huge = sum(pmd.kind == "present" for pmd in pmds.values())
        assert self._rss[process.id] == kinds.count("present") + BLOCK * huge
        parked = kinds.count("swap") + kinds.count("parked")
        assert self._swapents[process.id] == parked
        assert all(pmds[vpn // BLOCK].kind == "table" for vpn in table)
        for block in pmds:
            first, end = block * BLOCK, (block + 1) * BLOCK
            mine = [v for v in process.vmas if v.start < end and first < v.end]
            assert mine, f"table of block {block} without a VMA"
            if pmds[block].kind != "table":
                assert mine[0].start <= first and end <= mine[0].end, f"block {block}"

    def check_page_cache(self):
        held = [pfn for kind, pfn in self.page_cache.values() if kind == "present"]
        assert sorted(held) == sorted(p for p, f in self.frames.items() if f.shmem)
