"""What a run needs, before it is run: machine, memory and time (``--dry-run``)."""

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...engine.errors import printable
from ...engine.running.pilot import KNOWN_RATES, Pace, measured_pace
from ...engine.running.pilot import time_needed as time_needed
from ...engine.running.run_variant import Setup
from ...engine.settings.costs import Costs, uncertain_costs
from ...engine.settings.sizes import format_size
from ...engine.study.figures import count, seconds
from ...engine.study.host_limits import (
    memory_available,
    memory_needed,
    most_at_once,
)
from ...engine.study.study import Study, scales
from ..common.table import WIDTH
from .execute import Prepared

#: Least and most seconds, None if they are not known.
Times = tuple[float, float] | None

_INDENT = " " * 12


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    variants   the values of each dimension: their product is run
    machines   nodes, CPUs and bytes of each kind of machine that is simulated
    memory     bytes of this host that all take which run at once, and ``available``
    accesses   that are expected of all runs, 0 if they are not known
    seconds    least and most wall time; None if nothing is known
    measured   whether that comes from a moment of each variant on this host
    """

    question: str
    variants: dict[str, list[str]]
    runs: int
    at_once: int
    threads: int
    machines: list[tuple[int, int, int]]
    memory: int
    available: int
    accesses: int
    seconds: Times
    measured: bool

    def described(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return asdict(self)

    def text(self, output: str | None) -> str:
        """Return it as lines for a screen."""
        rows = {
            **{name: ", ".join(values) for name, values in self.variants.items()},
            "machine": "; ".join(_machine(*one) for one in self.machines),
            "runs": f"{self.runs}, {self.at_once} at once, {_threads(self.threads)}",
            "memory": f"{format_size(self.memory)}, of {format_size(self.available)}"
            " that this host has free",
            "accesses": count(self.accesses) if self.accesses else "not known before",
            "time": f"{span(self.seconds)}{self._by()}",
        }
        if output is not None:
            rows["file"] = printable(output)
        lines = [_row(name, text) for name, text in rows.items()]
        return "\n".join([self.question, "", *lines, "", "no file was written"])

    def _by(self) -> str:
        """Say where the time comes from."""
        if self.seconds is None:
            return ""
        if self.measured:
            return ", from a moment of each variant on this host"
        low, high = map(count, KNOWN_RATES)
        why = "it does not fit" if self.memory > self.available else "no kernels yet"
        return f", at {low} to {high} accesses/s, a guess ({why})"


def needs_of(run: Prepared, options: argparse.Namespace, threads: int) -> Needs:
    """Return what a run needs; if it fits, each variant is run for a moment."""
    study, variants = run.study, run.study.variants
    runs = len(variants) * options.seeds
    jobs = most_at_once(variants, options.jobs, runs)
    sizes = sorted((memory_needed(one) for one in variants), reverse=True)
    sizes = sorted(sizes * options.seeds, reverse=True)[:jobs]
    available = int(memory_available())
    pace = pace_of(study, run.costs, threads, options.seed)
    machines = (one.machine for one in variants)
    kinds = ((len(m.memory), sum(m.cpus), sum(m.memory)) for m in machines)
    known = all(one.accesses for one in variants)
    return Needs(
        question=study.question,
        variants=scales(study.dimension, [one.name for one in variants]),
        runs=runs,
        at_once=jobs,
        threads=threads,
        machines=list(dict.fromkeys(kinds)),
        memory=sum(sizes),
        available=available,
        accesses=options.seeds * sum(v.accesses for v in variants) if known else 0,
        seconds=_seconds(study, pace, options, jobs),
        measured=pace is not None,
    )


def pace_of(study: Study, costs: Costs, threads: int, seed: int) -> Pace | None:
    """Return the pace of a study on this host, None if it does not fit."""
    if max(map(memory_needed, study.variants)) > memory_available():
        return None
    return measured_pace(study, Setup(seed, threads, costs))


def sum_of(times: Sequence[Times]) -> Times:
    """Return the time of all, None if one is not known."""
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    return sum(low for low, _ in known), sum(high for _, high in known)


def _seconds(
    study: Study, pace: Pace | None, options: argparse.Namespace, jobs: int
) -> Times:
    """Return the least and the most time of all runs, side by side or not."""
    once = time_needed(study, pace)
    if once is None:
        return None
    low, high = (time * options.seeds / jobs for time in once)
    if options.uncertainty:  # as many runs again, but for costs that change nothing
        high *= 1 + 2 * len(uncertain_costs())
    return low, high


def _machine(nodes: int, cpus: int, memory: int) -> str:
    one = "1 node" if nodes == 1 else f"{nodes} nodes"
    return f"{one}, {cpus} CPUs, {format_size(memory)}"


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def span(times: Times) -> str:
    """Return the least and the most time for people."""
    if times is None:
        return "not known before"
    low, high = (seconds(time * 1e9) for time in times)
    return low if low == high else f"{low} to {high}"


def _row(name: str, text: str) -> str:
    lines = textwrap.fill(
        text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT
    )
    return f"{name:<{len(_INDENT)}}{lines[len(_INDENT) :]}"
