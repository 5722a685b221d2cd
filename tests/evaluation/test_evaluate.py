"""results.json: its form, and what its scores say of models whose answer is known."""

import contextlib
import json
import types

import numpy as np
import pytest

from configs import mnist_gmvae, mnist_gmvae_semi, mnist_mlvae, quickstart
from refvae_jax import config as configs
from refvae_jax.data import splits as splits_module
from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits, take
from refvae_jax.distributions import Gaussian
from refvae_jax.evaluation import evaluate, measures
from refvae_jax.evaluation.ground_truth import ground_truth
from refvae_jax.evaluation.measures import Evaluated, codes, decoder
from refvae_jax.evaluation.published import mixture_paper_accuracy
from refvae_jax.evaluation.score import Score
from refvae_jax.inference import Trained
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.linear import LinearScores

NAMES = [
    f"{z}/label/{p}_accuracy{s}"
    for z in ("content", "style")
    for p in ("paper", "strong")
    for s in ("", "/sample")
]


@pytest.mark.slow
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
def splits():
    return Splits(*(make_images(seed) for seed in range(4)))


CLASSIFIERS = measures.Classifiers(
    label=lambda images: images[:, 0, 0, 0] // 10,
    categorical=None,
    continuous=lambda images: images[:, 0, 1].astype(np.float32),
)


def evaluated(model, splits, supervision="group", seed=0, classifiers=CLASSIFIERS):
    truth = ground_truth(supervision, splits._replace(reference=splits.train))
    codes = measures.encode(model, splits)
    return Evaluated(model, splits, codes, truth, classifiers, supervision, seed)


def values(measure, *arguments, **options):
    return {score.name: score.value for score in measure(evaluated(*arguments, **options))}


@pytest.mark.parametrize("known", [True, False])
def test_every_part_of_the_work_is_counted(splits, monkeypatch, known):
    """The bar ends where the work does, with factors and without."""
    monkeypatch.setattr(codes, "class_accuracies", lambda *_: iter([]))
    monkeypatch.setattr(codes, "factor_errors", lambda *_: iter([]))
    classifiers, done = CLASSIFIERS, []
    if not known:
        none = Factors(np.zeros((600, 0)), (), np.zeros((600, 0), np.int32), {})
        splits = Splits(*(part._replace(factors=none) for part in splits[:4]))
        classifiers = CLASSIFIERS._replace(continuous=None)
    found = evaluated(Exact(), splits, classifiers=classifiers)
    measures.all_scores(found._replace(part_done=lambda: done.append(1)))
    # Mean and sample of two latents, of the label and, where it is known, the style; the decoder.
    assert len(done) == measures.count_parts(Exact.latent_names, splits) == (9 if known else 5)


def test_perfect_separation_through_the_decoder(splits):
    found = values(decoder.measure, Exact(), splits)
    assert found["swap/content/label/accuracy"] == 1
    assert found["swap/style/label/accuracy"] == pytest.approx(0.25, abs=0.08)
    assert found["swap/style/style/mae"] == 0 and found["swap/content/style/mae"] > 50
    assert found["swap/content/style_moved"] == pytest.approx(1, abs=0.02)
    assert found["resample/content/label/accuracy"] == 1
    assert found["resample/content/style/mae"] > 50
    assert found["resample/style/style/mae"] == 0
    of_prior = np.mean(splits.test.label == 0)
    assert found["resample/style/label/accuracy"] == of_prior
    assert found["reconstruction/mse"] == 0 and found["reconstruction/style/mae"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("supervision", "linear"), [("group", "paper_accuracy"), ("reference", "linear_accuracy")]
)
def test_perfect_separation_of_the_codes(splits, supervision, linear):
    found = values(codes.measure, Exact(), splits, supervision)
    assert found["content/label/strong_accuracy"] == 1
    assert found["style/label/strong_accuracy/sample"] == pytest.approx(0.25, abs=0.08)
    assert found[f"content/label/{linear}"] > 0.6 > found[f"style/label/{linear}"]
    constant = ground_truth("unsupervised", splits).mae["style"]
    assert found["style/style/mae"] < 1e-3 * constant
    assert found["style/style/r2"] == pytest.approx(1, abs=1e-3)
    assert found["content/style/mae"] == pytest.approx(constant, rel=0.05)
    assert found["content/average/strong_mae"] > 0.8 * constant


def test_classes_are_listed_while_they_are_few(splits, monkeypatch):
    monkeypatch.setattr(codes, "strong_accuracy", lambda *_, **__: 0.5)
    parts = [np.eye(4)[part.label] for part in splits[1:4]]
    labels = [np.where(part.label == 3, 0, part.label) for part in splits[1:4]]

    def accuracies(names):
        found = codes.class_accuracies(parts, labels, names, 0, "reference")
        return {(probe, name): value for probe, name, value in found}

    few = accuracies(("a", "sample", "c", "d"))
    assert {name for _, name in few if name} == {"a", "sample", "c"}  # No image shows a d.
    assert few["balanced_accuracy", ""] == pytest.approx(1)
    many = accuracies(tuple(map(str, range(30))))
    assert {name for _, name in many} == {""} and len(many) == 3


def test_an_ignored_style_is_seen_through_the_decoder_only(splits):
    found = values(decoder.measure, IgnoresStyle(), splits)
    assert found["swap/content/label/accuracy"] == 1
    assert found["swap/content/style_moved"] == pytest.approx(0.5, abs=0.1)
    assert found["swap/content/pixel_change"] == 0


def score(name, probe, latent="", factor="label", source="mean", **more):
    made = Score(0.5, probe, source, "higher", 0.1, latent, factor, **more)
    assert made.name == name
    return made


def test_table_on_the_terminal():
    first = score("content/label/paper_accuracy", "paper_accuracy", "content")
    first = first._replace(value=0.9, untrained=0.2)
    second = score("style/label/paper_accuracy", "paper_accuracy", "style")
    second = second._replace(value=0.3, better="lower")
    third = Score(0.01, "mse", "reconstruction", "lower", 0.07)
    config = mnist_gmvae.get_config()
    lines = evaluate.format_table(evaluate.with_paper([first, second, third], config)).split("\n")
    assert lines[0].split() == ["score", "value", "chance", "untrained", "paper", "better"]
    assert lines[1].split() == [first.name, "0.9000", "0.1000", "0.2000", "0.9920", "higher"]
    assert lines[2].split() == [second.name, "0.3000", "0.1000", "0.1390", "lower"]
    assert lines[3].split() == ["reconstruction/mse", "0.0100", "0.0700", "lower"]
    assert evaluate.format_table([third]).split("\n")[0].split() == [
        "score",
        "value",
        "chance",
        "better",
    ]


def test_details_are_only_counted():
    detail = [
        score("z/label/linear_accuracy/7", "linear_accuracy", "z", class_name="7"),
        score("z/age/r2", "r2", "z", "age"),
        score("z/age/strong_mae/sample", "strong_mae", "z", "age", "sample"),
    ]
    kept = [
        score("z/label/linear_accuracy/sample", "linear_accuracy", "z", source="sample"),
        score("z/age/strong_mae", "strong_mae", "z", "age"),
    ]
    *lines, last = evaluate.format_table(detail + kept).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [s.name for s in kept]
    assert last == "and 3 more, in finer detail, in results.json"


def test_what_knowing_nothing_scores(splits):
    splits = Splits(*[splits.test] * 4)
    images, truth = splits.test, ground_truth("group", splits)
    assert truth.accuracy["label"] == pytest.approx(np.bincount(images.label).max() / 600)
    spread = (images.image / 255 - (images.image / 255).mean(0)) ** 2
    assert truth.mse == pytest.approx(spread.mean())
    deviation = np.abs(images.factors.continuous - images.factors.continuous.mean()).mean()
    assert truth.mae == pytest.approx({"style": deviation, "average": deviation}, rel=1e-3)
    found = {s.name: s.chance for s in decoder.measure(evaluated(Exact(), splits))}
    assert found["reconstruction/mse"] == truth.mse
    assert found["swap/content/style_moved"] == 0.5 and found["swap/content/pixel_change"] == 0


class Wide(Exact):
    """A posterior so wide that a sample tells nothing of its mean."""

    def encode(self, images):
        found = super().encode(images)
        return {name: q._replace(logvar=np.full_like(q.mean, 20)) for name, q in found.items()}


def test_scores_of_a_sample_are_of_samples_of_every_part(splits, monkeypatch):
    seen = []
    monkeypatch.setattr(codes, "class_accuracies", lambda codes, *_: seen.append(codes) or [])
    monkeypatch.setattr(codes, "factor_errors", lambda *_: [])
    assert values(codes.measure, Wide(), splits, "reference") == {}
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


@pytest.mark.parametrize("supervision", ["group", "reference"])
def test_probes_learn_are_chosen_and_scored_on_parts_of_their_own(uneven, supervision, monkeypatch):
    seen = {}

    def watch(module, name, answer):
        def probe(*parts, seed=5, **_):
            seen.setdefault(name, set()).add(tuple(len(part.codes) for part in parts))
            assert seed == 5
            return answer

        monkeypatch.setattr(module, name, probe)

    errors = regression.Regression(np.zeros(1), np.zeros(1))
    watch(codes, "paper_accuracy", 0.5)
    watch(codes, "strong_accuracy", 0.5)
    watch(codes, "linear_accuracy", LinearScores(0.5, 0.5, (0.5,) * 4))
    watch(regression, "linear_errors", errors)
    watch(regression, "strong_errors", errors)
    assert values(codes.measure, Exact(), uneven, supervision, seed=5)
    weak, strong = {(500, 300)}, {(500, 400, 300)}
    name = "paper_accuracy" if supervision == "group" else "linear_accuracy"
    assert seen == {
        name: weak,
        "strong_accuracy": strong,
        "linear_errors": weak,
        "strong_errors": strong,
    }


def test_what_an_image_shows_is_judged_by_the_image_that_it_is_of(splits):
    """Also of categorical factors: content of A with the style of B is judged by B's."""
    shapes = [
        part._replace(
            factors=part.factors._replace(
                categorical=part.label[:, None], categorical_names={"shape": tuple("abcd")}
            )
        )
        for part in splits[:4]
    ]
    classifiers = CLASSIFIERS._replace(categorical=lambda pictures: pictures[:, 0, 0] // 10)
    found = values(decoder.measure, Exact(), Splits(*shapes), classifiers=classifiers)
    assert found["swap/content/shape/accuracy"] == 1
    assert found["swap/style/shape/accuracy"] == found["swap/style/label/accuracy"] < 0.5


def test_errors_and_changes_of_pixels_by_hand(splits):
    content, style = splits.test.image.reshape(600, 2).T.astype(float)
    found = values(decoder.measure, IgnoresStyle(), splits)
    error = np.square((style - 7) / 255).mean() / 2  # One pixel of two.
    assert found["reconstruction/mse"] == pytest.approx(error)
    other = swaps.partner(600, 0)
    moved, kept = (np.square(x - x[other]).sum() for x in (style, content))
    found = values(decoder.measure, Exact(), splits)
    assert found["swap/content/pixel_change"] == pytest.approx(moved / (moved + kept))


def test_the_decoder_is_scored_on_test(uneven, monkeypatch):
    counts = []
    monkeypatch.setattr(
        decoder, "seen", lambda c, t, images, *_, **__: counts.append(len(images)) or []
    )
    assert values(decoder.measure, Exact(), uneven) and set(counts) == {300}


class Loaded(Exact):
    """A model of a checkpoint, or of initial variables."""

    method = types.SimpleNamespace(supervision="group")

    def __init__(self, variables):
        self.variables = variables

    def with_variables(self, variables):
        return Loaded(variables)


def test_which_images_and_which_models_are_evaluated(uneven, tmp_path, monkeypatch):
    """Classifiers learn from train, their ceiling is that on test; untrained is the beginning."""
    steps = []

    def open_trained(config, workdir, step, splits):
        steps.append(step)
        return Trained(Loaded("trained"), 7, uneven)

    monkeypatch.setattr(evaluate, "open_trained", open_trained)
    monkeypatch.setattr(evaluate.checkpoint, "steps", lambda workdir: [7, 9])
    monkeypatch.setattr(evaluate, "initial_variables", lambda method, seed: "initial")
    monkeypatch.setattr(evaluate.untrained, "path_of", lambda *_: tmp_path / "untrained")
    monkeypatch.setattr(
        evaluate.judges,
        "trained_beside",
        lambda part, seed: contextlib.nullcontext(len(part.label)),
    )
    ceiling = Score(0.97, "accuracy", "images", "higher", 0.1, factor="label")
    monkeypatch.setattr(
        evaluate, "seen", lambda c, t, images, *_, **__: [ceiling._replace(value=len(images))]
    )
    strong = score("content/label/strong_accuracy", "strong_accuracy", "content")
    swap = score("swap/content/label/accuracy", "accuracy", "content", source="swap")
    found = {"trained": 0.9, "initial": 0.2}
    monkeypatch.setattr(
        measures,
        "all_scores",
        lambda e: [
            strong._replace(value=found[e.model.variables]),
            swap._replace(value=e.classifiers),
        ],
    )
    config = quickstart.get_config("smoke")
    configs.write(config, tmp_path / "config.json")
    results = evaluate.evaluate(config, tmp_path)
    assert steps == ["best"] and (results["steps"], results["trained_steps"]) == (7, 9)
    row = results["scores"]["content/label/strong_accuracy"]
    assert (row["value"], row["untrained"]) == (0.9, 0.2)
    assert results["scores"]["swap/content/label/accuracy"]["value"] == 600  # Of train.
    assert results["scores"]["judge/label/accuracy"]["value"] == 300  # Of test.

    found["initial"] = 0.3
    assert evaluate.evaluate(config, tmp_path)["scores"] == results["scores"]  # From disk now.
    (tmp_path / "untrained").write_text('{"content/label')
    row = evaluate.evaluate(config, tmp_path)["scores"]["content/label/strong_accuracy"]
    assert (row["value"], row["untrained"]) == (0.9, 0.3)


def test_every_measure_is_found(monkeypatch):
    done = []
    evaluated = types.SimpleNamespace(part_done=lambda: done.append("part"))
    for name, module in (("codes", codes), ("decoder", decoder)):
        monkeypatch.setattr(module, "measure", lambda evaluated, name=name: [name])
    assert measures.all_scores(evaluated) == ["codes", "decoder"]
    assert len(done) == sum(not hasattr(module, "count_parts") for module in (codes, decoder))


def test_what_the_paper_reports_is_shown_in_its_setting_only():
    config = mnist_gmvae.get_config()
    assert mixture_paper_accuracy(config) == {"content": 0.992, "style": 0.139}
    assert mixture_paper_accuracy(mnist_mlvae.get_config()) == {"content": 0.893, "style": 0.166}
    assert mixture_paper_accuracy(mnist_gmvae_semi.get_config()) == {}
    config.method.k = 3.0
    assert mixture_paper_accuracy(config) == {}


def test_parts_are_opened_by_their_names(monkeypatch):
    monkeypatch.setattr(splits_module, "open_split", lambda data, name: name)
    config = quickstart.get_config("smoke")
    config.data.reference_split = "some"
    assert splits_module.open_splits(config)._asdict() == {n: n for n in Splits._fields}


def test_the_speed_is_the_median_of_the_log(tmp_path):
    assert evaluate.images_per_second(tmp_path) is None
    lines = [
        json.dumps({"step": i, "images_per_second": v}) for i, v in enumerate((1.0, 2.0, 90.0))
    ]
    (tmp_path / "timing.jsonl").write_text("\n".join(lines))
    assert evaluate.images_per_second(tmp_path) == 2
