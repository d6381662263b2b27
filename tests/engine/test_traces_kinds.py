"""Text as people have it: each kind is read with its own values, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.engine.errors import BadInput
from lazynuma.engine.traces.trace import open_trace

US = 1000
#: What is said of a line without the address of data.
HOW = "perf record -e page-faults -c 1 -d .*perf script -F comm,pid,tid,cpu,time,event"


def read(folder, text, **options):
    """Return the trace and its accesses, (process, thread, cpu, time, vpn, write)."""
    path = folder / "t"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    trace = open_trace(path, **options)
    rows = [row for chunk in trace for row in zip(*map(list, chunk), strict=True)]
    return trace, [(*map(int, row[:5]), bool(row[5])) for row in rows]


def refused(folder, text, says, **options):
    with pytest.raises(BadInput, match=says) as caught:
        read(folder, text, **options)
    assert "\n" not in str(caught.value)


# --- the period, the address, the instruction -----------------------------------------


@pytest.mark.parametrize("period", ["", "1", "250000", "         1", "4294967296"])
@pytest.mark.parametrize("after", ["", " 556ce70830d0", "  556ce70830d0 f+0x1 (job)"])
def test_the_period_is_no_address(tmp_path, period, after):
    line = f"job 4711 100.000001: {period} page-faults:u:  7f10a0001040{after}\n"
    _, rows = read(tmp_path, line)
    assert rows == [(4711, 4711, -1, 100 * 10**9 + US, 0x7F10A0001, True)]


@pytest.mark.parametrize(
    "line",
    [
        "job 4711 100.000001:          1 page-faults:      401136 fill+0x10 (job)\n",
        "job 4711 [001] 100.000001: page-faults:   401136 add (job)\n",
        "job 4711 100.000001: 401136 fill+0x10 (job)\n",
        "job 4711 100.000001:          1 page-faults: \n\t401136 fill (job)\n\n",
        "job 4711 100.000001: faults: ffffffff817554ea elf_load+0x28a ([kernel])\n",
        "job 77/78 [3] 5.000001: 9 cpu/mem-loads/P: 401136 fill+0x10 (job)\n",
    ],
)
def test_an_instruction_is_no_data(tmp_path, line):
    refused(tmp_path, line * 2, rf"t:1: expected the address of the data.*{HOW}")
    refused(tmp_path, line * 2, HOW, skip_bad_lines=True)


def test_a_tracepoint_without_its_data_says_how_to_print_it(tmp_path):
    line = "job 4711 100.000001: exceptions:page_fault_user: \n"
    refused(tmp_path, line, "perf script -F comm,pid,tid,cpu,time,event,trace")


def test_a_period_and_an_address_without_a_name_are_refused(tmp_path):
    """The first may be an address as well, the second an instruction's."""
    refused(tmp_path, "job 4711 100.000001: 1 7f10a0001040\n", "t:1: expected")
    line = "job 4711 100.000001: 7f10a0001040 556ce70830d0\n"
    assert read(tmp_path, line)[1][0][4] == 0x7F10A0001


@pytest.mark.parametrize("chains", ["", "\t46c57c clear+0x11c (job)\n\n"])
@pytest.mark.parametrize("skip", [True, False])
def test_samples_of_other_events_alone_are_refused(tmp_path, chains, skip):
    line = "gzip 19 [001] 1.000001: 250000 cycles:   7f10a0001040 deflate (gzip)\n"
    says = "must have an access to user data .*page-faults.*got samples of cycles"
    refused(tmp_path, (line + chains) * 3000, says, skip_bad_lines=skip)


# --- addresses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", [0x411000, 0xFFFF8A2B0000, 0x000FFF8A2B000000, 0x00FFFFFFFFFFFFFF]
)
def test_user_addresses_have_no_sign_bit(tmp_path, address):
    """48 and 52 bits of arm64, five levels of x86."""
    script = "job 7/7 [000] 1.000001: page-faults: {:x}\n"
    text = script.format(address) + script.format(1 << 63 | address)
    trace, rows = read(tmp_path, text)
    assert [row[4] for row in rows] == [address >> 12] and trace.skipped == 1
    trace, rows = read(tmp_path, f" S {address:x},1\n L {1 << 63 | address:x},8\n")
    assert [row[4] for row in rows] == [address >> 12] and trace.skipped == 1


def test_kernel_addresses_alone_are_no_access(tmp_path):
    line = "job 7/7 [000] 1.000001: page-faults: ffff888104f69000\n"
    refused(tmp_path, line * 3, "must have an access to user data .*got 3 lines")
    refused(tmp_path, "I  0401ab70,3\n", "must have an access to user data")
    refused(tmp_path, "# comment\n\n", "no known format")


# --- who ------------------------------------------------------------------------------

NAMES = [
    "Worker 3", "3", "3 4", "12 34/56", "[kworker/0:1]", "kworker/u4:2-events",
    ":10563", "Web Content", "a: b", "tokio-runtime-w 1", "GC Thread#3", "1.5: x", "-1",
    "page-faults:", "[001]", "PERF", "7 [001]", "add", "9 faults: 1", "5 1.000000: a",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("who", "want"),
    [
        ("4711 [001] 100.000001:", (4711, 4711, 1, 100 * 10**9 + US)),
        ("4711 100.000001:", (4711, 4711, -1, 100 * 10**9 + US)),
        ("47/11 100.000001000:          1", (47, 11, -1, 100 * 10**9 + US)),
        ("   47/11    [001] 100.000001: 1", (47, 11, 1, 100 * 10**9 + US)),
    ],
)
def test_names_of_threads(tmp_path, name, who, want):
    _, rows = read(tmp_path, f"{name} {who} page-faults: 7f10a0001040\n")
    assert rows == [(*want, 0x7F10A0001, True)]


@given(
    name=st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=15),
    pid=st.integers(0, 2**31 - 1),
    time=st.integers(0, 10**18 - 1),
)
def test_any_name_of_a_thread(tmp_path_factory, name, pid, time):
    """Linux's names have at most 15 bytes; one that begins with # is a comment."""
    if name.lstrip().startswith("#"):
        return
    line = (
        f"{name} {pid} [002] {time // 10**9}.{time % 10**9:09}: 1 faults: 7f10a0001040"
    )
    _, rows = read(tmp_path_factory.getbasetemp(), line)
    assert rows == [(pid, pid, 2, time, 0x7F10A0001, True)]


def test_a_number_before_an_event_may_be_a_period_or_a_thread(tmp_path):
    """Without a time only perf's blanks tell, and without these nothing does."""
    assert read(tmp_path, "job 4711          1 faults: 7f10a0001040\n")[1][0][0] == 4711
    refused(tmp_path, "job 3 4711 faults: 7f10a0001040\n", "t:1: expected")


def test_no_process_is_no_access(tmp_path):
    line = "job {} [001] 1.000001: page-faults: 7f10a0001040\n"
    text = "".join(map(line.format, ("-1/-1", "-1", "7/-1", "7/7")))
    trace, rows = read(tmp_path, text)
    assert len(rows) == 1 and (trace.lines, trace.skipped) == (4, 3)


# --- call chains ----------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["\t", "            ", "\t          "])
@pytest.mark.parametrize("period", ["", "1 "])
def test_call_chains(tmp_path, blank, period):
    sample = "job 4711/4711  100.000001: {}page-faults:     {:x} {}\n"
    frames = "".join(
        f"{blank}{frame}\n"
        for frame in (
            "46c57c clear+0x11c (/usr/bin/job)",
            "401136 add",
            "  401136 operator new(unsigned long) (lib 2.so)",
            "ffffffff817554ea [unknown] ([kernel.kallsyms])",
            "file.c:12",
            "dead",
        )
    )
    text = "".join(
        sample.format(period, 0x7F10A0001040 + (i << 12), symbol) + frames + "\n"
        for i, symbol in enumerate(("", "[unknown] (//anon)", "table (/usr/bin/job)"))
    )
    trace, rows = read(tmp_path, text)
    assert [row[4] for row in rows] == [0x7F10A0001, 0x7F10A0002, 0x7F10A0003]
    assert (trace.lines, trace.skipped) == (24, 21)


def test_a_frame_is_not_two_columns(tmp_path):
    text = "job 7 1.000001: faults: 7f10a0001040 \n  401136 add\n\n 7 7f10a0002040\n"
    trace, rows = read(tmp_path, text, bare_columns=True)
    assert [row[4] for row in rows] == [0x7F10A0001, 0x7F10A0002]


def test_what_is_indented_without_a_sample_before_it_is_no_frame(tmp_path):
    line = "job 7 1.000001: faults: 7f10a0001040\n"
    refused(tmp_path, f"{line}\n\t401136 fill (job)\n", "t:3: expected")


# --- events ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    """page-faults faults minor-faults major-faults page-faults:u minor-faults:k
    faults:ppp page-faults:HG major-faults:uk software/page-faults/ software/faults/u
    """.split(),
)
@pytest.mark.parametrize("access", ["r", "w"])
def test_all_names_of_page_faults(tmp_path, event, access):
    line = f"job 47/11 100.000001: {event}: 7f10a0001040\n"
    _, rows = read(tmp_path, line, access=access)
    assert rows == [(47, 11, -1, 100 * 10**9 + US, 0x7F10A0001, access == "w")]


@pytest.mark.parametrize(
    ("event", "write"),
    [
        ("cpu/mem-loads,ldlat=30/P", False),
        ("cpu/mem-stores/P", True),
        ("cpu_core/mem-loads,ldlat=30/", False),
        ("MEM_INST_RETIRED.ALL_STORES_mem-stores", True),
    ],
)
@pytest.mark.parametrize("source", ["", "  68100142 |OP {}|LVL L1 hit|SNP None|  40"])
def test_loads_and_stores(tmp_path, event, write, source):
    """The source of the data, if it is there, says it rather than the name."""
    end = source.format("LOAD" if write else "STORE")
    line = f"bench 77/78 [003] 55.000001: 50 {event}: 7f10a0001040{end}\n"
    _, rows = read(tmp_path, line)
    want = write if not source else not write
    assert rows == [(77, 78, 3, 55 * 10**9 + US, 0x7F10A0001, want)]


@pytest.mark.parametrize(
    "other",
    [
        "cycles",
        "cpu/mem-loads-aux/",
        "sched:sched_switch",
        "alignment-faults",
        "dummy:HG",
    ],
)
def test_samples_of_other_events_are_skipped(tmp_path, other):
    fault = "job 47/11 100.000001: page-faults: 7f10a0001040\n"
    more = f"job 47/11 100.000002:     250000 {other}: 401136 fill+0x10 (job)\n"
    trace, rows = read(tmp_path, more * 5000 + fault + more)
    assert len(rows) == 1 and (trace.lines, trace.skipped) == (5002, 5001)


def test_records_of_mappings_and_tasks_are_skipped(tmp_path):
    text = (
        "swapper 0 0.000000: PERF_RECORD_MMAP -1/0: [0xffffffff81(0x12) @ 0]: x k\n"
        "job 7 1.000001: PERF_RECORD_COMM exec: job:7/7\n"
        "job 7 1.000001: page-faults: 7f10a0001040\n"
    )
    trace, rows = read(tmp_path, text)
    assert len(rows) == 1 and trace.skipped == 2


# --- other texts ----------------------------------------------------------------------

X86 = "address=0x55bc6c555000 ip=0x7ff74f7aa84c error_code=0x{:x}"
RISCV = "user page fault, address=0x55bc6c555000 epc=0x2aaa cause=0x{:x}"
BASH = (930, 930, 3, 6288896762 * US, 0x55BC6C555)


@pytest.mark.parametrize(
    "line",
    [
        "            bash-930   [003] d...  6288.896762: page_fault_user: {}",
        "            bash-930   [003] d..1.  6288.896762: page_fault_user: {}",
        "            bash-930   [003]  6288.896762: page_fault_user:      {}",
        "  a-1 2-b: 3-930   [003] .N.#2 6288.896762000: exceptions:page_fault_user: {}",
        "           <...>-930   (-----) [003] d...  6288.896762: page_fault_user: {}",
        "bash 930 [003] 6288.896762: exceptions:page_fault_user: {}",
        "bash 930/930 [003] 6288.896762: 1 exceptions:page_fault_user: {}  7ff7 f (x)",
    ],
)
@pytest.mark.parametrize(
    ("body", "code", "write"),
    [(X86, 7, True), (X86, 0x14, False), (RISCV, 15, True), (RISCV, 13, False)],
)
def test_tracepoints_of_ftrace_and_perf(tmp_path, line, body, code, write):
    trace, rows = read(tmp_path, line.format(body.format(code)) + "\n")
    assert rows == [(*BASH, write)]


def test_what_ftrace_says_beside_tracepoints(tmp_path):
    text = f"""cpus=4
# tracer: nop
CPU 2 is empty
CPU:3 [LOST 12 EVENTS]
            bash-930   [003] d...  6288.896762: page_fault_user: {X86.format(7)}
            bash-930   [003] d...  6288.896762: <stack trace>
 => exc_page_fault
            bash-930   [003] d...  6288.896763: sched_switch: prev_comm=bash
            bash-930   [003] d...  6288.896764: page_fault_kernel: {X86.format(2)}
            bash-930   (  929) [003] d...  6288.896765: page_fault_user: {X86.format(2)}
            bash-930   [003] d...  6288.8967: page_fault_kernel: address=init ip=0x1
"""
    trace, rows = read(tmp_path, text, skip_bad_lines=True)
    assert [row[:2] for row in rows] == [(930, 930), (930, 930), (929, 930)]
    assert (trace.format, trace.bad_lines, trace.skipped) == ("ftrace", 1, 7)
    refused(tmp_path, text, "t:11: expected 'COMM-PID")


@pytest.mark.parametrize(
    "line",
    [
        "  0.870 true/12603 exceptions:page_fault_user(address: 0x7f19e8f9be06, ip: 13"
        "9749259491245, error_code: 6)",
        "  0.870 true/12603 exceptions:page_fault_user(address: 0x7f19e8f9be06, ip: 0x"
        "7f19, error_code: 0x6)",
        "  0.870 ( 0.000 ms): my/a b/12603 minfault [elf_load+0x28a] => 0x7f19e8f9be06"
        " (?k)",
        "  0.870 (         ): true/12603 majfault [_start+0x0] => 0x7f19e8f9be06 (d.)",
    ],
)
def test_perf_trace(tmp_path, line):
    other = "     0.000 ( 0.001 ms): true/1 brk(brk: 0x7f19e8f9be06) = 0\n"
    trace, rows = read(tmp_path, f"{other}{line}\n")
    assert rows == [(12603, 12603, -1, 870 * US, 0x7F19E8F9B, True)]
    assert (trace.format, trace.skipped) == ("perf trace", 1)


def test_perf_trace_of_a_file_has_no_addresses(tmp_path):
    line = " 2.727 ( 0.0 ms): true/1 minfault [_start] => /usr/lib/ld.so@0x1ab70 (d.)"
    refused(tmp_path, line, rf"t:1: expected the address of the data.*{HOW}")


def test_perf_mem_report(tmp_path):
    text = """# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL
   77    78 0x00401136 0x7f10a0001040    40 0x0000000068100142 /usr/bin/bench:fill
   77    78 0x00401136 0x7f10a0002040 0x12f000 40 0x68100144 [unknown]:0x7f
   77    78 0x00401136 0xffff888104f69000    40 0x68100142 /usr/bin/bench:fill
   77    78 0x00401136 0x7f10a0003040    40 0x1 /usr/bin/bench:fill
"""
    trace, rows = read(tmp_path, text)
    assert rows == [(77, 78, -1, -1, 0x7F10A0001, False),
                    (77, 78, -1, -1, 0x7F10A0002, True)]  # fmt: skip
    assert (trace.format, trace.skipped) == ("perf mem", 3)


# --- two columns ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["0 7fff5a8\n", "2 400000\n", "job 7/8 7f10a0001040\n"]
)
def test_two_columns_need_a_flag(tmp_path, line):
    refused(tmp_path, line, "t:1: expected a time or an event.*--bare-columns")
    _, rows = read(tmp_path, line, bare_columns=True)
    assert len(rows) == 1 and rows[0][3] == -1


def test_what_the_flag_reads(tmp_path):
    _, rows = read(tmp_path, "0 7fff5a8\n1 7fff5b0\n2 400000\n", bare_columns=True)
    assert [(row[0], row[4]) for row in rows] == [(0, 0x7FFF), (1, 0x7FFF), (2, 0x400)]


@given(st.binary(max_size=400), st.integers(0, 6))
def test_other_texts_are_read_or_refused(tmp_path_factory, noise, at):
    """Nothing but BadInput comes of what is added to a line."""
    lines = [
        "bash-930 [003] d... 6288.896762: page_fault_user: " + X86.format(7),
        "0.870 true/12603 exceptions:page_fault_user(address: 0x7f19, ip: 1, cause: 6)",
        "2.727 ( 0.0 ms): true/1 minfault [_start+0x0] => 0x7f19e8f9be06 (d.)",
        "77 78 0x00401136 0x7f10a0001040 40 0x0000000068100142 /usr/bin/bench:fill",
        "77 78 0x00401136 0x7f10a0002040 0x12f000 40 0x68100144 [unknown]:0x7f",
        "bash-930 (  929) [003] 6288.896765: page_fault_user: " + RISCV.format(2),
        "2 400000",
    ]
    text = lines[at].encode() + b"\n" + noise + b"\n" + lines[at][1:].encode()
    try:
        read(tmp_path_factory.getbasetemp(), text, skip_bad_lines=True)
    except BadInput as error:
        assert "\n" not in str(error)
