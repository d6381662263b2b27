"""The page of ``lazynuma report`` in a real browser: chromium without a screen.

A probe is added to a copy of the page: it notes errors from the first line on, moves
the slider, measures, and leaves what it found in the page, which chromium prints.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lazynuma.scenarios.cli import commands

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")

RUN = "mechanisms --set memory=256MiB --set thp=always --set epoch=500us"
RUN += " --set mechanisms=none,eager,lazy_migcache,hinting --set snapshots=0.001,0.004"
#: Noted before anything else of the page runs.
NOTES = """<script>
const wrong = [];
addEventListener("error", event => wrong.push(String(event.message)), true);
for (const kind of ["error", "warn"]) console[kind] = text => wrong.push(String(text));
</script>"""
PROBE = """<script>
const measure = page => ({
  width: page.documentElement.clientWidth,
  wide: page.documentElement.scrollWidth,
  figures: [...page.querySelectorAll("figure")].map(figure => {
    const drawing = figure.querySelector("svg.plot, .now img");
    const box = drawing ? drawing.getBoundingClientRect() : {width: 0, height: 0};
    return [figure.id, box.width, box.height];
  }),
});
const moments = () => [...document.querySelectorAll(".moment")]
  .map(moment => moment.getBoundingClientRect().height > 0);
const slider = document.querySelector(".strips input[type=range]");
const move = value => {
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
  return [moments(), document.querySelector(".strips output").textContent];
};
const style = getComputedStyle(document.body);
const ink = getComputedStyle(document.querySelector("svg.plot text"));
const narrow = document.createElement("iframe");
const found = {
  start: moments(), first: move(1), last: move(2),
  images: [...document.images].map(image => image.naturalWidth),
  requests: performance.getEntriesByType("resource").map(one => one.name)
    .filter(name => !name.startsWith("data:")),
  colours: [style.backgroundColor, style.color, ink.fill],
  ...measure(document),
};
dispatchEvent(new Event("beforeprint"));
found.unfolded = [...document.querySelectorAll("details")].every(one => one.open);
dispatchEvent(new Event("afterprint"));
found.folded = [...document.querySelectorAll("details")].every(one => !one.open);
narrow.width = 400;
narrow.style.border = "0";
narrow.height = 800;
narrow.onload = () => {
  found.narrow = measure(narrow.contentDocument);
  found.wrong = wrong;
  const left = document.createElement("script");
  left.type = "application/json";
  left.id = "found";
  left.textContent = JSON.stringify(found);
  document.body.append(left);
};
narrow.srcdoc = document.documentElement.outerHTML
  .replaceAll(/<script>.*?<\\/script>/gs, "");
document.body.append(narrow);
</script>"""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += ["--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    return subprocess.run(
        [str(CHROMIUM), *options, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    run, page = folder / "run.h5", folder / "page.html"
    assert commands.main(["run", *RUN.split(), "-o", str(run)]) == 0
    assert commands.main(["report", str(run), "-o", str(page)]) == 0
    return page


def probed(page: Path, *options: str) -> dict:
    text = page.read_text().replace("<head>", f"<head>{NOTES}", 1)
    copy = page.with_name("probed.html")
    copy.write_text(text.replace("</body>", f"{PROBE}</body>"))
    size = ["--window-size=1000,900", "--virtual-time-budget=20000"]
    done = chromium(page.parent, *size, *options, "--dump-dom", copy.as_uri())
    left = re.search(
        r'<script type="application/json" id="found">(.*?)</script>', done.stdout, re.S
    )
    assert left, done.stderr[-2000:]
    return json.loads(left[1])


@pytest.fixture(scope="module")
def found(page) -> dict:
    return probed(page)


def test_no_error_and_no_request(found):
    assert found["wrong"] == [] and found["requests"] == []


def test_every_picture_is_there(found, page):
    names = re.findall(r'<figure id="([^"]*)"', page.read_text())
    assert [name for name, _, _ in found["figures"]] == names and len(names) > 5
    for name, width, height in found["figures"]:
        assert width > 300 and height > 15, name
    assert found["images"] and all(found["images"])


def test_the_slider_shows_one_snapshot_at_a_time(found):
    assert found["start"] == [False, True]
    assert found["first"] == [[True, False], "snapshot 1 of 2"]
    assert found["last"] == [[False, True], "snapshot 2 of 2"]


def test_a_narrow_page_scrolls_its_pictures_alone(found):
    assert found["narrow"]["width"] == 400
    for one in (found, found["narrow"]):
        assert one["wide"] <= one["width"]
    for name, width, _ in found["narrow"]["figures"]:
        assert width > 200, name


def test_what_is_folded_is_open_on_paper(found, page):
    assert found["unfolded"] and found["folded"]
    pdf = page.with_name("page.pdf")
    chromium(page.parent, f"--print-to-pdf={pdf}", page.as_uri())
    assert pdf.read_bytes().startswith(b"%PDF")


def test_the_page_follows_the_theme(found, page):
    dark = probed(page, "--blink-settings=preferredColorScheme=0")
    assert found["colours"][0] == "rgb(255, 255, 255)"
    assert dark["colours"][0] == "rgb(21, 23, 28)"
    for one in (found, dark):
        assert one["colours"][1] == one["colours"][2] != one["colours"][0]
