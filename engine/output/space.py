"""Room for what closing a run file will write."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from .superblock import allocated

#: Bytes for what is created first, for closing, and those taken at a time.
SPACE_FIRST = 1 << 20
SPACE_CLOSE = 1 << 20
_SPACE_STEP = 1 << 20


class Space:
    """Disk space taken before HDF5 needs it, which cannot recover from a failed write.

    What is not needed is given back at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.fileno = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def reserve(self, size: int) -> None:
        """Let the file have ``size`` bytes at least; raise OSError if it cannot."""
        if size <= self.size:
            return
        size += _SPACE_STEP
        try:
            os.posix_fallocate(self.fileno, self.size, size - self.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.size = size

    def close(self) -> None:
        """Cut the file where HDF5 says that it ends."""
        with suppress(OSError):
            end = allocated(self.path)
            if end is not None and end < os.fstat(self.fileno).st_size:
                os.ftruncate(self.fileno, end)
        os.close(self.fileno)
