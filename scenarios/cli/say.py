"""What the command line says on stderr."""

import sys
import traceback
from pathlib import Path
from typing import Any


def located(error: BaseException) -> str:
    """Return what went wrong, and in which line of code."""
    what = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return what
    return f"{what} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning in one line; stands in for ``warnings.showwarning``."""
    fail(0, f"warning: {message}")


def fail(status: int, message: str) -> int:
    """Print a message in one line and return ``status``."""
    print(f"lazynuma: {' '.join(message.split())}", file=sys.stderr)
    return status
