"""What measurements on the running machine have in common."""

import mmap
from collections.abc import Callable
from statistics import median

from ..errors import LazyNumaError
from ..settings.cost_file import Finding
from . import probe

PAGE, BLOCK = 4096, 2 << 20
REPEATS = 9


class Unmeasured(LazyNumaError):
    """A cost that this machine does not let us measure, and why."""


def findings_of(
    run: Callable[[], dict[str, float]],
    how: dict[str, str],
    check: Callable[[], None],
) -> list[Finding]:
    """Return the medians of a probe's repeats, or for every setting why not.

    run    measures once and returns {setting: value}
    how    says of each setting how it is measured
    check  is called between repeats, and may raise to end them
    """
    try:
        run()  # a hypervisor backs memory at its first use
        samples = []
        for _ in range(REPEATS):
            check()
            samples.append(run())
    except (OSError, Unmeasured) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return [Finding(name, None, f"not measured: {why}") for name in how]
    return [
        finding_of(name, median(sample[name] for sample in samples), text)
        for name, text in how.items()
    ]


def finding_of(name: str, value: float, how: str) -> Finding:
    """Return a finding of a measured value; one of 0 or less is noise."""
    if round(value) <= 0:
        return Finding(name, None, f"not measured: {value:.2f} is lost in noise; {how}")
    return Finding(name, round(value), how)


def new_memory(advice: int, blocks: int) -> memoryview:
    """Return new anonymous memory, aligned to huge pages, with madvise ``advice``."""
    whole = mmap.mmap(
        -1, (blocks + 1) * BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )
    view = memoryview(whole)
    first = -probe.address(view) % BLOCK
    memory = view[first : first + blocks * BLOCK]
    probe.advise(memory, advice, len(memory), len(memory))
    return memory
