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
    KIND, ENOUGH, TID_AT, TIME_AT, ADDRESS_AT, CPU_AT, ACCESS_AT, ID_AT, EVENT
# Items of ``info``.
cpdef enum:
    WRITE, SIZE, POSITION, RECORDS, LIMIT, SAMPLES, SKIPPED, LATEST, ROUND, FLUSH
    ORDERED, WHY, INFO
# Items of ``info[WHY]``: why ``parse`` came back.
cpdef enum:
    NEEDS_MORE, FULL, MALFORMED, COMPRESSED, AUXTRACE
cdef enum:
    SAMPLE_RECORD = 9
    FINISHED_ROUND_RECORD = 68
    AUXTRACE_RECORD = 71
    COMPRESSED_RECORD = 81
    COMPRESSED2_RECORD = 83
    HEADER = 8
    PAGE_SHIFT = 12
    LOAD = 2  # PERF_MEM_OP_LOAD, in the low bits of data_src
    STORE = 4

cdef uint64_t USER_END = <uint64_t>1 << 47


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


cdef inline int access_of(
    const uint8_t *at, const int64_t *event, int default
) noexcept nogil:
    """Return 1 for a write, 0 for a read, -1 for neither."""
    cdef uint64_t bits
    if event[ACCESS_AT] < 0:
        return default
    bits = word(at + event[ACCESS_AT])
    if event[KIND] == EXCEPTION:
        return bits >> 1 & 1
    if bits & STORE:
        return 1
    if bits & LOAD:
        return 0
    return default if event[KIND] == FAULT else -1


cdef inline bint add(
    const uint8_t *at,
    const int64_t *event,
    int64_t *table,
    int64_t width,
    uint8_t *writes,
    int64_t *info,
) noexcept nogil:
    """Add a sample to the table; return whether it is an access to user data."""
    cdef int64_t n = info[RECORDS], time = -1
    cdef uint64_t address = word(at + event[ADDRESS_AT])
    cdef int write = access_of(at, event, <int>info[WRITE])
    cdef int32_t process = half(at + event[TID_AT])
    if address >= USER_END or write < 0 or process < 0:
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
    cdef int64_t left
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
            if event != NULL and event[KIND] != OTHER and size < event[ENOUGH]:
                return MALFORMED
            info[SAMPLES] += 1
            if event == NULL or event[KIND] == OTHER:
                info[SKIPPED] += 1
            elif not add(at, event, table, width, writes, info):
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
    info    int64[INFO]; WRITE: what a page fault is.  POSITION, RECORDS, SAMPLES and
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
