"""What a notebook shows: rows as tables, a bar, and what an interrupted cell leaves."""

import importlib.util
import json
import pickle
import queue
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

import lazynuma
from common.studies import study_of
from lazynuma.engine import preset, run_study
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.study.study_rows import Rows
from lazynuma.scenarios.cli import from_python, progress
from lazynuma.scenarios.common.table import table

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "first_study.ipynb"
SMALL = {"memory": "128MiB", "mechanisms": "none,hinting"}


# --- rows -----------------------------------------------------------------------------


def test_rows_are_a_list_of_dicts():
    rows = run_study(study_of("a", "b"))
    assert isinstance(rows, list) and type(rows[0]) is dict
    assert rows == list(rows)
    copy = pickle.loads(pickle.dumps(rows))  # steps cannot be pickled
    assert type(copy) is list and [row["mechanism"] for row in copy] == ["a", "b"]


def test_rows_are_shown_as_on_the_screen():
    rows = lazynuma.run("mechanisms", SMALL)
    html = rows._repr_html_()
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    text = table(rows._study, rows)
    lines = [re.split(r"  +", line) for line in text.split("\n")]
    lines = [line for line in lines if line[0] in ("none", "hinting") and line[1:]]
    assert len(lines) >= 6  # three tables of two variants
    assert all(cell in cells for line in lines for cell in line)
    assert "hinting is fastest" in html
    assert html.count("<table>") == html.count("</table>") >= 2


def test_everything_in_it_is_escaped():
    study = replace(
        study_of("<b>bold</b>", "b&c"),
        question="<script>alert(1)</script>",
        verdict=lambda study, rows: "<i>best</i>",
        report=lambda study, rows: "<u>said</u>",
    )
    html = run_study(study)._repr_html_()
    for bad in ("<script>", "<b>bold", "<i>", "<u>", "b&c"):
        assert bad not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "b&amp;c" in html
    assert "&lt;u&gt;said&lt;/u&gt;" in html


def test_no_rows_are_shown_as_the_question():
    assert Rows(study_of("a"), [])._repr_html_() == "<p>Does it run?</p>"


def test_a_study_and_a_machine_are_shown_in_short():
    html = replace(study_of("<a>", "b"), question="A & B?")._repr_html_()
    assert "A &amp; B?" in html and "<li>&lt;a&gt;</li><li>b</li>" in html
    html = replace(preset("2s", 8 << 30), name="<2s>")._repr_html_()
    assert "&lt;2s&gt;" in html and html.count("<tr>") == 3
    assert re.search(r"<td>0</td><td>\d+</td><td>4 GiB</td><td>0</td>", html)


# --- lazynuma.run ---------------------------------------------------------------------


def test_settings_are_those_of_set(tmp_path):
    path = tmp_path / "out.h5"
    settings = {"balancing.scan_size_mb": "512", "cost.tlb_flush_ns": 7}
    rows = lazynuma.run("mechanisms", settings, **SMALL, seed=3, output=path)
    assert [row["mechanism"] for row in rows] == ["none", "hinting"]
    with RunFile(path) as file:
        assert file.attributes["seed"] == 3
        assert json.loads(file.attributes["costs"])["tlb_flush_ns"] == 7
        parameters = json.loads(file.attributes["parameters"])
        assert parameters["balancing"]["scan_size_mb"] == 512


def test_a_bar_is_the_notebooks_if_it_has_one(monkeypatch):
    made = []

    class Bar:
        disable = False
        n = start_t = last_print_t = 0

        def __init__(self, **options):
            made.append(self)
            self.said, self.total = [], options["total"]

        def set_description(self, text):
            self.said.append(text)

        def set_postfix_str(self, text, refresh):
            self.said.append(text)

        def update(self, accesses):
            self.n += accesses

        def close(self):
            self.said.append("closed")

    monkeypatch.setattr(from_python, "_bar_of_notebook", lambda: Bar)
    lazynuma.run("mechanisms", **SMALL)
    (bar,) = made
    assert bar.total > 0 and bar.said[-1] == "closed"
    assert "none (1/2)" in bar.said and "hinting (2/2)" in bar.said


def test_an_interrupted_cell_leaves_a_readable_file(tmp_path, monkeypatch):
    def interrupt(self, variant):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "ended", interrupt)
    path = tmp_path / "out.h5"
    with pytest.raises(KeyboardInterrupt):
        lazynuma.run("mechanisms", **SMALL, output=path)
    with RunFile(path) as file:
        assert file.state == RunState.STOPPED


# --- a real kernel --------------------------------------------------------------------


def notebooks():
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    script = EXAMPLE.parents[1] / "notebooks.py"
    spec = importlib.util.spec_from_file_location("notebooks", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(book):
    """Return what the cells of a notebook show, but times of this machine."""
    html = [
        output["data"].get("text/html", output["data"]["text/plain"])
        for cell in book.cells
        for output in cell.get("outputs", [])
        if output["output_type"] in ("execute_result", "display_data")
    ]
    text = re.sub(r"<details>.*?</details>", "", "\n".join(html), flags=re.S)
    return re.sub(r"[\d.,]+ (us|ms|s)(?=</td></tr>)", "TIME", text)


def test_the_example_runs_and_shows_what_is_kept_in_it():
    module = notebooks()
    import nbformat

    kept = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(kept)
    assert kept.cells[1].outputs, "python docs/notebooks.py"
    fresh = module.executed(EXAMPLE)
    if importlib.util.find_spec("matplotlib") is None:
        fresh.cells[5].outputs = kept.cells[5].outputs
    assert shown(fresh) == shown(kept)


def stopped(manager, client, asked, patience):
    """Press the stop button, again if nothing comes of it; return the answer."""
    reply = {"parent_header": {}}
    while reply["parent_header"].get("msg_id") != asked:
        manager.interrupt_kernel()
        try:
            reply = client.get_shell_msg(timeout=60)
        except queue.Empty:
            assert time.monotonic() < patience
    return reply


def test_the_stop_button_of_a_notebook_leaves_a_readable_file(tmp_path):
    notebooks()
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        asked = client.execute(
            "import lazynuma\n"
            "lazynuma.run('mechanisms', memory='4TiB', output='out.h5')"
        )
        patience = time.monotonic() + 300
        while not (tmp_path / "out.h5").exists() and time.monotonic() < patience:
            time.sleep(0.1)
        reply = stopped(manager, client, asked, patience + 300)
        assert reply["content"]["status"] == "error"
        assert reply["content"]["ename"] == "KeyboardInterrupt"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    with RunFile(tmp_path / "out.h5") as file:
        assert file.state == RunState.STOPPED
