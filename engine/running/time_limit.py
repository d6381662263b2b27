"""When a process has to end: the limit that it was given, or that of its Slurm job."""

import math
import os
import time
from pathlib import Path

#: Before a Slurm job ends, a run needs this long to end its quantum and to save itself.
MARGIN_S = 120


def end_of_time(max_s: float | None) -> float:
    """Return when this process has to end, in seconds since the epoch, or infinity.

    max_s  how long it may run, from its own start; None: ``MARGIN_S`` before the end of
           its Slurm job, ``SLURM_JOB_END_TIME``, if it is one
    """
    if max_s is not None:
        return process_began() + max_s
    job_end = os.environ.get("SLURM_JOB_END_TIME", "")
    if job_end.isascii() and job_end.isdigit():
        return int(job_end) - MARGIN_S
    return math.inf


def process_began() -> float:
    """Return when this process began, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")
