"""The next byte of a line, and what is read there: blanks, words, numbers."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

ctypedef const uint8_t *Text

cdef enum:
    HUGE_SHIFT = 40  # numbers stop growing here, beyond all that is allowed


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
    cdef Text at = line.at, start = line.at
    while at < line.end and is_space(at[0]):
        at += 1
    line.at = at
    return <int>(at - start)


cdef inline void skip_word(Cursor *line) noexcept nogil:
    cdef Text at = line.at
    while at < line.end and not is_space(at[0]):
        at += 1
    line.at = at


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
    cdef Text at = line.at, start = line.at
    cdef int64_t number = 0
    while at < line.end and is_digit(at[0]):
        if number >> HUGE_SHIFT == 0:
            number = number * 10 + at[0] - 48
        at += 1
    line.at, value[0] = at, number
    return <int>(at - start)


cdef inline bint hexadecimal(Cursor *line, uint64_t *value) noexcept nogil:
    """Read 1 to 16 digits; return whether there are 1 to 16."""
    cdef Text at = line.at, start = line.at
    cdef int digit
    cdef uint64_t number = 0
    while at < line.end:
        digit = hex_value(at[0])
        if digit < 0:
            break
        number = number << 4 | <uint64_t>digit
        at += 1
    line.at, value[0] = at, number
    return 1 <= at - start <= 16


cdef inline bint ends_word(Cursor *line) noexcept nogil:
    return line.at == line.end or is_space(line.at[0])
