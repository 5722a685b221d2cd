"""Scores: their names, and the way to results.json and back."""

import json

import pytest

from refvae_jax.evaluation.score import Score, from_json

SCORE = Score(0.5, "strong_accuracy", "sample", "lower", 0.1, "style", "label", untrained=0.0)


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (SCORE, "style/label/strong_accuracy/sample"),
        (SCORE._replace(source="mean"), "style/label/strong_accuracy"),
        (
            Score(0.9, "moved", "swap", "higher", 0.5, "content", "style"),
            "swap/content/style_moved",
        ),
        (Score(0.9, "pixel_change", "swap", "higher", 0, "common"), "swap/common/pixel_change"),
        (Score(0.9, "mse", "reconstruction", "lower", 0.1), "reconstruction/mse"),
        (Score(0.9, "accuracy", "images", "higher", 0.1, factor="label"), "judge/label/accuracy"),
    ],
)
def test_names(score, name):
    assert score.name == name


def test_a_class_called_sample_does_not_take_the_name_of_the_accuracy_from_a_sample():
    overall = SCORE._replace(probe="linear_accuracy")
    of_class = overall._replace(source="mean", class_name="sample")
    assert of_class.name != overall.name
    assert from_json({s.name: s.to_json() for s in (overall, of_class)}) == [overall, of_class]


def test_results_json_and_back():
    zero = SCORE._replace(value=0.0, paper=0.0)
    rows = {score.name: score.to_json() for score in (SCORE, zero._replace(source="mean"))}
    assert from_json(json.loads(json.dumps(rows))) == [SCORE, zero._replace(source="mean")]
    assert "paper" not in SCORE.to_json()


def test_rows_of_older_results_are_refused():
    with pytest.raises(TypeError):
        from_json({"style/label/strong_accuracy": {"value": 0.5, "chance": 0.1, "better": "lower"}})
