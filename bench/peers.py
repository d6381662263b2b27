"""How fast lazynuma is beside cache simulators and the running Linux.

``python -m bench peers [--json] [--threads N] [--accesses N]``.  ``pip install
'.[bench]'`` brings libcachesim and pycachesim; a peer that is not installed is left
out.

All of them get the same page traces: uniform and Zipf (exponent 1, ranks scattered)
over 2^20 pages.  Each LRU holds a quarter of the pages.  lazynuma serves the trace as
recorded accesses to mapped pages, and once more as accesses that it draws itself.
Ratios compare events per second of CPU time.
"""

import argparse
import json
import mmap
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

import lazynuma.engine.calibrate.probe as probe
from lazynuma.engine.workloads.kinds import Recorded, Sweep, Uniform, Workload, Zipf

from .cases import GIB, World
from .faults_beside_linux import faults_beside, show_faults
from .host import as_line, host

PAGES = 1 << 20
PAGE = 4096
#: Pages that an LRU holds; the one of pycachesim has SETS x WAYS.
CACHED = PAGES // 4
SETS, WAYS = CACHED // 16, 16
ACCESSES = 50_000_000
#: Accesses that an OrderedDict serves in about a second.
FEW = 3_000_000
#: Accesses of a part of a trace that is made or converted at once.
CHUNK = 5_000_000
#: Accesses of a part of a trace that lazynuma gets at once.
STREAMED = 1 << 20
FIRST_TOUCH = 16 * GIB
#: A small machine has as much; it is far larger than the caches.
LINUX_TOUCH = GIB
REPEATS = 2

#: The layout of libCacheSim's oracleGeneral traces.
_ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
_LESS = "Cache simulators do less per event: they have no nodes, page tables or costs."


class Seconds(NamedTuple):
    """Wall time, and CPU time of this process."""

    wall: float
    cpu: float


class Rate(NamedTuple):
    """Events per second of one program, the best of REPEATS.

    per_s      events per second of wall time
    per_cpu_s  events per second of CPU time; ratios compare these, because others on a
               shared machine take time away from one side only
    hits       share of the events, None if the program has no cache
    target     how many times as fast lazynuma wants to be
    """

    name: str
    events: int
    per_s: float
    per_cpu_s: float
    hits: float | None = None
    target: float | None = None


def _rate(name: str, events: int, best: Seconds, **more: float) -> Rate:
    return Rate(name, events, events / best.wall, events / best.cpu, **more)


def main(arguments: list[str]) -> int:
    """Measure; print a table or one JSON object."""
    options = _options(arguments)
    here, missing = host(), _missing()
    results: dict[str, list[Rate]] = {}
    if not options.json:
        print(as_line(here))
        for name in missing:
            print(f"{name} is not installed: pip install '.[bench]' brings it")
    for title, rates in _sections(options):
        results[title] = rates
        if not options.json:
            _show(title, rates)
    faults = faults_beside()
    if options.json:
        beside = {"page_fault1": [one._asdict() for one in faults]}
        print(json.dumps({"machine": here} | _plain(results, missing) | beside))
    else:
        show_faults(faults)
        print(f"\n{_LESS}")
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of lazynuma (default: 1)",
    )
    parser.add_argument(
        "--accesses",
        type=int,
        default=ACCESSES,
        metavar="N",
        help="accesses of a trace (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _sections(options: argparse.Namespace) -> Iterator[tuple[str, list[Rate]]]:
    """Yield (title, rates); lazynuma's rates come first."""
    for kind, draw in ((Uniform, _uniform), (Zipf, _zipf)):
        name = kind.__name__.lower()
        trace = draw(np.random.default_rng(1), options.accesses)
        rates = [
            _recorded(trace, options.threads),
            _drawn(kind, trace.size, options.threads),
            *_caches(trace),
        ]
        yield f"{name}, {trace.size:,} accesses to {PAGES:,} pages", rates
    yield "first touch of 4 KiB pages", [_first_touch(options.threads), _linux()]


def _caches(trace: np.ndarray) -> Iterator[Rate]:
    missing = _missing()
    if "libcachesim" not in missing:
        yield _libcachesim(trace)
    if "pycachesim" not in missing:
        yield _pycachesim(trace)
    yield _ordered_dict(trace[:FEW])


def _missing() -> list[str]:
    return [name for name in ("libcachesim", "pycachesim") if not _version(name)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _best(once: Callable[[], Seconds]) -> Seconds:
    """Return the fewest seconds: other users of the machine only ever add to them."""
    return Seconds(*map(min, zip(*(once() for _ in range(REPEATS)), strict=True)))


def _seconds(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


# --- traces ---------------------------------------------------------------------------


def _uniform(rng: np.random.Generator, accesses: int) -> np.ndarray:
    return rng.integers(0, PAGES, accesses, np.int64)


def _zipf(rng: np.random.Generator, accesses: int) -> np.ndarray:
    """Draw rank k with probability proportional to 1 / k; ranks lie scattered."""
    page = rng.permutation(PAGES)
    below = np.cumsum(1 / np.arange(1, PAGES + 1))
    below /= below[-1]
    trace = np.empty(accesses, np.int64)
    for part in _chunks(trace):
        part[:] = page[np.searchsorted(below, rng.random(part.size), "right")]
    return trace


def _chunks(trace: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    for first in range(0, trace.size, size):
        yield trace[first : first + size]


# --- lazynuma -------------------------------------------------------------------------


def _recorded(trace: np.ndarray, threads: int) -> Rate:
    """Serve the trace in parts, as reads of mapped pages."""
    world = _mapped(threads)
    writes = np.zeros(STREAMED, bool)

    def work() -> None:
        for part in _chunks(trace, STREAMED):
            recorded = Recorded(
                task=world.tasks[0],
                region=world.region,
                count=part.size,
                vpn=part,
                writes=writes[: part.size],
            )
            world.sim.run([recorded])

    best = _best(lambda: _seconds(work))
    world.sim.close()
    return _rate("lazynuma, the trace", trace.size, best)


def _drawn(kind: type[Workload], count: int, threads: int) -> Rate:
    """Serve accesses of the same distribution that the kernels draw themselves."""
    world = _mapped(threads)
    loads = world.loads(kind, count, write=0.0)
    best = _best(lambda: _seconds(lambda: world.sim.run(loads)))
    world.sim.close()
    return _rate("lazynuma, drawn", count, best)


def _mapped(threads: int) -> World:
    """Return a world whose pages are mapped and whose kernels are compiled."""
    world = World(PAGES * PAGE, threads)
    world.sim.populate(world.tasks[0], world.region)
    world.sim.run(world.loads(Uniform, STREAMED))
    return world


def _first_touch(threads: int) -> Rate:
    """Touch pages of 4 KiB for the first time, in order."""

    def once() -> Seconds:
        world = World(FIRST_TOUCH, threads)
        loads = world.loads(Sweep, world.region.pages, slabs=True)
        seconds = _seconds(lambda: world.sim.run(loads))
        world.sim.close()
        return seconds

    return _rate("lazynuma", FIRST_TOUCH // PAGE, _best(once))


# --- the peers ------------------------------------------------------------------------


def _libcachesim(trace: np.ndarray) -> Rate:
    """Let libCacheSim process the trace from a file in the page cache."""
    import libcachesim

    hits = 0.0

    def once() -> Seconds:
        nonlocal hits
        reader = libcachesim.TraceReader(
            file.name, libcachesim.TraceType.ORACLE_GENERAL_TRACE
        )
        cache = libcachesim.LRU(CACHED)
        misses: list[float] = []
        seconds = _seconds(lambda: misses.append(cache.process_trace(reader)[0]))
        hits = 1 - misses[0]
        return seconds

    with tempfile.NamedTemporaryFile(suffix=".oracleGeneral") as file:
        for part in _chunks(trace):
            rows = np.zeros(part.size, _ORACLE)
            rows["id"], rows["size"], rows["next"] = part, 1, -1
            rows.tofile(file)
        file.flush()
        best = _best(once)
    return _rate(_named("libcachesim"), trace.size, best, hits=hits, target=4.0)


def _pycachesim(trace: np.ndarray) -> Rate:
    """Load lists of addresses; the time to make the lists does not count."""
    import cachesim

    hits = 0.0

    def once() -> Seconds:
        nonlocal hits
        memory = cachesim.MainMemory()
        cache = cachesim.Cache("L1", SETS, WAYS, PAGE, "LRU")
        memory.load_to(cache)
        memory.store_from(cache)
        simulator = cachesim.CacheSimulator(cache, memory)
        parts = []
        for part in _chunks(trace):
            addresses = (part * PAGE).tolist()
            parts.append(_seconds(partial(simulator.load, addresses)))
        hits = cache.stats()["HIT_count"] / trace.size
        return Seconds(*map(sum, zip(*parts, strict=True)))

    best = _best(once)
    return _rate(_named("pycachesim"), trace.size, best, hits=hits, target=1.0)


def _ordered_dict(trace: np.ndarray) -> Rate:
    """Simulate LRU in pure Python, over the accesses of ``trace``."""
    pages, hits = trace.tolist(), 0

    def work() -> None:
        nonlocal hits
        hits = 0
        cache: OrderedDict[int, None] = OrderedDict()
        for page in pages:
            if page in cache:
                cache.move_to_end(page)
                hits += 1
                continue
            cache[page] = None
            if len(cache) > CACHED:
                cache.popitem(last=False)

    best = _best(lambda: _seconds(work))
    return _rate("OrderedDict", trace.size, best, hits=hits / trace.size)


def _linux() -> Rate:
    """Touch new memory of this process: what does the running Linux do in a second?"""

    def once() -> Seconds:
        memory = mmap.mmap(-1, LINUX_TOUCH, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        return _seconds(lambda: probe.touch(memory, PAGE))

    once()  # the hypervisor backs memory at its first use
    return _rate("this Linux", LINUX_TOUCH // PAGE, _best(once), target=30.0)


def _named(package: str) -> str:
    return f"{package} {_version(package)}"


# --- output ---------------------------------------------------------------------------


def _show(title: str, rates: list[Rate]) -> None:
    ours = _ours(rates)
    print(f"\n{title}")
    print(f"{'':22}{'events':>12}{'/s':>10}{'/CPU s':>10}{'hits':>8}", end="")
    print("".join(f"{own.name:>21}" for own in ours) + f"{'target':>8}")
    for rate in rates:
        hits = "-" if rate.hits is None else f"{100 * rate.hits:.1f} %"
        line = f"{rate.name:22}{rate.events:12,}{_millions(rate.per_s)}"
        line += f"{_millions(rate.per_cpu_s)}{hits:>8}"
        if rate not in ours:
            line += "".join(f"{f'x{_ratio(own, rate):.2f}':>21}" for own in ours)
            line += f"{f'x{rate.target:g}' if rate.target else '-':>8}"
        print(line, flush=True)


def _ours(rates: list[Rate]) -> list[Rate]:
    return [rate for rate in rates if rate.name.startswith("lazynuma")]


def _ratio(own: Rate, peer: Rate) -> float:
    return own.per_cpu_s / peer.per_cpu_s


def _millions(rate: float) -> str:
    return f"{rate / 1e6:8.2f} M"


def _plain(results: dict[str, list[Rate]], missing: list[str]) -> dict[str, Any]:
    """Return the object of ``--json``: rates, and lazynuma's ratio to each peer."""
    sections = []
    for title, rates in results.items():
        rows = [
            rate._asdict()
            | {"ratios": {own.name: _ratio(own, rate) for own in _ours(rates)}}
            for rate in rates
        ]
        sections.append({"title": title, "rates": rows})
    return {"not_installed": missing, "results": sections, "remark": _LESS}
