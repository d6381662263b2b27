"""perf.data files: recorded ones against perf script's text, made ones by field."""

import bz2
import gzip
import lzma
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lazynuma.engine.errors import BadInput
from lazynuma.engine.traces import perf_order, trace_chunk
from lazynuma.engine.traces.trace import open_trace
from lazynuma.engine.traces.window import WINDOW

DATA = Path(__file__).parents[1] / "data"
RECORDED = ("two-cpus", "two-cpus-exceptions")
#: Written to a pipe; with -z, stacks and two events; with call chains before the data.
SHAPES = ("pipe-exceptions", "compressed-stacks", "exceptions-call-chains")
IDENTIFIER, IP, TID, TIME, ADDR, ID = 1 << 16, 1, 2, 4, 8, 1 << 6
STREAM_ID, CPU, PERIOD, DATA_SRC = 1 << 9, 1 << 7, 1 << 8, 1 << 15
WEIGHT, CALLCHAIN, RAW = 1 << 14, 1 << 5, 1 << 10
USUAL = IP | TID | TIME | ADDR | CPU | DATA_SRC
#: Where perf_event_open(2) has each field of 8 bytes.
ORDER = (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD, WEIGHT, DATA_SRC)
ROUND = struct.pack("<IHH", 68, 0, 8)
FAULTS = (1, 2)


def sample(sample_type, identifier=0, pid=7, tid=8, time=5, addr=0x5000, cpu=1, src=0):
    """Return the record of a sample."""
    values = {
        TID: pid & 0xFFFFFFFF | tid << 32,
        TIME: time,
        ADDR: addr,
        CPU: cpu | 0xAAAA << 32,
        DATA_SRC: src,
        ID: identifier,
        IDENTIFIER: identifier,
    }
    body = [values.get(bit, 0xDEAD) for bit in ORDER if sample_type & bit]
    size = 8 + 8 * len(body)
    return struct.pack(f"<IHH{len(body)}Q", 9, 0, size, *body)


def recording(records, events=((*FAULTS, USUAL, ()),), size=None) -> bytes:
    """Return a file of events (type, config, sample_type, ids) and records."""
    ids, attrs, at = b"", b"", 104
    for kind, config, sample_type, numbers in events:
        attr = struct.pack("<IIQQQQQ", kind, 128, config, 1, sample_type, 0, 1 << 18)
        attrs += attr.ljust(128, b"\0")
        attrs += struct.pack("<QQ", at + len(ids), 8 * len(numbers))
        ids += struct.pack(f"<{len(numbers)}Q", *numbers)
    start = at + len(ids) + len(attrs)
    size = len(records) if size is None else size
    head = (b"PERFILE2", 104, 144, at + len(ids), len(attrs), start, size, 0, 0)
    return struct.pack("<8sQQQQQQQQ", *head) + bytes(32) + ids + attrs + records


def read(path, content=None, **options):
    """Return the trace and the fields of all its accesses."""
    if content is not None:
        path.write_bytes(content)
    one = open_trace(path, **options)
    chunks = list(one)
    assert all(chunk.vpn.size == trace_chunk.CHUNK for chunk in chunks[:-1])
    if not chunks:
        return one, [[]] * 6
    return one, [np.concatenate(parts).tolist() for parts in zip(*chunks, strict=True)]


# --- recorded files -------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_reads_as_its_text(tmp_path, name):
    """Two threads on two CPUs, whose buffers are not in order, in several rounds."""
    packed = DATA / f"{name}.perf.data.gz"
    data = gzip.open(packed).read()
    assert data.count(ROUND) >= 8
    binary, got = read(tmp_path / "perf.data", data)
    text, want = read(DATA / f"{name}.txt.gz")
    assert binary.format == "perf.data" and text.format != "perf.data"
    assert got == want and len(set(want[2])) == 2
    assert len(set(want[5])) == (2 if "exceptions" in name else 1)
    assert (binary.lines, binary.accesses) == (text.lines, text.accesses)
    assert binary.skipped == text.skipped == 0


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_recording_reads_as_its_text(tmp_path, name):
    data = gzip.open(DATA / f"{name}.perf.data.gz").read()
    binary, got = read(tmp_path / "perf.data", data)
    _, want = read(DATA / f"{name}.txt.gz")
    assert got == want and binary.format == "perf.data"
    assert len(set(want[5])) == 2 and set(want[2]) <= {0, 1}


PACKERS = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.compress,
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("name", [*RECORDED, "exceptions.txt"])
def test_packed_files_are_read_too(tmp_path, name, pack):
    """Those of tracepoints twice: their names come after the samples."""
    end = "gz" if name.endswith("txt") else "perf.data.gz"
    plain = gzip.open(DATA / f"{name}.{end}").read()
    want = read(tmp_path / "plain", plain)[1]
    assert read(tmp_path / "packed", pack(plain))[1] == want
    half = len(plain) // 2
    assert read(tmp_path / "parts", pack(plain[:half]) + pack(plain[half:]))[1] == want
    with pytest.raises(BadInput, match="readable file|whole records"):
        read(tmp_path / "cut", pack(plain)[:-9])


@pytest.mark.parametrize("size", [0, 1, 4, 5, 300, 3000])
def test_a_cut_zstandard_file_is_no_shorter_one(tmp_path, size):
    plain = gzip.open(DATA / "exceptions.txt.gz").read()
    packed = zstandard.compress(plain)
    (tmp_path / "t").write_bytes(packed[: len(packed) - 1 - size])
    with pytest.raises(BadInput, match="Zstandard file ended before"):
        list(open_trace(tmp_path / "t"))


def test_access_says_what_page_faults_are():
    path = DATA / "two-cpus.perf.data.gz"
    assert not any(read(path, access="r")[1][5])
    assert all(read(path)[1][5])


def test_tracepoints_of_a_file_that_comes_through_a_pipe_have_no_names(tmp_path):
    """They come after the samples."""
    data = gzip.open(DATA / "two-cpus-exceptions.perf.data.gz").read()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    with pytest.raises(BadInput, match="a tracepoint whose name comes last: use a"):
        open_trace(tmp_path / "pipe")
    writer.join()


@pytest.mark.parametrize("size", [1, 3, 64])
def test_chunks_do_not_change_what_is_read(tmp_path, monkeypatch, size):
    monkeypatch.setattr(trace_chunk, "CHUNK", size)
    _, got = read(DATA / "two-cpus.perf.data.gz")
    assert got == read(DATA / "two-cpus.txt.gz")[1]


# --- the fields of a sample -----------------------------------------------------------


@given(
    extra=st.lists(
        st.sampled_from(
            [IDENTIFIER, IP, TIME, CPU, ID, STREAM_ID, PERIOD, DATA_SRC, WEIGHT]
        ),
        unique=True,
    ),
    pid=st.integers(0, 2**31 - 1),
    tid=st.integers(0, 2**31 - 1),
    time=st.integers(0, 2**62),
    addr=st.integers(0, 2**47 - 1),
    cpu=st.integers(0, 2**20),
)
def test_fields_are_found_in_every_combination(
    tmp_path_factory, extra, pid, tid, time, addr, cpu
):
    kind = TID | ADDR | sum(extra)
    record = sample(kind, 0, pid, tid, time, addr, cpu)
    path = tmp_path_factory.getbasetemp() / "perf.data"
    _, fields = read(path, recording(record, ((*FAULTS, kind, ()),)))
    want = (pid, tid, cpu if CPU in extra else -1, time if TIME in extra else -1)
    assert tuple(one[0] for one in fields) == (*want, addr >> 12, True)


def variable(read_format, counters, draw):
    """Return the bytes of the fields of any size that come before data_src."""
    number = st.integers(0, 5)
    per = sum(read_format >> bit & 1 for bit in (2, 4))
    times = (read_format & 1) + (read_format >> 1 & 1)
    count = draw(number) if read_format & 8 else 0
    words = [count] if read_format & 8 else [9]
    words += [9] * (times + (count * (1 + per) if read_format & 8 else per))
    chain = draw(number)
    words += [chain] + [9] * chain
    text = struct.pack(f"<{len(words)}Q", *words)
    raw = 4 + 8 * draw(number)
    text += struct.pack("<I", raw) + bytes(raw)
    branches = draw(number)
    text += struct.pack("<QQ", branches, 9) + bytes(branches * (24 + 8 * counters))
    abi = draw(st.integers(0, 2))
    text += struct.pack("<Q", abi) + bytes(24 if abi else 0)
    stack = 8 * draw(number)
    text += struct.pack("<Q", stack) + bytes(stack + 8 if stack else 0)
    return text + struct.pack("<Q", 9)  # the weight


@given(data=st.data(), read_format=st.integers(0, 31), counters=st.booleans())
def test_data_src_is_found_behind_fields_of_any_size(
    tmp_path_factory, data, read_format, counters
):
    """Loads and stores with call chains, branches, registers and stacks."""
    kind = TID | TIME | ADDR | 1 << 4 | CALLCHAIN | RAW | 1 << 11 | 1 << 12 | 1 << 13
    kind |= WEIGHT | DATA_SRC
    records = b""
    for time, source in enumerate((2, 4, 1)):
        body = struct.pack("<IIQQ", 7, 8, time, 0x5000)
        body += variable(read_format, counters, data.draw) + struct.pack("<Q", source)
        records += struct.pack("<IHH", 9, 0, 8 + len(body)) + body
    attr = struct.pack("<IIQQQQQ", 4, 128, 0x1CD, 1, kind, read_format, 1 << 18)
    attr += bytes(72 - len(attr)) + struct.pack("<QQ", 1 << 17 | counters << 19, 7)
    attr = attr.ljust(128, b"\0") + struct.pack("<QQ", 0, 0)
    head = (b"PERFILE2", 104, 144, 104, 144, 248, len(records), 0, 0)
    content = struct.pack("<8sQQQQQQQQ", *head) + bytes(32) + attr + records
    one, fields = read(tmp_path_factory.getbasetemp() / "perf.data", content)
    assert fields[5] == [False, True] and fields[3] == [0, 1]
    assert (one.lines, one.skipped) == (3, 1)


def test_a_call_chain_that_is_longer_than_its_sample_is_malformed(tmp_path):
    kind = TID | ADDR | CALLCHAIN | DATA_SRC
    for count in (3, 2**40, 2**64 - 1):
        body = struct.pack("<IIQQQ", 7, 8, 0x5000, count, 9)
        record = struct.pack("<IHH", 9, 0, 8 + len(body)) + body
        with pytest.raises(BadInput, match="must have whole records, got a short one"):
            read(tmp_path / "t", recording(record, ((4, 1, kind, ()),)))


@pytest.mark.parametrize("address", [0, 1 << 47, 0xFFFF_8A00_0000, (1 << 63) - 1])
def test_user_space_ends_where_the_sign_bit_is_set(tmp_path, address):
    """On arm64 and with five levels user addresses are above 2^47."""
    records = sample(USUAL, addr=address) + sample(USUAL, addr=1 << 63)
    one, fields = read(tmp_path / "t", recording(records))
    assert fields[4] == [address >> 12] and one.skipped == 1


def pipe(records, features=(), events=((*FAULTS, USUAL, ()),)) -> bytes:
    """Return what perf writes to a pipe: attributes and features are records."""
    out = b"PERFILE2" + struct.pack("<Q", 16)
    for kind, config, sample_type, numbers in events:
        attr = struct.pack("<IIQQQQQ", kind, 112, config, 1, sample_type, 0, 0)
        body = attr.ljust(112, b"\0") + struct.pack(f"<{len(numbers)}Q", *numbers)
        out += struct.pack("<IHH", 64, 0, 8 + len(body)) + body
    for number, value in features:
        value = struct.pack("<I", len(value)) + value
        out += struct.pack("<IHHQ", 80, 0, 16 + len(value), number) + value
    return out + records


@pytest.mark.parametrize(
    ("arch", "pages"), [(b"x86_64", 2), (b"aarch64", 2), (b"i686", 1), (b"armv7l", 1)]
)
def test_the_header_says_where_user_space_ends_on_32_bits(tmp_path, arch, pages):
    records = sample(USUAL) + sample(USUAL, addr=0xC010_0000)
    _, fields = read(tmp_path / "t", pipe(records, [(6, arch + b"\0")]))
    assert len(fields[4]) == pages


@pytest.mark.parametrize(("arch", "write"), [(b"x86_64", False), (b"riscv64", True)])
@pytest.mark.parametrize("named", ["update", "formats"])
def test_exceptions_of_a_pipe(tmp_path, arch, write, named):
    """The names come as records; RISC-V's store fault is cause 15, no bit."""
    kind = TID | RAW
    body = struct.pack("<III", 7, 8, 36) + struct.pack("<QQQQ", 0, 0x5000, 0, 13)
    body += struct.pack("<III", 0, 7, 8) + struct.pack("<I", 36)
    body += struct.pack("<QQQQ", 0, 0x6000, 0, 15) + bytes(4)
    records = struct.pack("<IHH", 9, 0, 56) + body[:48]
    records += struct.pack("<IHH", 9, 0, 56) + body[48:]
    name = b"exceptions:page_fault_user\0".ljust(32, b"\0")
    update = struct.pack("<IHHQQ", 78, 0, 24 + len(name), 2, 5) + name
    text = b"name: page_fault_user\nID: 190\nformat:\n"
    formats = struct.pack("<IHHI", 66, 0, 12, len(text)) + text.ljust(40, b"\0")
    extra = update if named == "update" else formats
    content = pipe(extra + records, [(6, arch)], ((2, 190, kind, (5,)),))
    _, fields = read(tmp_path / "t", content)
    assert fields[4] == [5, 6] and fields[5] == [False, True]


@pytest.mark.parametrize("step", [7, 64, 1000, 60_000])
@pytest.mark.parametrize("two", [False, True])
def test_records_may_be_cut_by_compressed_ones(tmp_path, step, two):
    """One Zstandard stream goes on from record to record, its pieces as they come."""
    records = b"".join(sample(USUAL, time=at, tid=at) for at in range(3000))
    stream = zstandard.ZstdCompressor().compressobj()
    out = b""
    for at in range(0, len(records), step):
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        packed = stream.compress(records[at : at + step]) + stream.flush(flush)
        if two:
            body = struct.pack("<Q", len(packed)) + packed
            body += bytes(-len(body) % 8)
        else:
            body = packed
        out += struct.pack("<IHH", 83 if two else 81, 0, 8 + len(body)) + body
        out += ROUND
    one, fields = read(tmp_path / "t", recording(out))
    assert fields[1] == list(range(3000)) and one.lines == 3000


def test_data_src_says_what_accesses_are(tmp_path):
    """Loads and stores of perf mem; what is neither is left out."""
    records = b"".join(sample(USUAL, src=src) for src in (2, 4, 1, 8, 0))
    one, fields = read(tmp_path / "t", recording(records, ((4, 0x1CD, USUAL, ()),)))
    assert fields[5] == [False, True]
    assert (one.lines, one.accesses, one.skipped) == (5, 2, 3)


def test_events_are_told_apart_by_their_identifiers(tmp_path):
    kind = USUAL | IDENTIFIER
    big = 2**64 - 3
    events = ((*FAULTS, kind, (5, 3, big)), (0, 0, kind, (9, 2)))
    records = b"".join(
        sample(kind, identifier, addr=identifier << 12 & 0xFFFFF000)
        for identifier in (3, 9, 5, big, 2, 77)
    )
    one, fields = read(tmp_path / "t", recording(records, events))
    assert fields[4] == [3, 5, 0xFFFFD]
    assert (one.lines, one.skipped) == (6, 3)


def test_kernel_addresses_and_other_records_are_skipped(tmp_path):
    records = [
        sample(USUAL, addr=0xFFFF888104F69000),
        struct.pack("<IHH", 3, 0, 48) + bytes(40),
        sample(USUAL, pid=-1),
        sample(USUAL),
    ]
    one, fields = read(tmp_path / "t", recording(b"".join(records)))
    assert (one.lines, one.accesses, one.skipped) == (3, 1, 2)


@pytest.mark.parametrize(
    ("time", "want"),
    [(0, 0), (5, 5), (2**63 - 1, 2**63 - 1), (2**63, -1), (2**64 - 1, -1)],
)
def test_the_time_of_an_access(tmp_path, time, want):
    assert read(tmp_path / "t", recording(sample(USUAL, time=time)))[1][3] == [want]


# --- order ----------------------------------------------------------------------------

rounds = st.lists(
    st.lists(st.lists(st.integers(1, 20), max_size=9), max_size=3), max_size=9
)


@settings(deadline=None)
@given(rounds=rounds, chunk=st.integers(1, 9), marked=st.booleans())
def test_samples_come_in_the_order_of_time(tmp_path_factory, rounds, chunk, marked):
    """Of each round the buffers of the CPUs one after the other, each in order.

    Equal times stay in the order of the file.
    """
    records, times, now, previous = b"", [], 0, 0
    for one in rounds:
        latest = now
        for cpu, steps in enumerate(one):
            at = previous  # a buffer may be late by a round
            for step in steps:
                at += step
                records += sample(USUAL, time=at, cpu=cpu, tid=len(times))
                times.append(at)
                latest = max(latest, at)
        previous, now = now, latest
        records += ROUND if marked else b""
    assume(times)
    path = tmp_path_factory.getbasetemp() / "perf.data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_chunk, "CHUNK", chunk)
        _, fields = read(path, recording(records))
    order = np.argsort(times, kind="stable").tolist()
    assert fields[1] == order and fields[3] == sorted(times)


def test_without_times_the_order_is_that_of_the_file(tmp_path):
    kind = TID | ADDR
    records = b"".join(sample(kind, tid=tid) for tid in (5, 3, 9))
    _, fields = read(tmp_path / "t", recording(records, ((*FAULTS, kind, ()),)))
    assert fields[1] == [5, 3, 9] and set(fields[3]) == {-1}


def test_memory_holds_two_rounds(tmp_path, monkeypatch):
    """Not the file: what is held back does not grow."""
    monkeypatch.setattr(trace_chunk, "CHUNK", 64)
    sizes = []
    make_room = perf_order.Samples._make_room

    def watch(samples):
        make_room(samples)
        sizes.append(len(samples._writes))

    monkeypatch.setattr(perf_order.Samples, "_make_room", watch)
    records = b"".join(
        sample(USUAL, time=at) + ROUND * (at % 100 == 99) for at in range(20_000)
    )
    read(tmp_path / "t", recording(records))
    assert len(sizes) > 20 and max(sizes) <= 2 * (2 * 100 + 64) + 64


def test_a_file_larger_than_the_window(tmp_path):
    many = 3 * WINDOW // 56
    records = b"".join(sample(USUAL, time=at, tid=at) for at in range(many))
    one, fields = read(tmp_path / "t", recording(records))
    assert fields[1] == list(range(many)) and one.accesses == many


# --- refusals -------------------------------------------------------------------------


def event(*values):
    return recording(b"", (values,))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (event(*FAULTS, USUAL & ~ADDR, ()), "got page-faults without addresses"),
        (event(*FAULTS, USUAL & ~TID, ()), "without process numbers"),
        (event(0, 0, USUAL, ()), "-e page-faults -c 1 -d.*cycles, which is no page"),
        (event(0, 77, USUAL, ()), "type 0, config 0x4d, which is no page fault"),
        (event(1, 3, USUAL, ()), "context-switches, which is no page fault"),
        (
            event(4, 0x1CD, USUAL & ~DATA_SRC, ()),
            "config 0x1cd without what says loads",
        ),
        (event(2, 190, USUAL | RAW, ()), "a tracepoint that the file does not name"),
        (recording(b"", ((*FAULTS, USUAL, ()),) * 2), "identifiers in one place"),
        (recording(b"", ((*FAULTS, USUAL | ID, ()),) * 2), "must have identifiers"),
        (recording(b"", ()), "whole, got 0 bytes of attributes"),
        (b"PERFILE2" + struct.pack("<Q", 16) + bytes(64), "a short record at byte 16"),
        (b"PERFILE2" + struct.pack("<Q", 16), "0 bytes of attributes"),
        (b"2ELIFREP" + bytes(96), "little-endian"),
        (b"PERFILE2", "whole, got a header of 0 bytes"),
        (b"PERFILE2" + struct.pack("<Q", 104) + bytes(96), "samples at byte 0"),
        (recording(b"")[:200], "whole"),
    ],
)
def test_files_that_are_refused(tmp_path, content, says):
    with pytest.raises(BadInput, match=says) as caught:
        read(tmp_path / "t", content)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (struct.pack("<IHHQ", 81, 0, 16, 7), "of one Zstandard stream"),
        (struct.pack("<IHHQQ", 83, 0, 24, 8, 7), "of one Zstandard stream"),
        (struct.pack("<IHH", 71, 0, 8), "no hardware trace"),
        (struct.pack("<IHH", 9, 0, 4), "a short one at byte 304"),
        (struct.pack("<IHHQ", 9, 0, 16, 0), "a short one"),
    ],
)
def test_records_that_are_refused(tmp_path, record, says):
    with pytest.raises(BadInput, match=says):
        read(tmp_path / "t", recording(sample(USUAL) + record))


def test_a_cut_file_is_refused_or_counted(tmp_path):
    records = sample(USUAL) * 3
    whole = recording(records)
    for content in (whole[:-10], whole[:-56], recording(records[:-10], size=0)):
        with pytest.raises(BadInput, match="expected whole records up to byte"):
            read(tmp_path / "t", content)
        one, fields = read(tmp_path / "t", content, skip_bad_lines=True)
        assert (one.accesses, one.bad_lines) == (2, 1)


def test_a_killed_recorder_left_no_size(tmp_path):
    """All that follows the head is samples then."""
    one, _ = read(tmp_path / "t", recording(sample(USUAL) * 3, size=0))
    assert one.accesses == 3


# --- pipes ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two-cpus.perf.data.gz", "two-cpus.txt.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_once(tmp_path, name, packed):
    content = (DATA / name).read_bytes()
    content = content if packed else gzip.decompress(content)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    one, fields = read(tmp_path / "pipe")
    writer.join()
    assert fields == read(DATA / "two-cpus.txt.gz")[1]
    with pytest.raises(BadInput, match="a file to be read twice, got a pipe"):
        list(one)


# --- damage ---------------------------------------------------------------------------


@settings(deadline=None)
@example(name="two-cpus-exceptions", flips=[(311, 128)], head=False, end=None)
@given(
    name=st.sampled_from((*RECORDED, *SHAPES)),
    flips=st.lists(st.tuples(st.integers(0, 2**15), st.integers(0, 255)), max_size=9),
    head=st.booleans(),
    end=st.none() | st.integers(0, 2**15),
)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, name, flips, head, end):
    """Nothing but BadInput comes of it."""
    data = bytearray(gzip.open(DATA / f"{name}.perf.data.gz").read()[:end])
    for at, value in flips:
        if data:
            data[at % min(len(data), 424 if head else len(data))] = value
    path = tmp_path_factory.getbasetemp() / "perf.data"
    path.write_bytes(data)
    try:
        list(open_trace(path, skip_bad_lines=True))
    except BadInput as error:
        assert "\n" not in str(error)
