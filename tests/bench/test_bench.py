"""The benchmarks run and say what they ran on; no test asserts a rate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = (
    "import sys, bench.peers as peers\n"
    "import bench.faults_beside_linux as faults\n"
    "peers.FIRST_TOUCH = peers.LINUX_TOUCH = 64 << 20\n"
    "faults.MAPPED, faults.ROUNDS = 4 << 20, 2\n"
)
BARE = "peers._version = lambda name: None\n"


def peers(*arguments, before=""):
    """Run ``python -m bench peers`` on little; return what it prints."""
    code = f"{SMALL}{before}sys.exit(peers.main({list(arguments)}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("before", ["", BARE])
def test_peers_are_measured_on_the_same_trace(before):
    found = json.loads(peers("--json", "--accesses", "30000", before=before))
    assert {"cpu", "cores", "load", "linux", "python", "numba", "h5py"} <= set(
        found["machine"]
    )
    *traces, touch = found["results"]
    for section in traces:
        names = [rate["name"].split()[0] for rate in section["rates"]]
        assert names[0] == "lazynuma," and names[-1] == "OrderedDict"
        assert not set(found["not_installed"]) & set(names)
        hits = [rate["hits"] for rate in section["rates"] if rate["hits"] is not None]
        assert max(hits) - min(hits) < 0.02  # sets of 16 ways are nearly one LRU
    assert [rate["name"] for rate in touch["rates"]] == ["lazynuma", "this Linux"]
    rates = [rate for section in found["results"] for rate in section["rates"]]
    assert all(rate["per_s"] > 0 for rate in rates)


def test_peer_that_is_not_installed_is_named():
    lines = peers("--accesses", "30000", before=BARE).splitlines()
    assert lines[0].startswith("cpu ") and "  load " in lines[0]
    assert lines[1] == "libcachesim is not installed: pip install '.[bench]' brings it"
    assert lines[-1].startswith("Cache simulators do less")


def test_case_that_is_not_there_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "got nowhere" in done.stdout
