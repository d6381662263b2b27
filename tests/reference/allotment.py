"""The free memory that each shard gets for a quantum, and what it gives back.

``docs/model/quantum.md`` states the rules.
"""

from .words import BLOCK, Block


class Allotments:
    """A part of ``Reference`` (``model.py``)."""

    def lend(self, shards, queues):
        never = self.settings.thp.enabled == "never"
        part = 8 if never else 16
        for n, node in enumerate(self.nodes):
            node.whole_at_start = node.whole
            share = max(0, min(node.free // part, node.free - node.low)) // len(shards)
            for s, (shard, queue) in enumerate(zip(shards, queues, strict=True)):
                enough = max(64, self.wanted.get((s, n), 0))
                want, lent, frames = min(share, len(queue), enough), [], 0
                while frames < want:
                    b = node.partial.pop() if node.partial else self.free_block(node)
                    if b is None:
                        break
                    lent.append(b)
                    frames += BLOCK - self.blocks.setdefault(b, Block()).used
                shard.lent[n] = lent
                shard.left[n] = shard.given[n] = min(want, frames)
        if not never:
            self.lend_whole(shards, queues)

    def lend_whole(self, shards, queues):
        """Lend wholly free blocks for huge pages."""
        for n, node in enumerate(self.nodes):
            room = max(0, min(node.free // 16, node.free - node.low))
            share = room // BLOCK // len(shards)
            for s, (shard, queue) in enumerate(zip(shards, queues, strict=True)):
                enough = max(16, 2 * self.used_whole.get((s, n), 0))
                want = min(share, len(queue), enough, node.whole)
                shard.whole[n] = [self.free_block(node) for _ in range(want)]

    def take_back(self, shards, queues):
        for s, shard in enumerate(shards):
            for n, node in enumerate(self.nodes):
                taken = shard.given[n] - shard.left[n]
                wanted = 4 * (taken if shard.left[n] else len(queues[s]))
                self.wanted[s, n] = max(wanted, self.wanted.get((s, n), 0) // 2)
                node.free -= taken
                for b in shard.lent[n]:
                    if self.blocks[b].used == 0:
                        self.blocks[b] = Block()
                        node.returned.append(b)
                    else:
                        node.partial.append(b)
        for s, shard in enumerate(shards):
            for n, node in enumerate(self.nodes):
                self.used_whole[s, n] = shard.used_whole.get(n, 0)
                node.free -= BLOCK * shard.used_whole.get(n, 0)
                node.returned += shard.whole.get(n, [])
        for part in range(8):
            for shard in shards:
                for pfn in shard.freed:
                    if pfn // BLOCK // 64 % 8 == part:
                        self.put_frame(pfn)
        for shard in shards:
            for b in shard.freed_whole:
                self.put_huge(b)
        for shard in shards:
            for cache, one in shard.freed_ids:
                cache.give(one)
