"""Programs that recording takes, and what is said when one is not there."""

import shutil
import subprocess

#: The package of each program.
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "gcc": "gcc libc6-dev",
    "zstd": "zstd",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "apt-cache": "apt",
}


class Unrecorded(Exception):
    """A script cannot be recorded; says why."""


def tool(name):
    """Return the path of a program."""
    found = shutil.which(name)
    if found is None:
        raise Unrecorded(
            f"{name} must be installed (apt-get install {PACKAGES[name]}), got none"
        )
    return found


def told(name, *arguments, **options):
    """Run a program; return (exit status, its output as bytes, its last words)."""
    done = subprocess.run(
        [tool(name), *arguments], capture_output=True, check=False, **options
    )
    words = done.stderr.decode(errors="replace").split()
    return done.returncode, done.stdout, " ".join(words)[-300:]
