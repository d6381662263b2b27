"""The output file of a run, as several threads use it."""

import threading
import time
from collections.abc import Callable

from ..output.reader import RunState
from ..output.writer import RunWriter


class SharedFile:
    """The file of a run, or none: one thread at a time, nothing once it is closed."""

    def __init__(self, writer: RunWriter | None = None) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self.seconds = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a file that is not closed."""
        return self._writer is not None

    def write(self, put: Callable[[RunWriter], None]) -> None:
        """Let ``put`` write, if there is a file; add its time to ``seconds``."""
        with self._lock:
            if self._writer is None:
                return
            begin = time.perf_counter()
            put(self._writer)
            self.seconds += time.perf_counter() - begin

    def sync(self) -> None:
        """Wait until the disk has all rows; raise OSError if the file is closed."""
        with self._lock:
            if self._writer is None:
                raise OSError("file must be open to be saved, got a closed one")
            self._writer.sync()

    def close(self, state: RunState, in_order: bool = False) -> None:
        """Close the file, unless that was done; see ``RunWriter.close``."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close(state, in_order)

    def check(self) -> None:
        """Raise OSError if somebody else has taken the file away."""
        with self._lock:
            if self._writer is not None:
                self._writer.check()

    def discard(self) -> None:
        """Close and remove the file, unless that was done."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.discard()
