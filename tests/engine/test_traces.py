"""Recorded traces in text: formats, counts, errors, memory."""

import gzip
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.engine.errors import BadInput
from lazynuma.engine.traces import trace as trace_module
from lazynuma.engine.traces.trace import open_trace
from lazynuma.engine.traces.trace_chunk import CHUNK, TraceChunk

DATA = Path(__file__).parents[1] / "data"
FAULT = b"  wl 7/8 [001]  75.907651870: page-faults: 7f3ec0fb5000  556ce70830d0\n"
USER = b"exceptions:page_fault_user: address=0x7f3769713e06 ip=0x7f error_code=0x"


def read(path, content=None, **options):
    """Return the trace and the fields of all its accesses."""
    if content is not None:
        path.write_bytes(content)
    trace = open_trace(path, **options)
    chunks = list(trace)
    assert all(len({array.size for array in chunk}) == 1 for chunk in chunks)
    fields = [np.concatenate(parts).tolist() for parts in zip(*chunks, strict=True)]
    return trace, fields


def test_sample_of_page_faults():
    lines = gzip.open(DATA / "page-faults.txt.gz", "rt").read().splitlines()
    want = [int(re.search(r"page-faults:\s+(\w+)", one)[1], 16) >> 12 for one in lines]
    trace, (process, thread, cpu, time, vpn, write) = read(DATA / "page-faults.txt.gz")
    assert trace.format == "page-faults"
    assert (trace.lines, trace.accesses, trace.skipped) == (150, 150, 0)
    assert vpn == want and all(write)
    assert set(process) == set(thread) == {24407} and set(cpu) == {1}
    assert time[0] == 4816181842219


def test_sample_of_exceptions():
    lines = gzip.open(DATA / "exceptions.txt.gz", "rt").read().splitlines()
    codes = [int(re.search(r"error_code=(\w+)", one)[1], 16) for one in lines]
    want = [int(re.search(r"address=(\w+)", one)[1], 16) >> 12 for one in lines]
    trace, (_, thread, _, time, vpn, write) = read(DATA / "exceptions.txt.gz")
    assert trace.format == "exceptions" and trace.accesses == 150
    assert vpn == want and write == [bool(code & 2) for code in codes]
    assert set(thread) == {24417, 24419} and time[0] == 4817561548000


def test_sample_of_lackey():
    lines = gzip.open(DATA / "lackey.txt.gz", "rt").read().splitlines()
    pages, writes = [], []
    for kind, address, size in re.findall(
        r"^ ([LSM]) (\w+),(\d+)$", "\n".join(lines), re.M
    ):
        first = int(address, 16)
        touched = {first >> 12, (first + int(size) - 1) >> 12}
        pages += sorted(touched)
        writes += [kind != "L"] * len(touched)
    trace, (_, _, cpu, time, vpn, write) = read(DATA / "lackey.txt.gz")
    assert trace.format == "lackey" and trace.lines == 200
    assert trace.skipped == sum(one[:2] in ("I ", "==") for one in lines)
    assert vpn == pages and write == writes
    assert set(cpu) == set(time) == {-1}


@pytest.mark.parametrize("name", ["page-faults", "exceptions", "lackey"])
def test_plain_and_gzip_are_the_same(tmp_path, name):
    packed = DATA / f"{name}.txt.gz"
    plain = read(tmp_path / "plain", gzip.open(packed).read())
    assert plain[1] == read(packed)[1]


@pytest.mark.parametrize(
    ("line", "who"),
    [
        (FAULT, (7, 8, 1, 75907651870)),
        (b"wl 7/8 [001] 75.907651: page-faults: 7f3ec0fb5000 "
         b"[unknown] (//anon) 556ce70830d0 main+0x1 (wl)\n", (7, 8, 1, 75907651000)),
        (b"105   758.907651870:     7f3ec0fb5000\n", (105, 105, -1, 758907651870)),
        (b"my prog 2 7/8 75.000001: page-faults:u: 7f3ec0fb5000\n",
         (7, 8, -1, 75000001000)),
        (b"7/8 [001] page-faults: 7f3ec0fb5000\n", (7, 8, 1, -1)),
        (b"7/8 75.907651: 7f3ec0fb5000", (7, 8, -1, 75907651000)),
    ],
)  # fmt: skip
def test_field_sets_of_perf_script(tmp_path, line, who):
    _, fields = read(tmp_path / "t", line)
    assert tuple(field[0] for field in fields) == (*who, 0x7F3EC0FB5, True)


@pytest.mark.parametrize("event", [b"page-faults: 7f3ec0fb5000", USER + b"6"])
@pytest.mark.parametrize(
    ("time", "want"),
    [
        (b"75.907651: ", 75_907_651_000),
        (b"0.000000001: ", 1),
        (b"999999999.999999999: ", 10**18 - 1),
        (b"", -1),
    ],
)
def test_the_time_of_an_access(tmp_path, event, time, want):
    _, fields = read(tmp_path / "t", b"wl 7/8 [001] %s%s\n" % (time, event))
    assert fields[3] == [want]


def test_access_says_what_page_faults_are(tmp_path):
    assert read(tmp_path / "t", FAULT, access="r")[1][5] == [False]
    with pytest.raises(BadInput, match="access must be 'r' or 'w', got 'x'"):
        open_trace(tmp_path / "t", access="x")


def test_error_code_says_what_exceptions_are(tmp_path):
    lines = b"".join(b"wl 7 [001] 7.000001: %s%x\n" % (USER, c) for c in range(32))
    _, fields = read(tmp_path / "t", lines, access="r")
    assert fields[5] == [bool(code & 2) for code in range(32)]


def test_access_over_a_page_boundary_is_one_a_page(tmp_path):
    trace, fields = read(tmp_path / "t", b" S 1ffd,8\n L 2ff8,8\n M 3fff,1\n")
    assert fields[4] == [1, 2, 2, 3]
    assert fields[5] == [True, True, False, True]
    assert (trace.lines, trace.accesses) == (3, 4)


def test_kernel_addresses_are_skipped(tmp_path):
    kernel = FAULT.replace(b"7f3ec0fb5000", b"ffff888104f69000")
    trace, fields = read(tmp_path / "t", FAULT + kernel + b"# a comment\n\n" + FAULT)
    assert (trace.lines, trace.accesses, trace.skipped) == (5, 2, 3)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (FAULT, b"wl 7/8 [001] 75.9: page-faults:\n"),
        (b"wl 7 [001] 7.000001: %s6\n" % USER, b"wl 7 [001] 7.000001: %s\n" % USER),
        (b" L 1000,8\n", b" X 1000,8\n"),
        (b" L 1000,8\n", b" L 1000,0\n"),
        (b" L 1000,8\n", b" L 1000\n"),
    ],
)
def test_malformed_line_is_named_or_counted(tmp_path, good, bad):
    path = tmp_path / "t"
    content = good + good + bad + good
    with pytest.raises(BadInput, match=rf"{re.escape(str(path))}:3: expected .*, got"):
        read(path, content)
    trace, fields = read(path, content, skip_bad_lines=True)
    assert (trace.lines, trace.bad_lines, trace.accesses) == (4, 1, 3)
    assert len(fields[0]) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"hello\nworld\n", "no known format"),
        (bytes(range(256)) * 100, "no known format"),
        (b"PERFILE2" + bytes(200), "perf.data must be whole, got a header of 0"),
        (gzip.compress(FAULT * 9, mtime=0)[:-20], "readable"),
        (b"\x1f\x8b" + bytes(range(200)), "readable"),
    ],
)
def test_files_that_are_no_trace(tmp_path, content, says):
    with pytest.raises(BadInput, match=says) as caught:
        read(tmp_path / "t", content)
    assert "\n" not in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadInput, match="readable file"):
            open_trace(path)


def test_memory_does_not_grow_with_the_trace(tmp_path):
    path, peaks = tmp_path / "t", []
    for chunks in (2, 6):
        path.write_bytes(b" S 1fff,2\n" * CHUNK * chunks)
        trace = open_trace(path)
        tracemalloc.start()
        assert sum(chunk.vpn.size for chunk in trace) == 2 * CHUNK * chunks
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_chunk_of_nothing_but_fetches(tmp_path):
    trace, fields = read(tmp_path / "t", b"I  1000,3\n" * CHUNK + b" L 2000,1\n")
    assert trace.accesses == 1 and fields[4] == [2]


def test_trace_can_be_read_again():
    trace = open_trace(DATA / "lackey.txt.gz")
    counts = [(len(list(trace)), trace.lines, trace.accesses) for _ in range(2)]
    assert counts[0] == counts[1]


numbers = st.integers(1, 2**22)


@given(
    st.lists(
        st.tuples(
            numbers,
            numbers,
            st.integers(0, 999),
            st.integers(0, 10**15),
            st.integers(0, 2**47 - 1),
        ),
        min_size=1,
    )
)
def test_generated_lines_come_back(tmp_path_factory, rows):
    text = "".join(
        f"a b {p}/{t} [{c:03}] {ns // 10**9}.{ns % 10**9:09}: page-faults: {a:16x}\n"
        for p, t, c, ns, a in rows
    )
    path = tmp_path_factory.mktemp("generated") / "t"
    _, fields = read(path, text.encode())
    got = list(zip(*fields[:5], strict=True))
    assert got == [(p, t, c, ns, a >> 12) for p, t, c, ns, a in rows]


class _Pages:
    """A format of one's own: a magic word, then pages as 8-byte numbers."""

    NAME = "pages"

    @staticmethod
    def is_mine(window):
        return window.data[:5].tobytes() == b"PAGES"

    @staticmethod
    def chunks(window, trace):
        vpn = window.data[5 : window.size].view("<i8").copy()
        trace.lines += vpn.size
        zero = np.zeros_like(vpn)
        yield TraceChunk(zero, zero, zero - 1, zero - 1, vpn, np.full(vpn.size, True))


def test_a_format_is_two_functions_and_an_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_module, "FORMATS", (*trace_module.FORMATS, _Pages))
    pages = np.array([7, 9], "<i8")
    trace, fields = read(tmp_path / "t", b"PAGES" + pages.tobytes())
    assert trace.format == "pages" and fields[4] == [7, 9]
    assert (trace.lines, trace.accesses) == (2, 2)
