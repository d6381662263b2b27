"""Where a whole block for a huge page comes from.

``docs/model/placement.md`` and ``docs/model/thp.md`` state the rules.
"""

from lazynuma.kernels.knobs import Advice, Mode

from .placement import INTERLEAVES
from .words import BLOCK, NoMemory, SetAside


class HugePlacement:
    """A part of ``Reference`` (``model.py``)."""

    def has_room(self, n, mark):
        """Tell whether a node has room for 512 frames above a mark."""
        node = self.nodes[n]
        whole = node.whole if self.shard is None else node.whole_at_start
        return node.online and node.free - (BLOCK - 1) > mark and whole > 0

    def with_room(self, candidates, mark):
        """Return the first candidate with room above its mark, or None."""
        for n in candidates:
            if self.has_room(n, getattr(self.nodes[n], mark)):
                return n
        return None

    def direct(self, vma):
        """Tell whether a fault may compact."""
        defrag = self.settings.thp.defrag
        advised = vma.advice == Advice.HUGEPAGE
        return defrag == "always" or advised and defrag in ("madvise", "defer+madvise")

    def wakes(self, direct):
        """Tell whether a fault may wake kswapd and kcompactd."""
        defrag = self.settings.thp.defrag
        return defrag == "defer" or defrag == "defer+madvise" and not direct

    def allocate_huge(self, task, vma, vpn, direct, wake, ilx=None):
        """Allocate a block by policy; None where it fails."""
        policy = self.policy_of(task, vma)
        spread = policy.mode in INTERLEAVES
        if self.shard is not None and spread:
            raise SetAside
        passes = self.passes(task, vma, vpn, 9, ilx=ilx)
        if self.shard is None:
            n, preferred = self.choose_huge(task, passes, spread, direct, wake)
        else:
            n = preferred = self.choose_in_shard(passes[0], direct)
        if n is None:
            return None
        b = self.take_huge(n)
        interleaved = policy.mode == Mode.INTERLEAVE
        self.statistics(n, preferred, self.cpu(task), interleaved, BLOCK)
        return b

    def choose_in_shard(self, candidates, direct):
        if not candidates:
            raise SetAside
        n = candidates[0]
        if self.nodes[n].whole_at_start == 0 and not direct:
            self.nodes[n].woken |= self.wakes(direct)
            self.nodes[n].kcompactd |= self.wakes(direct)
            return None
        if self.nodes[n].free - (BLOCK - 1) <= self.nodes[n].low:
            raise SetAside
        return n

    def choose_huge(self, task, passes, spread, direct, wake):
        """Return (node or None, preferred node), serially."""
        if not passes[0]:
            return None, None
        preferred = passes[0][0]
        near = passes[0] if spread else passes[0][:1]
        n = self.with_room(near, "low")
        if n is None:
            for m in near:
                self.nodes[m].woken |= wake
                self.nodes[m].kcompactd |= wake
            n = self.with_room(near, "min")
        if n is None and direct and not spread:
            self.compact(preferred, task)
            n = self.with_room(near, "min")
            if n is None:
                preferred = passes[-1][0]
                n = self.with_room(passes[-1], "low")
                if n is None:
                    n = self.with_room(passes[-1], "min")
        return n, preferred

    def allocate_huge_on(self, n, mark, c):
        """Allocate a block on exactly one node."""
        if not self.has_room(n, mark):
            raise NoMemory
        b = self.take_huge(n)
        self.statistics(n, n, c, pages=BLOCK)
        return b
