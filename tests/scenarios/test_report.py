"""``lazynuma report``: a page that needs nothing else, and pictures for papers."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from common.run_files import counters, process, writer
from lazynuma.engine.output.reader import RunState
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Cause, Refusal
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.report import figures, palette, sheet
from lazynuma.scenarios.report.figures import lines, lock_waits, replica_spread
from lazynuma.scenarios.report.gather import CELLS, POINTS, gather
from lazynuma.scenarios.report.many_runs import comparison_of, listing, shown
from lazynuma.scenarios.report.story import Story
from lazynuma.scenarios.report.swept_points import points_of

#: Huge pages, snapshots, refusals, and epochs that are short enough.
RUN = "mechanisms --set memory=256MiB --set thp=always --set epoch=500us"
RUN += " --set snapshots=0.001,0.004"
MOST = 3 << 20
VOID = {"meta", "link", "img", "input", "br", "hr", "path", "rect", "use"}


def run(path: Path, line: str, *more: str) -> Path:
    arguments = ["run", *line.split(), *more, "-o", str(path)]
    assert commands.main(arguments) == 0
    return path


def report(*arguments: object) -> int:
    return commands.main(["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def done(folder) -> Path:
    """The file of a finished run with all that pictures need."""
    return run(folder / "done.h5", RUN)


@pytest.fixture(scope="module")
def page(folder, done) -> str:
    assert report(done, "-o", folder / "done.html") == 0
    return (folder / "done.html").read_text()


@pytest.fixture(scope="module")
def swept(folder) -> Path:
    """The files of a small sweep."""
    path = folder / "sweep"
    path.mkdir()
    line = "mechanisms --set memory=64MiB --set mechanisms=none,eager,hinting"
    for tasks in (2, 4):
        for flush in (0, 1000):
            for seed in (1, 2):
                settings = ["--set", f"tasks={tasks}", "--seed", str(seed)]
                settings += ["--set", f"cost.tlb_flush_ns={flush}"]
                run(path / f"{tasks}-{flush}-{seed}.h5", line, *settings)
    return path


class Page(HTMLParser):
    """The elements of a page: (tag, attributes), in order, and texts of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.texts: dict[int, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        at = len(self.elements) - 1
        self.texts[at] = self.texts.get(at, "") + data

    def of(self, *tags: str) -> Iterator[tuple[dict, str]]:
        for at, (tag, attributes) in enumerate(self.elements):
            if tag in tags:
                yield attributes, self.texts.get(at, "").strip()


# --- one page -------------------------------------------------------------------------


def test_a_page_needs_nothing_else(page):
    assert len(page.encode()) < MOST
    found = Page(page)
    assert not found.open
    for tag, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    style = "".join(text for _, text in found.of("style"))
    assert "@import" not in style and "url(" not in style
    assert not re.search(r"https?://(?!www\.w3\.org/)", page)


def test_a_page_says_the_question_the_verdict_and_the_table(page, done):
    story = Story(gather(done))
    found = Page(page)
    assert [text for _, text in found.of("h1")] == [story.found["title"]]
    assert story.found["verdict"] in [text for _, text in found.of("p")]
    names = [text for a, text in found.of("th") if a.get("scope") == "row"]
    rows = re.findall(r'<th scope="row"><i[^>]*></i>(\w+)</th><td>([^<]*)', page)
    assert rows[: len(story.order)] == [
        (story.names[i], story.took(i)) for i in story.order
    ]
    times = [story.time(i) for i in story.order]
    assert times == sorted(times) and len(set(times)) > 1
    assert len(names) == len(page.split("<tbody>")[1:]) * len(story.names)


def test_a_page_has_each_picture_once_and_says_what_it_shows(page, done):
    found = Page(page)
    drawn = [a["id"].partition("-")[2] for a, _ in found.of("figure")]
    assert drawn == [one.name for one in figures.pictures(Story(gather(done)))]
    assert {
        "time_by_cause",
        "local_share",
        "node_pages",
        "block_strips",
        "fault_counts",
        "traffic_map",
        "huge_pages",
    } <= set(drawn)
    titles = [text for _, text in found.of("h3")]
    assert len(titles) == len(drawn) and all(titles)
    svgs = [a for a, _ in found.of("svg")]
    assert len(svgs) == len(drawn) - 1  # the strips are images
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for attributes in svgs:
        assert attributes["role"] == "img"
        assert {attributes["aria-labelledby"], attributes["aria-describedby"]} <= set(
            ids
        )
    assert all(text for _, text in found.of("desc"))
    assert all(attributes.get("alt") for attributes, _ in found.of("img"))


def test_tables_and_headings_can_be_followed_without_eyes(page):
    found = Page(page)
    assert next(a for a, _ in found.of("html"))["lang"] == "en"
    assert all(a.get("scope") in ("row", "col") for a, _ in found.of("th"))
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert len(list(found.of("caption"))) == len(list(found.of("table")))


def test_a_page_follows_the_theme(page):
    """Ink is the text's colour; what is named has a value by day and by night."""
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    day, night = page.split("prefers-color-scheme: dark")[:2]
    for name in used:
        assert f"{name}:" in day, name
        assert f"{name}:" in night, name
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, re.S))
    assert "currentColor" in svgs
    assert "#000000" not in svgs and "#ffffff" not in svgs


def test_provenance_is_folded_and_whole(page, done):
    story = Story(gather(done))
    folded = page.split("How these results came to be")[1]
    for text in (story.found["command"], "thp.enabled=always", "tlb_flush_ns=1000"):
        assert text in folded
    assert 'class="provenance"><summary>' in page


def test_the_same_file_gives_the_same_page(folder, done, page):
    assert report(done, "-o", folder / "again.html") == 0
    assert (folder / "again.html").read_text() == page


def test_texts_of_a_file_are_no_html(tmp_path):
    path = tmp_path / "run.h5"
    name = "<script>alert(1)</script>"
    file = writer(path, title="a <b> & c", variants=["none", name])
    for variant in range(2):
        for epoch in range(3):
            file.epoch(variant, 10 * epoch + 10, counters(epoch), [process(0)])
    file.close(RunState.STOPPED)
    assert report(path, "-o", tmp_path / "page.html") == 0
    text = (tmp_path / "page.html").read_text()
    assert "a &lt;b&gt; &amp; c" in text and "alert(1)" in text
    assert "<script>alert" not in text


# --- what the file has, and what it lacks ---------------------------------------------


def test_what_a_file_lacks_is_left_out(tmp_path):
    path = run(tmp_path / "bare.h5", "mechanisms --set memory=64MiB")
    names = [one.name for one in figures.pictures(Story(gather(path)))]
    assert "time_by_cause" in names
    lacking = {"local_share", "fault_counts", "block_strips", "huge_pages"}
    assert not lacking & set(names)
    assert report(path, "-o", tmp_path / "page.html") == 0
    text = (tmp_path / "page.html").read_text()
    assert "--set epoch=100ms" in text and "--set snapshots=0.5,1" in text


@pytest.fixture
def unfinished(tmp_path) -> Iterator[Path]:
    """A file that is being written: one of two variants has ended."""
    path = tmp_path / "live.h5"
    file = writer(path)
    row = {c.name: [0] * len(Refusal) if c.by_reason else 7 for c in SUMMARY}
    for variant in range(2):
        for epoch in range(3):
            file.epoch(variant, 10 * epoch + 10, counters(epoch), [process(0)])
    file.summary(0, row | {"run_time_ns": 30, "converged_ns": float("nan")})
    file.runtime(0, dict.fromkeys(("setup_s", "run_s", "output_s", "compile_s"), 0.0))
    file.flush()
    yield path
    file.close(RunState.STOPPED)


def test_a_live_file_and_a_killed_one_say_so(tmp_path, unfinished):
    page = tmp_path / "page.html"
    assert report(unfinished, "-o", page) == 0
    assert "This run is still going" in page.read_text()
    killed = tmp_path / "killed.h5"
    shutil.copy(unfinished, killed)
    assert report(killed, "-o", page, "--force") == 0
    text = page.read_text()
    assert "This run was killed" in text
    assert "1 of 2 variants have ended. The fastest of them is none: 30 ns." in text
    assert ">not ended<" in re.sub(r"<(/?)text[^>]*>", r"<\1text>", text)


def test_numbers_are_those_of_the_file(done):
    found = gather(done)
    story = Story(found)
    for i, row in enumerate(found["rows"]):
        one = found["series"][i]
        assert sum(one["faults"]) == row["faults"]
        assert sum(one["local"]) + sum(one["remote"]) == row["accesses"]
        assert len(one["time_ns"]) <= POINTS
        share = sum(one["local"]) / row["accesses"]
        assert share == pytest.approx(row["local_fraction"])
        moved = np.array(found["traffic"][i])
        assert np.trace(moved) / moved.sum() == pytest.approx(share, abs=1e-6)
    last = story.names.index("eager")
    pages = np.array(found["series"][last]["pages"])
    assert pages[:, -1].argmax() == found["nodes"].index(2)
    assert all(len(one["node"]) <= CELLS for one in found["snapshots"])
    for one in found["snapshots"]:
        assert sum(one["by_node"].values()) == one["blocks"]


def test_replicas_and_locks_are_drawn_if_they_are_there(done):
    story = Story(gather(done))
    assert replica_spread.picture(story) is None and lock_waits.picture(story)
    locks = story.found["tables"]["locks"]
    locks["wait_ns"] = [0 for _ in locks["lock"]]
    for row in story.rows:
        row["lock_wait_ns"] = 0
    assert lock_waits.picture(story) is None
    count = len(story.names)
    times = [[100.0 + i, 110.0 + i, 90.0 + i] for i in range(count)]
    story.found["replicas"] = {"seeds": [1, 2, 3], "values": {"run_time_ns": times}}
    found = replica_spread.picture(story)
    assert found and "20.0 % at most" in found.title
    story.found["tables"]["locks"] = {
        "variant": [0, 0, 1],
        "lock": ["mmap_lock", "anon_vma", "mmap_lock"],
        "wait_ns": [5, 2_000, 1_000],
    }
    found = lock_waits.picture(story)
    assert found and found.title == (
        "none waits longest for locks: 2.00 us, most of it for anon_vma"
    )
    for picture in (found, replica_spread.picture(story)):
        assert "<svg" in sheet.for_page(picture, "here")


def test_every_cause_has_a_colour_of_its_own():
    assert {cause.name.lower() for cause in Cause} <= set(palette.CAUSES)
    by_day, by_night = zip(*palette.CAUSES.values(), strict=True)
    assert len({*by_day}) == len({*by_night}) == len(palette.CAUSES)


def test_names_beside_lines_lie_apart():
    places = lines.apart([0.5, 0.1, 0.5, 0.52], 0.1)
    ordered = sorted(places)
    assert min(np.diff(ordered)) >= 0.1 - 1e-9
    assert places[1] == 0.1  # nothing is near it
    assert places.index(max(places)) == 3
    assert sum(places) == pytest.approx(0.5 + 0.1 + 0.5 + 0.52)


# --- many runs ------------------------------------------------------------------------


def test_a_sweep_is_compared_by_what_varies(swept, folder):
    assert report(swept, "-o", folder / "sweep.html") == 0
    text = (folder / "sweep.html").read_text()
    assert len(text.encode()) < MOST
    drawn = [a["id"].partition("-")[2] for a, _ in Page(text).of("figure")]
    assert drawn == [
        "best_over_tasks_cost_tlb_flush_ns",
        "over_tasks",
        "over_cost_tlb_flush_ns",
        "map_over_tasks_cost_tlb_flush_ns",
    ]
    assert "8 runs that differ in tasks, cost.tlb_flush_ns, 2 seeds each" in text
    assert text.count('<th scope="row">') == 8


def test_the_best_of_each_point_is_the_fastest(swept):
    stories = [Story(gather(path)) for path in sorted(swept.glob("*.h5"))]
    points = points_of(stories)
    assert [(one.name, one.values) for one in points.settings] == [
        ("tasks", ["2", "4"]),
        ("cost.tlb_flush_ns", ["0", "1000"]),
    ]
    for run_, story in enumerate(stories):
        best = points.best(run_, range(len(story.names)))
        times = [row["run_time_ns"] for row in story.rows]
        assert times[best] == min(times)
    rows = listing([story.stem for story in stories], points)
    told = comparison_of(points, rows).verdict
    counts = list(map(int, re.findall(r"best in (?:all )?(\d+)", told)))
    assert sum(counts) == len(stories)
    assert shown(stories, True) == [] and shown(stories[:2], True) == stories[:2]


def test_runs_that_differ_in_seeds_are_dots(swept, folder):
    pair = sorted(swept.glob("2-0-*.h5"))
    assert report(*pair, "-o", folder / "seeds.html") == 0
    text = (folder / "seeds.html").read_text()
    assert 'id="sweep-replica_spread"' in text
    assert 'id="run1"' in text and 'id="run2"' in text


def test_runs_of_different_questions_are_shown_one_by_one(swept, done, folder):
    one = next(swept.glob("*.h5"))
    assert report(one, done, "-o", folder / "two.html") == 0
    found = Page((folder / "two.html").read_text())
    assert [text for _, text in found.of("h1")] == ["2 runs"]
    assert len(list(found.of("h2"))) == 2
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))


# --- for papers -----------------------------------------------------------------------


def test_pictures_for_papers(folder, done):
    into = folder / "figures"
    assert report(done, "-o", folder / "with.html", "--figures", into) == 0
    names = {one.name for one in figures.pictures(Story(gather(done)))}
    files = {path.name for path in into.iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("svg", "pdf")}
    for name in names:
        svg = (into / f"{name}.svg").read_text()
        width, unit = re.search(r'<svg[^>]* width="([\d.]+)(\w+)"', svg).groups()
        assert (float(width), unit) == (pytest.approx(3.4 * 72), "pt")
        assert "<text" not in svg  # letters are paths
        pdf = (into / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"/FontFile2" in pdf
        assert b"/Type3" not in pdf


# --- refusals -------------------------------------------------------------------------


def refused(capsys, *arguments: object) -> str:
    assert report(*arguments) == 2
    text = capsys.readouterr().err.strip()
    assert text.count("\n") == 0
    return text


def test_what_is_no_file_of_a_run_is_refused(tmp_path, capsys, done):
    page = tmp_path / "page.html"
    text = tmp_path / "text.h5"
    text.write_text("nothing")
    whole = done.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole[: len(whole) // 2])
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (text, cut, tmp_path / "missing.h5", empty):
        assert str(path) in refused(capsys, path, "-o", page)
        assert str(path) in refused(capsys, done, path, "-o", page)
    assert not page.exists()


def test_a_file_that_is_damaged_inside_is_refused_or_drawn(tmp_path, capsys, done):
    whole = bytearray(done.read_bytes())
    rng = np.random.default_rng(5)
    for number in range(4):
        bad = bytearray(whole)
        for at in rng.integers(2_000, len(bad), 200):
            bad[at] ^= 0xFF
        path = tmp_path / f"{number}.h5"
        path.write_bytes(bad)
        status = report(path, "-o", tmp_path / f"{number}.html")
        assert status in (0, 2)
        assert capsys.readouterr().err.count("\n") <= 1
        assert (tmp_path / f"{number}.html").exists() == (status == 0)


def test_a_file_of_a_run_that_has_just_begun_is_refused(tmp_path, capsys):
    path = tmp_path / "new.h5"
    writer(path).close(RunState.STOPPED)
    text = refused(capsys, path, "-o", tmp_path / "page.html")
    assert "must hold an epoch or a variant that has ended" in text
    assert not (tmp_path / "page.html").exists()


def test_nothing_is_replaced_without_force(tmp_path, capsys, done):
    page, into = tmp_path / "page.html", tmp_path / "figures"
    page.write_text("mine")
    assert "--force" in refused(capsys, done, "-o", page)
    assert page.read_text() == "mine"
    into.mkdir()
    (into / "time_by_cause.svg").write_text("mine")
    page.unlink()
    assert "--force" in refused(capsys, done, "-o", page, "--figures", into)
    assert not page.exists() and len(list(into.iterdir())) == 1
    assert report(done, "-o", page, "--figures", into, "--force") == 0
    assert "<svg" in (into / "time_by_cause.svg").read_text()


def test_too_many_runs_that_are_not_to_be_compared(tmp_path, capsys, done, swept):
    files = [done, *swept.glob("*.h5")]
    assert "at most 8 runs" in refused(capsys, *files, "-o", tmp_path / "page.html")


def test_without_the_extra_one_line_says_so(tmp_path, capsys, monkeypatch, done):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    text = refused(capsys, done, "-o", tmp_path / "page.html")
    assert "pip install 'lazynuma[report]'" in text


def test_plain_data_is_ready_for_json(done):
    found = gather(done)
    assert json.loads(json.dumps(found)) == found


# --- the file of many runs ------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(folder) -> Path:
    """A file as collect makes it, of two settings, two seeds and two variants."""
    path = folder / "all.nc"
    times = 100.0 + np.arange(24).reshape(3, 2, 2, 2)
    times[..., 1] = 90  # the second variant is faster
    times[0, :, :, 1] = 1_000  # but with few tasks
    times[2, 1] = np.nan  # no run
    axes = ("tasks", "cost_tlb_flush_ns", "seed", "mechanism")
    about = {"units": "ns", "long_name": "simulated time", "style": "ratio"}
    xr.Dataset(
        {
            "run_time_ns": (axes, times, about),
            "pages_refused_by": ((*axes, "reason"), np.zeros((*times.shape, 3))),
        },
        {
            "tasks": ("tasks", [2, 8, 32], {"long_name": "tasks"}),
            "cost_tlb_flush_ns": (
                axes[1],
                [0, 500],
                {"long_name": "cost.tlb_flush_ns"},
            ),
            "seed": [1, 2],
            "mechanism": ["none", "hinting"],
            "reason": ["a", "b", "c"],
        },
        {"title": "What is it?", "software": "lazynuma"},
    ).to_netcdf(path, engine="h5netcdf")
    return path


def test_a_collected_file_is_drawn_as_a_sweep(whole, folder):
    assert report(whole, "-o", folder / "all.html") == 0
    text = (folder / "all.html").read_text()
    assert "hinting is best in 6 of 10 runs (tasks 8 and 32)" in text
    assert "none is best in 4 of 10 runs (tasks 2)" in text
    assert "10 runs that differ in tasks, cost.tlb_flush_ns, 2 seeds each" in text
    drawn = [a["id"].partition("-")[2] for a, _ in Page(text).of("figure")]
    assert drawn[0] == "best_over_tasks_cost_tlb_flush_ns" and len(drawn) == 4
    assert text.count('<th scope="row">') == 10


def test_a_collected_file_is_given_alone(whole, done, tmp_path, capsys):
    assert "alone" in refused(capsys, whole, done, "-o", tmp_path / "page.html")


# --- the documents --------------------------------------------------------------------


def test_pictures_of_documents_are_there_and_small():
    root = Path(__file__).parents[2]
    shown_ = []
    for page_ in (root / "README.md", root / "docs" / "report.md"):
        names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page_.read_text())
        shown_ += [page_.parent / name for name in names]
    assert len(shown_) == 9
    for path in shown_:
        assert path.read_bytes().count(b"<svg") == 1
        assert path.stat().st_size < 200_000, path
    written = {root / "docs" / "verdict.svg", *(root / "docs/figures").glob("*.svg")}
    assert set(shown_) == written


def test_the_page_of_reports_names_every_picture():
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", text, re.M)
    source = "".join(
        path.read_text() for path in Path(figures.__file__).parent.glob("*.py")
    )
    named = re.findall(r'Picture\(\n +"(\w+)"', source)
    assert sorted(listed) == sorted(named) and len(listed) == 13
