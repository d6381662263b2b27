"""The machine that was measured: figures mean nothing without it."""

import os
import platform
from importlib.metadata import version

from lazynuma.kernels import state


def host() -> dict[str, str | int | float]:
    """Return the CPU, usable cores, load, Linux and the versions that matter."""
    with open("/proc/cpuinfo") as cpuinfo:
        names = [line.split(":", 1)[1] for line in cpuinfo if "model name" in line]
    return {
        "cpu": names[0].strip() if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "linux": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "h5py")},
        "kernels": os.path.dirname(state.__file__),
    }


def as_line(host: dict[str, str | int | float]) -> str:
    """Return a host as one line of text."""
    return "  ".join(f"{key} {value}" for key, value in host.items())
