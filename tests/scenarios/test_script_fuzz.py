"""Damaged memory scripts: whatever is in them, one sentence says what is wrong."""

import random
import warnings
from pathlib import Path

import pytest

from lazynuma.engine import BadInput
from lazynuma.scenarios.script.footprint import mapped_pages
from lazynuma.scenarios.script.grammar import parse
from lazynuma.scenarios.script.player import script_machine

CASES = sorted((Path(__file__).parents[1] / "linux/linux-6.1").glob("*.mm"))
#: Words that were found to hurt somewhere, or might.
WORDS = (
    *("9" * 5000, "99999999999999999999", "281474976710655", "-1", "0", "1e9", "0x10"),
    *("٨", "𝟙", "é", "\x00", "\x1b[31m", "\u2028", "", "=", ",", "/", "#"),
    *("nodes=", "in", "at", "4K", "mem=0", "vm.swappiness", "balancing.mode"),
)
LINES = (
    *("home A 1 at 4K 8K", "thread T", "in T cpu 1", "map B 4M at 1M"),
    *("map C 1p shared at 3p", "set move.status 1", "set node.1.weight 3"),
    *("machine nodes=2 cpus=1,0 mem=0,64M", "policy A weighted_interleave 0-1"),
)
CHARACTERS = "\x00\x07\x1b09AZaz\u0660\uff18\U0001d7d9"


def damaged(rng):
    """Return the lines of a case, some of them damaged."""
    lines = rng.choice(CASES).read_text().splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        words = lines[at].split(" ")
        kind = rng.randrange(4)
        if kind == 0:
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        elif kind == 1:
            words.insert(rng.randrange(len(words) + 1), rng.choice(WORDS))
        elif kind == 2:
            words = [rng.choice(LINES)]
        else:
            text = list(lines[at] or "x")
            text[rng.randrange(len(text))] = rng.choice(CHARACTERS)
            words = ["".join(text)]
        lines[at] = " ".join(words)
    return lines


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_script_is_refused_in_one_sentence(seed):
    rng, refused = random.Random(seed), 0
    for _ in range(60):
        lines = damaged(rng)
        try:
            with warnings.catch_warnings():
                # A SLIT that is not symmetric is only warned about.
                warnings.simplefilter("ignore", UserWarning)
                operations = parse(lines)
                machine = script_machine(operations[0])
            assert mapped_pages(operations, machine) >= 0
        except BadInput as error:
            refused += 1
            said = str(error)
            assert said.startswith("line ") and len(said) < 500 and said.isprintable()
    assert refused > 20
