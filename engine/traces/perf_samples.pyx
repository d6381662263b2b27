"""Records of a perf.data file, parsed in place: samples of page faults and of accesses.

Their layout is that of perf_event_open(2), PERF_RECORD_SAMPLE, and of
tools/perf/Documentation/perf.data-file-format.txt.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

# What the samples of an event are.
cpdef enum:
    OTHER, FAULT, MEMORY, EXCEPTION
# Items of a row of ``events``: offsets are from the record's start, -1: not there.
cpdef enum:
    KIND, ENOUGH, TID_AT, TIME_AT, ADDRESS_AT, CPU_AT, ID_AT, HAS_CODE, RISCV
    FIELDS, FIELDS_AT, READ_FORMAT, BRANCH_BYTES, HW_INDEX_BYTES, REGISTERS, EVENT
# Items of ``info``.
cpdef enum:
    WRITE, KERNEL_FROM, SIZE, POSITION, RECORDS, LIMIT, SAMPLES, SKIPPED, LATEST, ROUND
    FLUSH, ORDERED, WHY, INFO
# Items of ``info[WHY]``: why ``parse`` came back.
cpdef enum:
    NEEDS_MORE, FULL, MALFORMED, COMPRESSED, AUXTRACE
cpdef enum:
    COMPRESSED_RECORD = 81
    COMPRESSED2_RECORD = 83
cdef enum:
    SAMPLE_RECORD = 9
    FINISHED_ROUND_RECORD = 68
    AUXTRACE_RECORD = 71
    HEADER = 8
    PAGE_SHIFT = 12
    LOAD = 2  # PERF_MEM_OP_LOAD, in the low bits of data_src
    STORE = 4
    STORE_FAULT = 15  # RISC-V's cause
    # PERF_SAMPLE_*, those after the fields of 8 bytes, in their order.
    READ = 1 << 4
    CALLCHAIN = 1 << 5
    RAW = 1 << 10
    BRANCH_STACK = 1 << 11
    REGS_USER = 1 << 12
    STACK_USER = 1 << 13
    WEIGHTS = 1 << 14 | 1 << 24  # WEIGHT or WEIGHT_STRUCT
    # PERF_FORMAT_*.
    TIMES = 1 | 2
    FORMAT_ID = 4
    GROUP = 8
    LOST = 16
    # Where the raw data of an exception have its address and its code: after their
    # size, and 8 bytes that every tracepoint has (its ``format`` file in tracefs).
    RAW_ADDRESS = 4 + 8
    RAW_CODE = 4 + 24


cdef inline uint64_t word(const uint8_t *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline int32_t half(const uint8_t *at) noexcept nogil:
    cdef int32_t value
    memcpy(&value, at, 4)
    return value


cdef inline const int64_t *event_of(
    const uint8_t *at,
    int size,
    const int64_t *events,
    const int64_t *ids,
    int64_t n,
) noexcept nogil:
    """Return the event of a sample, by its identifier if there are several."""
    cdef int64_t low = 0, high = n, middle, wanted
    if n == 0:
        return events
    if size < events[ID_AT] + 8:
        return NULL
    wanted = <int64_t>word(at + events[ID_AT])
    while low < high:
        middle = (low + high) >> 1
        if ids[2 * middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low == n or ids[2 * low] != wanted:
        return NULL
    return events + EVENT * ids[2 * low + 1]


cdef inline int64_t numbers(uint64_t bits) noexcept nogil:
    """Return how many bits of PERF_FORMAT_* are set, of those beside GROUP."""
    return (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 4 & 1)


cdef inline int64_t after(
    const uint8_t *at, int64_t size, int64_t offset, int64_t step, int64_t more
) noexcept nogil:
    """Return what comes after a count and ``step`` bytes for each, and ``more``.

    -1 if it is not in the sample.
    """
    cdef uint64_t count
    if offset < 0 or offset + 8 > size:
        return -1
    count = word(at + offset)
    return -1 if count > <uint64_t>size else offset + 8 + more + step * <int64_t>count


cdef int64_t code_at(
    const uint8_t *at, int64_t size, const int64_t *event
) noexcept nogil:
    """Return where a sample has its raw data, or says what an access is; -1: nowhere.

    Call chains and what else has any size come before.
    """
    cdef int64_t offset = event[FIELDS_AT], fields = event[FIELDS], times
    cdef uint64_t read = <uint64_t>event[READ_FORMAT]
    if fields & READ and read & GROUP:
        times = 8 * numbers(read & TIMES)
        offset = after(at, size, offset, 8 + 8 * numbers(read & ~TIMES), times)
    elif fields & READ:
        offset += 8 + 8 * numbers(read)
    if fields & CALLCHAIN:
        offset = after(at, size, offset, 8, 0)
    if event[KIND] == EXCEPTION:
        return offset if 0 <= offset and offset + RAW_CODE + 8 <= size else -1
    if fields & RAW:
        if offset < 0 or offset + 4 > size:
            return -1
        offset += 4 + <int64_t><uint32_t>half(at + offset)
    if fields & BRANCH_STACK:
        offset = after(at, size, offset, event[BRANCH_BYTES], event[HW_INDEX_BYTES])
    if fields & REGS_USER:
        if offset < 0 or offset + 8 > size:
            return -1
        offset += 8 + 8 * event[REGISTERS] * (word(at + offset) != 0)
    if fields & STACK_USER:
        if offset < 0 or offset + 8 > size:
            return -1
        offset = after(at, size, offset, 1, 8 * (word(at + offset) != 0))
    if fields & WEIGHTS and offset >= 0:
        offset += 8
    return offset if 0 <= offset and offset + 8 <= size else -1


cdef inline int access_of(uint64_t bits, const int64_t *event, int default) noexcept nogil:
    """Return 1 for a write, 0 for a read, -1 for neither."""
    if event[KIND] == EXCEPTION:
        return bits == STORE_FAULT if event[RISCV] else bits >> 1 & 1
    if bits & STORE:
        return 1
    if bits & LOAD:
        return 0
    return default if event[KIND] == FAULT else -1


cdef inline bint is_kernel(uint64_t address, uint64_t kernel_from) noexcept nogil:
    return address >> 63 or (kernel_from and address >= kernel_from)


cdef inline bint add(
    const uint8_t *at,
    int64_t code,
    const int64_t *event,
    int64_t *table,
    int64_t width,
    uint8_t *writes,
    int64_t *info,
) noexcept nogil:
    """Add a sample to the table; return whether it is an access to user data."""
    cdef int64_t n = info[RECORDS], time = -1
    cdef uint64_t address
    cdef int write = <int>info[WRITE]
    cdef int32_t process = half(at + event[TID_AT])
    if event[KIND] == EXCEPTION:
        address = word(at + code + RAW_ADDRESS)
        write = access_of(word(at + code + RAW_CODE), event, write)
    else:
        address = word(at + event[ADDRESS_AT])
        if event[HAS_CODE]:
            write = access_of(word(at + code), event, write)
    if is_kernel(address, <uint64_t>info[KERNEL_FROM]) or write < 0 or process < 0:
        return False
    if event[TIME_AT] >= 0:
        # With the top bit set it is no time: perf writes ~0 if there is none.
        time = max(<int64_t>word(at + event[TIME_AT]), -1)
        if time < info[LATEST]:
            info[ORDERED] = 0
        else:
            info[LATEST] = time
    table[n] = process
    table[width + n] = half(at + event[TID_AT] + 4)
    table[2 * width + n] = half(at + event[CPU_AT]) if event[CPU_AT] >= 0 else -1
    table[3 * width + n] = time
    table[4 * width + n] = <int64_t>(address >> PAGE_SHIFT)
    writes[n] = <uint8_t>write
    info[RECORDS] = n + 1
    return True


cdef int parse_records(
    const uint8_t *data,
    const int64_t *events,
    const int64_t *ids,
    int64_t n_ids,
    int64_t *table,
    int64_t width,
    uint8_t *writes,
    int64_t *info,
) noexcept nogil:
    cdef const uint8_t *at
    cdef const int64_t *event
    cdef int64_t left, code
    cdef uint32_t kind
    cdef uint16_t size
    while info[RECORDS] < info[LIMIT]:
        at, left = data + info[POSITION], info[SIZE] - info[POSITION]
        if left < HEADER:
            return NEEDS_MORE
        memcpy(&kind, at, 4)
        memcpy(&size, at + 6, 2)
        if size < HEADER:
            return MALFORMED
        if left < size:
            return NEEDS_MORE
        if kind == SAMPLE_RECORD:
            event = event_of(at, size, events, ids, n_ids)
            code = 0
            if event != NULL and event[KIND] != OTHER:
                if size < event[ENOUGH]:
                    return MALFORMED
                code = code_at(at, size, event) if event[HAS_CODE] else 0
                if code < 0:
                    return MALFORMED
            info[SAMPLES] += 1
            if event == NULL or event[KIND] == OTHER:
                info[SKIPPED] += 1
            elif not add(at, code, event, table, width, writes, info):
                info[SKIPPED] += 1
        elif kind == FINISHED_ROUND_RECORD:
            info[FLUSH], info[ROUND] = info[ROUND], info[LATEST]
        elif kind == COMPRESSED_RECORD or kind == COMPRESSED2_RECORD:
            return COMPRESSED
        elif kind == AUXTRACE_RECORD:
            return AUXTRACE
        info[POSITION] += size
    return FULL


def parse(
    const uint8_t[::1] data,
    const int64_t[:, ::1] events,
    const int64_t[:, ::1] ids,
    int64_t[:, ::1] table,
    uint8_t[::1] writes,
    int64_t[::1] info,
):
    """Read the records of ``data[POSITION:SIZE]``; add accesses from RECORDS on.

    data    uint8[at least SIZE]
    events  int64[events, EVENT]
    ids     int64[n, 2]: identifiers in ascending order, and their events' rows; n is 0
            if there is one event.  Otherwise ID_AT of row 0 is that of all
    table   int64[5, at least LIMIT]: process, thread, cpu, time_ns, vpn, as
            ``TraceChunk`` has them
    writes  uint8[the same]: whether the access is a write
    info    int64[INFO]; WRITE: what a page fault is, KERNEL_FROM: where the kernel's
            addresses begin, 0: those with the top bit set.  POSITION, RECORDS, SAMPLES and
            SKIPPED grow.  LATEST is the latest time so far, ORDERED becomes 0 if a
            sample is earlier than one before it.  ROUND is LATEST at the last end of a
            round, FLUSH at the one before: later samples are not earlier than FLUSH.
            WHY becomes why this ends, at a record that is cut, malformed or cannot be
            read; at the next one where RECORDS has reached LIMIT
    """
    cdef const int64_t *no_ids = &events[0, 0]
    cdef const int64_t *all_ids = &ids[0, 0] if ids.shape[0] else no_ids
    with nogil:
        info[WHY] = parse_records(
            &data[0],
            &events[0, 0],
            all_ids,
            ids.shape[0],
            &table[0, 0],
            table.shape[1],
            &writes[0],
            &info[0],
        )
