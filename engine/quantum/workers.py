"""The threads of a simulation, and what they work on together."""

from concurrent.futures import Future, ThreadPoolExecutor, wait

import numba
import numpy as np

from ...kernels import state as st
from ...kernels.access_run import hit_counts
from ...kernels.quantum import team as tm
from ...kernels.quantum.accesses import CHUNK
from ...kernels.quantum.jobs import Job, Work, share
from ...kernels.quantum.load_table import Load
from ...kernels.quantum.own_accesses import Call
from ..workloads.rows import Loads

#: Fewest accesses of a quantum that other threads are woken for.
FEWEST = 2 * CHUNK


class Team:
    """Threads that share the jobs of a quantum (``kernels/quantum/jobs.py``)."""

    def __init__(self, threads: int, nodes: int, shards: int) -> None:
        # The interpreter has no atomic operations: the leader works alone.
        alone = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
        others = 0 if alone else threads - 1
        self._pool = ThreadPoolExecutor(others) if others else None
        self._followers: list[Future | None] = [None] * others
        self._memory: st.Memory | None = None
        self.work = Work(
            load=np.zeros((0, len(Load)), np.int64),
            exponent=np.ones(0),
            recorded=np.zeros(1, np.int64),
            trace=np.zeros(0, np.int64),
            cpu=np.zeros(0, np.int64),
            due=np.zeros(0, np.int64),
            own=np.zeros((0, 1), np.int64),
            calls=np.zeros((1, len(Call)), np.int64),
            start=np.zeros(1, np.int64),
            layout=np.zeros(1, np.int64),
            queued=np.zeros(1, np.int64),
            tally=np.zeros((1, shards), np.int64),
            limit=np.zeros(1, np.int64),
            counts=np.zeros((threads, 2, hit_counts(nodes)), np.int64),
            team=np.zeros(tm.TEAM_WIDTH, np.int64),
        )

    def begin(self, loads: Loads) -> None:
        """Take up the workloads of a run."""
        self.dismiss()
        self.work = self.work.replace(
            load=loads.rows,
            exponent=loads.exponent,
            recorded=loads.recorded,
            own=loads.own,
            start=loads.starts,
        )
        self._tell_layout()

    def _tell_layout(self) -> None:
        """Let users' functions know where the layout is."""
        calls, layout = self.work.calls, self.work.layout
        calls[:, Call.STATUS] = 0
        calls[:, Call.LAYOUT], calls[:, Call.ITEMS] = layout.ctypes.data, layout.size

    def begin_playback(
        self, trace: np.ndarray, cpu: np.ndarray, due: np.ndarray, starts: np.ndarray
    ) -> None:
        """Take up the rows of a recording."""
        self.dismiss()
        self.work = self.work.replace(trace=trace, cpu=cpu, due=due, start=starts)

    def make_room(self, accesses: int, most: int) -> None:
        """Have room for a number of accesses; a quantum has at most ``most``."""
        if accesses <= self.work.layout.size:
            return
        self.dismiss()
        size = max(accesses, min(2 * accesses, most))
        chunks = -(-size // CHUNK)
        self.work = self.work.replace(
            layout=np.zeros(size, np.int64),
            queued=np.zeros(size, np.int64),
            tally=np.zeros((chunks, self.work.tally.shape[1]), np.int64),
            calls=np.zeros((chunks, len(Call)), np.int64),
        )
        self._tell_layout()

    def do(self, memory: st.Memory, job: Job, units: int) -> None:
        """Do a job with all threads that are there; it has ``units`` parts."""
        if memory is not self._memory:
            self.dismiss()
            self._memory = memory
        if self.work.start[-1] >= FEWEST:
            self._call()
        share(memory, self.work, int(job), units, 0)

    def _call(self) -> None:
        """Wake the followers that went home."""
        team = self.work.team
        if self._pool is None or team[tm.Team.PRESENT] >= len(self._followers):
            return
        for i, follower in enumerate(self._followers):
            if follower is None or follower.done():
                # Counted here: one that wakes slowly must not be woken twice.
                tm.join(team)
                self._followers[i] = self._pool.submit(
                    share, self._memory, self.work, 0, 0, i + 1
                )

    def dismiss(self) -> None:
        """Send the followers home: what they work on changes."""
        tm.dismiss(self.work.team)
        wait([follower for follower in self._followers if follower])
        self.work.team[tm.Team.TICKET] = 0

    def close(self) -> None:
        """End the threads, and forget what they worked on; again is fine."""
        if self.work is None:
            return
        self.dismiss()
        if self._pool:
            self._pool.shutdown()
        self.work = self._memory = None  # type: ignore[assignment]
