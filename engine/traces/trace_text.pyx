"""Lines of recorded traces, parsed in place: perf script and valgrind lackey text.

The grammar is that of the regular expressions in ``tests/trace_reference.py``, which
holds these functions to it.  A line ends with a newline, at 65536 bytes or at the end
of the text.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp

from line_cursor cimport (
    Cursor, Text, decimal, ends_word, hex_value, hexadecimal, is_digit, is_space,
    is_word, skip_spaces, skip_word, take, take_text,
)

# What ``parse`` reads.
cpdef enum:
    PERF_SCRIPT, LACKEY
# Items of ``info``.
cpdef enum:
    FORMAT, WRITE, BARE_COLUMNS, SIZE, LAST, POSITION, RECORDS, LIMIT, LINES, SKIPPED
    SAMPLES, OTHERS, OTHER_AT, CHAIN, EVENT, BAD, WHY, INFO
# What a line is.  The first three are no access and are skipped or refused; from
# MALFORMED on they are refused, and ``info[WHY]`` says which it was.
cpdef enum:
    ACCESS, SKIPPED_LINE, OTHER_EVENT, MALFORMED, NO_DATA_ADDRESS, TWO_COLUMNS
# What an event of perf script is, ``info[EVENT]`` of the last access.
cpdef enum:
    NO_EVENT, PAGE_FAULT, EXCEPTION, MEMORY_ACCESS, UNKNOWN_EVENT, SIDE_RECORD
cpdef enum:
    LONGEST_LINE = 1 << 16
    SPAN = 17  # most pages of one access
cdef enum:
    NOT_HERE = -1  # A line may still make sense from a later word on.
    NOT_ALL = -2  # What a line is hangs on the next one, which is not all there.
cdef enum:
    # ``info[CHAIN]``: whether frames of a call chain may come, or have come.
    NO_CHAIN, AFTER_SAMPLE, IN_CHAIN
cdef enum:
    LARGEST_ACCESS = 1 << 16
    PAGE_SHIFT = 12
    SECONDS_DIGITS = 9
    PERIOD_BLANKS = 6  # perf writes a period of few digits in 10 columns
    PERIOD_DIGITS = 10
    NUMBER_DIGITS = 6  # of a word that is no symbol's name
    STORE_FAULT = 15  # RISC-V's cause

#: Addresses with the top bit set are the kernel's, on every 64-bit architecture.
cdef uint64_t KERNEL = <uint64_t>1 << 63
cdef int64_t PID_END = <int64_t>1 << 31

cdef struct Access:
    int64_t process
    int64_t thread
    int64_t cpu
    int64_t time_ns
    bint timed
    int64_t vpn
    int64_t pages
    bint write
    int event
    Text name  # of the event
    Text fault  # the name of the last page fault, and its length or 0
    Py_ssize_t length


cdef inline int64_t line_length(Text at, int64_t left, bint last) noexcept nogil:
    """Return the bytes of the line at ``at``, 0 if it is not all there."""
    cdef Text newline = <Text>memchr(at, c"\n", min(left, LONGEST_LINE))
    if newline != NULL:
        return newline - at + 1
    if left >= LONGEST_LINE:
        return LONGEST_LINE
    return left if last else 0


# --- perf script ----------------------------------------------------------------------


cdef struct Sample:
    # What stands before the event's name.
    int cpu_digits
    int time_digits
    bint slash
    bint period
    int blanks  # before the period
    int64_t first_number


cdef inline bint signed_decimal(Cursor *line, int64_t *value) noexcept nogil:
    cdef bint minus = take(line, c"-")
    if not decimal(line, value):
        return False
    if minus:
        value[0] = -value[0]
    return True


cdef inline bint read_time(Cursor *line, Access *found, Sample *sample) noexcept nogil:
    """Read ``SECONDS.FRACTION:``, which may not be there; return whether all is well."""
    cdef Text start = line.at
    cdef int64_t seconds, fraction
    cdef int places
    found.time_ns = -1
    sample.time_digits = decimal(line, &seconds)
    if not sample.time_digits or not take(line, c"."):
        line.at = start
        sample.time_digits = 0
        return True
    places = decimal(line, &fraction)
    if not 6 <= places <= 9 or not take(line, c":") or not skip_spaces(line):
        return False
    while places < 9:
        fraction *= 10
        places += 1
    found.time_ns = seconds * 1000000000 + fraction
    return True


cdef inline bint read_who(Cursor *line, Access *found, Sample *sample) noexcept nogil:
    """Read ``PID[/TID] [CPU] [TIME]``; return whether that is there."""
    if not signed_decimal(line, &found.process):
        return False
    found.thread, found.cpu = found.process, -1
    sample.slash = take(line, c"/")
    if sample.slash and not signed_decimal(line, &found.thread):
        return False
    sample.blanks = skip_spaces(line)
    if not sample.blanks:
        return False
    sample.cpu_digits = 0
    if take(line, c"["):
        sample.cpu_digits = decimal(line, &found.cpu)
        if not sample.cpu_digits or not take(line, c"]") or not skip_spaces(line):
            return False
    return read_time(line, found, sample)


cdef inline bint holds(Text at, Text end, const char *word, int length) noexcept nogil:
    """Return whether ``word`` is in a text."""
    while end - at >= length:
        if not memcmp(at, word, length):
            return True
        at += 1
    return False


cdef inline bint is_fault(Text at, Text end) noexcept nogil:
    """Return whether an event's name, with its last colon, is one of page faults."""
    cdef Cursor name
    name.at, name.end = at, end
    take_text(&name, "software/", 9)
    if not take_text(&name, "page-", 5) and not take_text(&name, "minor-", 6):
        take_text(&name, "major-", 6)
    if not take_text(&name, "faults", 6):
        return False
    return name.at[0] == c":" or name.at[0] == c"/"


cdef int access_kind(Text at, Text end) noexcept nogil:
    """Return 1 if loads and stores are stores, 0: loads, -1: neither.

    ``at`` to ``end`` is the event's name, or what perf says of the data's source.
    """
    if holds(at, end, "store", 5) or holds(at, end, "STORE", 5):
        return 1
    return 0 if holds(at, end, "load", 4) or holds(at, end, "LOAD", 4) else -1


cdef int memory_event(Text at, Text name_end, Text end, Access *found) noexcept nogil:
    """Return what an event is that is no page fault, by its name and the line's rest.

    The rest may say ``|OP LOAD|..`` of the data's source, which is more than a name.
    """
    cdef Text bar = name_end
    cdef Text next_bar
    cdef int kind
    while end - bar >= 4 and memcmp(bar, "|OP ", 4):
        bar += 1
    if end - bar >= 4:
        next_bar = <Text>memchr(bar + 1, c"|", end - bar - 1)
        kind = access_kind(bar, end if next_bar == NULL else next_bar)
        found.write = kind == 1
        return MEMORY_ACCESS if kind >= 0 else UNKNOWN_EVENT
    if holds(at, name_end, "aux", 3):
        return UNKNOWN_EVENT
    if not holds(at, name_end, "mem", 3) and not holds(at, name_end, "MEM", 3):
        return UNKNOWN_EVENT
    kind = access_kind(at, name_end)
    found.write = kind == 1
    return MEMORY_ACCESS if kind >= 0 else UNKNOWN_EVENT


cdef inline int read_event(Cursor *line, Access *found, Sample *sample) noexcept nogil:
    """Read ``[PERIOD] EVENT:`` and the blanks after it; return which event it is.

    Leaves ``line`` as it was if there is none.
    """
    cdef Text start = line.at, name
    cdef int64_t number
    cdef int digits = decimal(line, &number), kind
    sample.period = digits > 0
    if digits and not skip_spaces(line):
        line.at = start
        return NO_EVENT
    name = line.at
    # Most lines have the event of the line before.
    if found.length and line.end - name > found.length:
        if is_space(name[found.length]) and not memcmp(name, found.fault, found.length):
            line.at += found.length
            skip_spaces(line)
            return PAGE_FAULT
    skip_word(line)
    if line.at == name or is_digit(name[0]) or not is_word(name[0]):
        line.at = start
        return NO_EVENT
    if line.at - name > 12 and not memcmp(name, "PERF_RECORD_", 12):
        return SIDE_RECORD
    if (line.at - 1)[0] != c":":
        line.at = start
        return NO_EVENT
    found.name = name
    if is_fault(name, line.at):
        kind = PAGE_FAULT
        found.fault, found.length = name, line.at - name
    elif line.at - name > 22 and not memcmp(name, "exceptions:page_fault_", 22):
        kind = EXCEPTION
    else:
        kind = memory_event(name, line.at, line.end, found)
    skip_spaces(line)
    return kind


cdef bint has_second_number(Cursor rest) noexcept nogil:
    """Return whether an instruction's address, or the like, follows an address.

    A symbol's name may be all a-f, but begins with no digit and has one blank before
    it: a number has six digits, or more blanks.
    """
    cdef Text word
    cdef int blanks
    cdef bint digit, hexa
    while rest.at < rest.end:
        blanks = skip_spaces(&rest)
        word, digit, hexa = rest.at, False, True
        if blanks >= 2 and word < rest.end and is_digit(word[0]):
            return True
        while not ends_word(&rest):
            hexa = hexa and hex_value(rest.at[0]) >= 0
            digit = digit or is_digit(rest.at[0])
            rest.at += 1
        if not hexa or not 1 <= rest.at - word <= 16:
            continue
        if blanks >= 2 or (digit and rest.at - word >= NUMBER_DIGITS):
            return True
    return False


cdef bint is_frame(Text at, Text end, bint anything) noexcept nogil:
    """Return whether a line is a frame: blanks, an address, one blank and a symbol."""
    cdef Cursor line
    cdef uint64_t address
    cdef bint blank
    line.at, line.end = at, end
    if not skip_spaces(&line) or line.at == end:
        return False
    if anything:
        return True
    if not hexadecimal(&line, &address):
        return False
    if line.at < end and line.at[0] not in (c" ", c"\t"):
        return is_space(line.at[0])
    blank = take(&line, c" ") or take(&line, c"\t")
    if line.at == end:
        return True
    if is_space(line.at[0]):
        skip_spaces(&line)
        return line.at == end
    return blank and not is_digit(line.at[0])


cdef int next_is_frame(Text end, int64_t left, bint last) noexcept nogil:
    """Return whether the line at ``end`` is a frame; NOT_ALL if it is not all there."""
    cdef int64_t length
    if not left:
        return 0 if last else NOT_ALL
    length = line_length(end, left, last)
    return is_frame(end, end + length, False) if length else NOT_ALL


cdef inline int read_address(Cursor *line, uint64_t *address) noexcept nogil:
    """Read ``ADDRESS ..`` at the end of a line, or nothing."""
    if line.at == line.end:
        return NO_DATA_ADDRESS
    if not hexadecimal(line, address) or not ends_word(line):
        return MALFORMED
    return ACCESS


cdef inline bint only_symbol(Cursor *line) noexcept nogil:
    """Return whether an address has a symbol and no number behind it."""
    cdef Cursor rest = line[0]
    cdef int blanks = skip_spaces(&rest)
    if rest.at == rest.end or (blanks >= 2 and is_digit(rest.at[0])):
        return False
    return not has_second_number(line[0])


cdef inline bint find(Cursor *line, const char *word, int length) noexcept nogil:
    """Go behind the next ``word``; return whether there is one."""
    while line.end - line.at >= length and memcmp(line.at, word, length):
        line.at += 1
    return take_text(line, word, length)


cdef inline int read_exception(
    Cursor *line, uint64_t *address, Access *found
) noexcept nogil:
    """Read ``.. address=0x.. .. error_code=0x..``; RISC-V says ``cause=0x..``."""
    cdef uint64_t code
    cdef Cursor cause
    cdef Text start
    cdef bint riscv
    if not find(line, "address=", 8):
        return NO_DATA_ADDRESS
    address[0] = KERNEL
    if take_text(line, "0x", 2):
        if not hexadecimal(line, address):
            return MALFORMED
    elif line.at < line.end and is_word(line.at[0]) and not is_digit(line.at[0]):
        skip_word(line)  # a symbol of the kernel
    if line.at == line.end or not is_space(line.at[0]):
        return MALFORMED
    cause = line[0]
    riscv = not find(line, "error_code=0x", 13)
    if riscv:
        line[0] = cause
        if not find(line, "cause=0x", 8):
            return MALFORMED
    start = line.at
    if not hexadecimal(line, &code) or line.at - start > 8 or not ends_word(line):
        return MALFORMED
    found.write = code == STORE_FAULT if riscv else code >> 1 & 1
    return ACCESS


cdef inline int is_allowed(Access *found, Sample *sample) noexcept nogil:
    """Return MALFORMED for too large a number, SKIPPED_LINE for a negative one."""
    if sample.time_digits > SECONDS_DIGITS or found.cpu >= PID_END:
        return MALFORMED
    if max(found.process, found.thread) >= PID_END:
        return MALFORMED
    if min(found.process, found.thread) < 0:
        return SKIPPED_LINE
    return ACCESS


cdef inline int read_body(
    Cursor *line, Access *found, Sample *sample, uint64_t *address
) noexcept nogil:
    """Read what follows the time."""
    cdef Text start
    cdef int what
    cdef bint placed = sample.time_digits or sample.cpu_digits
    found.event = read_event(line, found, sample)
    if found.event == UNKNOWN_EVENT:
        return OTHER_EVENT if placed else NOT_HERE
    if found.event == SIDE_RECORD:
        return SKIPPED_LINE if placed else NOT_HERE
    if found.event == EXCEPTION:
        return read_exception(line, address, found)
    if found.event != NO_EVENT:
        # Without a time, `3 4711 page-faults:` may be a period or a name's end.
        if sample.period and not placed and not sample.slash:
            if sample.blanks < PERIOD_BLANKS:
                return MALFORMED
        return read_address(line, address)
    start = line.at
    what = read_address(line, address)
    if what != ACCESS:
        return NOT_HERE
    if not sample.time_digits:
        return TWO_COLUMNS
    # Without an event's name, `1 7f10a0001040` may be a period and an address.
    if line.at - start <= PERIOD_DIGITS and has_second_number(line[0]):
        while start < line.at and is_digit(start[0]):
            start += 1
        if start == line.at:
            return MALFORMED
    return ACCESS


cdef inline int read_sample(
    Text at, Text end, int64_t left, int64_t *info, Access *found
) noexcept nogil:
    """Read all that follows the command's name; NOT_HERE if that is something else."""
    cdef Cursor line
    cdef uint64_t address
    cdef Sample sample
    cdef int what, allowed
    line.at, line.end = at, end
    if not read_who(&line, found, &sample):
        return NOT_HERE
    found.timed = sample.time_digits > 0
    found.write = info[WRITE] != 0
    what = read_body(&line, found, &sample, &address)
    if what != ACCESS and not (what == TWO_COLUMNS and info[BARE_COLUMNS]):
        return what
    if what == ACCESS and found.event != EXCEPTION and only_symbol(&line):
        allowed = next_is_frame(end, left, info[LAST] != 0)
        if allowed != 1:
            return NOT_ALL if allowed == NOT_ALL else NO_DATA_ADDRESS
    allowed = is_allowed(found, &sample)
    if allowed != ACCESS:
        return allowed
    if address >= KERNEL:
        return SKIPPED_LINE
    found.vpn = <int64_t>(address >> PAGE_SHIFT)
    found.pages = 1
    return what


cdef inline int note_sample(int what, int64_t *info) noexcept nogil:
    """Note that a line is a sample, after which frames may come; return ``what``."""
    info[CHAIN] = AFTER_SAMPLE
    info[SAMPLES] += 1
    return what


cdef int perf_line(
    Text at, Text end, int64_t left, int64_t *info, Access *found
) noexcept nogil:
    """Read a line of perf script; ``left`` bytes come after it.

    The command's name may have spaces and numbers in it: it ends before the first
    number, after a space, with which the rest makes sense.  With a time and an event it
    makes most sense.
    """
    cdef int what, early = NOT_HERE
    cdef Access first
    cdef Text start = at
    if at[0] == c"#":
        return SKIPPED_LINE
    while at < end and is_space(at[0]):
        at += 1
    if at == end:
        info[CHAIN] = NO_CHAIN
        return SKIPPED_LINE
    while at < end:
        if is_digit(at[0]) or at[0] == c"-":
            what = read_sample(at, end, left, info, found)
            if what == NOT_ALL:
                return what
            if what != NOT_HERE and found.timed and found.event != NO_EVENT:
                return note_sample(what, info)
            if what != NOT_HERE and (early == NOT_HERE or early == TWO_COLUMNS):
                early, first = what, found[0]
        while at < end and not is_space(at[0]):
            at += 1
        while at < end and is_space(at[0]):
            at += 1
    if early != NOT_HERE:
        found[0] = first
    if early != NOT_HERE and early != TWO_COLUMNS:
        return note_sample(early, info)
    if info[CHAIN] and is_frame(start, end, info[CHAIN] == IN_CHAIN):
        info[CHAIN] = IN_CHAIN
        return SKIPPED_LINE
    if early == NOT_HERE:
        return MALFORMED
    return ACCESS if info[BARE_COLUMNS] else TWO_COLUMNS


# --- lackey ---------------------------------------------------------------------------


cdef int lackey_line(Text at, Text end, Access *found) noexcept nogil:
    """Read `` L|S|M ADDRESS,SIZE`` or ``I  ADDRESS,SIZE``."""
    cdef Cursor line
    cdef uint64_t address
    cdef int64_t size
    cdef int digits
    cdef bint fetch
    line.at, line.end = at, end
    if take_text(&line, "==", 2):
        return SKIPPED_LINE
    fetch = take_text(&line, "I ", 2)
    if not fetch:
        take(&line, c" ")
        if line.at == end or line.at[0] not in (c"L", c"S", c"M"):
            return MALFORMED
        found.write = line.at[0] != c"L"
        line.at += 1
    if not take(&line, c" "):
        return MALFORMED
    while take(&line, c" "):
        pass
    if not hexadecimal(&line, &address) or not take(&line, c","):
        return MALFORMED
    digits = decimal(&line, &size)
    skip_spaces(&line)
    if not 1 <= digits <= 9 or line.at < end or not 0 < size <= LARGEST_ACCESS:
        return MALFORMED
    if fetch or address > KERNEL - <uint64_t>size:
        return SKIPPED_LINE
    found.vpn = <int64_t>(address >> PAGE_SHIFT)
    found.pages = <int64_t>(address + size - 1 >> PAGE_SHIFT) - found.vpn + 1
    return ACCESS


# --- all lines of a text --------------------------------------------------------------


cdef inline int64_t add(
    Access *found, int64_t *table, int64_t width, uint8_t *writes, int64_t n
) noexcept nogil:
    """Write the pages of an access from column ``n`` on; return the next column."""
    cdef int64_t page
    for page in range(found.vpn, found.vpn + found.pages):
        table[n] = found.process
        table[width + n] = found.thread
        table[2 * width + n] = found.cpu
        table[3 * width + n] = found.time_ns
        table[4 * width + n] = page
        writes[n] = found.write
        n += 1
    return n


cdef void parse_lines(
    Text text, int64_t *table, int64_t width, uint8_t *writes, int64_t *info
) noexcept nogil:
    cdef int64_t length, left, n = info[RECORDS]
    cdef int what
    cdef Access found
    cdef Text at
    found.process = found.thread = 0
    found.cpu = found.time_ns = -1
    found.vpn = found.pages = 0
    found.event, found.write = NO_EVENT, False
    found.fault, found.length = NULL, 0
    while n < info[LIMIT]:
        at = text + info[POSITION]
        left = info[SIZE] - info[POSITION]
        length = line_length(at, left, info[LAST] != 0)
        if not length:
            break
        if info[FORMAT] == LACKEY:
            what = lackey_line(at, at + length, &found)
            info[SAMPLES] += what != MALFORMED and at[0] != c"="
        else:
            what = perf_line(at, at + length, left - length, info, &found)
        if what == NOT_ALL:
            break
        info[LINES] += 1
        if what >= MALFORMED:
            info[BAD], info[WHY] = info[POSITION], what
            info[POSITION] += length
            break
        if what == ACCESS:
            info[EVENT] = found.event
            n = add(&found, table, width, writes, n)
        else:
            info[SKIPPED] += 1
        if what == OTHER_EVENT:
            info[OTHERS] += 1
            if info[OTHER_AT] < 0:
                info[OTHER_AT] = found.name - text
        info[POSITION] += length
    info[RECORDS] = n


def parse(
    const uint8_t[::1] text,
    int64_t[:, ::1] table,
    uint8_t[::1] writes,
    int64_t[::1] info,
):
    """Read the lines of ``text[POSITION:SIZE]`` into ``table`` from column RECORDS on.

    text    uint8[at least SIZE]
    table   int64[5, n]: process, thread, cpu, time_ns, vpn, as ``TraceChunk`` has them;
            n at least LIMIT + SPAN - 1
    writes  uint8[n]: whether the access is a write
    info    int64[INFO]; FORMAT: what is read, WRITE: what a page fault is, LAST:
            whether the text ends at SIZE, all read, BARE_COLUMNS: whether two columns
            are a process and an address.  POSITION, RECORDS, LINES, SKIPPED, SAMPLES
            (lines that are samples) and OTHERS (those of other events) grow.  OTHER_AT, if negative, becomes where the
            name of one of these is.  BAD becomes where a line begins that was refused,
            and WHY why; it lies before POSITION.  CHAIN goes from one call to the next

    Returns where RECORDS has reached LIMIT, after a line that is refused, and before
    one that is not all there.
    """
    with nogil:
        parse_lines(&text[0], &table[0, 0], table.shape[1], &writes[0], &info[0])
