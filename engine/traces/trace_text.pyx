"""Lines of recorded traces, parsed in place: perf script and valgrind lackey text.

The grammar is that of the regular expressions in ``tests/trace_reference.py``, which
holds these functions to it.  A line ends with a newline, at 65536 bytes or at the end
of the text.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp

# What ``parse`` reads.
cpdef enum:
    PAGE_FAULTS, EXCEPTIONS, LACKEY
# Items of ``info``.
cpdef enum:
    FORMAT, WRITE, SIZE, LAST, POSITION, RECORDS, LIMIT, LINES, SKIPPED, BAD, INFO
cpdef enum:
    LONGEST_LINE = 1 << 16
    SPAN = 17  # most pages of one access
cdef enum:
    REFUSED, NO_ACCESS, ACCESS
cdef enum:
    LARGEST_ACCESS = 1 << 16
    PAGE_SHIFT = 12
    SECONDS_DIGITS = 9

cdef uint64_t USER_END = <uint64_t>1 << 47
#: Numbers stop growing here, beyond all that is allowed.
cdef int64_t HUGE = <int64_t>1 << 40
cdef int64_t PID_END = <int64_t>1 << 31

ctypedef const uint8_t *Text


cdef struct Access:
    int64_t process
    int64_t thread
    int64_t cpu
    int64_t time_ns
    int64_t vpn
    int64_t pages
    bint write


cdef struct Cursor:
    Text at
    Text end


cdef inline bint is_space(uint8_t c) noexcept nogil:
    return c == 32 or 9 <= c <= 13


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return 48 <= c <= 57


cdef inline bint is_word(uint8_t c) noexcept nogil:
    return is_digit(c) or 65 <= c <= 90 or 97 <= c <= 122 or c == 95


cdef inline int hex_value(uint8_t c) noexcept nogil:
    if is_digit(c):
        return c - 48
    return c - 87 if 97 <= c <= 102 else -1


cdef inline int skip_spaces(Cursor *line) noexcept nogil:
    """Return how many there were."""
    cdef Text start = line.at
    while line.at < line.end and is_space(line.at[0]):
        line.at += 1
    return <int>(line.at - start)


cdef inline bint take(Cursor *line, uint8_t c) noexcept nogil:
    if line.at == line.end or line.at[0] != c:
        return False
    line.at += 1
    return True


cdef inline bint take_text(
    Cursor *line, const char *text, Py_ssize_t length
) noexcept nogil:
    if line.end - line.at < length or memcmp(line.at, text, length):
        return False
    line.at += length
    return True


cdef inline int decimal(Cursor *line, int64_t *value) noexcept nogil:
    """Read a number; return how many digits it has."""
    cdef Text start = line.at
    value[0] = 0
    while line.at < line.end and is_digit(line.at[0]):
        if value[0] < HUGE:
            value[0] = value[0] * 10 + line.at[0] - 48
        line.at += 1
    return <int>(line.at - start)


cdef inline bint hexadecimal(Cursor *line, uint64_t *value) noexcept nogil:
    """Read 1 to 16 digits; return whether there are 1 to 16."""
    cdef Text start = line.at
    cdef int digit
    value[0] = 0
    while line.at < line.end:
        digit = hex_value(line.at[0])
        if digit < 0:
            break
        value[0] = value[0] << 4 | <uint64_t>digit
        line.at += 1
    return 1 <= line.at - start <= 16


# --- perf script ----------------------------------------------------------------------


cdef inline bint read_time(Cursor *line, Access *found, int *digits) noexcept nogil:
    """Read ``SECONDS.FRACTION:``, which may not be there; return whether all is well.

    Digits with no point after them begin an address.
    """
    cdef Text start = line.at
    cdef int64_t seconds, fraction
    cdef int places
    found.time_ns = -1
    digits[0] = decimal(line, &seconds)
    if not digits[0] or not take(line, c"."):
        line.at = start
        digits[0] = 0
        return True
    places = decimal(line, &fraction)
    if not 6 <= places <= 9 or not take(line, c":") or not skip_spaces(line):
        return False
    while places < 9:
        fraction *= 10
        places += 1
    found.time_ns = seconds * 1000000000 + fraction
    return True


cdef inline bint read_who(Cursor *line, Access *found, int *digits) noexcept nogil:
    """Read ``PID[/TID] [CPU] [TIME]``; return whether that is there."""
    if not decimal(line, &found.process):
        return False
    found.thread, found.cpu = found.process, -1
    if take(line, c"/") and not decimal(line, &found.thread):
        return False
    if not skip_spaces(line):
        return False
    if take(line, c"["):
        if not decimal(line, &found.cpu) or not take(line, c"]"):
            return False
        if not skip_spaces(line):
            return False
    return read_time(line, found, digits)


cdef inline bint read_fault(Cursor *line, uint64_t *address) noexcept nogil:
    """Read ``[page-faults[:MODIFIER]:] ADDRESS ..``; return whether that is there."""
    cdef Text modifier
    if take_text(line, "page-faults:", 12):
        modifier = line.at
        while line.at < line.end and is_word(line.at[0]):
            line.at += 1
        if line.at > modifier and not take(line, c":"):
            return False
        if not skip_spaces(line):
            return False
    if not hexadecimal(line, address):
        return False
    return line.at == line.end or is_space(line.at[0])


cdef inline bint read_exception(
    Cursor *line, uint64_t *address, Access *found
) noexcept nogil:
    """Read ``exceptions:.. address=0x.. .. error_code=0x..``; whether it is there."""
    cdef Text last = line.end, code
    if not take_text(line, "exceptions:page_fault_", 22):
        return False
    if not take_text(line, "user:", 5) and not take_text(line, "kernel:", 7):
        return False
    if not skip_spaces(line) or not take_text(line, "address=0x", 10):
        return False
    if not hexadecimal(line, address):
        return False
    if line.at == line.end or not is_space(line.at[0]):
        return False
    # The error code is the last word: it is read from the end.
    while is_space((last - 1)[0]):
        last -= 1
    code = last
    while code > line.at and hex_value((code - 1)[0]) >= 0:
        code -= 1
    if not 1 <= last - code <= 8 or code - 13 <= line.at:
        return False
    if memcmp(code - 13, "error_code=0x", 13):
        return False
    found.write = hex_value((last - 1)[0]) >> 1 & 1
    return True


cdef inline int read_sample(
    Text at, Text end, bint exceptions, Access *found
) noexcept nogil:
    """Read all that follows the command's name; REFUSED if that is something else."""
    cdef Cursor line
    cdef uint64_t address
    cdef int digits
    line.at, line.end = at, end
    if not read_who(&line, found, &digits):
        return REFUSED
    if exceptions:
        if not read_exception(&line, &address, found):
            return REFUSED
    elif not read_fault(&line, &address):
        return REFUSED
    if address >= USER_END:
        return NO_ACCESS
    # Too large a number is no reason to look further on.
    if digits > SECONDS_DIGITS or max(found.process, found.thread) >= PID_END:
        found.pages = 0
    if found.cpu >= PID_END:
        found.pages = 0
    found.vpn = <int64_t>(address >> PAGE_SHIFT)
    return ACCESS


cdef int perf_line(Text at, Text end, bint exceptions, Access *found) noexcept nogil:
    """Read a line of perf script.

    The command's name may have spaces and numbers in it: it ends before the first
    number, after a space, with which the rest makes sense.
    """
    cdef int what
    if at[0] == c"#":
        return NO_ACCESS
    while at < end and is_space(at[0]):
        at += 1
    if at == end:
        return NO_ACCESS
    found.pages = 1
    while at < end:
        if is_digit(at[0]):
            what = read_sample(at, end, exceptions, found)
            if what != REFUSED:
                return what if what == NO_ACCESS or found.pages else REFUSED
        while at < end and not is_space(at[0]):
            at += 1
        while at < end and is_space(at[0]):
            at += 1
    return REFUSED


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
        return NO_ACCESS
    fetch = take_text(&line, "I ", 2)
    if not fetch:
        take(&line, c" ")
        if line.at == end or line.at[0] not in (c"L", c"S", c"M"):
            return REFUSED
        found.write = line.at[0] != c"L"
        line.at += 1
    if not take(&line, c" "):
        return REFUSED
    while take(&line, c" "):
        pass
    if not hexadecimal(&line, &address) or not take(&line, c","):
        return REFUSED
    digits = decimal(&line, &size)
    skip_spaces(&line)
    if not 1 <= digits <= 9 or line.at < end or not 0 < size <= LARGEST_ACCESS:
        return REFUSED
    if fetch or address > USER_END - <uint64_t>size:
        return NO_ACCESS
    found.vpn = <int64_t>(address >> PAGE_SHIFT)
    found.pages = <int64_t>(address + size - 1 >> PAGE_SHIFT) - found.vpn + 1
    return ACCESS


# --- all lines of a text --------------------------------------------------------------


cdef inline int64_t line_length(Text at, int64_t left, bint last) noexcept nogil:
    """Return the bytes of the line at ``at``, 0 if it is not all there."""
    cdef Text newline = <Text>memchr(at, c"\n", min(left, LONGEST_LINE))
    if newline != NULL:
        return newline - at + 1
    if left >= LONGEST_LINE:
        return LONGEST_LINE
    return left if last else 0


cdef void parse_lines(
    Text text, int64_t *table, int64_t width, uint8_t *writes, int64_t *info
) noexcept nogil:
    cdef int64_t length, page, n = info[RECORDS]
    cdef int format = <int>info[FORMAT], what
    cdef Access found
    cdef Text at
    found.process = found.thread = 0
    found.cpu = found.time_ns = -1
    found.write = info[WRITE] != 0
    while n < info[LIMIT]:
        at = text + info[POSITION]
        length = line_length(at, info[SIZE] - info[POSITION], info[LAST] != 0)
        if not length:
            break
        if format == LACKEY:
            what = lackey_line(at, at + length, &found)
        else:
            what = perf_line(at, at + length, format == EXCEPTIONS, &found)
        info[LINES] += 1
        if what == REFUSED:
            info[BAD] = info[POSITION]
            info[POSITION] += length
            break
        info[POSITION] += length
        if what == NO_ACCESS:
            info[SKIPPED] += 1
            continue
        for page in range(found.vpn, found.vpn + found.pages):
            table[n] = found.process
            table[width + n] = found.thread
            table[2 * width + n] = found.cpu
            table[3 * width + n] = found.time_ns
            table[4 * width + n] = page
            writes[n] = found.write
            n += 1
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
            whether the text ends at SIZE, all read.  POSITION, RECORDS, LINES and
            SKIPPED grow.  BAD becomes where a line begins that was refused; it lies
            before POSITION

    Returns where RECORDS has reached LIMIT, after a line that is refused, and before
    one that is not all there.
    """
    with nogil:
        parse_lines(&text[0], &table[0, 0], table.shape[1], &writes[0], &info[0])
