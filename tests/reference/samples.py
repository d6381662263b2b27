"""Sampled accesses: which, what of them, and when.

``docs/model/samples.md`` states the rules.
"""

from typing import NamedTuple

from lazynuma.kernels.counters import Cause, Level, Vm

from .draws import draw


class Sample(NamedTuple):
    """A sample, as ``SAMPLE`` of the engine has it."""

    process: int
    task: int
    page: int
    node: int
    cpu_node: int
    write: bool
    level: int
    time_ns: int


class Met(NamedTuple):
    """What a sampled access met: the page's node, the CPU's, and the level."""

    node: int
    cpu_node: int
    level: Level


class Samples:
    """A part of ``Reference`` (``model.py``)."""

    def start_samples(self):
        #: Accesses of each task so far, and its samples that wait.
        self.accesses_made, self.sample_rings, self.noted_samples = {}, {}, {}

    def with_places(self, layout):
        """Give sampled accesses their places among their tasks' of the quantum."""
        period, places, marked = self.settings.sampling.period, {}, []
        if not period:
            return layout
        for one in layout:
            task = one.task.id
            place, made = places.get(task, 0), self.accesses_made.get(task, 0)
            phase = -draw(self.seed, 1 << 62, task) % period
            if (made + phase) % period == 0:
                one = one._replace(place=place)
            marked.append(one)
            places[task], self.accesses_made[task] = place + 1, made + 1
        return marked

    def meet(self, one, level, faulted):
        """Note a sampled access that was made, by its place."""
        if one.place is None:
            return
        c = self.cpu(one.task)
        entry = self.entry(one.task.process, one.vpn)
        node = c if entry.kind == "zero" else self.node_of(entry.payload)
        level = Level.FAULT if faulted else level
        self.noted_samples[one.task.id, one.place] = Met(node, c, level)

    def take_in_samples(self, layout):
        """Make samples of what the sampled accesses of a quantum met."""
        made = [one for one in layout if (one.task.id, one.place) in self.noted_samples]
        kept = []
        for one in made:
            met = self.noted_samples[one.task.id, one.place]
            self.charge(one.task, Cause.SAMPLE, self.settings.sampling.cost_ns)
            ring = self.sample_rings.setdefault(one.task.id, [])
            waiting = len(ring) + sum(other.task is one.task for other, _ in kept)
            lost = waiting >= self.settings.sampling.ring
            self.add(met.cpu_node, Vm.SAMPLES_LOST if lost else Vm.SAMPLES_TAKEN)
            if not lost:
                kept.append((one, met))
        for one, met in kept:
            clock = self.clocks[one.task.id]
            time = clock.ns + clock.charged * one.place // clock.quota
            whose = one.task.process.id, one.task.id
            sample = Sample(*whose, one.vpn, *met[:2], one.write, met.level, time)
            self.sample_rings[one.task.id].append(sample)
        self.noted_samples = {}

    def take_samples(self):
        """Return all samples by (time, task, number)."""
        found = [
            sample for _, ring in sorted(self.sample_rings.items()) for sample in ring
        ]
        self.sample_rings = {}
        return sorted(found, key=lambda one: (one.time_ns, one.task))
