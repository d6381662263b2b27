"""Published figures beside ours: their words, and the page that lists them."""

import importlib.util
from pathlib import Path

import pytest

from lazynuma.engine.run import run_study
from lazynuma.scenarios import (
    autonuma_benchmark,
    move_pages_rate,
    penalties,
    perf_bench_numa,
    scan_stall,
    tiering,
    tlb_shootdown,
    will_it_scale,
)
from lazynuma.scenarios.common.claim import (
    Claim,
    Why,
    Word,
    figure,
    reduced,
    times,
    wrong_signs,
)

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
PAGE = ROOT / "docs" / "claims.md"
NAN, GIB, MIB = float("nan"), 1 << 30, 1 << 20


def ratio(published, ours, **more):
    return figure("ratio", published, ours, show=times, none=1, **more)


@pytest.mark.parametrize(
    ("published", "ours", "word"),
    [
        (1.48, 0.79, Word.WRONG_SIGN),  # numa01 split over native
        (1.47, 1.00, Word.NOT_REPRODUCED),
        (1.128, 0.960, Word.WRONG_SIGN),  # tiering, hot
        (1.30, 0.99, Word.NOT_REPRODUCED),  # nothing, not the opposite
        (1.40, 1.31, Word.REPRODUCED),
        (1.40, 1.29, Word.NOT_REPRODUCED),
        (0.5, 1.5, Word.WRONG_SIGN),
        (0.5, 0.6, Word.REPRODUCED),
    ],
)
def test_a_ratio_has_a_sign(published, ours, word):
    assert ratio(published, ours).word == word


@pytest.mark.parametrize(
    ("published", "ours", "word"),
    [
        (7426, 6741, Word.REPRODUCED),
        (105e6, 50e6, Word.NOT_REPRODUCED),
        (NAN, NAN, Word.REPRODUCED),
        (NAN, 2.0, Word.NOT_REPRODUCED),
        (2.0, NAN, Word.NOT_REPRODUCED),
    ],
)
def test_a_count_or_a_time_has_none(published, ours, word):
    assert figure("n", published, ours, show=str).word == word


def test_a_range_is_reproduced_within_it_and_near_it():
    def word(ours):
        return Claim("penalty", 0.10, 0.20, ours, show=str, none=0).word

    assert word(0.15) == word(0.1) == word(0.22) == Word.REPRODUCED
    assert word(0.30) == word(0.01) == Word.NOT_REPRODUCED
    assert word(-0.10) == Word.WRONG_SIGN
    assert Claim("p", 0.1, 0.2, 0.3, show=str).published == "0.1 to 0.2"


def test_a_sentence_counts_for_the_outcome_that_it_explains():
    why = Why(Word.WRONG_SIGN, "It is so.")
    (line,) = wrong_signs([ratio(1.5, 0.8, why=why), ratio(1.5, 1.5, why=why)])
    assert line == "Wrong sign: ratio is x0.80 here, x1.50 published. It is so."
    assert ratio(1.5, 1.5, why=why).explained == ""
    assert ratio(1.5, NAN).text(NAN) == "never"


def test_a_reduced_size_names_the_size_that_was_published():
    full = tiering.Parameters()
    assert reduced(full, full, ("memory", "accesses")) == []
    note = reduced(tiering.Parameters(accesses=8), full, ("memory", "accesses"))
    assert note[0].startswith("No comparison") and note[-1] == "accesses=24000000."
    note = reduced(tiering.Parameters(memory=4 * GIB), full, ("memory",))
    assert note[-1].endswith("memory=16GiB.")


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        (autonuma_benchmark, {"shrink": 8, "memory": 6 * GIB}),
        (tiering, {"memory": 4 * GIB}),
        (tiering, {"accesses": 2_000_000}),
        (penalties, {"memory": GIB}),
        (perf_bench_numa, {"seconds": 10}),
        (perf_bench_numa, {"mapped": 64 * MIB}),
    ],
)
def test_a_reduced_size_claims_nothing(module, parameters):
    assert module.claims(module.Parameters(**parameters), []) == []


SMALL = (
    (
        autonuma_benchmark,
        {"shrink": 32, "memory": 4 * GIB, "workloads": ("numa02",)},
        ("2012", "error"),
    ),
    (
        tiering,
        {"memory": 256 * MIB, "accesses": 20_000, "tasks": 2},
        ("published", "error"),
    ),
)


@pytest.mark.parametrize(("module", "parameters", "words"), SMALL)
def test_a_reduced_size_prints_a_note_and_no_comparison(module, parameters, words):
    study = module.build(module.Parameters(**parameters))
    shown = study.report(study, run_study(study))
    under = shown[shown.index("No comparison with published figures") :]
    before = shown[: -len(under)]
    assert not any(f"{word}\n" in before or f" {word} " in before for word in words)


def fake(module, columns, **fixed):
    """Return rows of a scenario at full size, every column NaN but for ``fixed``."""
    study = module.build(module.Parameters())
    names = [variant.name for variant in study.variants]
    dims = study.dimension if isinstance(study.dimension, tuple) else None
    return [
        dict.fromkeys(columns, NAN)
        | fixed
        | (dict(zip(dims, n, strict=True)) if dims else {study.dimension: n})
        for n in names
    ]


def claimed():
    """Return every claim of the scenarios with published measurements."""
    for module, columns, fixed in (
        (
            autonuma_benchmark,
            (),
            {
                **dict.fromkeys(("run_time_ns", "system_time_ns", "user_time_ns"), 1),
                **{column.name: 1 for column in autonuma_benchmark.COLUMNS},
            },
        ),
        (tiering, ("access_rate", "promotion_mb_per_s"), {}),
        (penalties, ("remote_penalty", "small_page_penalty"), {}),
        (perf_bench_numa, ("tasks_converged_ns", "gigabytes_per_s"), {}),
        (move_pages_rate, ("bytes_per_s",), {}),
        (tlb_shootdown, ("pages_per_s", "time_ns", "interrupts"), {}),
        (scan_stall, ("longest_ns",), {}),
        (will_it_scale, ("faults_per_s",), {}),
    ):
        yield from module.claims(module.Parameters(), fake(module, columns, **fixed))


def test_the_page_lists_every_figure_as_the_scenarios_have_it():
    page = PAGE.read_text("utf-8")
    claims = list(claimed())
    assert len(claims) >= 50
    for claim in claims:
        what = claim.what.replace("_", "\\_")
        assert f"| {what} | {claim.published} |" in page, claim.what


def test_the_page_explains_every_figure_that_is_not_reproduced():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("|") and "---" not in line and "| published |" not in line
    ]
    assert {row[3] for row in rows} <= set(Word)
    silent = [row[0] for row in rows if row[3] != Word.REPRODUCED and not row[4]]
    assert silent == []
    assert {len(row) for row in rows} == {5}


def test_the_page_counts_its_figures():
    spec = importlib.util.spec_from_file_location(
        "claims_page", ROOT / "docs/claims.py"
    )
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    section = page.Section("a_b", "Somebody", [ratio(1.5, 1.5), ratio(1.5, 0.7)])
    text = page.text_of([section])
    assert "Of 2 figures 1 are reproduced, 0 are not, and 1\nhave the wrong" in text
    assert "| ratio | x1.50 | x0.70 | wrong sign |  |" in text
