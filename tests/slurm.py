"""Run a sweep as a job array of a real Slurm, of one node, which is started for it.

    python tests/slurm.py

Needs slurmctld, slurmd and munged (Debian: slurm-wlm, munge), and reads nothing of
their configuration: all lies in a temporary folder, and what was started is ended.  An
array of four tasks shares twenty points.  One point is longer than a task has time, the
node is lost while tasks run, and both times Slurm puts tasks into the queue again.  At
the end all points must be done.  Exit status 1 says what was wrong, 77 that Slurm could
not be started here.
"""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

#: What a test that was left out exits with.
LEFT_OUT = 77
TASKS, POINTS = 4, 20
#: How long each thing may take at most: the machine may be busy.
_START_S, _RUN_S = 20, 300
_PROGRAMS = ("munged", "slurmctld", "slurmd")
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
#: A job that is queued again waits until its credential has expired: two minutes, if
#: nothing else is said, and five seconds at least.
_CONFIGURATION = """\
ClusterName=lazynuma
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
SWEEP = """\
scenario = "sleepers.py"
seeds = [1, 2]

[grid]
tasks = [1, 2, 4, 8, 16]

[zip]
rounds = [1, 2]
"""
#: Each point takes a time that hangs on no machine.  The longest takes more than a task
#: has.
SCENARIO = '''\
"""Does a task that sleeps between its rounds come to its end?"""

import os
import time
from dataclasses import dataclass

from lazynuma.engine import SUMMARY, Settings, Study, Uniform, Variant, preset

LONG_S, SHORT_S = 3.0, 0.1


@dataclass(frozen=True)
class Parameters:
    tasks: int = 1
    rounds: int = 1


def build(parameters):
    machine = preset("2s", 1 << 30)
    is_long = (parameters.tasks, parameters.rounds) == (16, 2)
    sleep_s = LONG_S if is_long else SHORT_S

    def steps(simulation):
        with open("ran.txt", "a") as file:
            task = os.environ["SLURM_ARRAY_TASK_ID"]
            file.write(f"{task} {os.environ['SLURM_JOB_END_TIME']}\\n")
        with open("pids.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        begun = time.monotonic()
        while not os.path.exists("lost.txt") and time.monotonic() - begun < 90:
            time.sleep(0.05)  # no point ends before the node is lost
        process = simulation.spawn()
        tasks = [
            simulation.start_task(process, cpu=machine.cpus[n % 2])
            for n in range(parameters.tasks)
        ]
        region = simulation.mmap(process, 1 << 20)
        for _ in range(parameters.rounds):
            time.sleep(sleep_s)
            simulation.run(
                [Uniform(task=task, region=region, count=1000) for task in tasks]
            )
        return {}

    count = 1000 * parameters.tasks * parameters.rounds
    variant = Variant("none", machine, Settings(), steps, count, 256)
    return Study(__doc__, "mechanism", (variant,), SUMMARY)
'''


class LeftOut(Exception):
    """Slurm cannot be started here."""


def main() -> int:
    """Run the test and return its exit status."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munged wants it
    try:
        with _slurm(folder) as environment:
            _test(folder / "job", environment)
    except LeftOut as error:
        print(f"left out: Slurm cannot be started: {error}")
        return LEFT_OUT
    except (AssertionError, subprocess.SubprocessError) as error:
        print(f"{error}\nwhat is left: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


# --- Slurm ----------------------------------------------------------------------------


@contextmanager
def _slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster of this host; give the environment of its users."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    path = os.pathsep.join((path, *_PLACES))
    programs = {name: shutil.which(name, path=path) for name in _PROGRAMS}
    missing = [name for name, found in programs.items() if not found]
    if missing:
        raise LeftOut(f"there is no {missing[0]}")
    configuration = _configure(folder)
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": path}
    started: list[subprocess.Popen] = []
    try:
        for name, arguments in _commands(folder, configuration).items():
            with (folder / f"{name}.log").open("w") as log:
                command = [str(programs[name]), *arguments]
                started.append(
                    subprocess.Popen(
                        command, env=environment, stdout=log, stderr=subprocess.STDOUT
                    )
                )
        _start(folder, started, environment)
        yield environment
        _ask(environment, "scancel", "--user", getpass.getuser())
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)


def _configure(folder: Path) -> Path:
    """Write the configuration of the cluster, and munge's key."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for name in ("state", "spool", "job"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    text = _CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        user=getpass.getuser(),
        ports=_free_ports(2),
        cpus=len(os.sched_getaffinity(0)),
    )
    configuration.write_text(text)
    return configuration


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _commands(folder: Path, configuration: Path) -> dict[str, list[str]]:
    """Return the arguments of each daemon, in the order in which they start."""
    files = {
        "socket": "munge.sock",
        "key-file": "munge.key",
        "pid-file": "munged.pid",
        "seed-file": "munge.seed",
        "log-file": "munge.log",
    }
    munge = [f"--{option}={folder / name}" for option, name in files.items()]
    return {
        "munged": ["--foreground", "--force", *munge],
        "slurmctld": ["-D", "-f", str(configuration)],
        "slurmd": ["-D", "-f", str(configuration)],
    }


def _start(
    folder: Path, started: list[subprocess.Popen], environment: dict[str, str]
) -> None:
    """Wait until the node is idle; raise LeftOut if it does not come to that."""

    def is_up() -> bool:
        ended = [one.args[0] for one in started if one.poll() is not None]
        if ended:
            log = (folder / f"{Path(ended[0]).name}.log").read_text().splitlines()
            raise LeftOut(f"{ended[0]} ended: {log[-1] if log else 'it said nothing'}")
        return _ask(environment, "sinfo", "-h", "-o", "%t") == "idle"

    if not _wait(is_up, _START_S):
        raise LeftOut(f"the node was not idle within {_START_S} s")


def _ask(environment: dict[str, str], *command: str) -> str:
    """Return what a command of Slurm's prints, empty if it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return "" if done.returncode else done.stdout.strip()


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; return whether it came to be."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


# --- the sweep ------------------------------------------------------------------------


def _test(folder: Path, environment: dict[str, str]) -> None:
    """Submit the array, lose the node, and look at what is there at the end."""
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "sleepers.py").write_text(SCENARIO)

    def lazynuma(*arguments: str) -> str:
        return subprocess.run(
            ["lazynuma", "sweep", "sweep.toml", "-o", "out", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    script = _adjusted(lazynuma("--sbatch", str(TASKS)))
    (folder / "job.sh").write_text(script)
    job = subprocess.run(
        ["sbatch", "--parsable", "job.sh"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    _lose_node(folder, environment)
    over = _wait(lambda: not _ask(environment, "squeue", "-h", "-o", "%i"), _RUN_S)
    logs = "".join(path.read_text() for path in sorted(folder.glob("slurm-*.out")))
    assert over, f"job {job} did not end:\n{logs}"
    print(logs, end="")
    print(lazynuma("--status"), end="")
    _check(folder)


def _adjusted(script: str) -> str:
    """Return the script with what a user would adjust: how long a task has."""
    limit = "--max-time 10s"
    assert script.count("--task") == 1 and "--time=01:00:00" in script, script
    return script.replace("--task", f"{limit} --task", 1).replace("01:00:00", "5")


def _lose_node(folder: Path, environment: dict[str, str]) -> None:
    """Take the node away while a point runs, and give it back."""
    assert _wait(lambda: (folder / "pids.txt").exists(), 60), "no point began"
    host = socket.gethostname().partition(".")[0]
    scontrol = ("scontrol", "update", f"NodeName={host}")
    _ask(environment, *scontrol, "State=DOWN", "Reason=lost")
    _wait(lambda: "R" not in _ask(environment, "squeue", "-h", "-o", "%t"), 20)
    pids = (folder / "pids.txt").read_text().split()
    _ask(environment, *scontrol, "State=RESUME")
    # A node that is back ends what it ran before.
    _wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 60)
    (folder / "lost.txt").touch()


def _check(folder: Path) -> None:
    """Check that all points are done, each by one process at a time."""
    files = sorted((folder / "out").glob("point-*.h5"))
    assert len(files) == POINTS, f"points must be {POINTS}, got {len(files)}"
    for path in files:
        with h5py.File(path) as file:
            assert file["run/state"][()] == 1, path
            json.loads(file.attrs["point"])
    left = [path.name for path in (folder / "out/.sweep").iterdir()]
    assert not [name for name in left if name.endswith((".claim", ".failed"))], left
    began = [line.split() for line in (folder / "ran.txt").read_text().splitlines()]
    assert len({task for task, _ in began}) > 1, "one task ran all points"
    assert all(end.isdigit() for _, end in began), "tasks must know when they end"
    assert len(began) > POINTS, "no point was begun twice, so no task was killed"


if __name__ == "__main__":
    sys.exit(main())
