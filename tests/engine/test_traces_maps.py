"""The mappings of a recorded program, from each place that has them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.engine.errors import BadInput
from lazynuma.engine.traces.maps import Mapping, read_maps

DATA = Path(__file__).parents[1] / "data"

MAPS = """55d0f0c00000-55d0f0c02000 r-xp 00000000 fe:00 2609 /usr/bin/my job (deleted)
55d0f1a00000-55d0f1a21000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000001000-7f0000002000 rw-p 00000000 00:00 0
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""

SCRIPT = """swapper 0 0.0: PERF_RECORD_MMAP -1/0: [0xffffffff81(0x12) @ 0]: x [k]_text
 true 9 0.1: PERF_RECORD_MMAP2 9/9: [0x7ffd000(0x21000) @ 0x7ff 00:00 0 0]: rw-p [stack]
 true 9 809.1: PERF_RECORD_COMM exec: true:9/9
 true 9 809.2: PERF_RECORD_MMAP 9/10: [0x5000(0x1800) @ 0]: r /usr/lib/a b.so
 true 9 [001] 809.3: page-faults: 7ffd000
"""


def test_maps_of_proc(tmp_path):
    (tmp_path / "t").write_text(MAPS)
    assert read_maps(str(tmp_path / "t")) == [
        Mapping(None, 0x55D0F0C00, 0x55D0F0C02, "/usr/bin/my job (deleted)"),
        Mapping(None, 0x55D0F1A00, 0x55D0F1A21, "[heap]"),
        Mapping(None, 0x7F0000000, 0x7F0000001, ""),
        Mapping(None, 0x7F0000001, 0x7F0000002, ""),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_mmap_events_of_perf_script(tmp_path, end):
    (tmp_path / "t").write_bytes(SCRIPT.strip().replace("\n", end or "\n").encode())
    assert read_maps(str(tmp_path / "t")) == [
        Mapping(9, 0x7FFD, 0x7FFD + 0x21, "[stack]"),
        Mapping(9, 5, 7, "/usr/lib/a b.so"),
    ]


def mmap(kind, process, first, length, name):
    """Return PERF_RECORD_MMAP (1) or MMAP2 (10)."""
    body = struct.pack("<iiQQQ", process, process, first, length, 0)
    body += bytes(32 if kind == 10 else 0) + name.ljust(len(name) // 8 * 8 + 8, b"\0")
    return struct.pack("<IHH", kind, 0, 8 + len(body)) + body


def recording(records) -> bytes:
    attr = struct.pack("<IIQQQQQ", 1, 128, 2, 1, 11, 0, 0).ljust(128, b"\0") + bytes(16)
    head = (b"PERFILE2", 104, 144, 104, 144, 248, len(records), 0, 0)
    return struct.pack("<8sQQQQQQQQ", *head) + bytes(32) + attr + records


@pytest.mark.parametrize("shape", ["file", "pipe", "compressed"])
def test_records_of_perf_data(tmp_path, shape):
    records = mmap(1, -1, 1 << 63, 4096, b"[kernel]")
    records += mmap(1, 7, 0x5000, 0x1001, b"//anon")
    formats = struct.pack("<IHHI", 66, 0, 12, 70_001) + b"\x09" * 70_008
    records += (formats if shape == "pipe" else b"") + mmap(
        10, 8, 0x9000, 1, b"/a b.so"
    )
    if shape == "compressed":
        packed = zstandard.compress(records)
        records = struct.pack("<IHH", 81, 0, 8 + len(packed)) + packed
    pipe = b"PERFILE2" + struct.pack("<Q", 16) + records
    (tmp_path / "t").write_bytes(pipe if shape == "pipe" else recording(records))
    assert read_maps(str(tmp_path / "t")) == [
        Mapping(7, 5, 7, "//anon"),
        Mapping(8, 9, 10, "/a b.so"),
    ]


def test_recorded_files_have_their_mappings():
    names = {
        name: {Path(one.name).name for one in read_maps(str(DATA / name))}
        for name in ("pipe-exceptions.perf.data.gz", "compressed-stacks.perf.data.gz")
    }
    assert "[stack]" in names["compressed-stacks.perf.data.gz"]
    assert "libc.so.6" in names["pipe-exceptions.perf.data.gz"]


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", recording(b""), MAPS[-80:].encode()]
)
def test_files_without_mappings_are_refused(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(BadInput, match="maps must have mappings.*got none"):
        read_maps(str(tmp_path / "t"))


@given(
    name=st.sampled_from(["pipe-exceptions", "compressed-stacks", "two-cpus"]),
    flips=st.lists(st.tuples(st.integers(0, 2**15), st.integers(0, 255)), max_size=9),
    end=st.none() | st.integers(8, 2**15),
)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, name, flips, end):
    data = bytearray(gzip.open(DATA / f"{name}.perf.data.gz").read()[:end])
    for at, value in flips:
        data[at % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "maps"
    path.write_bytes(data)
    try:
        found = read_maps(str(path))
        assert all(one.first < one.end for one in found)
        assert np.array([one[1:3] for one in found]).dtype == np.int64
    except BadInput as error:
        assert "\n" not in str(error)
