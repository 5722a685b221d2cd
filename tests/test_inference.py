"""The inference names of a loaded run, and their agreement with each other."""

import importlib
import importlib.metadata
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import refvae_jax
from refvae_jax import inference
from refvae_jax.console import LOGGER
from refvae_jax.data.readers import resize
from refvae_jax.data.readers.image_files import ImageForm
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.inference import posterior_sample
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo, Method
from refvae_jax.model import Model
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def model(trained):
    return refvae_jax.load(trained)


@pytest.fixture(scope="module")
def images(trained):
    from configs import quickstart
    from refvae_jax.data.cache import open_split

    return np.array(open_split(quickstart.get_config("smoke").data, "test").image[:20])


def test_loading_warns_of_nothing(trained, caplog, monkeypatch):
    monkeypatch.setattr(LOGGER, "propagate", True)
    refvae_jax.load(trained)
    assert not caplog.records


LOAD = """
import logging, sys
import refvae_jax
logging.getLogger("refvae_jax").setLevel(sys.argv[2])
refvae_jax.load(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("level", "warned"), [("WARNING", True), ("ERROR", False)])
def test_warnings_need_no_handler_and_can_be_silenced(workdir, level, warned):
    (workdir / "checkpoints" / "20" / "record" / "metadata").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(workdir), level], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert ("checkpoint 20 is damaged" in done.stderr) == warned


# How version 0.1 named what has another name now.
FIELDS_OF_0_1 = {
    "discriminator_optimizer": "critic_optimizer",
    "discriminator_features": "critic_features",
    "probe_train_split": "fit_split",
    "validate_every_steps": "eval_every_steps",
}


def renamed_to_0_1(fields):
    return {
        FIELDS_OF_0_1.get(name, name): renamed_to_0_1(value) if isinstance(value, dict) else value
        for name, value in fields.items()
    }


def reference_config(name):
    return importlib.import_module(f"configs.reference_mnist_{name}").get_config("smoke")


def as_0_1_wrote_it(monkeypatch, config):
    """Makes `checkpoint.load` return a checkpoint of this config, all zeros, in the old form."""
    shape = (config.data.resolution, config.data.resolution, 3)
    info = DataInfo(shape, 100, "cpu")
    shapes = jax.eval_shape(METHODS[config.method.name](config, info).init, jax.random.key(0))
    variables = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    old = {
        kind: {"critic" if player == "discriminator" else player: t for player, t in tree.items()}
        for kind, tree in variables.items()
    }
    record = {
        "config": renamed_to_0_1(config.to_dict()) | {"critic_optimizer": {"b1": 0.5}},
        "image_shape": list(shape),
        "num_train_images": 100,
    }
    monkeypatch.setattr(inference.checkpoint, "load", lambda workdir, step: (old, record, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae", "rbvae", "vae", "betavae"])
def test_a_checkpoint_of_version_0_1_loads(monkeypatch, config, name):
    if name not in ("gmvae", "mlvae"):
        config = reference_config(name)
    config.method.name = name
    as_0_1_wrote_it(monkeypatch, config)
    model = refvae_jax.load("run")
    images = np.zeros((2, *model.image_shape), np.uint8)
    assert model.reconstruct(images).shape == images.shape


def test_files_are_read_as_the_record_says(config, tmp_path):
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    for name in ("a.png", "b.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    info = DataInfo((32, 32, 1), 100, "cpu")
    shapes = jax.eval_shape(METHODS["gmvae"](config, info).init, jax.random.key(0))
    variables = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    record = {"config": config.to_dict(), "image_shape": [32, 32, 1], "num_train_images": 100}
    record["config"]["data"]["crop"] = 32
    wanted = pixels[16:48, 16:48, None]
    model = inference.model_of(variables, record)
    np.testing.assert_array_equal(model.read(tmp_path), np.stack([wanted >> 8] * 2))
    model = inference.model_of(variables, record | {"value_range": [1000, 3000]})
    scaled = np.rint((wanted.astype(float).clip(1000, 3000) - 1000) * 255 / 2000)
    np.testing.assert_array_equal(model.read([tmp_path / "b.tif"])[0], scaled)
    (tmp_path / "c.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 3 images cannot be read: .*c\.png"):
        model.read(str(tmp_path))


@pytest.mark.parametrize("name", ["srbvae", "factorvae"])
def test_one_with_a_discriminator_is_refused_in_a_sentence(monkeypatch, name):
    as_0_1_wrote_it(monkeypatch, reference_config(name))
    with pytest.raises(UserError, match=r"written by version 0\.1.*train again"):
        refvae_jax.load("run")


def test_attributes(model):
    assert model.image_shape == (32, 32, 1)
    assert sorted(model.latent_names) == ["content", "style"]


def test_any_count_gives_the_same_answer(model, images):
    whole = model.encode(images)
    parts = [model.encode(images[i : i + 1])["content"].mean for i in range(3)]
    np.testing.assert_allclose(np.concatenate(parts), whole["content"].mean[:3], atol=1e-5)
    many = np.tile(images, (30, 1, 1, 1))  # More than a chunk.
    np.testing.assert_allclose(
        model.encode(many)["style"].logvar[-20:], whole["style"].logvar, atol=1e-5
    )
    assert model.decode(model.means(many)).shape == many.shape


def test_swap_exchanges_one_latent(model, images):
    a, b = images[:10], images[10:]
    swapped = model.swap(a, b, "content")
    codes = {"content": model.encode(b)["content"].mean, "style": model.encode(a)["style"].mean}
    np.testing.assert_array_equal(swapped, model.decode(codes))
    np.testing.assert_array_equal(model.swap(a, a, "style"), model.reconstruct(a))
    for latent in model.latent_names:
        one = np.repeat(b[:1], len(a), axis=0)
        np.testing.assert_array_equal(model.swap(a, b[:1], latent), model.swap(a, one, latent))
        np.testing.assert_array_equal(model.swap(b[:1], a, latent), model.swap(one, a, latent))


def test_interpolation_runs_from_one_reconstruction_to_the_other(model, images):
    a, b = images[:2], images[2:4]
    path = model.interpolate(a, b, 5)
    assert path.shape == (2, 5, 32, 32, 1)
    np.testing.assert_array_equal(path[:, 0], model.reconstruct(a))
    np.testing.assert_array_equal(path[:, -1], model.reconstruct(b))
    style_only = model.interpolate(a, b, 3, latents=["style"])
    np.testing.assert_array_equal(style_only[:, -1], model.swap(a, b, "style"))


def test_resample_draws_one_latent_by_seed(model, images):
    drawn = model.resample(images[:3], "style", 4, seed=1)
    assert drawn.shape == (3, 4, 32, 32, 1) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, model.resample(images[:3], "style", 4, seed=1))
    assert np.any(drawn != model.resample(images[:3], "style", 4, seed=2))


@pytest.mark.slow
def test_sample_by_seed(model):
    drawn = model.sample(3, seed=1)
    assert drawn.shape == (3, 32, 32, 1) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, model.sample(3, seed=1))
    assert np.any(drawn != model.sample(3, seed=2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: m.encode(x / 255.0), "takes uint8 images"),
        (lambda m, x: m.encode(x[0]), "takes uint8 images"),
        (lambda m, x: m.encode(x[:, :16]), "takes uint8 images"),
        (lambda m, x: m.encode(x[:0]), "no images"),
        (lambda m, x: m.swap(x, x, "target"), "content and style: .* not 'target'"),
        (lambda m, x: m.swap(x[:3], x[:2], "style"), "in pairs"),
        (lambda m, x: m.interpolate(x[:2], x[:3], 3), "in pairs"),
        (lambda m, x: m.swap(x[0], x, "style"), "takes uint8 images of shape"),
    ],
)
def test_wrong_input_is_one_sentence(model, images, call, words):
    with pytest.raises(UserError, match=words):
        call(model, images)


@pytest.mark.parametrize("n", [0, -1, 1.5, "3", None, True, np.int64(0)])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, x, n: m.sample(n, seed=0),
        lambda m, x, n: m.prior_codes(n, seed=0),
        lambda m, x, n: m.resample(x, "target", n, seed=0),
        lambda m, x, n: m.interpolate(x, x, n),
    ],
)
def test_counts_that_make_no_sense_are_named(two_pixels, call, n):
    with pytest.raises(UserError, match=r"^n is .*, but must be a whole number of at least 1\.$"):
        call(two_pixels, np.zeros((1, 1, 2, 1), np.uint8), n)


@pytest.mark.parametrize("seed", [1.5, "a", None])
def test_seeds_that_make_no_sense_are_named(two_pixels, seed):
    with pytest.raises(UserError, match=r"^seed is .*, but must be a whole number\.$"):
        two_pixels.prior_codes(1, seed)
    assert len(two_pixels.prior_codes(np.int64(2), seed=np.int32(1))["common"]) == 2


@pytest.mark.parametrize(
    ("codes", "given"),
    [
        ({}, "nothing"),
        ({"common": np.zeros((2, 1))}, r"common \[2, 1\]"),
        ({"common": np.zeros((2, 1)), "target": np.zeros((1, 1))}, r"target \[1, 1\]"),
        ({"common": np.zeros((2, 1)), "target": np.zeros((2, 3))}, r"target \[2, 3\]"),
        ({"common": np.zeros((0, 1)), "target": np.zeros((0, 1))}, r"target \[0, 1\]"),
        ({"common": 0.0, "target": 0.0}, r"target \[\]"),
    ],
)
def test_codes_of_other_shapes_are_named(two_pixels, codes, given):
    words = r"decodes common \[N, 1\], target \[N, 1\] with N of at least 1, not .*"
    with pytest.raises(UserError, match=words + given):
        two_pixels.decode(codes)


def test_posterior_sample_has_the_posteriors_moments_and_noise_of_its_own():
    q = Gaussian(np.full((20_000, 1), 3.0), np.full((20_000, 1), np.log(4.0)))
    z, other = (inference.posterior_sample(q, 0, name) for name in ("content", "style"))
    assert abs(z.mean() - 3) < 0.06 and abs(z.std() - 2) < 0.05
    assert abs(np.corrcoef(z[:, 0], other[:, 0])[0, 1]) < 0.03
    np.testing.assert_array_equal(z, inference.posterior_sample(q, 0, "content"))


@pytest.fixture
def two_pixels():
    """A Model whose latents are the left and the right pixel of an image."""

    def encode(variables, image):
        halves = {"common": image[:, :, 0, 0], "target": image[:, :, 1, 0]}
        return {name: Gaussian(x, jnp.zeros_like(x)) for name, x in halves.items()}

    def decode(variables, codes):
        return jnp.stack([codes["common"], codes["target"]], axis=2)[..., None]

    def prior(variables, rng, n):
        drawn = jax.random.uniform(rng, (2, n, 1))
        return {"common": drawn[0], "target": drawn[1]}

    method = Method("reference", ("model",), None, None, encode, decode, prior)
    return Model(method, {}, ImageForm((1, 2, 1), resize.WHOLE))


def test_resampling_keeps_the_other_latent_of_each_image(two_pixels):
    images = np.array([[10, 20], [30, 40], [50, 60]], np.uint8).reshape(3, 1, 2, 1)
    drawn = two_pixels.resample(images, "target", 4, seed=1)[:, :, 0, :, 0]  # [3, 4, 2]
    np.testing.assert_array_equal(drawn[..., 0], np.repeat([[10], [30], [50]], 4, axis=1))
    assert len(np.unique(drawn[..., 1])) > 6


def test_pixels_are_rounded_to_the_nearest(two_pixels):
    codes = {"common": np.array([[-1.0], [0.6 / 255]]), "target": np.array([[2.0], [99.4 / 255]])}
    assert two_pixels.decode(codes).reshape(2, 2).tolist() == [[0, 255], [1, 99]]


def test_other_seeds_give_other_samples_of_the_posterior():
    q = Gaussian(np.zeros((5, 2)), np.zeros((5, 2)))
    assert np.any(posterior_sample(q, 0, "z") != posterior_sample(q, 1, "z"))


def test_posteriors_are_not_codes(two_pixels):
    images = np.zeros((2, *two_pixels.image_shape), np.uint8)
    with pytest.raises(UserError, match=r"pass the means, model\.means\(images\)"):
        two_pixels.decode(two_pixels.encode(images))


def test_one_latent_can_be_named_alone(two_pixels):
    images = np.zeros((2, *two_pixels.image_shape), np.uint8)
    alone, listed = (
        two_pixels.interpolate(images, images + 9, 3, n) for n in ("target", ["target"])
    )
    np.testing.assert_array_equal(alone, listed)


def test_interpolation_is_a_straight_line(two_pixels):
    a, b = (np.array(x, np.uint8).reshape(1, 1, 2, 1) for x in ([0, 100], [80, 200]))
    path = two_pixels.interpolate(a, b, 5)[0, :, 0, :, 0]
    np.testing.assert_array_equal(path, [[0, 100], [20, 125], [40, 150], [60, 175], [80, 200]])
    path = two_pixels.interpolate(a, b, 5, latents=["target"])[0, :, 0, :, 0]
    np.testing.assert_array_equal(path, [[0, 100], [0, 125], [0, 150], [0, 175], [0, 200]])


def test_a_clone_does_not_hide_the_package_from_a_script_beside_it(tmp_path):
    if not any(importlib.metadata.packages_distributions().get("refvae_jax", ())):
        pytest.skip("the package is not installed")
    (tmp_path / "refvae_jax").mkdir()  # The clone's folder, which has the package's name.
    code = "import importlib.util as u; print(u.find_spec('refvae_jax').origin)"
    options = {"cwd": tmp_path, "text": True, "check": True, "stdout": subprocess.PIPE}
    # A package on PYTHONPATH would be found with any installation.
    environ = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run([sys.executable, "-c", code], env=environ, **options).stdout
    assert found.strip() == refvae_jax.__file__
