"""Find what each rule decides, and write it into rules.toml.

    python tests/linux/deciding.py [RULE ...]

A rule that is a setting of the model is tried: a script that a kernel which has the
rule did otherwise than one which has it not is played under the first kernel's profile
with this setting of the other's.  The rule decides the records that change by it, of
those in which the kernels differ.
"""

import re
import sys
from dataclasses import replace
from functools import cache
from itertools import combinations

from records import HERE, compare

from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.engine.simulation import Simulation
from lazynuma.scenarios.linux.kernel_differences import compared
from lazynuma.scenarios.linux.kernel_rules import rules
from lazynuma.scenarios.linux.recorded_kernels import cases, kernels
from lazynuma.scenarios.script.grammar import read
from lazynuma.scenarios.script.player import Player, script_machine, script_settings

FILE = HERE / "rules.toml"


def value(settings, switch):
    """Return a setting by its full name, as ``thp.enabled``."""
    for name in switch.split("."):
        settings = getattr(settings, name)
    return settings


def switched(settings, switch, new):
    """Return the settings with one of another value."""
    group, _, name = switch.rpartition(".")
    if not group:
        return replace(settings, **{name: new})
    part = replace(getattr(settings, group), **{name: new})
    return replace(settings, **{group: part})


@cache
def played(kernel, name, switch=None, new=None):
    """Return {(line, what it is about): record} of a script."""
    operations = read(HERE / kernel / f"{name}.mm")
    settings = script_settings(kernel)
    if switch:
        settings = switched(settings, switch, new)
    sim = Simulation(script_machine(operations[0]), settings)
    records = [one for one in Player(operations, sim).play() if compare.kind(one)]
    return {compare.place(one): one for one in records}


def changed(kernel, name, switch, new):
    """Return the lines of a script that a setting decides."""
    ours, other = played(kernel, name), played(kernel, name, switch, new)
    return {
        place[0] for place in {*ours, *other} if ours.get(place) != other.get(place)
    }


def decided(rule, read_cases):
    """Return what a rule decides: SCRIPT:LINE of each."""
    found = set()
    for one, other in combinations(read_cases, 2):
        if not rule.tells_apart(one, other):
            continue
        new = value(PROFILES[other], rule.switch)
        sides = read_cases[one], read_cases[other]
        places = {
            (d.script, d.line) for d in compared((one, other), *sides, ()).differences
        }
        places -= found
        for name in sorted({name for name, _ in places}):
            lines = changed(one, name, rule.switch, new)
            found |= {(name, line) for line in lines} & places
    return {f"{name}:{line}" for name, line in found}


def written(name, lines):
    """Write what a rule decides into the table."""
    text = FILE.read_text()
    head, tail = text.split(f'name = "{name}"\n')
    told = "".join(f'\n    "{one}",' for one in sorted(lines))
    new = f"decides = [{told}\n]" if told else "decides = []"
    tail = re.sub(r"decides = \[[^]]*\]", lambda _: new, tail, count=1)
    FILE.write_text(f'{head}name = "{name}"\n{tail}')


def main():
    read_cases = {kernel: cases(HERE, kernel) for kernel in kernels(HERE)}
    for rule in rules(HERE):
        if rule.switch and (rule.name in sys.argv[1:] or not sys.argv[1:]):
            lines = decided(rule, read_cases)
            written(rule.name, lines)
            print(f"{rule.name}: {len(lines)}", flush=True)


if __name__ == "__main__":
    main()
