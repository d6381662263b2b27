"""Make a script that differs small: shrink.py SCRIPT --kernel PATH --profile P

Drops lines, joins them, and writes rounder sizes and fewer nodes, as long as Linux,
which is recorded anew for each try, and lazynuma still differ in the same kind
(kinds.py).  Writes SCRIPT's name with -min, and its record.
"""

import argparse
import sys
from pathlib import Path

import compare
import differences
import model
import record
import words

MOST = 200


class Search:
    """Tries scripts, each once, until there were enough of them.

    shows   function of a script's text: {kind of difference: its first line}
    wanted  the kind that has to stay
    most    tries
    """

    def __init__(self, shows, wanted, most=MOST):
        self.shows, self.wanted, self.left = shows, wanted, most
        self.known = {}

    def where(self, lines):
        """Return the number of the line that shows the kind; None if none does."""
        key = tuple(lines)
        if key not in self.known:
            if not self.left:
                return None
            self.left -= 1
            self.known[key] = self.shows("\n".join(lines) + "\n").get(self.wanted)
        return self.known[key]

    def first(self, lines, candidates):
        """Return the first candidate that shows the kind, otherwise the lines."""
        return next((one for one in candidates if self.where(one)), lines)


def shrink(text, shows, wanted, most=MOST):
    """Return a smaller script that shows the wanted kind, or the same one.

    Arguments as ``Search`` has them.  Raises ValueError if the script does not show it.
    """
    search = Search(shows, wanted, most)
    lines = [line for line in map(_bare, text.splitlines()) if line]
    end = search.where(lines)
    if not end:
        raise ValueError(f"script must show {wanted!r}, got another difference or none")
    lines = search.first(lines, [lines[:end]])
    before = None
    while lines != before:
        before = lines
        for step in (_without_names, _without_lines, _joined, _rounder):
            lines = step(search, lines)
    return "\n".join(lines) + "\n"


def _bare(line):
    return line.partition("#")[0].strip()


def _without_names(search, lines):
    """Drop whole processes, and whole regions."""
    for name in words.children(lines):
        lines = search.first(lines, [words.without_child(lines, name)])
    for name in words.regions(lines):
        lines = search.first(lines, [words.without_region(lines, name)])
    return lines


def _without_lines(search, lines):
    """Drop lines: delta debugging, halves first, in the end one by one."""
    size = max(1, len(lines) // 2)
    while True:
        at = len(lines)
        while at > 0:
            at = max(0, at - size)
            less = lines[:at] + lines[at + size :]
            if less != lines and less and search.where(less):
                lines = less
        if size == 1:
            return lines
        size //= 2


def _joined(search, lines):
    """Make one of two lines that do the same to two parts."""
    at = 0
    while at < len(lines):
        lines = search.first(lines, words.joined(lines, at))
        at += 1
    return lines


def _rounder(search, lines):
    """Make each line's words simpler, the simplest that will do."""
    at = 0
    while at < len(lines):
        rounder = (
            [*lines[:at], one, *lines[at + 1 :]] for one in words.simpler(lines[at])
        )
        found = search.first(lines, rounder)
        at += found is lines
        lines = found
    return lines


# --- with Linux -----------------------------------------------------------------------


def shown(name, text, recorded, profile):
    """Return {kind: the first line that shows it} of what differs in a script.

    recorded  function of (name, text): the case that Linux makes of it, or None
    """
    records, trouble = model.replay(text, profile)
    case = None if trouble else recorded(name, text)
    pairs = compare.differences(case, records) if case else ()
    return differences.first_lines(pairs)


def recorder(made, runs=record.RUNS):
    """Return a function of (name, text): what a kernel's guest makes of it, or None."""

    def recorded(name, text):
        try:
            found = [record.run(text, made, name, number) for number in range(runs)]
        except record.Unrecorded:
            return None
        return record.case(name, found)[0]

    return recorded


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script", type=Path)
    parser.add_argument("--profile", required=True, help="rules to play by")
    parser.add_argument("--kind", help="the difference that has to stay; the first")
    parser.add_argument("--most", type=int, default=MOST, help="recordings")
    parser.add_argument("-o", "--output", type=Path, help="SCRIPT with -min")
    record.add_arguments(parser)
    given = parser.parse_args(arguments)
    model.interpret()
    output = given.output or given.script.with_name(f"{given.script.stem}-min.mm")
    try:
        with record.recording(given) as made:
            print(_shrunk(given, output, made))
    except (record.Unrecorded, ValueError) as error:
        sys.exit(f"shrink.py: {error}")


def _shrunk(given, output, made):
    """Write the smaller script and its record; return what there is to say of it."""
    name, text = output.stem, given.script.read_text()
    recorded = recorder(made)

    def shows(text):
        return shown(name, text, recorded, given.profile)

    found = shows(text)
    wanted = given.kind or min(found, key=found.get, default="a difference")
    small = shrink(text, shows, wanted, given.most)
    output.write_text(f"# {wanted}\n{small}")
    told = record.record(output, made)
    return f"{output}: {wanted!r} in {len(small.splitlines())} lines, {told}"


if __name__ == "__main__":
    sys.exit(main())
