"""results.json: its form, and what its scores say of models whose answer is known."""

import json

import numpy as np
import pytest

from refvae_jax import evaluate
from refvae_jax.data.cache import ImageSet
from refvae_jax.distributions import Gaussian

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
    return ImageSet(pixels.reshape(-1, 1, 2, 1), label, 4)


@pytest.fixture
def images():
    return make_images(0)


def judge(images):
    return images[:, 0, 0, 0] // 10


def test_perfect_separation_scores_as_such(images):
    scores = evaluate.decoder_scores(Exact(), images, judge, seed=0)
    assert scores["swap/content/label/accuracy"] == 1
    assert scores["swap/style/label/accuracy"] == pytest.approx(0.25, abs=0.08)
    assert scores["swap/content/style_moved"] == pytest.approx(1, abs=0.02)
    assert scores["reconstruction/mse"] == 0
    splits = {name: make_images(seed) for seed, name in enumerate(evaluate.SPLITS)}
    codes = evaluate.code_scores(Exact(), splits, seed=0)
    assert codes["content/label/strong_accuracy"] == 1
    assert codes["style/label/strong_accuracy/sample"] == pytest.approx(0.25, abs=0.08)


def test_an_ignored_style_is_seen_through_the_decoder_only(images):
    scores = evaluate.decoder_scores(IgnoresStyle(), images, judge, seed=0)
    assert scores["swap/content/label/accuracy"] == 1
    assert scores["swap/content/style_moved"] == pytest.approx(0.5, abs=0.1)
    assert scores["swap/content/pixel_change"] == 0


def test_table_shows_what_is_known():
    known = {"label": 0.1, "reconstruction/mse": 0.07}
    values = {
        "content/label/paper_accuracy": 0.9,
        "style/label/paper_accuracy": 0.3,
        "reconstruction/mse": 0.01,
    }
    table = evaluate.assemble(
        values,
        {"content/label/paper_accuracy": 0.2},
        known,
        evaluate.PAPER_SCORES["gmvae", "mnist"],
    )
    assert table["reconstruction/mse"] == {"value": 0.01, "chance": 0.07, "better": "lower"}
    text = evaluate.format_table(table).splitlines()
    assert text[1].split() == [
        "content/label/paper_accuracy",
        "0.9000",
        "0.1000",
        "0.2000",
        "0.9920",
        "higher",
    ]
    assert text[2].split() == ["style/label/paper_accuracy", "0.3000", "0.1000", "0.1390", "lower"]


def test_neighbouring_pictures_differ_in_label():
    labels = np.array([1, 1, 1, 0, 0, 2])
    order = evaluate.one_of_each(labels)
    np.testing.assert_array_equal(labels[order], [0, 1, 2, 0, 1, 1])
    assert sorted(order) == list(range(6))


def test_what_knowing_nothing_scores(images):
    splits = dict.fromkeys(evaluate.SPLITS, images)
    known = evaluate.references(splits, judge)
    assert known["judge"] == 1
    assert known["label"] == pytest.approx(np.bincount(images.label).max() / 600)
    spread = (images.image / 255 - (images.image / 255).mean(0)) ** 2
    assert known["reconstruction/mse"] == pytest.approx(spread.mean())
