"""results.json: its form, and what its scores say of models whose answer is known."""

import json
import types

import numpy as np
import pytest

from configs import mnist_gmvae, mnist_gmvae_semi, mnist_mlvae, quickstart
from refvae_jax.data import splits as splits_module
from refvae_jax.data.cache import ImageSet, open_split
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits, take
from refvae_jax.distributions import Gaussian
from refvae_jax.evaluation import evaluate, ground_truth, scores
from refvae_jax.evaluation.ground_truth import Chance
from refvae_jax.inference import posterior_sample
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.linear import LinearScores

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
    clash = scores.class_scores(codes, labels, ("a", "sample", "c", "d"), 0, "reference")
    assert {name for name in clash if "/" in name} == {f"linear_accuracy/{c}" for c in "ac"}
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
    detail = ("content/label/linear_accuracy/7", "style/age/r2", "style/age/strong_mae/sample")
    kept = ("content/label/linear_accuracy/sample", "style/age/strong_mae")
    longer = table | dict.fromkeys((*detail, *kept), table["reconstruction/mse"])
    *lines, last = evaluate.format_table(longer).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*table, *kept]
    assert last == "and 3 more, in finer detail, in results.json"
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


class Wide(Exact):
    """A posterior so wide that a sample tells nothing of its mean."""

    def encode(self, images):
        found = super().encode(images)
        return {name: q._replace(logvar=np.full_like(q.mean, 20)) for name, q in found.items()}


def test_scores_of_a_sample_are_of_samples_of_every_part(splits, monkeypatch):
    seen = []
    monkeypatch.setattr(scores, "class_scores", lambda codes, *_: seen.append(codes) or {})
    monkeypatch.setattr(scores, "factor_scores", lambda *_: {})
    scores.code_scores(Wide(), splits, seed=0, setting="reference")
    means, samples = seen[::2], seen[1::2]  # Of content and style.
    for latent, (mean, sample) in enumerate(zip(means, samples, strict=True)):
        for place, part in enumerate((splits.probe_train, splits.validation, splits.test)):
            np.testing.assert_array_equal(mean[place][:, 0], part.image[:, 0, latent, 0])
            noise = (sample[place] - mean[place]) / np.exp(10)
            assert abs(noise.std() - 1) < 0.15 and abs(noise.mean()) < 0.2


@pytest.fixture
def uneven(splits):
    """Splits that their sizes tell apart."""
    sizes = {"train": 600, "probe_train": 500, "validation": 400, "test": 300}
    return Splits(*(take(getattr(splits, n), np.arange(k)) for n, k in sizes.items()))


@pytest.mark.parametrize("setting", ["group", "reference"])
def test_probes_learn_from_fit_are_chosen_on_validation_and_scored_on_test(
    uneven, setting, monkeypatch
):
    seen = {}

    def watch(module, name, answer):
        def probe(*parts, seed=5, **_):
            seen.setdefault(name, set()).add(tuple(len(part.codes) for part in parts))
            assert seed == 5
            return answer

        monkeypatch.setattr(module, name, probe)

    errors = regression.Regression(np.zeros(1), np.zeros(1))
    watch(scores, "paper_accuracy", 0.5)
    watch(scores, "strong_accuracy", 0.5)
    watch(scores, "linear_accuracy", LinearScores(0.5, 0.5, (0.5,) * 4))
    watch(regression, "linear_errors", errors)
    watch(regression, "strong_errors", errors)
    scores.code_scores(Exact(), uneven, seed=5, setting=setting)
    weak, strong = {(500, 300)}, {(500, 400, 300)}
    name = "paper_accuracy" if setting == "group" else "linear_accuracy"
    assert seen == {
        name: weak,
        "strong_accuracy": strong,
        "linear_errors": weak,
        "strong_errors": strong,
    }


def test_what_an_image_shows_is_judged_by_the_image_that_it_is_of(images):
    """Also of kinds: content of A with the style of B is judged by B's under swap/style."""
    kinds = images.factors._replace(
        categories=images.label[:, None], kinds={"shape": tuple("abcd")}
    )
    judges = JUDGES._replace(kinds=lambda pictures: pictures[:, 0, 0] // 10)
    found = scores.decoder_scores(Exact(), images._replace(factors=kinds), judges, seed=0)
    assert found["swap/content/shape/accuracy"] == 1
    assert found["swap/style/shape/accuracy"] == found["swap/style/label/accuracy"] < 0.5


def test_errors_and_changes_of_pixels_by_hand(images):
    content, style = images.image.reshape(600, 2).T.astype(float)
    found = scores.decoder_scores(IgnoresStyle(), images, JUDGES, seed=0)
    error = np.square((style - 7) / 255).mean() / 2  # One pixel of two.
    assert found["reconstruction/mse"] == pytest.approx(error)
    other = swaps.partner(600, 0)
    moved, kept = (np.square(x - x[other]).sum() for x in (style, content))
    found = scores.decoder_scores(Exact(), images, JUDGES, seed=0)
    assert found["swap/content/pixel_change"] == pytest.approx(moved / (moved + kept))


def test_the_decoder_is_scored_on_test(uneven, monkeypatch):
    monkeypatch.setattr(scores, "code_scores", lambda *_: {})
    monkeypatch.setattr(scores, "decoder_scores", lambda model, part, *_: {"n": len(part.label)})
    assert scores.all_scores(Exact(), uneven, JUDGES, 0, "group") == {"n": 300}


class Loaded(Exact):
    """A model of a checkpoint, or of initial variables."""

    def __init__(self, method, variables, image_shape):
        self.variables = variables

    def with_variables(self, variables):
        return Loaded(None, variables, None)


def test_which_images_and_which_models_are_evaluated(uneven, tmp_path, monkeypatch):
    """Judges learn from train, their ceiling is that on test; untrained is the beginning."""
    method = types.SimpleNamespace(setting="group")
    steps = []

    def load(workdir, step):
        steps.append(step)
        return "trained", {"image_shape": (1, 2, 1)}, 7

    monkeypatch.setattr(evaluate.checkpoint, "load", load)
    monkeypatch.setattr(evaluate.checkpoint, "steps", lambda workdir: [7, 9])
    monkeypatch.setattr(evaluate, "build_method", lambda record: method)
    monkeypatch.setattr(evaluate, "open_splits", lambda config: uneven)
    monkeypatch.setattr(evaluate, "check_same_images", lambda *_: None)
    monkeypatch.setattr(evaluate, "initial_variables", lambda method, seed: "initial")
    monkeypatch.setattr(evaluate, "Model", Loaded)
    monkeypatch.setattr(scores, "make_judges", lambda part, seed: len(part.label))
    monkeypatch.setattr(scores, "judged", lambda j, x, part: {"label/accuracy": len(x) / 1000})
    found = {"trained": 0.9, "initial": 0.2}
    monkeypatch.setattr(
        scores,
        "all_scores",
        lambda m, parts, judges, *_: {
            "content/label/strong_accuracy": found[m.variables],
            "swap/content/label/accuracy": judges / 1000,
        },
    )
    results = evaluate.evaluate(quickstart.get_config("smoke"), tmp_path)
    assert steps == ["best"] and (results["steps"], results["trained_steps"]) == (7, 9)
    row = results["scores"]["content/label/strong_accuracy"]
    assert (row["value"], row["untrained"]) == (0.9, 0.2)
    assert results["scores"]["swap/content/label/accuracy"]["value"] == 0.6  # Of train.
    assert results["scores"]["judge/label/accuracy"]["value"] == 0.3  # Of test.


def test_what_the_paper_reports_is_shown_in_its_setting_only():
    config = mnist_gmvae.get_config()
    names = ("content/label/paper_accuracy", "style/label/paper_accuracy")
    assert evaluate.paper_scores(config) == dict(zip(names, (0.992, 0.139), strict=True))
    mlvae = evaluate.paper_scores(mnist_mlvae.get_config())
    assert mlvae == dict(zip(names, (0.893, 0.166), strict=True))
    assert evaluate.paper_scores(mnist_gmvae_semi.get_config()) == {}
    config.method.k = 3.0
    assert evaluate.paper_scores(config) == {}


def test_parts_are_opened_by_their_names(monkeypatch):
    monkeypatch.setattr(splits_module, "open_split", lambda data, name: name)
    config = quickstart.get_config("smoke")
    config.data.reference_split = "some"
    assert splits_module.open_splits(config)._asdict() == {n: n for n in Splits._fields}


def test_figures_are_of_test_images_and_the_aggregate_of_training_codes(config, trained):
    model, shown, codes = evaluate.figure_inputs(config, trained)
    train, test = (open_split(config.data, name) for name in ("train", "test"))
    assert len(shown) == 100
    assert {image.tobytes() for image in shown} <= {image.tobytes() for image in test.image}
    for name, q in model.encode(train.image).items():
        np.testing.assert_array_equal(codes[name], posterior_sample(q, config.seed, name))


def test_the_speed_is_the_median_of_the_log(tmp_path):
    assert evaluate.images_per_second(tmp_path) is None
    lines = [
        json.dumps({"step": i, "images_per_second": v}) for i, v in enumerate((1.0, 2.0, 90.0))
    ]
    (tmp_path / "timing.jsonl").write_text("\n".join(lines))
    assert evaluate.images_per_second(tmp_path) == 2
