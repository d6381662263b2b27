"""What a run says while it goes on: a bar on a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...engine.study.study import Name, label
from ...kernels.jit.compiling import Compiling, compiled
from ..common.table import count, seconds
from .compile_notice import text

if TYPE_CHECKING:
    from ...engine.study.study import Study, Variant

_HEARTBEAT_S = 10


class Progress:
    """A bar on a terminal, or a line every ten seconds in a log.

    It is called with a variant, the accesses served since the last call and the
    simulated time in ns, as ``engine.run.run_study`` does it; several variants may run
    at once.
    """

    def __init__(
        self,
        study: "Study",
        stop_if_asked: Callable[[], None],
        seeds: Sequence[int] = (1,),
    ) -> None:
        from tqdm import tqdm

        self.stop_if_asked = stop_if_asked
        self.runs = len(study.variants) * len(seeds)
        self.by_name: dict[Name, int] = {}  # accesses served, of what has begun
        self.running: list[Name] = []
        self.served = 0
        self.begin: float | None = None
        self.before = 0
        self.last_beat = time.monotonic()
        self.total = len(seeds) * sum(variant.accesses for variant in study.variants)
        self.bar = tqdm(
            total=self.total or None,  # a trace does not say how long it is
            unit=" accesses",
            unit_scale=True,
            dynamic_ncols=True,
            disable=None,  # if stderr is no terminal
        )
        self.compiled_s = compiled.seconds
        self.tell_before = compiled.tell
        if not self.bar.disable:
            compiled.tell = self._compiling

    def __call__(self, variant: "Variant", accesses: int, now_ns: int) -> None:
        self.stop_if_asked()
        if variant.name not in self.by_name:
            self.by_name[variant.name] = 0
            self.running.append(variant.name)
            self.bar.set_description(self._name())
        self._leave_out_compilation()
        self.by_name[variant.name] += accesses
        self.served += accesses
        if accesses and self.begin is None:
            self.begin, self.before = time.monotonic(), self.served
        if self.bar.disable:
            self._beat(now_ns)
            return
        self.bar.set_postfix_str(f"simulated {seconds(now_ns)}", refresh=False)
        self.bar.update(accesses)

    def ended(self, variant: "Variant") -> None:
        """Take note that a variant has ended: it served what was expected of it."""
        served = self.by_name.setdefault(variant.name, 0)
        if variant.name in self.running:
            self.running.remove(variant.name)
        self.served += variant.accesses - served
        self.bar.n = self.served
        if self.running:
            self.bar.set_description(self._name())

    def extend(self, variants: "Sequence[Variant]") -> None:
        """Expect more variants, after those of the study."""
        self.runs += len(variants)
        self.total += sum(variant.accesses for variant in variants)
        self.bar.total = self.total or None

    def close(self) -> None:
        """Leave the bar as it is."""
        compiled.tell = self.tell_before
        self.bar.close()

    def _compiling(self, compiling: Compiling) -> None:
        """Say on the bar that a kernel is compiled."""
        if compiling.waiting:
            self.stop_if_asked()
        self.bar.set_description(text(compiling))

    def _leave_out_compilation(self) -> None:
        """Begin later by the time that compilation took, which is no part of any rate.

        They are compiled once, when a run first meets what they do.
        """
        took = compiled.seconds - self.compiled_s
        if not took:
            return
        self.compiled_s = compiled.seconds
        if self.begin is not None:
            self.begin += took
        if not self.bar.disable:
            self.bar.start_t += took
            self.bar.last_print_t += took
            self.bar.set_description(self._name())

    def _name(self) -> str:
        """Return which variant of how many runs; of several, how many have ended."""
        if len(self.running) == 1:
            return f"{label(self.running[0])} ({len(self.by_name)}/{self.runs})"
        ended = len(self.by_name) - len(self.running)
        return f"{ended}/{self.runs} done, {len(self.running)} at once"

    def _beat(self, now_ns: int) -> None:
        now = time.monotonic()
        if now - self.last_beat < _HEARTBEAT_S or not (self.served or now_ns):
            return
        self.last_beat = now
        share, ends = self._pace(now)
        print(
            f"lazynuma: {self._name()}: {share}simulated {seconds(now_ns)}{ends}",
            file=sys.stderr,
            flush=True,
        )

    def _pace(self, now: float) -> tuple[str, str]:
        """Return (share done and rate, time left), each empty if it is unknown."""
        share = f"{100 * self.served / self.total:.0f} %, " if self.total else ""
        if self.begin is None or self.served <= self.before:
            return share, ""
        rate = (self.served - self.before) / (now - self.begin)
        share += f"{count(rate)} accesses/s, "
        if not self.total:
            return share, ""
        return share, f", {max(self.total - self.served, 0) / rate:.0f} s left"
