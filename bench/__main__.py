"""``python -m bench [--json] [--threads N] [NAME ...]``: the table of ratios."""

import argparse
import gc
import json
import os
import platform
import sys
from importlib.metadata import version

import numpy as np

from lazynuma.engine.memory import sparse
from lazynuma.kernels import state

from .cases import CASES, Case
from .ceiling import ceiling

WARM_UP = 256 << 20


def main() -> int:
    """Run the cases that are named, or all; print a table or one JSON object."""
    options = _options()
    known = {case.name: case for case in CASES}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"bench: names must be of {', '.join(known)}, got {unknown[0]}")
        return 2
    chosen = [known[name] for name in options.names] or CASES
    machine = _machine()
    if not options.json:
        print("  ".join(f"{key} {value}" for key, value in machine.items()))
        print(f"{'name':26}{'threads':>8}{'events/s':>11}{'ceiling/s':>11}", end="")
        print(f"{'ratio':>8}{'bytes/page':>12}")
    results, ceilings = [], {}
    for case in chosen:
        result = _measure(case, options.threads, ceilings)
        results.append(result)
        if not options.json:
            _show(result)
    if options.json:
        print(json.dumps({"machine": machine, "results": results}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--threads", type=int, default=1, help="host threads")
    return parser.parse_args()


def _measure(case: Case, threads: int, ceilings: dict) -> dict:
    """Time a case once warm, beside the ceiling over as many pages."""
    case.run(WARM_UP, threads)
    gc.collect()
    if case.grows:
        _back(case.size)
    timing = case.run(case.size, threads)
    gc.collect()
    key = (timing.pages, case.sequential)
    if key not in ceilings:
        ceilings[key] = ceiling(*key)
    rate = timing.events / timing.seconds
    return {
        "name": case.name,
        "threads": threads,
        "events": timing.events,
        "events_per_s": rate,
        "ceiling_per_s": ceilings[key],
        "ratio": rate / ceilings[key],
        "bytes_per_page": timing.nbytes / timing.pages,
    }


def _back(size: int) -> None:
    """Touch as much memory as a case takes, so that a hypervisor has backed it."""
    words = sparse(size // 4096 * 2, np.int64, True)
    words[:] = 1


def _show(result: dict) -> None:
    print(
        f"{result['name']:26}{result['threads']:8}"
        f"{result['events_per_s'] / 1e6:9.2f} M{result['ceiling_per_s'] / 1e6:9.1f} M"
        f"{result['ratio']:8.3f}{result['bytes_per_page']:12.2f}",
        flush=True,
    )


def _machine() -> dict:
    with open("/proc/cpuinfo") as cpuinfo:
        names = [line.split(":", 1)[1] for line in cpuinfo if "model name" in line]
    return {
        "cpu": names[0].strip() if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba")},
        "kernels": os.path.dirname(state.__file__),
    }


if __name__ == "__main__":
    sys.exit(main())
