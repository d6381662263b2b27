"""Write docs/claims.md: published figures that scenarios are held against, and ours.

    python docs/claims.py docs/claims.md [FOLDER]

Everything is run at full size, which takes many minutes.  FOLDER may hold files of such
runs, ``lazynuma run NAME -o FOLDER/NAME.h5``, which are read instead of running the
scenario again.  What is not run with default parameters is run with ``CLAIMED`` of its
file.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lazynuma.engine import run_study
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.study.study import named
from lazynuma.scenarios import (
    autonuma_benchmark,
    khugepaged_rate,
    move_pages_rate,
    penalties,
    perf_bench_numa,
    scan_cap,
    scan_stall,
    tiering,
    tlb_shootdown,
    will_it_scale,
)
from lazynuma.scenarios.common.claim import NEAR, Claim, Word

SCENARIOS = (
    autonuma_benchmark,
    tiering,
    perf_bench_numa,
    penalties,
    scan_cap,
    khugepaged_rate,
    move_pages_rate,
    tlb_shootdown,
    scan_stall,
    will_it_scale,
)
HEAD = """\
# Published figures

Which published figures are scenarios held against, and does the model reproduce them?
Written by `python docs/claims.py docs/claims.md` from runs at full size, with default
costs and seed 1. The figures are data of the scenarios (`claims` in each file). A
reduced size prints no comparison.

- *reproduced*: ours is within {near:.0f} % of the published effect, that is of what a
  ratio is above or below 1, or a share above 0. A figure without a sign (a count, a
  time, a rate) is within {near:.0f} % of it, or of the published range.
- *wrong sign*: the model says the opposite.
- *not reproduced*: everything between; an effect of less than 2 % is none.

Of {total} figures {reproduced} are reproduced, {not_reproduced} are not, and {wrong}
have the wrong sign. What a scenario is calibrated to is no claim: `autonuma_benchmark`
takes its cache lines per access from the times of the kernel without balancing. The
other scenarios are held against no published figure. [fidelity](fidelity.md) compares
what pages do, not how long it takes, with a real Linux.
"""


@dataclass(frozen=True)
class Section:
    """The claims of a scenario."""

    name: str
    source: str
    claims: list[Claim]

    def lines(self) -> list[str]:
        """Return the section as Markdown."""
        head = ["", f"## {self.name}", "", f"{self.source}.", ""]
        table = ["| figure | published | here | | why |", "|---|---|---|---|---|"]
        return [*head, *table, *(_row(claim) for claim in self.claims)]


def _row(claim: Claim) -> str:
    what = claim.what.replace("_", "\\_")
    cells = what, claim.published, claim.text(claim.ours), claim.word, claim.explained
    return f"| {' | '.join(cells)} |"


def rows_of(module: ModuleType, parameters: Any, path: Path | None) -> list[dict]:
    """Return the rows of a run: those of its file, or of a new run without one."""
    if path is None or not path.exists():
        return run_study(module.build(parameters), threads=os.cpu_count() or 1)
    with RunFile(path) as file:
        _check(file, path, parameters)
        columns = {name: file.summary[name] for name in file.summary}
        return [
            {key: _of(column, i) for key, column in columns.items()}
            | named(file.dimension, name)
            for i, name in enumerate(file.variants)
        ]


def _of(column: Any, number: int) -> Any:
    """Return a variant's value of a column, whose shape is that of the variants."""
    flat = column.reshape(-1)
    return flat[number] if number < flat.size else None


def _check(file: RunFile, path: Path, parameters: Any) -> None:
    """Exit if a file is not that of a finished run with these parameters and seed 1."""
    asked = json.loads(json.dumps(asdict(parameters), default=str))
    ran = json.loads(file.attributes["parameters"])
    if file.state != RunState.DONE or ran != asked or file.attributes["seed"] != 1:
        sys.exit(f"{path} must be of a finished run with {parameters} and seed 1")


def sections(folder: Path | None) -> list[Section]:
    """Run or read everything; return the claims of each scenario."""

    def path_of(name: str) -> Path | None:
        return folder / f"{name}.h5" if folder else None

    found = []
    for module in SCENARIOS:
        name = module.__name__.rpartition(".")[2]
        parameters = getattr(module, "CLAIMED", module.Parameters())
        rows = rows_of(module, parameters, path_of(name))
        found.append(Section(name, module.SOURCE, module.claims(parameters, rows)))
    return found


def text_of(found: list[Section]) -> str:
    """Return the page."""
    words = [claim.word for section in found for claim in section.claims]
    head = HEAD.format(
        near=100 * NEAR,
        total=len(words),
        reproduced=words.count(Word.REPRODUCED),
        not_reproduced=words.count(Word.NOT_REPRODUCED),
        wrong=words.count(Word.WRONG_SIGN),
    )
    return "\n".join([head.rstrip(), *(line for one in found for line in one.lines())])


def main() -> None:
    """Write the page."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else None
    Path(sys.argv[1]).write_text(text_of(sections(folder)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
