"""Standard input, output and error, if they are closed or know no Unicode."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def prepare() -> None:
    """Open closed streams on nothing, and let no character stop what is printed.

    Otherwise the output file could get the number of a closed stream, and messages.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        _open(number)
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
        if mode == "w" and isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # what it still holds cannot be written
                stream.reconfigure(errors="backslashreplace")


def _open(number: int) -> None:
    """Open a descriptor on nothing if it is closed."""
    try:
        os.fstat(number)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
