"""The parser of trace lines agrees with regular expressions, however text is cut."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazynuma.engine.traces import trace_text as tt
from reference import trace_text as reference

READERS = {
    tt.PAGE_FAULTS: (reference.perf, reference.FAULT),
    tt.EXCEPTIONS: (reference.perf, reference.EXCEPTION),
    tt.LACKEY: (reference.lackey, None),
}


def slow(text: bytes, number: int, write: bool):
    """Return (accesses, lines, lines skipped, where bad lines begin)."""
    read, pattern = READERS[number]
    accesses, skipped, bad, at = [], 0, [], 0
    lines = reference.lines(text)
    for line in lines:
        found = read(line, pattern, write)
        if found is None:
            skipped += 1
        elif found is False:
            bad.append(at)
        else:
            accesses += found
        at += len(line)
    return accesses, len(lines), skipped, bad


def fast(text: bytes, number: int, write: bool, step: int, limit: int):
    """Return what ``slow`` does; the text comes ``step`` bytes at a time."""
    data = np.frombuffer(text, np.uint8)
    info = np.zeros(tt.INFO, np.int64)
    info[[tt.FORMAT, tt.WRITE, tt.LIMIT]] = number, write, limit
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
            bad.append(int(info[tt.BAD]))
        elif count < limit and size == len(text):
            break
        elif count < limit:
            size = min(size + step, len(text))
    assert info[tt.POSITION] == len(text)
    return accesses, int(info[tt.LINES]), int(info[tt.SKIPPED]), bad


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
== # ,
""".split()
tokens = st.sampled_from([word.encode() for word in WORDS]) | st.binary(max_size=3)
gaps = st.sampled_from([b" ", b" ", b" ", b"", b"  ", b"\t", b"\n", b"\r\n", b"\x0b"])
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
]


@st.composite
def nearly_good(draw):
    """Return lines that are right but for a byte or so."""
    text = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), max_size=6))))
    for _ in range(draw(st.integers(0, 3)) if text else 0):
        at = draw(st.integers(0, len(text) - 1))
        what = draw(st.binary(max_size=2) | st.sampled_from([b" ", b"0", b"\n", b"f"]))
        text[at : at + draw(st.integers(0, 2))] = what
    return bytes(text)


@pytest.mark.parametrize("number", READERS)
@settings(max_examples=400, deadline=None)
@given(
    text=soup | nearly_good(),
    write=st.booleans(),
    step=st.integers(1, 90),
    limit=st.integers(1, 5),
)
@example(text=b"a" * 70_000 + b" 7/8 7f3ec0fb5000\n", write=True, step=7001, limit=2)
@example(text=b"7 " + b"1" * 70_000 + b"\n", write=True, step=9999, limit=2)
@example(text=b" S 1fff,65536", write=True, step=3, limit=1)
def test_lines_are_read_as_the_reference_does(number, text, write, step, limit):
    if text:
        want = slow(text, number, write)
        assert fast(text, number, write, step, limit) == want
