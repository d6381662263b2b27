"""The command line: ``lazynuma run | scenarios | replay | info | calibrate``.

Everything here is a Python call first (``engine.run.run_study``); this module reads the
arguments, shows the progress and turns errors into one line and an exit status: 2 for
input that was refused, 1 for a run that failed, 130 and 143 for SIGINT and SIGTERM.
The engine is imported when a command needs it, so that ``--help`` is there at once.
"""

import argparse
import importlib
import importlib.util
import json
import os
import shlex
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ..engine.errors import BadInput, LazyNumaError
from ..engine.study import label
from .table import cost_table, count, seconds, table

_NOT_SCENARIOS = ("cli", "memory_script", "replay", "script_records", "table")
#: Options of ``replay`` that are for recorded traces alone.
_TRACE_OPTIONS = ("machine", "mechanism", "skip_bad_lines", "set", "costs")
_LIBRARIES = ("numpy", "numba", "h5py")
_HEARTBEAT_S = 10
_SETTING_WIDTH = 40
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How long a run may take to reach the next kernel call and to close its file.
_GRACE_S = 0.6
#: The compiler recurses deeply, and ``ulimit -s unlimited`` leaves threads 2 MiB.
_STACK = 64 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` by default); return the exit status.

    Raises SystemExit for ``--help`` only.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = _parser().parse_args(arguments)
        options.line = shlex.join(["lazynuma", *arguments])
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            options.command(options)
        sys.stdout.flush()
    except BadInput as error:
        return _fail(2, str(error))
    except _Stopped as stop:
        return _stopped(stop.signum)
    except KeyboardInterrupt:
        return _stopped(signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has left; so do we
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LazyNumaError, OSError) as error:
        return _fail(1, str(error))
    except Exception as error:
        return _fail(1, _located(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lazynuma",
        description="Runs lazy page-migration mechanisms side by side on large NUMA"
        " machines.",
    )
    parser.set_defaults(command=_version_or_refuse)
    parser.add_argument(
        "--version", action="store_true", help="show versions, ours and the libraries'"
    )
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="run a scenario and show its table")
    run.set_defaults(command=_run)
    run.add_argument(
        "scenario",
        metavar="SCENARIO|FILE.py",
        help="a scenario's name, or your own file",
    )
    _add_run_options(run)

    scenarios = commands.add_parser("scenarios", help="list scenarios and parameters")
    scenarios.set_defaults(command=_scenarios)

    replay = commands.add_parser(
        "replay", help="run a recorded trace or a memory script"
    )
    replay.set_defaults(command=_replay)
    replay.add_argument(
        "file",
        metavar="FILE",
        help="perf.data, perf script or lackey text, or .gz; or script.mm",
    )
    replay.add_argument("--machine", metavar="M", help="preset of the machine")
    replay.add_argument("--mechanism", metavar="X", help="lazy-migration mechanism")
    replay.add_argument(
        "--profile",
        metavar="P",
        help="rules for a memory script: linux-3.8, linux-6.1 (default) or linux-6.12",
    )
    replay.add_argument(
        "--skip-bad-lines", action="store_true", help="count malformed lines, go on"
    )
    replay.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, or a script's records a line each",
    )
    _add_run_options(replay)

    info = commands.add_parser("info", help="show what a run's file holds")
    info.set_defaults(command=_info)
    info.add_argument("file", metavar="FILE.h5")
    info.add_argument(
        "--recover", action="store_true", help="make a killed run's file readable first"
    )

    calibrate = commands.add_parser(
        "calibrate", help="measure what this machine's memory operations cost"
    )
    calibrate.set_defaults(command=_calibrate)
    calibrate.add_argument(
        "-o", dest="output", metavar="FILE.toml", help="write a file for --costs"
    )
    calibrate.add_argument("--force", action="store_true", help="replace FILE.toml")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set a parameter, or a cost as cost.NAME=VALUE; may be repeated",
    )
    parser.add_argument(
        "--costs",
        metavar="FILE.toml",
        help="take costs from a file, as calibrate writes it; --set comes after it",
    )
    parser.add_argument(
        "-o", dest="output", metavar="FILE.h5", help="write an HDF5 file"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE.h5")
    parser.add_argument(
        "--seed", type=_integer(0, 2**62 - 1), default=1, metavar="N", help="default: 1"
    )
    parser.add_argument(
        "--threads",
        type=_integer(1, 1024),
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="default: the CPUs that may be used (%(default)s)",
    )


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as everything here does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, 4, 28),
            **options,
        )

    def error(self, message: str) -> None:
        raise BadInput(f"{message} (see {self.prog} --help)")


def _integer(low: int, high: int):
    """Return an argument type for integers from ``low`` to ``high``."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be an integer from {low} to {high}, got {text!r}"
            )
        return int(text)

    return convert


def _version_or_refuse(options: argparse.Namespace) -> None:
    from importlib.metadata import version

    if not options.version:
        raise BadInput("a command must be given, got none (see lazynuma --help)")
    python = ".".join(map(str, sys.version_info[:3]))
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"lazynuma {version('lazynuma')} (Python {python}, {libraries})")


def _run(options: argparse.Namespace) -> None:
    from ..engine.parameters import parse_settings

    module = _scenario(options.scenario)
    settings = parse_settings(options.set)
    study, rows = _interruptible(_execute, module, settings, options)
    _show(study, rows, options)


def _replay(options: argparse.Namespace) -> None:
    from ..engine.parameters import parse_settings

    if options.file.endswith(".mm"):
        _interruptible(_play, options)
        return
    if options.profile:
        raise BadInput(
            "--profile must go with a memory script (.mm), got one for a trace"
        )
    settings = parse_settings(options.set)
    settings = {key.removeprefix("trace."): value for key, value in settings.items()}
    settings |= {"file": options.file, "skip_bad_lines": options.skip_bad_lines}
    for name in ("machine", "mechanism"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    study, rows = _interruptible(_execute, _module("replay"), settings, options)
    if options.json:
        print(json.dumps(_plain(study, rows)))
    else:
        _show(study, rows, options)


def _play(stop: "_Stop", options: argparse.Namespace) -> None:
    """Play a memory script, and print its records as they come."""
    from ..engine.memory_script import read_text
    from ..engine.profiles import DEFAULT, PROFILES
    from ..engine.run import check_output, run_study
    from .memory_script import readable
    from .script_records import provenance, study

    for name in _TRACE_OPTIONS:
        if getattr(options, name):
            raise BadInput(
                f"--{name.replace('_', '-')} must be left out with a memory script"
                f" (.mm), got {getattr(options, name)!r}"
            )
    profile = options.profile or DEFAULT
    if profile not in PROFILES:
        raise BadInput(
            f"--profile must be one of {', '.join(PROFILES)}, got {profile!r}"
        )

    def show(record: dict) -> None:
        print(json.dumps(record) if options.json else readable(record), flush=True)

    check_output(options.output, options.force)
    text = read_text(options.file)
    question = study(text, profile, show)
    run_study(
        question,
        output=options.output,
        force=options.force,
        seed=options.seed,
        provenance={"command": options.line} | provenance(question, text, options.file),
        progress=lambda *_: stop.check(),
        opened=stop.opened,
    )
    if options.output is not None and not options.json:
        print(f"\nwritten to {options.output}")


def _scenarios(options: argparse.Namespace) -> None:
    from ..engine.parameters import describe

    wide = max(map(len, _names()))
    for name in _names():
        module = _module(name)
        print(f"{name:<{wide}}  {_first_line(module)}")
        settings = [
            (f"{key}={value}", text) for key, value, text in describe(module.Parameters)
        ]
        width = min(_SETTING_WIDTH, max(len(setting) for setting, _ in settings))
        for setting, text in settings:
            print(f"    {setting:<{width}}  {text}".rstrip())


def _info(options: argparse.Namespace) -> None:
    from ..engine import run_file

    if options.recover:
        run_file.recover(options.file)
    print(run_file.describe(options.file))


def _calibrate(options: argparse.Namespace) -> None:
    """Measure, show a table, and write the file that was asked for."""
    from ..engine.calibrate import source
    from ..engine.cost_file import cost_text
    from ..engine.run import check_output

    check_output(options.output, options.force)
    findings = _interruptible(_measure)
    print(cost_table(findings, source()))
    if options.output is not None:
        Path(options.output).write_text(cost_text(findings, source()), "utf-8")
        print(f"\nwritten to {options.output}")


def _measure(stop: "_Stop") -> list:
    from ..engine.calibrate import measure_costs

    return measure_costs(stop.check)


def _execute(
    stop: "_Stop",
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> tuple[Any, list[dict]]:
    """Build the study of ``module`` and run it; return it and its rows."""
    from ..engine.cost_file import read_costs
    from ..engine.costs import Costs
    from ..engine.parameters import fill, split_costs
    from ..engine.run import check_output, run_study
    from ..engine.study import Study

    check_output(options.output, options.force)  # before a build that may take long
    settings, costs = split_costs(settings)
    parameters = fill(module.Parameters, settings)
    if options.costs is not None:
        costs = read_costs(options.costs) | costs
    costs = fill(Costs, costs, "cost.")
    study = module.build(parameters)
    if not isinstance(study, Study):
        raise BadInput(f"build must return a Study, got {type(study).__name__}")
    with closing(_Progress(study, stop.check)) as progress:
        rows = run_study(
            study,
            output=options.output,
            force=options.force,
            seed=options.seed,
            threads=options.threads,
            costs=costs,
            provenance={
                "command": options.line,
                "scenario": Path(module.__file__).stem,
                "parameters": json.dumps(asdict(parameters), default=str),
            },
            progress=progress,
            opened=stop.opened,
        )
    return study, rows


def _show(study: Any, rows: list[dict], options: argparse.Namespace) -> None:
    print((study.report or table)(study, rows))
    if options.output is not None:
        print(f"\nwritten to {options.output}")


def _plain(study: Any, rows: list[dict]) -> dict[str, Any]:
    """Return what ``--json`` prints: refusals by their names, plain numbers."""
    from ..kernels.constants import Refusal

    names = [reason.name.lower() for reason in Refusal]
    by_reason = {column.name for column in study.columns if column.by_reason}
    plain = []
    for row in rows:
        values = {key: getattr(v, "tolist", lambda v=v: v)() for key, v in row.items()}
        for key in by_reason:
            values[key] = dict(zip(names, values[key], strict=True))
        plain.append(values)
    return {"question": study.question, "rows": plain}


# --- scenarios by name or file --------------------------------------------------------


def _names() -> list[str]:
    """Return the names of our scenarios, without importing one."""
    stems = [path.stem for path in Path(__file__).parent.glob("*.py")]
    return sorted(n for n in stems if n[0] != "_" and n not in _NOT_SCENARIOS)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{name}", __package__)


def _scenario(name: str) -> ModuleType:
    """Return the scenario called ``name``, or the one in the file of that path."""
    from ..engine.parameters import did_you_mean

    if name.endswith(".py") or os.sep in name:
        return _load(Path(name))
    names = _names()
    if name not in names:
        raise BadInput(
            f"scenario must be one of {', '.join(names)} or a FILE.py, "
            f"got {name!r}{did_you_mean(name, names)}"
        )
    return _module(name)


def _load(path: Path) -> ModuleType:
    """Import a user's file; raise BadInput where it is no scenario."""
    if not path.is_file():
        raise BadInput(f"scenario must be a file that exists, got {path}")
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"{path} must import, got {_located(error)}") from error
    if not is_dataclass(getattr(module, "Parameters", None)):
        raise BadInput(f"{path} must define a dataclass Parameters, got none")
    if not callable(getattr(module, "build", None)):
        raise BadInput(f"{path} must define build(parameters), got none")
    return module


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0]


# --- progress, signals, errors --------------------------------------------------------


class _Progress:
    """A bar on a terminal; in a log, a line every ten seconds."""

    def __init__(self, study: Any, stop_if_asked) -> None:
        from tqdm import tqdm

        self.variants = study.variants
        self.stop_if_asked = stop_if_asked
        self.index = -1
        self.served = 0
        self.begin: float | None = None
        self.before = 0
        self.last_beat = time.monotonic()
        self.total = sum(variant.accesses for variant in study.variants)
        self.bar = tqdm(
            total=self.total or None,  # a trace does not say how long it is
            unit=" accesses",
            unit_scale=True,
            dynamic_ncols=True,
            disable=None,  # where stderr is no terminal
        )

    def __call__(self, variant: Any, accesses: int, now_ns: int) -> None:
        self.stop_if_asked()
        if self.index < 0 or variant is not self.variants[self.index]:
            self._next()
        self.served += accesses
        if accesses and self.begin is None:
            # What came before was mostly the compiler's time.
            self.begin, self.before = time.monotonic(), self.served
        if self.bar.disable:
            self._beat(now_ns)
            return
        self.bar.set_postfix_str(f"simulated {seconds(now_ns)}", refresh=False)
        self.bar.update(accesses)

    def close(self) -> None:
        self.bar.close()

    def _next(self) -> None:
        """Go on to the next variant, whatever the last one really served."""
        self.index += 1
        self.served = sum(v.accesses for v in self.variants[: self.index])
        self.bar.n = self.served
        self.bar.set_description(self._name())

    def _name(self) -> str:
        name = label(self.variants[self.index].name)
        return f"{name} ({self.index + 1}/{len(self.variants)})"

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
        """Return what is done and how fast, and what is left, as far as it is known."""
        share = f"{100 * self.served / self.total:.0f} %, " if self.total else ""
        if self.begin is None or self.served <= self.before:
            return share, ""
        rate = (self.served - self.before) / (now - self.begin)
        share += f"{count(rate)} accesses/s, "
        if not self.total:
            return share, ""
        return share, f", {max(self.total - self.served, 0) / rate:.0f} s left"


class _Stopped(BaseException):
    """A signal asked for the end of the run."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class _Stop:
    """What the waiting thread and the running one share: who asked, what to close."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.close = lambda: None

    def ask(self, signum: int, frame: Any) -> None:
        """Handle a signal; only the first one counts."""
        if self.signum is None:
            self.signum = signum
            raise _Stopped(signum)

    def check(self) -> None:
        """End the running thread if that was asked for."""
        if self.signum is not None:
            raise _Stopped(self.signum)

    def opened(self, close: Callable[[], None]) -> None:
        self.close = close

    def leave(self) -> NoReturn:
        """End the process, for a running thread that does not come back."""
        with suppress(OSError):  # a full disk: the process has to end all the same
            self.close()
        os._exit(_stopped(self.signum))


def _interruptible(work: Callable, *arguments: Any) -> Any:
    """Return ``work(stop, *arguments)``, done in a thread; raise _Stopped at a signal.

    Python handles a signal in the main thread, and only between two calls of C code.
    The compiler may take half a minute, so the main thread has to be free of it.
    """
    stop = _Stop()
    before = {signum: signal.signal(signum, stop.ask) for signum in _SIGNALS}
    threading.stack_size(_STACK)
    running = ThreadPoolExecutor(1).submit(work, stop, *arguments)
    try:
        return running.result()
    except _Stopped:
        if not wait([running], _GRACE_S).done:
            stop.leave()
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _stopped(signum: int) -> int:
    """Say that a signal ended the run; return the exit status."""
    return _fail(128 + signum, f"stopped by {signal.Signals(signum).name}")


def _located(error: BaseException) -> str:
    """Return what went wrong, and the line of code where it did."""
    what = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return what
    return f"{what} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    _fail(0, f"warning: {message}")


def _fail(status: int, message: str) -> int:
    print(f"lazynuma: {' '.join(message.split())}", file=sys.stderr)
    return status
