"""The parser of trace lines agrees with regular expressions, however text is cut."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazynuma.engine.traces import trace_text as tt
from reference import trace_text as reference

READERS = (tt.PERF_SCRIPT, tt.LACKEY)


def slow(text: bytes, number: int, write: bool, bare: bool):
    """Return (accesses, lines, lines skipped, other events, bad lines and why)."""
    read = reference.Perf(write, bare) if number == tt.PERF_SCRIPT else reference.lackey
    accesses, skipped, others, bad, at = [], 0, 0, [], 0
    lines = reference.lines(text)
    for line, after in zip(lines, [*lines[1:], b""], strict=True):
        found = read(line, after)
        if isinstance(found, list):
            accesses += found
        elif found in ("skipped", "other event"):
            skipped += 1
            others += found == "other event"
        else:
            bad.append((at, reference.WORDS.index(found) + tt.SKIPPED_LINE))
        at += len(line)
    return accesses, len(lines), skipped, others, bad


def fast(text: bytes, number: int, write: bool, bare: bool, step: int, limit: int):
    """Return what ``slow`` does; the text comes ``step`` bytes at a time."""
    data = np.frombuffer(text, np.uint8)
    info = np.zeros(tt.INFO, np.int64)
    info[[tt.FORMAT, tt.WRITE, tt.LIMIT]] = number, write, limit
    info[[tt.BARE_COLUMNS, tt.OTHER_AT]] = bare, -1
    accesses, bad, size = [], [], 0
    while True:
        table = np.full((5, limit + tt.SPAN - 1), -9, np.int64)
        writes = np.zeros(table.shape[1], np.uint8)
        info[tt.SIZE], info[tt.LAST] = size, size == len(text)
        info[tt.BAD], info[tt.RECORDS] = -1, 0
        tt.parse(data, table, writes, info)
        count = info[tt.RECORDS]
        rows = [*table[:, :count].tolist(), (writes[:count] != 0).tolist()]
        accesses += zip(*rows, strict=True)
        if info[tt.BAD] >= 0:
            bad.append((int(info[tt.BAD]), int(info[tt.WHY])))
        elif count < limit and size == len(text):
            break
        elif count < limit:
            size = min(size + step, len(text))
    assert info[tt.POSITION] == len(text)
    counts = (int(info[item]) for item in (tt.LINES, tt.SKIPPED, tt.OTHERS))
    return accesses, *counts, bad


WORDS = """
0 7 12 7/8 7/ /8 2147483647/1 2147483648 99999999999999999999/4 [001] [] [9999999999]
[1 75.907651: 75.9076518: 75.907651870: 75.90765: 1.1234567890: 123456789.000000:
1234567890.000000: 5: page-faults: page-faults:u: page-faults page-faults::
page-faults:uk:x: 7f3ec0fb5000 7fffffffffff 800000000000 ffff888104f69000
12345678901234567 7F 556ce70830d0 main+0x1 (wl) wl my-prog [unknown] (//anon)
exceptions:page_fault_user: exceptions:page_fault_kernel: exceptions:page_fault_x:
address=0x7f3769713e06 address=0x address=7f ip=0x7f error_code=0x6 error_code=0x4
error_code=0x123456789 error_code=0xg error_code= L S M I  L 1000,8 L 1ffd,8 1000,0
1000,65536 1000,65537 1000,1234567890 ffffffffffffffff,8 7ffffffffff8,8 7ffffffffff8,9
== # , -1 -1/-1 page-faults:u:x faults: minor-faults: major-faults:ppp: faults
software/page-faults/u: cycles: cycles:u: cpu/mem-loads,ldlat=30/P: cpu/mem-stores/P:
cpu/mem-loads-aux/: raw 7f3ec0fb5000 401136 add dead fade1 250000 |OP LOAD|LVL L1
|OP STORE |OP PERF_RECORD_MMAP2 PERF_RECORD_COMM: address=init_task cause=0xf cause=0xd
cause=0x1f user page fault,
""".split()
tokens = st.sampled_from([word.encode() for word in WORDS]) | st.binary(max_size=3)
gaps = st.sampled_from(
    [
        b" ",
        b" ",
        b" ",
        b"",
        b"  ",
        b"      ",
        b"\n\t",
        b"\n  ",
        b"\t",
        b"\n",
        b"\r\n",
        b"\x0b",
    ]
)
soup = st.lists(st.tuples(gaps, tokens)).map(lambda x: b"".join(map(b"".join, x)))

GOOD = [
    b"  wl 7/8 [001]  75.907651870: page-faults: 7f3ec0fb5000  556ce70830d0\n",
    b"my prog 2 7/8 75.000001: page-faults:u: 7f3ec0fb5000 [unknown] (//anon)\n",
    b"105   758.907651870:     7f3ec0fb5000\n",
    b"7/8 [001] 7f3ec0fb5000\n",
    b"1 2 3 4 5\n",
    b"wl 7 [001] 7.000001: exceptions:page_fault_user: address=0x7f ip=0x7f"
    b" error_code=0x6\n",
    b"wl 7/8 7.000001: exceptions:page_fault_kernel: address=0xffff8881 error_code=0x2"
    b" error_code=0x4 \n",
    b" S 1fff000758,8\n",
    b"I  0401ab70,3\n",
    b" L 1ffd,8\n",
    b"==7== Lackey\n",
    b"# comment\n",
    b"   \n",
    b"Worker 3 4711 [001] 100.000001: 1 page-faults: 7f10a0001040\n",
    b"job 4711 100.000001:      1 page-faults:      401136 fill+0x10 (job)\n",
    b"job 4711/4711  100.000001: page-faults:     7f10a0001040 add\n",
    b"job 4711/4711  100.000001: cycles: \n",
    b"\t          46c57c clear+0x11c (/usr/bin/job)\n",
    b"  401136 add\n",
    b"  file.c:12\n",
    b"\n",
    b"job 4711          1 faults: 7f10a0001040\n",
    b"bench 77/78 [003] 5.000001: 9 cpu/mem-loads/P: 7f10a0001040 68 |OP STORE|LVL\n",
    b"job -1/-1 [001] 100.000001: page-faults: 7f10a0001040\n",
    b"job 7 [001] 1.000001: PERF_RECORD_MMAP2 7/7: [0x7f(0x1000) @ 0]: rw-p //anon\n",
    b"job 7 1.000001: exceptions:page_fault_user: user page fault, address=0x3f8"
    b" epc=0x1 cause=0xf\n",
]


@st.composite
def nearly_good(draw):
    """Return lines that are right but for a byte or so."""
    text = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), max_size=6))))
    for _ in range(draw(st.integers(0, 3))):
        if not text:
            break
        at = draw(st.integers(0, len(text) - 1))
        what = draw(st.binary(max_size=2) | st.sampled_from([b" ", b"0", b"\n", b"f"]))
        text[at : at + draw(st.integers(0, 2))] = what
    return bytes(text)


@pytest.mark.parametrize("number", READERS)
@settings(max_examples=500, deadline=None)
@given(
    text=soup | nearly_good(),
    write=st.booleans(),
    bare=st.booleans(),
    step=st.integers(1, 90),
    limit=st.integers(1, 5),
)
@example(b"a" * 70_000 + b" 7/8 [1] 7f3ec0fb5000\n", True, False, 7001, 2)
@example(b"7 " + b"1" * 70_000 + b"\n", True, True, 9999, 2)
@example(b" S 1fff,65536", True, False, 3, 1)
@example(b"job 7 1.000001: faults: 401136 fill\n\t" + b"4" * 70_000, 1, 0, 9999, 2)
def test_lines_are_read_as_the_reference_does(number, text, write, bare, step, limit):
    if text:
        want = slow(text, number, write, bare)
        assert fast(text, number, write, bare, step, limit) == want
