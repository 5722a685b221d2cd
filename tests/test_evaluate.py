"""results.json: its form, and what its scores say of models whose answer is known."""

import json

import numpy as np
import pytest

from refvae_jax import evaluate, ground_truth, scores
from refvae_jax.data.cache import ImageSet
from refvae_jax.data.source import Factors
from refvae_jax.distributions import Gaussian
from refvae_jax.ground_truth import Chance
from refvae_jax.splits import Splits

NAMES = [
    f"{z}/label/{p}_accuracy{s}"
    for z in ("content", "style")
    for p in ("paper", "strong")
    for s in ("", "/sample")
]


def test_results_have_the_contracts_form(trained):
    results = json.loads((trained / "results.json").read_text())
    assert results["method"] == "gmvae" and results["dataset"] == "digits5k"
    assert results["seed"] == 0 and results["steps"] == 20
    assert results["images_per_second"] > 0
    scores = results["scores"]
    assert {*NAMES, "swap/content/label/accuracy", "reconstruction/mse"} <= scores.keys()
    for name, row in scores.items():
        assert {"value", "chance", "better"} <= row.keys(), name
        assert row["better"] in ("higher", "lower")
    assert scores["style/label/strong_accuracy"]["better"] == "lower"
    assert "untrained" in scores["content/label/strong_accuracy"]


class Exact:
    """Images whose first pixel is the content (a label) and whose second is the style."""

    latent_names = ("content", "style")

    def encode(self, images):
        flat = images.reshape(len(images), -1)[:, :2].astype(np.float32)
        logvar = np.full((len(flat), 1), -20, np.float32)
        return {"content": Gaussian(flat[:, :1], logvar), "style": Gaussian(flat[:, 1:], logvar)}

    def means(self, images):
        return {name: q.mean for name, q in self.encode(images).items()}

    def prior_codes(self, n, seed):
        rng = np.random.default_rng(seed)
        return {"content": np.zeros((n, 1)), "style": rng.uniform(0, 200, (n, 1))}

    def decode(self, codes):
        pixels = np.concatenate([codes["content"], codes["style"]], axis=1)
        return pixels.round().astype(np.uint8).reshape(-1, 1, 2, 1)


class IgnoresStyle(Exact):
    """A generator that makes every picture with the same style."""

    def decode(self, codes):
        return super().decode(codes | {"style": np.full_like(codes["style"], 7)})


def make_images(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, 600).astype(np.int32)
    pixels = np.stack([label * 10, rng.integers(0, 200, 600)], axis=1).astype(np.uint8)
    style = pixels[:, 1:].astype(np.float32)
    factors = Factors(style, ("style",), np.zeros((600, 0), np.int32), {})
    return ImageSet(pixels.reshape(-1, 1, 2, 1), label, ("a", "b", "c", "d"), factors)


@pytest.fixture
def images():
    return make_images(0)


@pytest.fixture
def splits():
    return Splits(*(make_images(seed) for seed in range(4)))


JUDGES = scores.Judges(
    label=lambda images: images[:, 0, 0, 0] // 10,
    kinds=None,
    factors=lambda images: images[:, 0, 1].astype(np.float32),
)


def test_perfect_separation_through_the_decoder(images):
    found = scores.decoder_scores(Exact(), images, JUDGES, seed=0)
    assert found["swap/content/label/accuracy"] == 1
    assert found["swap/style/label/accuracy"] == pytest.approx(0.25, abs=0.08)
    assert found["swap/style/style/mae"] == 0 and found["swap/content/style/mae"] > 50
    assert found["swap/content/style_moved"] == pytest.approx(1, abs=0.02)
    assert found["resample/content/label/accuracy"] == 1
    assert found["resample/content/style/mae"] > 50
    assert found["resample/style/style/mae"] == 0
    assert found["resample/style/label/accuracy"] == np.mean(images.label == 0)  # Its prior.
    assert found["reconstruction/mse"] == 0 and found["reconstruction/style/mae"] == 0


@pytest.mark.parametrize(
    ("setting", "linear"), [("group", "paper_accuracy"), ("reference", "linear_accuracy")]
)
def test_perfect_separation_of_the_codes(splits, setting, linear):
    found = scores.code_scores(Exact(), splits, seed=0, setting=setting)
    assert found["content/label/strong_accuracy"] == 1
    assert found["style/label/strong_accuracy/sample"] == pytest.approx(0.25, abs=0.08)
    assert found[f"content/label/{linear}"] > 0.6 > found[f"style/label/{linear}"]
    constant = ground_truth.chance_levels(splits).mae["style"]
    assert found["style/style/mae"] < 1e-3 * constant
    assert found["style/style/r2"] == pytest.approx(1, abs=1e-3)
    assert found["content/style/mae"] == pytest.approx(constant, rel=0.05)
    assert found["content/average/strong_mae"] > 0.8 * constant


def test_classes_are_listed_while_they_are_few(splits):
    codes = [np.eye(4)[part.label] for part in splits[1:4]]
    labels = [np.where(part.label == 3, 0, part.label) for part in splits[1:4]]
    few = scores.class_scores(codes, labels, tuple("abcd"), 0, "reference")
    assert {name for name in few if "/" in name} == {f"linear_accuracy/{c}" for c in "abc"}
    assert few["balanced_accuracy"] == pytest.approx(1)
    many = scores.class_scores(codes, labels, tuple(map(str, range(30))), 0, "reference")
    assert many.keys() == {"linear_accuracy", "balanced_accuracy", "strong_accuracy"}


def test_an_ignored_style_is_seen_through_the_decoder_only(images):
    found = scores.decoder_scores(IgnoresStyle(), images, JUDGES, seed=0)
    assert found["swap/content/label/accuracy"] == 1
    assert found["swap/content/style_moved"] == pytest.approx(0.5, abs=0.1)
    assert found["swap/content/pixel_change"] == 0


def test_table_shows_what_is_known():
    values = {
        "content/label/paper_accuracy": 0.9,
        "style/label/paper_accuracy": 0.3,
        "reconstruction/mse": 0.01,
    }
    table = evaluate.assemble(
        values,
        {"content/label/paper_accuracy": 0.2},
        Chance(accuracy={"label": 0.1}, recall={}, mae={}, another={}, mse=0.07),
        evaluate.PAPER_SCORES["gmvae", "mnist"],
        {"label": "content"},
    )
    assert table["reconstruction/mse"] == {"value": 0.01, "chance": 0.07, "better": "lower"}
    name, *cells = evaluate.format_table(table).splitlines()[1].split()
    assert name == "content/label/paper_accuracy"
    assert cells == ["0.9000", "0.1000", "0.2000", "0.9920", "higher"]
    _, *cells = evaluate.format_table(table).splitlines()[2].split()
    assert cells == ["0.3000", "0.1000", "0.1390", "lower"]
    del table["content/label/paper_accuracy"], table["style/label/paper_accuracy"]
    assert evaluate.format_table(table).split("\n")[0].split() == [
        "score",
        "value",
        "chance",
        "better",
    ]


def test_an_average_over_numbers_of_different_latents_is_left_out():
    errors = dict.fromkeys(("age", "light", "average"), 0.3)
    known = Chance(accuracy={}, recall={}, mae=errors, another={}, mse=0.07)
    values = {f"content/{name}/mae": 0.1 for name in errors}
    carrier = {"age": "content", "light": "style"}
    table = evaluate.assemble(values, {}, known, {}, carrier)
    assert {name: row["better"] for name, row in table.items()} == {
        "content/age/mae": "lower",
        "content/light/mae": "higher",
    }
    assert len(evaluate.assemble(values, {}, known, {}, carrier | {"average": "content"})) == 3


def test_neighbouring_pictures_differ_in_label():
    labels = np.array([1, 1, 1, 0, 0, 2])
    order = evaluate.one_of_each(labels)
    np.testing.assert_array_equal(labels[order], [0, 1, 2, 0, 1, 1])
    assert sorted(order) == list(range(6))
    firsts = evaluate.one_of_each(np.repeat(np.arange(20), 10))[:20] % 10
    assert len(set(firsts)) > 5, "the same place in every group"


def test_what_knowing_nothing_scores(images):
    known = ground_truth.chance_levels(Splits(*[images] * 4))
    majority = np.bincount(images.label).max() / 600
    assert known.of("content/label/strong_accuracy/sample", False) == pytest.approx(majority)
    spread = (images.image / 255 - (images.image / 255).mean(0)) ** 2
    assert known.of("reconstruction/mse", False) == pytest.approx(spread.mean())
    deviation = np.abs(images.factors.values - images.factors.values.mean()).mean()
    for name in ("content/style/mae", "judge/style/mae", "content/average/strong_mae"):
        assert known.of(name, False) == pytest.approx(deviation, rel=1e-3), name
    assert known.of("content/style/r2", False) == 0
    assert known.of("swap/content/style_moved", False) == 0.5
