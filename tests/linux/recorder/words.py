"""The words of a script's lines: which can go, and what would be simpler."""

import re

from story import PAGES_PER_HUGE

_SIZE = re.compile(r"(\d+)([ph])?")
_NODES = re.compile(r"\d+([,-]\d+)*")
_PAGES = {None: 0, "p": 1, "h": PAGES_PER_HUGE}
#: Sizes from the simplest on.
ROUND = ("0", "1h", "2h", "1p", "10p", "100p", "200p", "300p", "600p", "3h")
#: Words that a line does as well without.
FLAGS = ("strict", "lazy", "move_all", "move", "balancing", "shared")
ONE_NODE = ("1", "0")
SIMPLER_NODES = (*ONE_NODE, "0,1")
MACHINES = (
    "machine nodes=2 mem=512M distance=10,21/21,10",
    "machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10",
)


def verb(line):
    """Return (the process that a line names or "", the words of its operation)."""
    words = line.split()
    return (words[1], words[2:]) if words[0] == "in" else ("", words)


def children(lines):
    """Return the names of the processes that lines fork, the last first."""
    return [words[1] for _, words in map(verb, lines[::-1]) if words[0] == "fork"]


def regions(lines):
    """Return the names of the regions that lines map, the last first."""
    return [words[1] for _, words in map(verb, lines[::-1]) if words[0] == "map"]


def without_child(lines, name):
    """Return the lines without a process."""
    return [
        line
        for line in lines
        if verb(line)[0] != name
        and verb(line)[1] not in (["fork", name], ["exit", name])
    ]


def without_region(lines, name):
    """Return the lines without a region."""
    return [line for line in lines if verb(line)[1][1:2] != [name]]


# --- parts ----------------------------------------------------------------------------


def _part(words):
    """Return where an operation has an offset and a length; None if it has none."""
    for at in range(2, len(words) - 1):
        if _SIZE.fullmatch(words[at]) and _SIZE.fullmatch(words[at + 1]):
            return at
    return None


def pages(word):
    """Return the pages of a size that is written in p or h, or is 0."""
    number, unit = _SIZE.fullmatch(word).groups()
    return int(number) * _PAGES[unit]


def size(count):
    """Return a number of pages as a word."""
    if count and not count % PAGES_PER_HUGE:
        return f"{count // PAGES_PER_HUGE}h"
    return f"{count}p" if count else "0"


def joined(lines, at):
    """Yield lines without a later one that does the same, with both parts in one."""
    process, words = verb(lines[at])
    where = _part(words)
    if where is None:
        return
    for other in range(at + 1, len(lines)):
        name, more = verb(lines[other])
        if (name, len(more)) != (process, len(words)) or _part(more) != where:
            continue
        if more[:where] + more[where + 2 :] != words[:where] + words[where + 2 :]:
            continue
        first = min(pages(words[where]), pages(more[where]))
        ends = [pages(one[where]) + pages(one[where + 1]) for one in (words, more)]
        parts = [size(first), size(max(ends) - first)]
        line = _line(process, words[:where] + parts + words[where + 2 :])
        yield [*lines[:at], line, *lines[at + 1 : other], *lines[other + 1 :]]


def _line(process, words):
    return " ".join([*(("in", process) if process else ()), *words])


# --- simpler lines --------------------------------------------------------------------


def simpler(line):
    """Yield lines that say less, or the same in rounder numbers."""
    process, words = verb(line)
    for less in _simpler(words):
        yield _line(process, less)


def _simpler(words):
    if words[0] == "machine":
        known = [one.split() for one in MACHINES]
        yield from known[: known.index(words) if words in known else None]
        return
    for flag in FLAGS:
        if flag in words[2:]:
            yield [*words[:2], *(word for word in words[2:] if word != flag)]
    if "at" in words:
        yield words[: words.index("at")]
    if words[0] == "touch":
        yield from (words[:6] for _ in words[6:])
        yield from _each(words, 4, ("4K",))
    for at in range(2, len(words)):
        yield from _each(words, at, _rounder(words, at))
    if words[0] == "migrate":
        yield from _each(words, 1, ("0", "1"))


def _rounder(words, at):
    """Return what a word could be instead, the simplest first."""
    part = _part(words)
    if part is not None and at in (part, part + 1):
        return ROUND[at - part :]
    if words[0] == "map":
        return ROUND[1:] if at == 2 else ()
    if words[0] in ("move", "home"):
        return ONE_NODE if words[at].isdigit() else ()
    if words[0] in ("policy", "taskpolicy", "migrate") and _NODES.fullmatch(words[at]):
        return SIMPLER_NODES
    return ()


def _each(words, at, choices):
    """Yield the words with one of them as each of the choices that are simpler."""
    known = choices.index(words[at]) if words[at] in choices else len(choices)
    for choice in choices[:known]:
        yield [*words[:at], choice, *words[at + 1 :]]
