"""The readers of text traces as regular expressions, line by line: slow, obvious."""

import re

LONGEST_LINE = 1 << 16
PAGE_SHIFT = 12
USER_END = 1 << 47
_WHO = (
    rb"\s*(?:\S.*?\s+)??(?P<pid>\d+)(?:/(?P<tid>\d+))?\s+(?:\[(?P<cpu>\d+)\]\s+)?"
    rb"(?:(?P<s>\d+)\.(?P<fraction>\d{6,9}):\s+)?"
)
FAULT = re.compile(
    _WHO + rb"(?:page-faults(?::\w+)?:\s+)?(?P<address>[0-9a-f]{1,16})(?:\s.*)?\n?"
)
EXCEPTION = re.compile(
    _WHO + rb"exceptions:page_fault_(?:user|kernel):\s+address=0x"
    rb"(?P<address>[0-9a-f]{1,16})\s.*error_code=0x(?P<code>[0-9a-f]{1,8})\s*"
)
_LACKEY = re.compile(rb"( ?[LSM]|I ) +?([0-9a-f]{1,16}),(\d{1,9})\s*")


def lines(text: bytes) -> list[bytes]:
    """Return the lines of a text, none longer than ``LONGEST_LINE``."""
    return [
        line[at : at + LONGEST_LINE]
        for line in re.findall(rb"[^\n]*\n|[^\n]+", text)
        for at in range(0, len(line), LONGEST_LINE)
    ]


def perf(line: bytes, pattern: re.Pattern, write: bool):
    """Return the accesses of a line, None for one that is skipped, False for a bad one.

    An access is (process, thread, cpu, time_ns, vpn, write).
    """
    if line[:1] == b"#" or line.isspace():
        return None
    match = pattern.fullmatch(line)
    if match is None:
        return False
    one = match.groupdict()
    address = int(one["address"], 16)
    if address >= USER_END:
        return None
    code = one.get("code")
    write = write if code is None else bool(int(code, 16) >> 1 & 1)
    pid, cpu = int(one["pid"]), one["cpu"]
    who = (pid, int(one["tid"] or pid), -1 if cpu is None else int(cpu))
    if max(who) >> 31 or len(one["s"] or b"") > 9:
        return False
    return [(*who, _time_ns(one), address >> PAGE_SHIFT, write)]


def _time_ns(one: dict) -> int:
    if one["s"] is None:
        return -1
    return int(one["s"]) * 10**9 + int(one["fraction"].ljust(9, b"0"))


def lackey(line: bytes, *_):
    """Return what ``perf`` returns."""
    if line[:2] == b"==":
        return None
    match = _LACKEY.fullmatch(line)
    if match is None:
        return False
    kind, address, size = match[1], int(match[2], 16), int(match[3])
    if not 0 < size <= 1 << 16:
        return False
    if kind == b"I " or address + size > USER_END:
        return None
    last = address + size - 1 >> PAGE_SHIFT
    write = b"L" not in kind
    return [(0, 0, -1, -1, vpn, write) for vpn in range(address >> 12, last + 1)]
