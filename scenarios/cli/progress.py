"""What a run says while it goes on: a bar on a screen, lines in a log."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...engine.study.figures import count, seconds
from ...engine.study.study import Name, label
from ...kernels.jit.compiling import Compiling, compiled
from ..common.table import WIDTH
from .compile_notice import text
from .say import detail, note, on_screen

if TYPE_CHECKING:
    from ...engine.study.study import Study, Variant

_HEARTBEAT_S = 10
#: A variant has a rate when it has run for so long, and served so much of its accesses
#: or not even that in a longer time: at its beginning it loads kernels.
_SEEN_S, _SEEN_SHARE, _SLOW_S = 1.0, 0.01, 5.0
#: What has served less than this share has no rate: a worker compiles, or is set up.
_LEAST_SHARE = 0.001
_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}{postfix}"
#: Of a screen that says nothing: tqdm would print no bar.
_SIZE = {"ncols": WIDTH, "nrows": 24}
_NO_BAR = "{desc}{n_fmt} accesses, {elapsed}{postfix}"


def _knows_its_size() -> bool:
    """Whether stderr is not a screen which does not say how large it is."""
    try:
        return min(os.get_terminal_size(sys.stderr.fileno())) > 0
    except (OSError, ValueError, AttributeError):
        return True


class _Run:
    """A variant that runs: what it has served, since when."""

    def __init__(self, variant: "Variant") -> None:
        self.name, self.expected = variant.name, variant.accesses
        self.served = 0
        self.begin = time.monotonic()

    def left(self) -> int:
        """Return the accesses that are left, as far as it is known."""
        return max(self.expected - self.served, 0)

    def rate(self, now: float) -> float:
        """Return its accesses a second, 0 if it has not been seen for long enough."""
        if self.served < _LEAST_SHARE * self.expected:
            return 0.0
        took = now - self.begin
        enough = _SEEN_S if self.served >= _SEEN_SHARE * self.expected else _SLOW_S
        return self.served / took if took >= enough else 0.0


class Progress:
    """A bar on a screen, or a line every ten seconds in a log.

    It is called with a variant, the accesses served since the last call and the
    simulated time in ns, as ``engine.run.run_study`` does it; several variants may run
    at once.  Compilation is no part of any rate.

    make_bar  ``tqdm``, or what has its arguments
    """

    def __init__(
        self,
        study: "Study",
        stop_if_asked: Callable[[], None],
        seeds: Sequence[int] = (1,),
        make_bar: Callable[..., Any] | None = None,
    ) -> None:
        from tqdm import tqdm

        self.stop_if_asked = stop_if_asked
        self.runs = len(study.variants) * len(seeds)
        self.running: dict[Name, _Run] = {}
        self.begun = self.ended_served = 0
        self.ended_s = 0.0  # of all that have ended, side by side or not
        self.at_once = 1
        self.last_beat = time.monotonic()
        self.total = len(seeds) * sum(variant.accesses for variant in study.variants)
        self.bar = (make_bar or tqdm)(
            total=self.total or None,  # a trace does not say how long it is
            unit_scale=True,
            **({"dynamic_ncols": True} if _knows_its_size() else _SIZE),
            bar_format=_BAR if self.total else _NO_BAR,
            disable=make_bar is None and not on_screen(),
        )
        self.compiled_s = compiled.seconds
        self.tell_before = compiled.tell
        if not self.bar.disable:
            compiled.tell = self._compiling

    def __call__(self, variant: "Variant", accesses: int, now_ns: int) -> None:
        self.stop_if_asked()
        if variant.name not in self.running:
            self._begin(variant)
        self._leave_out_compilation()
        self.running[variant.name].served += accesses
        if self.bar.disable:
            self._beat(now_ns)
            return
        more = self._pace() if self.total else [f"simulated {seconds(now_ns)}"]
        self.bar.set_postfix_str(", ".join(more), refresh=False)
        self.bar.update(accesses)

    def ended(self, variant: "Variant") -> None:
        """Take note that a variant has ended: it served what was expected of it."""
        if variant.name not in self.running:
            self._begin(variant)
        run = self.running.pop(variant.name)
        took = time.monotonic() - run.begin
        self.ended_served += run.expected if self.total else run.served
        self.ended_s += took
        detail(f"{label(variant.name)}: {took:.2f} s")
        self.bar.n = self._served()
        if self.running:
            self.bar.set_description(self._name())
        elif self.begun == self.runs:
            self.bar.set_postfix_str("", refresh=False)  # nothing is left

    def extend(self, variants: "Sequence[Variant]") -> None:
        """Expect more variants, after those of the study."""
        self.runs += len(variants)
        self.total += sum(variant.accesses for variant in variants)
        self.bar.total = self.total or None

    def close(self) -> None:
        """Leave the bar as it is."""
        compiled.tell = self.tell_before
        self.bar.close()

    def _begin(self, variant: "Variant") -> None:
        self.running[variant.name] = _Run(variant)
        self.begun += 1
        self.at_once = max(self.at_once, len(self.running))
        self.bar.set_description(self._name())

    def _compiling(self, compiling: Compiling) -> None:
        """Say on the bar that a kernel is compiled."""
        if compiling.waiting:
            self.stop_if_asked()
        self.bar.set_description(text(compiling))

    def _leave_out_compilation(self) -> None:
        """Let what runs begin later by the time that compilation took.

        Kernels are compiled once, when a run first meets what they do.
        """
        took = compiled.seconds - self.compiled_s
        if not took:
            return
        self.compiled_s = compiled.seconds
        for run in self.running.values():
            run.begin += took
        if not self.bar.disable:
            self.bar.start_t += took
            self.bar.last_print_t += took
            self.bar.set_description(self._name())

    def _name(self) -> str:
        """Return which variant of how many runs; of several, how many have ended."""
        if len(self.running) == 1:
            (run,) = self.running.values()
            return f"{label(run.name)} ({self.begun}/{self.runs})"
        ended = self.begun - len(self.running)
        return f"{ended}/{self.runs} done, {len(self.running)} at once"

    def _served(self) -> int:
        """Return the accesses served, of ended variants what was expected of them."""
        return self.ended_served + sum(run.served for run in self.running.values())

    def _beat(self, now_ns: int) -> None:
        now = time.monotonic()
        if now - self.last_beat < _HEARTBEAT_S or not (self._served() or now_ns):
            return
        self.last_beat = now
        share = f"{100 * self._served() / self.total:.0f} %" if self.total else ""
        said = [share, f"simulated {seconds(now_ns)}", *self._pace()]
        note(f"{self._name()}: {', '.join(filter(None, said))}")

    def _pace(self) -> list[str]:
        """Return the rate of all that runs and the time left, as far as is known."""
        now = time.monotonic()
        rates = {name: run.rate(now) for name, run in self.running.items()}
        if not sum(rates.values()):
            return []
        said = [f"{count(sum(rates.values()))}/s"]
        left = self._left_s(now, rates)
        return said if left is None else [*said, f"{seconds(left * 1e9)} left"]

    def _left_s(self, now: float, rates: dict[Name, float]) -> float | None:
        """Return the time left, None if it is not known.

        What runs goes on at its own rate, what has not begun at the mean of all.
        """
        if not self.total:
            return None
        runs = self.running.values()
        took = self.ended_s + sum(now - run.begin for run in runs)
        mean = self._served() / took
        waiting = self.total - self.ended_served - sum(run.expected for run in runs)
        times = [run.left() / (rates[run.name] or mean) for run in runs]
        whole = (sum(times) + max(waiting, 0) / mean) / self.at_once
        return max(whole, *times)
