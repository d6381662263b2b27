"""Studies whose variants run side by side: each does what its name says."""

import os
import signal
import time
import warnings
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial

import numpy as np

from lazynuma.engine import (
    SUMMARY,
    BadInput,
    Column,
    Field,
    Records,
    Settings,
    Study,
    Sweep,
    Uniform,
    Variant,
    preset,
)

NOTES = Records("notes", "note", "what steps note", (Field("lap", "1", "the lap"),))
SHARE = Column("share", "share", "1", "share of the time of all", "f8")
PAGES = 1024


class Odd(Exception):
    """An error that cannot travel."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")
        self.why = lambda: (first, second)


def act(name, lap):
    """Do what a variant is there for, in its second lap."""
    if lap != 1:
        return
    if name == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "divides":
        print(1 // 0)
    elif name == "refuses":
        raise BadInput("steps must make sense, got none")
    elif name == "odd":
        raise Odd("one", "two")
    elif name == "warns":
        warnings.warn("nearly nothing", stacklevel=2)
    elif name == "sleeps":
        time.sleep(60)


def steps(simulation, name, laps):
    task = simulation.start_task(simulation.spawn("job"), cpu=0)
    region = simulation.mmap(task.process, PAGES * 4096)
    simulation.run([Sweep(task=task, region=region, count=PAGES)])
    for lap in range(laps):
        act(name, lap)
        simulation.run([Uniform(task=task, region=region, count=PAGES)])
        simulation.record("notes", {"lap": lap})
        time.sleep(0.01)  # or the first would have ended before the second begins
    return {"share": float("nan"), "seen": [name, laps]}


def shares(rows):
    """Return the share of each row in the time of all."""
    times = np.array([row["run_time_ns"] for row in rows], float)
    return [{"share": share} for share in times / times.sum()]


def make(*names, laps=6):
    """Return a study of variants of these names."""
    settings = Settings(epoch_ns=20_000, snapshots_ns=(100_000, 200_000))
    machine = preset("2s", 1 << 30)
    variants = [
        Variant(
            name,
            machine,
            settings,
            partial(steps, name=name, laps=laps + at),
            PAGES * (1 + laps + at),
            PAGES,
        )
        for at, name in enumerate(names)
    ]
    return Study(
        "Does it run?",
        "mechanism",
        tuple(variants),
        (*SUMMARY, SHARE),
        records=(NOTES,),
        related=shares,
        kept=("seen",),
    )


class Backwards(Executor):
    """Runs in a thread what came last first, so that rows come in the wrong order."""

    def __init__(self, count):
        self.works, self.count, self.thread = [], count, ThreadPoolExecutor(1)

    def submit(self, work, /, *arguments):
        future = Future()
        self.works.insert(0, (future, work, arguments))
        if len(self.works) == self.count:
            self.thread.submit(self.do)
        return future

    def do(self):
        for future, work, arguments in self.works:
            future.set_result(work(*arguments))
