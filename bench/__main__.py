"""Measure how fast lazynuma is: ``python -m bench [--json] [--threads N] [NAME ...]``.

``python -m bench peers`` measures it beside cache simulators and the running Linux.
"""

import argparse
import gc
import json
import sys
from typing import Any

import numpy as np

from lazynuma.engine.state.host_memory import sparse

from . import peers
from .cases import CASES, REPEATS, Case, Timing
from .ceiling import ceiling
from .host import as_line, host
from .trace_rates import TRACES, TraceCase

#: Bytes of the run that compiles the kernels of a case.
WARM_UP = 256 << 20
#: Ceilings by (entries, whether in order), as they are measured.
Ceilings = dict[tuple[int, bool], float]
#: A case that takes fewer seconds is timed again, because shared machines are noisy.
SHORT = 2.0


def main() -> int:
    """Run the named cases, or all; print a table or one JSON object."""
    if sys.argv[1:2] == ["peers"]:
        return peers.main(sys.argv[2:])
    options = _options()
    known = {case.name: case for case in (*CASES, *TRACES)}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"bench: names must be some of {', '.join(known)}, got {unknown[0]}")
        return 2
    chosen = [known[name] for name in options.names] or list(known.values())
    here = host()
    if not options.json:
        print(as_line(here))
        print(f"{'name':26}{'threads':>8}{'seconds':>9}{'events/s':>11}", end="")
        print(f"{'against/s':>11}{'ratio':>8}{'bytes/page':>12}{'MiB':>9}")
    results: list[dict[str, Any]] = []
    ceilings: Ceilings = {}
    for case in chosen:
        if isinstance(case, TraceCase):
            result = case.measure()
        else:
            result = _measure(case, options.threads, ceilings)
        results.append(result)
        if not options.json:
            _show(result)
    if options.json:
        print(json.dumps({"machine": here, "results": results}))
    else:
        _explain(results)
    return 0


def _explain(results: list[dict[str, Any]]) -> None:
    print("against: the ceiling, which is a bare loop over the same number of entries;")
    print("for collapses and splits Linux; for traces the program that writes the text")
    for result in results:
        if result["ceiling_per_s"] is None:
            print(f"{result['name']}: {result['against']} is not installed, or fails")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        usage="%(prog)s [-h] [--json] [--threads N] [NAME ...]",
        description="Measures how fast lazynuma is, beside the memory of this machine.",
        epilog="python -m bench peers measures it beside cache simulators and Linux.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="cases to run (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="host threads (default: 1)"
    )
    return parser.parse_args()


def _measure(case: Case, threads: int, ceilings: Ceilings) -> dict[str, Any]:
    """Time a case that is warm, and the ceiling over the same number of entries."""
    case.run(WARM_UP, threads)
    gc.collect()
    timing = _best(case, threads)
    rate = timing.events / timing.seconds
    against = _against(case, timing, ceilings)
    return {
        "name": case.name,
        "threads": threads,
        "events": timing.events,
        "seconds": timing.seconds,
        "events_per_s": rate,
        "against": "ceiling" if case.against is None else "linux",
        "ceiling_per_s": against,
        "ratio": rate / against if against else None,
        "bytes_per_page": timing.nbytes / timing.pages,
        "nbytes": timing.nbytes,
    }


def _best(case: Case, threads: int) -> Timing:
    """Return the timing of a case, the best of several if it is short."""
    timings: list[Timing] = []
    while not timings or (timings[0].seconds < SHORT and len(timings) < REPEATS):
        if case.grows:
            _back(case.size)
        timings.append(case.run(case.size, threads))
        gc.collect()
    return min(timings, key=lambda timing: timing.seconds)


def _against(case: Case, timing: Timing, ceilings: Ceilings) -> float:
    """Return the events/s that a case is compared with, 0 if with nothing."""
    if case.against is not None:
        return case.against
    key = (timing.records or timing.pages, case.sequential)
    if key not in ceilings:
        ceilings[key] = ceiling(*key)
    return ceilings[key]


def _back(size: int) -> None:
    """Touch as much memory as a case takes, so that the hypervisor has backed it."""
    words = sparse(size // 4096 * 6, np.int64, True)
    words[:] = 1


def _show(result: dict[str, Any]) -> None:
    against, ratio = result["ceiling_per_s"], result["ratio"]
    print(
        f"{result['name']:26}{result['threads']:8}{result['seconds']:9.3f}"
        f"{_rate(result['events_per_s'])}{_rate(against) if against else '-':>11}"
        f"{f'{ratio:8.3f}' if ratio else '-':>8}" + _memory(result),
        flush=True,
    )


def _memory(result: dict[str, Any]) -> str:
    if result["nbytes"] is None:
        return f"{'-':>12}{'-':>9}"
    return f"{result['bytes_per_page']:12.3f}{result['nbytes'] / 2**20:9.1f}"


def _rate(events: float) -> str:
    return f"{events / 1e6:9.2f} M" if events >= 1e5 else f"{events:11.0f}"


if __name__ == "__main__":
    sys.exit(main())
