"""Operations on this process's own memory, timed: the loops of ``engine.calibrate``.

``memory`` is anonymous and writable, from ``mmap.mmap``; offsets, steps and sizes are
bytes.  ``words`` are shared with other threads, ``at`` is an index.  Timed functions return ns that the calling thread spent on a CPU: what others on
a shared machine do in the meantime is not counted.  Raises OSError if Linux refuses.
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.mman cimport (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    madvise,
    mmap,
    mprotect,
    munmap,
)
from posix.time cimport (
    CLOCK_MONOTONIC,
    CLOCK_THREAD_CPUTIME_ID,
    clock_gettime,
    clockid_t,
    timespec,
)
from posix.unistd cimport _exit, fork

import os

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_move_pages

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

cdef extern from "<sys/wait.h>" nogil:
    int waitpid(int pid, int* status, int options)

cdef extern from * nogil:
    int64_t __sync_fetch_and_add(volatile int64_t* word, int64_t by)

#: madvise or mprotect.
ctypedef int (*_Call)(void*, size_t, int) noexcept nogil

cdef enum:
    PAGE = 4096
    MADV_NOHUGEPAGE = 15
    MPOL_MF_MOVE = 2


cdef inline int64_t _time(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return now.tv_sec * <int64_t>1000000000 + now.tv_nsec


cdef inline int64_t _now() noexcept nogil:
    return _time(CLOCK_THREAD_CPUTIME_ID)


cdef int _refuse(int code) except -1:
    raise OSError(code, os.strerror(code))


def address(unsigned char[::1] memory):
    """Return the virtual address of the first byte."""
    return <uintptr_t>&memory[0]


def touch(unsigned char[::1] memory, Py_ssize_t step):
    """Write a byte every ``step``; return ns."""
    cdef Py_ssize_t i
    cdef int64_t begin
    with nogil:
        begin = _now()
        for i in range(memory.shape[0] // step):
            (<volatile unsigned char*>&memory[i * step])[0] = 1
        begin = _now() - begin
    return begin


def advise(unsigned char[::1] memory, int advice, Py_ssize_t step, size_t size):
    """Call madvise on the first ``size`` of every ``step``; return ns."""
    return _each(madvise, memory, advice, step, size)


def protect(unsigned char[::1] memory, int protection, Py_ssize_t step, size_t size):
    """Call mprotect on the first ``size`` of every ``step``; return ns."""
    return _each(mprotect, memory, protection, step, size)


cdef int64_t _each(
    _Call call, unsigned char[::1] memory, int how, Py_ssize_t step, size_t size
) except -1:
    cdef Py_ssize_t i
    cdef int64_t begin
    cdef int failed = 0
    with nogil:
        begin = _now()
        for i in range(memory.shape[0] // step):
            if call(&memory[i * step], size, how) != 0:
                failed = errno
                break
        begin = _now() - begin
    if failed:
        _refuse(failed)
    return begin


def copy(unsigned char[::1] target, const unsigned char[::1] source):
    """Copy page by page, as the kernel does; return ns."""
    cdef Py_ssize_t i
    cdef int64_t begin
    with nogil:
        begin = _now()
        for i in range(source.shape[0] // PAGE):
            memcpy(&target[i * PAGE], &source[i * PAGE], PAGE)
        begin = _now() - begin
    return begin


def fork_once():
    """Fork, let the child end at once; return the ns of the parent's fork."""
    cdef int64_t begin
    cdef int child, failed = 0
    with nogil:
        begin = _now()
        child = fork()
        if child == 0:
            _exit(0)
        begin = _now() - begin
        if child < 0:
            failed = errno
        else:
            waitpid(child, NULL, 0)
    if failed:
        _refuse(failed)
    return begin


def move(unsigned char[::1] memory, int node):
    """Migrate every page to ``node`` with one move_pages; return ns."""
    cdef Py_ssize_t i, pages = memory.shape[0] // PAGE
    cdef void** address = <void**>malloc(pages * sizeof(void*))
    cdef int* where = <int*>malloc(2 * pages * sizeof(int))
    cdef int* status = where + pages
    cdef int64_t begin
    cdef int failed = 0
    try:
        if address == NULL or where == NULL:
            raise MemoryError
        with nogil:
            for i in range(pages):
                address[i] = &memory[i * PAGE]
                where[i] = node
            begin = _now()
            if syscall(
                SYS_move_pages, 0, pages, address, where, status, MPOL_MF_MOVE
            ) < 0:
                failed = errno
            begin = _now() - begin
            if not failed:
                for i in range(pages):
                    failed = max(failed, -status[i])
    finally:
        free(address)
        free(where)
    if failed:
        _refuse(failed)
    return begin


def add(int64_t[::1] words, Py_ssize_t at, Py_ssize_t times):
    """Add 1 to a word so many times, as others may, too; return ns."""
    cdef Py_ssize_t i
    cdef int64_t begin
    with nogil:
        begin = _now()
        for i in range(times):
            __sync_fetch_and_add(<volatile int64_t*>&words[at], 1)
        begin = _now() - begin
    return begin


def spin(int64_t[::1] words, Py_ssize_t at):
    """Run until a word is not 0."""
    with nogil:
        while (<volatile int64_t*>&words[at])[0] == 0:
            pass


def fault_until(unsigned char[::1] memory, int advice, int64_t[::1] words):
    """Write to each page and drop them with ``advice``, until a word is not 0."""
    cdef Py_ssize_t i
    with nogil:
        while (<volatile int64_t*>&words[0])[0] == 0:
            for i in range(memory.shape[0] // PAGE):
                (<volatile unsigned char*>&memory[i * PAGE])[0] = 1
            madvise(&memory[0], memory.shape[0], advice)


def page_fault1(Py_ssize_t rounds, size_t size):
    """Map memory, write to each page, unmap it, so many times; return ns of real time.

    The loop of page_fault1 of Blanchard's will-it-scale, without huge pages.
    """
    cdef Py_ssize_t round
    cdef size_t i
    cdef int64_t begin
    cdef void* memory
    cdef int failed = 0
    with nogil:
        begin = _time(CLOCK_MONOTONIC)
        for round in range(rounds):
            memory = mmap(
                NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
            )
            if memory == MAP_FAILED:
                failed = errno
                break
            madvise(memory, size, MADV_NOHUGEPAGE)
            for i in range(size // PAGE):
                (<volatile unsigned char*>memory)[i * PAGE] = 1
            munmap(memory, size)
        begin = _time(CLOCK_MONOTONIC) - begin
    if failed:
        _refuse(failed)
    return begin
