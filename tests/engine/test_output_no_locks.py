"""Where files cannot be locked: on shared file systems that are mounted without locks.

``flock`` is replaced, for us and for HDF5, by one that answers as these do.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLOCK = """
#include <errno.h>
#include <stdlib.h>
int flock(int fd, int how) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""
WRITE = """
import sys
from pathlib import Path
from common.run_files import writer
from lazynuma.engine.errors import BadInput
from lazynuma.engine.output.reader import RunFile, RunState
try:
    writer(Path("a.h5")).close(RunState.DONE)
    with RunFile(Path("a.h5"), alive=False) as file:
        print(file.state.name)
except BadInput as error:
    print(error)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that is loaded before the C library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "flock.c").write_text(FLOCK)
    command = [compiler, "-shared", "-fPIC", "-o", "flock.so", "flock.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "flock.so"


def write(shim, place, number, **more):
    done = subprocess.run(
        [sys.executable, "-c", WRITE],
        cwd=place,
        env=os.environ
        | {"LD_PRELOAD": str(shim), "FLOCK_ERRNO": str(number)}
        | {"PYTHONPATH": str(Path(__file__).parents[1])}
        | more,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_are_refused_it_is_said_what_to_do(shim, tmp_path, number):
    said, left = write(shim, tmp_path, number)
    assert said.startswith("output must lie where files can be locked, got ")
    assert os.strerror(number) in said and "move the file when it is done" in said
    assert "a.h5" not in left and "a.h5.creating" not in left


def test_where_there_are_no_locks_files_are_written_without(shim, tmp_path):
    """As on Lustre that is mounted without ``flock``."""
    assert write(shim, tmp_path, errno.ENOSYS) == ("DONE", ["a.h5"])


def test_hdf5_can_be_told_to_do_without_locks(shim, tmp_path):
    more = {"HDF5_USE_FILE_LOCKING": "FALSE"}
    assert write(shim, tmp_path, errno.EOPNOTSUPP, **more) == ("DONE", ["a.h5"])
