"""Tables of scores on the page: what is in a line, and what is better than what."""

import json
import re
from pathlib import Path

import pytest

from refvae_jax.evaluation.questions import question
from refvae_jax.evaluation.score import Score
from refvae_jax.reports.finished_runs import FinishedRun
from refvae_jax.reports.page import scores
from tests.conftest import ROOT
from tests.reports.conftest import SCORES


def run_of(found, name="a", method="gmvae", dataset="digits5k"):
    return FinishedRun(Path(name), method, dataset, 0, 600, {}, found, 500, None)


def factors(values, latent="target", better="lower"):
    return [
        Score(value, "mae", "mean", better, 0.2, latent, name)
        for name, value in zip(("red", "size", "average"), values, strict=True)
    ]


def test_main_lines_are_those_of_the_papers_table():
    (sheet,) = scores.main_sheets([run_of(SCORES)])
    ((heading, lines),) = sheet.blocks
    assert heading == ""
    assert [(line.name, line.one.value, line.papers) for line in lines] == [
        ("content, strong", 0.93, [None]),
        ("content, paper's probe", 0.99, [0.992]),
        ("style, strong", 0.69, [None]),
        ("swapped style", 0.875, [None]),
    ]
    assert sheet.has_papers and sheet.limit == 1


def test_the_reference_papers_numbers_stand_beside_its_methods():
    codes = factors([0.05, 0.06, 0.055]) + factors([0.2, 0.1, 0.15], "common", "higher")
    (sheet,) = scores.main_sheets([run_of(codes, "a", "rbvae", "reference_mnist/32x32")])
    target, common = sheet.blocks
    assert target.heading == "*from* `target`"
    assert [line.papers for line in target.lines] == [[0.065], [0.061], [0.070]]
    assert common.heading == "*from* `common`"
    assert [line.papers for line in common.lines] == [[None], [None], [0.195]]
    assert sheet.limit == 0.2


def test_runs_of_several_kinds_have_a_table_of_each():
    runs = [run_of(SCORES), run_of(factors([0.1, 0.1, 0.1], "z"), "b", "vae")]
    group, factor = scores.main_sheets(runs)
    assert [score is None for score in group.lines[0].scores] == [False, True]
    assert [score is None for score in factor.lines[0].scores] == [True, False]
    assert scores.main_sheets([run_of(SCORES[4:5])]) == []


def test_every_score_is_in_one_of_the_tables():
    unknown = SCORES[0]._replace(value=float("nan"), probe="paper_accuracy", latent="style")
    main, detail = scores.whole_sheets([run_of([*SCORES, unknown])])
    names = [line.name for line in main.lines + detail.lines]
    assert sorted(names) == sorted(score.name for score in SCORES)
    assert [line.name for line in detail.lines] == ["style/width/mae/sample"]
    assert [block.heading for block in main.blocks] == [
        "Read from the posterior means",
        "Seen in swaps",
        "Seen in reconstructions",
    ]
    assert scores.whole_sheets([]) == []


@pytest.mark.parametrize(
    ("better", "first", "second", "expected"),
    [
        ("higher", 0.5, 0.6, (0.1, "better")),
        ("lower", 0.5, 0.6, (0.1, "worse")),
        ("lower", 0.6, 0.5, (-0.1, "better")),
        ("higher", 0.6, 0.5, (-0.1, "worse")),
        ("higher", 0.5, 0.5004, (0.0004, "")),
    ],
)
def test_a_difference_is_better_in_the_direction_of_the_score(better, first, second, expected):
    one, two = (Score(value, "accuracy", "mean", better, 0.1) for value in (first, second))
    line = scores.Line("x", "", [one, two, None], [None] * 3)
    found = scores.change(line, 1)
    assert found.amount == pytest.approx(expected[0]) and found.verdict == expected[1]
    assert scores.change(line, 0) is None and scores.change(line, 2) is None
    assert scores.change(line._replace(scores=[None, two]), 1) is None


# What the names in docs/scores.md stand for.
EXAMPLES = {
    score.name: score
    for score in (
        Score(0, "strong_accuracy", "mean", "higher", 0, "content", "label"),
        Score(0, "paper_accuracy", "mean", "higher", 0, "content", "label"),
        Score(0, "mae", "mean", "lower", 0, "target", "red"),
        Score(0, "r2", "mean", "higher", 0, "target", "red"),
        Score(0, "strong_mae", "mean", "lower", 0, "target", "red"),
        Score(0, "linear_accuracy", "mean", "higher", 0, "common", "label"),
        Score(0, "balanced_accuracy", "mean", "higher", 0, "common", "label"),
        Score(0, "accuracy", "swap", "higher", 0, "content", "label"),
        Score(0, "moved", "swap", "higher", 0, "content", "style"),
        Score(0, "pixel_change", "swap", "higher", 0, "content"),
        Score(0, "accuracy", "resample", "higher", 0, "content", "label"),
        Score(0, "mse", "reconstruction", "lower", 0),
        Score(0, "accuracy", "reconstruction", "higher", 0, "", "label"),
        Score(0, "accuracy", "images", "higher", 0, "", "label"),
    )
}


def test_the_documentation_asks_the_same_questions():
    text = (ROOT / "docs" / "scores.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE))
    assert {name: rows.get(name) for name in EXAMPLES} == {
        name: question(score) for name, score in EXAMPLES.items()
    }


def test_questions_name_classes_and_averages():
    score = Score(0, "linear_accuracy", "mean", "higher", 0, "z", "label", "sad")
    assert question(score).startswith("Can class `sad` be read from the posterior mean of `z`?")
    assert "the average factor" in question(EXAMPLES["target/red/mae"]._replace(factor="average"))
    assert "one posterior sample" in question(EXAMPLES["target/red/mae"]._replace(source="sample"))
    assert question(score._replace(probe="spread")) == ""


@pytest.mark.slow
def test_every_measure_has_a_question(trained):
    rows = json.loads((trained / "results.json").read_text())["scores"]
    for score in (Score(**row) for row in rows.values()):
        assert question(score), score.name
