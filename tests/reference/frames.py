"""Free memory: how frames, blocks, swap slots and migration-cache entries are taken and
freed.

``docs/model/page.md`` states the rules.
"""

from lazynuma.kernels.counters import Vm

from .words import BLOCK, Block, SetAside


class Frames:
    """A part of ``Reference`` (``model.py``)."""

    def node_of(self, pfn):
        return pfn >> self.shift

    def cache(self, name):
        return self.slots if name == "swap" else self.entries

    def free_id(self, cache, one):
        """Free a slot or an entry; a shard does it at the barrier."""
        if self.shard is None:
            cache.give(one)
        else:
            self.shard.freed_ids.append((cache, one))

    def take_frame(self, b):
        block = self.blocks.setdefault(b, Block())
        block.used += 1
        lowest = block.free & -block.free
        block.free ^= lowest
        return b * BLOCK + lowest.bit_length() - 1

    def free_block(self, node):
        if node.returned:
            return node.returned.pop()
        if node.virgin * BLOCK >= node.span:
            return None
        node.virgin += 1
        return node.first // BLOCK + node.virgin - 1

    def take_serial(self, n):
        node = self.nodes[n]
        if not node.partial:
            node.partial.append(self.free_block(node))
        b = node.partial[-1]
        pfn = self.take_frame(b)
        if self.blocks[b].used == BLOCK:
            node.partial.remove(b)
        node.free -= 1
        return pfn

    def take_shard(self, n):
        shard = self.shard
        if shard.left[n] == 0:
            raise SetAside
        b = shard.lent[n][0]
        pfn = self.take_frame(b)
        shard.left[n] -= 1
        if self.blocks[b].used == BLOCK:
            shard.lent[n].pop(0)
        return pfn

    def take(self, n):
        return self.take_serial(n) if self.shard is None else self.take_shard(n)

    def put_frame(self, pfn):
        n, b = self.node_of(pfn), pfn // BLOCK
        node, block = self.nodes[n], self.blocks[b]
        block.free |= 1 << pfn % BLOCK
        block.used -= 1
        node.free += 1
        if block.used == BLOCK - 1:
            node.partial.append(b)
        if block.used == 0:
            node.partial.remove(b)
            node.returned.append(b)

    def release(self, pfn):
        """Free a frame; a shard does it at the barrier."""
        del self.frames[pfn]
        self.filled.discard(pfn)
        self.add(self.node_of(pfn), Vm.PGFREE)
        if self.shard is None:
            self.put_frame(pfn)
        else:
            self.shard.freed.append(pfn)

    def take_huge(self, n):
        """Take a whole block; return its number."""
        node = self.nodes[n]
        if self.shard is None:
            node.free -= BLOCK
            return self.free_block(node)
        if not self.shard.whole.get(n):
            raise SetAside
        self.shard.used_whole[n] = self.shard.used_whole.get(n, 0) + 1
        return self.shard.whole[n].pop(0)

    def put_huge(self, b):
        node = self.nodes[self.node_of(b * BLOCK)]
        node.free += BLOCK
        self.blocks[b] = Block()
        node.returned.append(b)

    def release_huge(self, b):
        """Free the block of a folio that is gone; a shard does it at the barrier."""
        self.add(self.node_of(b * BLOCK), Vm.PGFREE, BLOCK)
        if self.shard is None:
            self.put_huge(b)
        else:
            self.shard.freed_whole.append(b)

    def release_folio(self, b):
        """Free a folio and its frames' words."""
        if self.folios.pop(b).compound:
            for pfn in range(b * BLOCK, (b + 1) * BLOCK):
                del self.frames[pfn]
        self.forget_contents(b)
        self.release_huge(b)

    def frames_of(self, b):
        pfns = range(b * BLOCK, (b + 1) * BLOCK)
        return [pfn for pfn in pfns if pfn in self.frames]
