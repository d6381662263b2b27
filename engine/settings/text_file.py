"""Text files that a user names: regular ones, of a size that people write."""

import os
import stat

from ..errors import BadInput

#: The most bytes of a file.
MOST = 16 << 20


def read_text(path: str | os.PathLike, what: str, most: int = MOST) -> str:
    """Return the text of a regular file of UTF-8; ``what`` it is, in messages.

    Raises BadInput for what cannot be read, has no end, or is no text.
    """
    try:
        # Without O_NONBLOCK the open of a pipe would wait for somebody to write to it.
        fileno = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fileno, "rb") as file:
            if not stat.S_ISREG(os.fstat(fileno).st_mode):
                raise BadInput(f"{what} must be a regular file, got {path}")
            data = file.read(most + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{what} must be readable, got {path}: {reason}") from error
    if len(data) > most:
        raise BadInput(f"{what} must have at most {most} bytes, got more in {path}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{what} must be a text, got {path}") from None
