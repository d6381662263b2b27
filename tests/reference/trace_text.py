"""The readers of text traces as regular expressions, line by line: slow, obvious.

A reader returns what a line is, a word of ``WORDS``, or the accesses that it is.  An
access is (process, thread, cpu, time_ns, vpn, write).
"""

import re

LONGEST_LINE = 1 << 16
PAGE_SHIFT = 12
KERNEL = 1 << 63
#: No access: the line is skipped, or refused.
WORDS = ("skipped", "other event", "malformed", "no data address", "two columns")

_WHO = re.compile(
    rb"(?P<pid>-?\d+)(?:/(?P<tid>-?\d+))?(?P<blanks>\s+)(?:\[(?P<cpu>\d+)\]\s+)?"
    rb"(?:(?P<s>\d+)\.(?P<fraction>\d{6,9}):\s+)?"
)
#: Digits and a point begin a time, and then it must be one.
_NO_TIME = re.compile(rb"\d+\.")
_EVENT = re.compile(rb"(?P<period>\d+\s+)?(?P<name>[A-Za-z_]\S*:)(?:\s+|$)")
_EVENT_NAME = re.compile(rb"(?:\d+\s+)?(?:PERF_RECORD_\S|[A-Za-z_]\S*:(?:\s|$))")
_SIDE_RECORD = re.compile(rb"(?:\d+\s+)?PERF_RECORD_\S")
_FAULT = re.compile(rb"(?:software/)?(?:page-|minor-|major-)?faults[:/]\S*")
_EXCEPTION = re.compile(rb"exceptions:page_fault_\S*")
_EXCEPTION_BODY = re.compile(
    rb"address=(?:0x(?P<address>[0-9a-f]{1,16})|[A-Za-z_]\S*)(?P<rest>\s.*)", re.S
)
_CODE = re.compile(rb"error_code=0x([0-9a-f]{1,8})(?:\s.*)?", re.S)
_CAUSE = re.compile(rb"cause=0x([0-9a-f]{1,8})(?:\s.*)?", re.S)
_ADDRESS = re.compile(rb"([0-9a-f]{1,16})(?=\s|$)")
_SECOND_NUMBER = re.compile(
    rb"(?<=\s\s)\d|(?:(?<=\s\s)[0-9a-f]{1,16}|(?<=\s)(?=[a-f]*\d)[0-9a-f]{6,16})(?=\s|$)"
)
_FRAME = re.compile(rb"\s+[0-9a-f]{1,16}(?:[ \t][^\s\d].*|\s*)", re.S)
_LACKEY = re.compile(rb"( ?[LSM]|I ) +?([0-9a-f]{1,16}),(\d{1,9})\s*")


def lines(text: bytes) -> list[bytes]:
    """Return the lines of a text, none longer than ``LONGEST_LINE``."""
    return [
        line[at : at + LONGEST_LINE]
        for line in re.findall(rb"[^\n]*\n|[^\n]+", text)
        for at in range(0, len(line), LONGEST_LINE)
    ]


class Perf:
    """A reader of perf script's text; ``chain`` is what the lines before allow."""

    def __init__(self, write: bool, bare_columns: bool) -> None:
        self.write, self.bare_columns = write, bare_columns
        self.chain = None

    def __call__(self, line: bytes, after: bytes):
        if line[:1] == b"#":
            return "skipped"
        if line.isspace():
            self.chain = None
            return "skipped"
        early = None
        for word in re.finditer(rb"(?<!\S)[\d-]", line):
            who = _WHO.match(line, word.start())
            found = who and self._sample(line, who, after)
            if found and who["s"] is not None and _EVENT_NAME.match(line, who.end()):
                self.chain = "frames may come"
                return found[1]
            if found and (early is None or early[0]):
                early = found
        if early and not early[0]:
            self.chain = "frames may come"
            return early[1]
        if self.chain and is_frame(line, self.chain == "frames"):
            self.chain = "frames"
            return "skipped"
        return early[1] if early else "malformed"

    def _sample(self, line: bytes, who: re.Match, after: bytes):
        """Return whether it is bare columns, and what the line is; None if nothing."""
        if who["s"] is None and _NO_TIME.match(line, who.end()):
            return None
        placed = who["s"] is not None or who["cpu"] is not None
        event = _EVENT.match(line, who.end())
        if _SIDE_RECORD.match(line, who.end()):
            return (False, "skipped") if placed else None
        if event is None:
            return self._no_event(line, who, after)
        kind, write = self._kind(event["name"], line[event.end("name") :])
        if kind == "other":
            return (False, "other event") if placed else None
        rest = line[event.end() :]
        if kind == "exception":
            return False, _exception(rest, who)
        if event["period"] and not placed and who["tid"] is None:
            if len(who["blanks"]) < 6:
                return False, "malformed"
        if not rest:
            return False, "no data address"
        address = _ADDRESS.match(rest)
        if address is None:
            return False, "malformed"
        return False, self._access(who, address, write, after)

    def _no_event(self, line, who, after):
        rest = line[who.end() :]
        address = _ADDRESS.match(rest)
        if address is None:
            return None
        tail = rest[address.end() :]
        if who["s"] is None and not self.bare_columns:
            return True, "two columns"
        if who["s"] is None:
            what = _allowed(who, int(address[1], 16), self.write)
            return isinstance(what, list), what
        if len(address[1]) <= 10 and address[1].isdigit():
            if _SECOND_NUMBER.search(tail):
                return False, "malformed"
        return False, self._access(who, address, self.write, after)

    def _access(self, who, address, write, after):
        tail = address.string[address.end() :]
        if tail.strip() and not _SECOND_NUMBER.search(tail):
            if not is_frame(after, False):
                return "no data address"
        return _allowed(who, int(address[1], 16), write)

    def _kind(self, name: bytes, rest: bytes):
        """Return what an event is, and whether it is a write."""
        if _FAULT.fullmatch(name):
            return "fault", self.write
        if _EXCEPTION.match(name) and len(name) > 22:
            return "exception", None
        source = re.search(rb"\|OP [^|]*", rest)
        if source:
            words = source[0]
        elif b"aux" in name or not (b"mem" in name or b"MEM" in name):
            return "other", None
        else:
            words = name
        if b"store" in words or b"STORE" in words:
            return "memory", True
        if b"load" in words or b"LOAD" in words:
            return "memory", False
        return "other", None


def is_frame(line: bytes, anything: bool) -> bool:
    """Return whether a line is a frame of a call chain."""
    if anything:
        return line[:1].isspace() and not line.isspace()
    return bool(_FRAME.fullmatch(line))


def _exception(rest: bytes, who):
    at = rest.find(b"address=")
    if at < 0:
        return "no data address"
    match = _EXCEPTION_BODY.fullmatch(rest[at:])
    if match is None:
        return "malformed"
    address = KERNEL if match["address"] is None else int(match["address"], 16)
    rest = match["rest"]
    at, cause_at = rest.find(b"error_code=0x"), rest.find(b"cause=0x")
    code = _CODE.fullmatch(rest, at) if at >= 0 else None
    if at < 0 and cause_at >= 0:
        code = _CAUSE.fullmatch(rest, cause_at)
    if code is None:
        return "malformed"
    bits = int(code[1], 16)
    write = bool(bits >> 1 & 1) if at >= 0 else bits == 15
    return _allowed(who, address, write)


def _allowed(who, address: int, write: bool):
    """Return an access, or what its numbers make of it."""
    pid = int(who["pid"])
    tid = pid if who["tid"] is None else int(who["tid"])
    cpu = -1 if who["cpu"] is None else int(who["cpu"])
    if max(pid, tid, cpu) >> 31 > 0 or len(who["s"] or b"") > 9:
        return "malformed"
    if min(pid, tid) < 0 or address >= KERNEL:
        return "skipped"
    return [(pid, tid, cpu, _time_ns(who), address >> PAGE_SHIFT, write)]


def _time_ns(who) -> int:
    if who["s"] is None:
        return -1
    return int(who["s"]) * 10**9 + int(who["fraction"].ljust(9, b"0"))


def lackey(line: bytes, _after: bytes = b""):
    """Return what a line of lackey is."""
    if line[:2] == b"==":
        return "skipped"
    match = _LACKEY.fullmatch(line)
    if match is None:
        return "malformed"
    kind, address, size = match[1], int(match[2], 16), int(match[3])
    if not 0 < size <= 1 << 16:
        return "malformed"
    if kind == b"I " or address + size > KERNEL:
        return "skipped"
    last = address + size - 1 >> PAGE_SHIFT
    write = b"L" not in kind
    return [(0, 0, -1, -1, vpn, write) for vpn in range(address >> 12, last + 1)]
