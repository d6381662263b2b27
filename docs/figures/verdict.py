"""Draw the pictures of the documents: runs, and what ``lazynuma report`` makes of them.

    pip install -e '.[report]' && python docs/figures/verdict.py docs

Writes ``verdict.svg``, the README's, and those of ``report.md`` into ``figures/``.
Runs ``mechanisms`` with huge pages, ``thp_unit``, and some small points of a sweep:
half a minute once the kernels are compiled.  The same runs give the same files.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lazynuma.scenarios.cli import main
from lazynuma.scenarios.report.figures import over_settings, pictures
from lazynuma.scenarios.report.gather import gather
from lazynuma.scenarios.report.sheet import Picture, for_document
from lazynuma.scenarios.report.story import Story
from lazynuma.scenarios.report.swept_points import points_of

#: The README's: a job of 8 GiB in huge pages on a machine of 64 GiB.
VERDICT = "mechanisms --set memory=64GiB --set thp=always --set epoch=100ms"
BLOCKS = "thp_unit --set memory=8GiB --set epoch=50ms --set snapshots=0.2,0.5,1"
POINT = "mechanisms --set memory=4GiB --set mechanisms=none,eager,hinting"
TASKS, FLUSHES = (2, 8, 32), (0, 500, 1000)


def story(folder: Path, line: str) -> Story:
    """Run a scenario and return what its file tells."""
    path = folder / "run.h5"
    if main(["run", *line.split(), "-o", str(path), "--force"]):
        raise SystemExit(f"failed: {line}")
    return Story(gather(path))


def runs(folder: Path) -> Iterator[tuple[str, Picture]]:
    """Yield (file, picture) of all pictures that the documents show."""
    found = {one.name: one for one in pictures(story(folder, VERDICT))}
    yield "verdict.svg", found["time_by_cause"]
    for name in ("local_share", "node_pages", "traffic_map", "fault_counts"):
        yield f"figures/{name}.svg", found[name]
    found = {one.name: one for one in pictures(story(folder, BLOCKS))}
    for name in ("block_strips", "huge_pages"):
        yield f"figures/{name}.svg", found[name]
    points = [
        story(folder, f"{POINT} --set tasks={tasks} --set cost.tlb_flush_ns={flush}")
        for tasks in TASKS
        for flush in FLUSHES
    ]
    compared = points_of(points)
    assert compared is not None
    found = {one.name: one for one in over_settings(compared)}
    for name in ("best_over_tasks_cost_tlb_flush_ns", "over_tasks"):
        yield f"figures/{name}.svg", found[name]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in runs(Path(folder)):
            path = Path(sys.argv[1], name)
            path.write_text(for_document(picture), encoding="utf-8")
            print(f"{path}: {picture.title}")
