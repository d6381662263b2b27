"""``lazynuma report``: one page of HTML that shows what runs came to."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....engine.errors import BadInput, printable
from ..apart import apart

if TYPE_CHECKING:
    from ...report.many_runs import Comparison
    from ...report.sheet import Picture
    from ...report.story import Story


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files, and where the page and the pictures go."""
    parser.add_argument(
        "files",
        metavar="FILE.h5|DIR",
        nargs="+",
        help="the files of runs; a folder stands for all files in it, as of a sweep",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE.html",
        default="report.html",
        help="the page (default: %(default)s)",
    )
    parser.add_argument(
        "--figures",
        metavar="DIR",
        help="write each picture as SVG and PDF for a paper, too",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the page and the pictures"
    )


def execute(options: argparse.Namespace) -> None:
    """Read the files, draw, and write the page; nothing if anything is wrong."""
    from ....engine.output.place import check_output, placed
    from ...report.html_page import page
    from ...report.sheet import check_libraries

    check_libraries()
    check_output(options.output, options.force)
    found = [_found(path, options.debug) for path in _paths(options.files)]
    chosen, comparison = _told(found)
    text = page(chosen, comparison)
    files = {Path(options.output): text.encode()}
    if options.figures is not None:
        folder = _folder(options.figures)
        files |= {folder / name: data for name, data in _for_paper(chosen, comparison)}
    for path in files:
        check_output(path, options.force)
    for path, data in files.items():
        with placed(path, options.force) as new:
            new.write_bytes(data)
    print(f"written to {printable(options.output)}")
    if options.figures is not None:
        print(f"{len(files) - 1} pictures in {printable(options.figures)}")


def _paths(given: list[str]) -> list[str]:
    """Return the files, those of folders in the order of their names."""
    paths: list[str] = []
    for one in given:
        inside = sorted(Path(one).glob("*.h5")) if Path(one).is_dir() else [Path(one)]
        if not inside:
            raise BadInput(f"folder must hold files of runs, got {one}, which has none")
        paths += map(str, inside)
    return paths


def _found(path: str, debug: bool) -> dict[str, Any]:
    """Return what a file holds: it is read in a process of its own."""
    return json.loads(apart(_gathered, path, debug))


def _gathered(path: str) -> str:
    from ...report.collected_file import collected, is_collected
    from ...report.gather import gather

    return json.dumps(collected(path) if is_collected(path) else gather(path))


def _told(
    found: list[dict[str, Any]],
) -> tuple[list["Story"], "Comparison | None"]:
    """Return the runs that are shown one by one, and the comparison of all."""
    from ...report.collected_file import TYPE, points_in
    from ...report.many_runs import comparison_of, listing, shown
    from ...report.story import Story
    from ...report.swept_points import points_of

    whole = [one for one in found if one.get("type") == TYPE]
    if whole and len(found) > 1:
        raise BadInput("a file that collect made must be given alone, got others too")
    if whole:
        points = points_in(whole[0])
        names = [f"run {number + 1}" for number in range(len(points.at))]
        return [], comparison_of(points, listing(names, points))
    stories = [Story(one) for one in found]
    for story in stories:
        if story.is_empty:
            raise BadInput(
                "file must hold an epoch or a variant that has ended, got"
                f" {story.found['file']}, whose run had come to neither"
            )
    some = points_of(stories)
    if some is None:
        return shown(stories, False), None
    rows = listing([story.stem for story in stories], some)
    return shown(stories, True), comparison_of(some, rows)


def _folder(name: str) -> Path:
    """Return the folder of the pictures, made if it is not there."""
    folder = Path(name)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"--figures must be a folder to write to: {error}") from error
    return folder


def _for_paper(
    stories: list["Story"], comparison: "Comparison | None"
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, data) of each picture; names of several runs begin with the run."""
    from ...report.figures import pictures
    from ...report.sheet import for_paper

    groups: list[tuple[str, list[Picture]]] = []
    if comparison is not None:
        groups.append(("", comparison.pictures))
    for story in stories:
        alone = len(stories) == 1 and comparison is None
        groups.append(("" if alone else f"{story.stem}-", pictures(story)))
    for prefix, found in groups:
        for picture in found:
            for name, data in for_paper(picture).items():
                yield f"{prefix}{name}", data
