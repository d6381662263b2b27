"""Sampled accesses, as PEBS, IBS and SPE deliver them."""

from dataclasses import dataclass

from .knob import check_knobs, knob


@dataclass(frozen=True)
class Sampling:
    """One access in ``period`` of each task (``docs/model/samples.md``).

    Raises BadInput if a value is out of its range.
    """

    period: int = knob(
        0,
        "a task's accesses from one sample to the next; 0: none is sampled",
        max=1 << 31,
        column="SAMPLE_PERIOD",
    )
    ring: int = knob(
        8192,
        "samples of a task that wait to be taken; further ones are lost",
        min=1,
        max=1 << 24,
    )
    cost_ns: int = knob(
        250,
        "what a sample costs its task; PEBS: 200 to 300 (ROSS 2017)",
        unit="ns",
        max=1_000_000_000,
        column="SAMPLE_NS",
    )

    def __post_init__(self) -> None:
        check_knobs(self, "sampling.")
