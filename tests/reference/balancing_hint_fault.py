"""The hint fault of NUMA balancing: whether the page moves, and what the fault notes.

``docs/model/balancing.md`` states the rules.
"""

from dataclasses import dataclass

from lazynuma.kernels.counters import Refusal, Vm
from lazynuma.kernels.knobs import Mode

from .balancing_words import CPU, MEM, TIME_MASK, VmaState
from .words import BLOCK


@dataclass
class Decision:
    """Where a hint fault's page shall go, and what the fault notes if it is served."""

    target: int | None = None
    refusal: object = None
    exchanged: bool = False
    last: object = None
    roomy: bool = False
    asked: bool = False
    candidate: bool = False


class BalancingHintFaults:
    """A part of ``Reference`` (``model.py``)."""

    def mof(self, task, vma, vpn):
        if vma.shmem and not self.knobs.scan_shmem:
            return False
        policy = self.policy_of(task, self.place(vma, vpn))
        return vma.mof or policy.mode == Mode.DEFAULT or policy.numa_balancing

    def decide(self, task, vma, vpn, pfn, page, nr):
        """Return the Decision of a hint fault."""
        n, d = self.node_of(pfn), self.cpu(task)
        if not self.mof(task, vma, vpn):
            return Decision()
        if vma.mof:
            return Decision(self.misplaced(task, vma, vpn, pfn))
        if self.nodes[d].span == 0:
            return Decision()
        policy = self.policy_of(task, self.place(vma, vpn))
        if policy.mode == Mode.DEFAULT:
            if n == d:
                done = Decision()
                if self.knobs.local_last_cpupid:
                    self.filter(task, n, d, page, nr, done)
                done.refusal = None
                return done
        elif d not in policy.nodes:
            return Decision()
        done = Decision()
        yes = self.filter(task, n, d, page, nr, done)
        if yes and n != d:
            done.target = d
        if n == d:
            done.refusal = None
        return done

    def filter(self, task, n, d, page, nr, done):
        """should_numa_migrate_memory; fills in a decision, changes nothing."""
        if self.slow(n):
            return self.filter_slow(d, page, nr, done)
        old, numa = page.last, self.numas[task.id]
        done.exchanged, done.last = True, (self.pid(task) & 255, self.cpu_of(task))
        if self.knobs.filter == "none":
            return True
        foreign = old is not None and self.cpu_node[old[1]] != d
        mine = old is not None and old[0] == self.pid(task) & 255
        done.refusal = Refusal.TWO_STAGE
        if self.knobs.filter == "last_nid":
            return old is not None and not foreign
        if self.knobs.filter == "active_nodes":
            return self.filter_2014(n, d, foreign, mine, numa.group, done)
        if not self.tiering and self.below_cpus(n) and old is None:
            return False
        if (numa.preferred < 0 or numa.seq <= 4) and (old is None or mine):
            return True
        if foreign:
            return False
        if mine or numa.group is None:
            return True
        done.refusal = Refusal.GROUP_WEIGHT
        group = numa.group
        there, here = group.of_node(CPU, d), group.of_node(CPU, n)
        if there > 3 * here:
            return True
        return there * group.of_node(MEM, n) * 3 > here * group.of_node(MEM, d) * 4

    def filter_2014(self, n, d, foreign, mine, group, done):
        """should_numa_migrate_memory of 3.15 to 4.5."""
        if foreign or mine or group is None:
            return not foreign
        done.refusal = Refusal.GROUP_WEIGHT
        if not self.is_active(group, d):
            return False
        if not self.is_active(group, n):
            return True
        return group.of_node(MEM, d) < group.of_node(MEM, n) * 3 // 4

    def filter_slow(self, d, page, nr, done):
        node, tier = self.nodes[d], self.tiers[d]
        promo = 2 * node.high - node.low
        if node.free > promo + max(1 << 18, node.span // 16):
            done.roomy = True
            return True
        done.asked = done.exchanged = True
        done.last = self.ms() & TIME_MASK
        latency = (self.ms() - (page.last or 0)) & TIME_MASK
        if latency >= (tier.threshold or self.knobs.hot_threshold_ms):
            done.refusal = Refusal.COLD
            return False
        done.candidate = True
        seen = self.so_far(tier.candidates, "candidates", d, nr) - tier.base
        done.refusal = Refusal.RATE_LIMIT
        return seen < self.promote_limit

    def so_far(self, total, kind, n, more=0):
        """Return what counts against a limit: in a shard its own share times S."""
        if self.shard is None:
            rows = [self.serial_notes, *self.shard_notes]
            return total + sum(getattr(one, kind).get(n, 0) for one in rows) + more
        own = getattr(self.shard_notes[-1], kind).get(n, 0)
        return total + (own + more) * self.settings.shards

    def note(self, kind, n, pages):
        notes = self.serial_notes if self.shard is None else self.shard_notes[-1]
        counts = getattr(notes, kind)
        counts[n] = counts.get(n, 0) + pages

    def carry_out(self, done, page, d, nr):
        """Note what a hint fault's decision says, now that it is served."""
        if done.exchanged:
            page.last = done.last
        if done.roomy:
            self.roomy.add(d)
        if done.asked:
            self.asked.add(d)
        if done.candidate:
            self.note("candidates", d, nr)
            self.add(d, Vm.PGPROMOTE_CANDIDATE, nr)
        if done.target is None and done.refusal is not None:
            self.refuse(done.refusal, nr)

    def over_limit(self, t):
        """Tell whether a node's limit of migrations is used up."""
        tier = self.tiers[t]
        used = self.so_far(tier.migrated, "migrated", t)
        return self.migrate_limit > 0 and used > self.migrate_limit

    def balanced_fault(self, task, vma, vpn, entry, huge, traps=1):
        """Serve a hint fault; set aside, it must have changed nothing.

        huge  whether it is of a folio: by its PMD entry, or by a PTE of it
        """
        pfn, nr = entry.payload, BLOCK if huge else 1
        page = self.folios[pfn // BLOCK] if huge else self.frames[pfn]
        n, d = self.node_of(pfn), self.cpu(task)
        done = self.decide(task, vma, vpn, pfn, page, nr)
        leaf = self.is_leaf(entry)
        if leaf and done.target is not None and not self.settings.thp.unit_hinting:
            self.set_split_aside()
            self.carry_out(done, page, d, nr)
            self.split_for_hint(task, pfn // BLOCK)
            self.count_hint_fault(task, n, huge=True)
            return
        t, new, limited = done.target, None, False
        if t is not None:
            limited = self.over_limit(t)
            if not limited:
                new = self.find_target(task, t, huge, entry)
        groups = self.may_group(vma, entry, page, leaf)
        last = self.last_of(page, n)
        shared = bool(vma.shmem) and page.mapcount > 1
        self.carry_out(done, page, d, nr)
        failed = t is not None and new is None
        if t is not None and not limited and self.migrate_limit:
            self.note("migrated", t, nr if self.knobs.limit_by_pages else 1)
        m = n
        if failed:
            self.refuse(Refusal.RATE_LIMIT if limited else Refusal.TARGET_FULL, nr)
            self.nodes[t].woken |= self.tiering and not limited
        elif t is not None:
            all_moved = self.move_hinted(task, entry, new, n, huge, t)
            m = t
        self.count_hint_fault(task, n, traps, leaf)
        self.end_fault(task, vma, vpn, entry, huge, t is not None and not failed)
        if isinstance(vma.numab, VmaState):
            self.notes.append(("pid", vma.numab, self.pid_bit(task)))
        if t is not None and not failed and not all_moved:
            return
        accounted = traps or t is not None
        if accounted and self.lengthens(t is not None and not failed, nr):
            self.notes.append(("longer", task, None))
        self.account(task, n, m, nr, last, (groups, shared), failed)

    def end_fault(self, task, vma, vpn, entry, huge, moved):
        """Take the mark off the entry that faulted, and off others of a folio."""
        entries = [entry]
        if huge and not self.is_leaf(entry) and not moved:
            entries = self.marked_with(task, vma, vpn, entry.payload // BLOCK)
        for one in entries:
            if one.kind == "present":
                self.make_anew(vma, one, moved)

    def marked_with(self, task, vma, vpn, b):
        """Return the marked PTEs of a folio in a VMA and a page table."""
        first = vpn // BLOCK * BLOCK
        pages = range(max(first, vma.start), min(first + BLOCK, vma.end))
        ptes = [self.tables[task.process.id].get(one) for one in pages]
        return [
            pte
            for pte in ptes
            if pte is not None
            and pte.kind == "present"
            and pte.protnone
            and pte.payload // BLOCK == b
        ]

    def may_group(self, vma, entry, page, huge):
        """Tell whether a fault may make its tasks a group (no TNF_NO_GROUP)."""
        if self.knobs.group_if == "vm_write":
            return vma.write
        if self.knobs.group_if == "dirty":
            return entry.dirty
        if self.knobs.group_if == "write_bit":
            return entry.write and (huge or self.knobs.write_bit == "kept")
        alone = page.mapcount == 1 and not page.compound
        if not huge and entry.payload // BLOCK in self.folios:
            alone = entry.exclusive
        return vma.write and (entry.write or alone)

    @staticmethod
    def pid_bit(task):
        return ((task.id + 1) * 0x61C88647 % (1 << 32)) >> 26

    def find_target(self, task, t, huge, entry):
        """Return a frame or a block on a node, None; "split": the folio is, first."""
        high = self.nodes[t].high
        if huge and not self.is_leaf(entry) and self.waits(entry.payload // BLOCK):
            node = self.nodes[t]
            return "split" if node.online and node.free > high + BLOCK else None
        find = self.allocate_huge_on if huge else self.allocate_on
        mark = high + BLOCK if huge else high + 1
        return self.unless_full(find, t, mark, self.cpu(task))

    def move_hinted(self, task, entry, new, n, huge, t):
        """Move what a hint fault found; tell whether all of it moved."""
        nr, stay = BLOCK if huge else 1, 0
        if new == "split":
            stay = self.move_parts(task, entry.payload // BLOCK, t)
        elif huge:
            self.migrate_huge(task, entry.payload // BLOCK, new)
            through = entry if self.is_leaf(entry) else None
            self.moved_folio(task, new, n, through)
        else:
            self.migrate(task, entry.payload, new)
            self.flush_hinted(task)
            self.moved_page(task, new, n, entry)
        self.add(t, Vm.NUMA_PAGES_MIGRATED, nr - stay)
        if self.slow(n):
            self.add(t, Vm.PGPROMOTE_SUCCESS, nr - stay)
        return stay == 0

    def move_parts(self, task, b, t):
        """Split a folio and move its pages; return how many stay."""
        n, stay = self.node_of(b * BLOCK), 0
        self.add(n, Vm.THP_MIGRATION_FAIL)
        self.add(n, Vm.THP_MIGRATION_SPLIT)
        self.add(n, Vm.PGMIGRATE_SUCCESS, self.split_folio(b))
        for pfn in self.frames_of(b):
            low = self.nodes[t].low
            new = self.unless_full(self.allocate_on, t, low, self.cpu(task))
            if new is None:
                self.refuse(Refusal.TARGET_FULL)
                stay += 1
                continue
            self.migrate(task, pfn, new)
            self.moved_page(task, new, n)
        return stay

    def account(self, task, n, m, nr, last, groups, failed):
        """task_numa_fault: note a fault in the statistics."""
        if self.below_cpus(m) and (self.tiering or last is None):
            return
        priv = last is None or last[0] == self.pid(task) & 255
        groups, shared = groups
        if not priv and groups and self.knobs.groups:
            self.notes.append(("met", task, (task, False)))
            other = self.met(last)
            if other is not None:
                self.notes.append(("met", task, (other, shared)))
                same = other.process is task.process or shared
                priv = not same and self.smaller(task, other)
        d, group = self.cpu(task), self.numas[task.id].group
        local = n == d
        if not priv and group is not None and group.active > 1:
            local |= self.is_active(group, d) and self.is_active(group, m)
        self.notes.append(("fault", task, (d, m, int(priv), nr, local, failed)))

    def met(self, last):
        """Return the task that a page's last fault was probably of, or None."""
        pid, cpu = last
        return next(
            (t for t in self.live() if t.cpu == cpu and self.pid(t) & 255 == pid), None
        )

    def smaller(self, p, t):
        """Tell whether p's group would join t's (task_numa_group)."""
        mine, theirs = self.numas[p.id].group, self.numas[t.id].group
        if theirs is None or mine is theirs:
            return False
        size, number = (mine.tasks, mine.number) if mine else (1, p.id)
        if size != theirs.tasks:
            return size < theirs.tasks
        return number < theirs.number

    def is_active(self, group, n):
        if self.knobs.filter == "active_nodes":
            return n in group.nodes
        return group.of_node(CPU, n) * 3 > group.max_cpu
