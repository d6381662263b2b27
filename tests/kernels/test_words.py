"""Python's words and Cython's are the same, and no two flags share a bit."""

import re
from enum import IntEnum
from functools import reduce
from operator import or_
from pathlib import Path

import pytest

from lazynuma.kernels import words
from lazynuma.kernels.counters import ScanResult
from lazynuma.kernels.knobs import TargetRule
from lazynuma.kernels.words import Kind

PXD = (Path(words.__file__).parent / "words.pxd").read_text()


def macros() -> dict[str, int]:
    """Return the macros of words.pxd, as C would see them."""
    lines = re.findall(r"#define (\w+) (.+)", PXD)
    return {name: eval(text.replace("(int64_t)", "")) for name, text in lines}


def members(enum: str) -> dict[str, int]:
    """Return the members of an enumeration of words.pxd; "" is the nameless one."""
    body = re.search(rf"cdef enum ?{enum}:\n((?: {{4}}\w+ = \d+\n)+)", PXD)[1]
    return {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)", body)}


def test_cython_has_the_words_of_python():
    assert len(macros()) > 20
    for name, value in (macros() | members("")).items():
        assert value == getattr(words, name), name


def test_every_macro_is_declared_to_cython():
    declared = re.findall(r"^    const int64_t (\w+)$", PXD, re.MULTILINE)
    assert declared == list(macros())


@pytest.mark.parametrize("kind", [ScanResult, TargetRule])
def test_cython_has_the_enumerations_of_python(kind: type[IntEnum]):
    named = members(kind.__name__)
    assert named == {name: kind[name].value for name in named}


def test_the_daemon_has_results_of_its_own():
    others = set(ScanResult.__members__) - set(members("ScanResult"))
    assert others == {"ALLOC_HUGE_PAGE_FAIL", "VMA_CHECK"}


@pytest.mark.parametrize(
    ("prefixes", "first", "last"), [(("PTE_",), 40, 62), (("FRAME_",), 36, 62)]
)
def test_no_two_flags_of_a_word_share_a_bit(prefixes, first, last):
    """LAZYFREE is the bit of WEDGED, GEN those of the lists, SWAP a KIND."""
    parts = ("SHIFT", "ONE", "PAYLOAD", "VPN", "LAZYFREE", "GEN", "SWAP", "SWAPCACHE")
    flags = {
        name: value
        for name, value in vars(words).items()
        if name.startswith(prefixes) and not name.endswith(parts)
    }
    assert sum(flags.values()) == reduce(or_, flags.values())
    assert all(1 << first <= value < 1 << last + 1 for value in flags.values())


def test_the_layout_is_that_of_the_model():
    """The tables of docs/model/page.md, bit by bit."""
    bits = {
        "PTE_PRESENT": 40,
        "PTE_ZERO": 41,
        "PTE_SWAP": 42,
        "PTE_WRITE": 44,
        "PTE_YOUNG": 45,
        "PTE_DIRTY": 46,
        "PTE_PROTNONE": 47,
        "PMD_TABLE": 48,
        "FRAME_MAPCOUNT_ONE": 36,
        "FRAME_IN_USE": 48,
        "FRAME_ACTIVE": 49,
        "FRAME_COMPOUND": 55,
    }
    layout = vars(words)
    for name, bit in bits.items():
        assert layout[name] == 1 << bit, name
    assert layout["PMD_NID"] == 63 << 49 and layout["FRAME_MAPCOUNT"] == 0xFFF << 36
    assert layout["PTE_PAYLOAD"] == 2**40 - 1 and layout["FRAME_VPN"] == 2**36 - 1
    assert layout["PTE_KIND"] == 3 << 42 and layout["FRAME_KIND"] == 3 << 52
    assert layout["FRAME_SWAPCACHE"] == 1 << 52 and [*Kind] == [1, 2, 3]
    # No two flags of an entry share a bit.
    flags = [name for name in bits if name.startswith("P")] + ["PTE_KIND", "PMD_NID"]
    flags.remove("PTE_SWAP")  # a value of PTE_KIND
    assert sum(layout[name] for name in flags) == (
        sum(1 << bit for bit in range(40, 55))
    )
