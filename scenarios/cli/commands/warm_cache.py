"""``lazynuma warm``: compile all kernels ahead, once for a kind of node."""

import argparse

from ..signals import Stop, interruptible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no arguments."""


def execute(options: argparse.Namespace) -> None:
    """Compile what is not in the cache, and print how much that was."""
    kernels, seconds, place = interruptible(_warm)
    if kernels:
        print(f"compiled {kernels} kernels in {seconds:.0f} s, kept in {place}")
    else:
        print(f"all kernels are in {place}")


def _warm(stop: Stop) -> tuple[int, float, str]:
    from ....engine.warm import warm_kernels
    from ....kernels.jit.cache_dir import trusted_dir
    from ....kernels.jit.compiling import compiled

    return warm_kernels(), compiled.seconds, str(trusted_dir())
