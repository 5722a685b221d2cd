"""Every file of configs/ has a step for its data and names no field outside the schema."""

import contextlib
import functools
import importlib
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import refvae_jax
from configs import default
from refvae_jax import command_line, config_rules
from refvae_jax import config as configs
from refvae_jax.data.batches import training_batches
from refvae_jax.data.readers import presets
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import checkpoint, setup
from refvae_jax.training.step import make_update
from tests import small_methods

CONFIGS = {
    path.stem: importlib.import_module(f"configs.{path.stem}")
    for path in sorted(Path(default.__file__).parent.glob("*.py"))
    if path.stem != "default"
}


def test_only_runnable_configs_are_suggested():
    root = Path(default.__file__).parent.parent
    offered = command_line.config_files(root)
    assert offered == [f"configs/{name}.py" for name in sorted(CONFIGS | {"default": None})]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Made images: {supervision: folder}, with class folders or reference/ and unlabelled/."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    kinds = [f"group/{group}" for group in range(8)] + ["pair/reference", "pair/unlabelled"]
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{i}.png")
    return {"group": root / "group", "reference": root / "pair"}


def use_folder(config, folder):
    """Uses made images in place of those that must be downloaded."""
    resolution = config.data.resolution
    presets.choose(config.data, "folder")
    config.data.resolution = resolution
    config.data.dir = str(folder)


def in_smoke_form(name, folders):
    """The config in its smoke form, two steps long, on images that need no download."""
    config = CONFIGS[name].get_config("smoke")
    config.num_train_steps = 2
    if config.data.name.split("/")[0] not in ("digits5k", "reference_mnist", "mnist"):
        use_folder(config, folders["reference" if config.data.reference_split else "group"])
    if config.data.name == "mnist":
        config.data.name = "digits5k"  # Of the same form.
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_has_a_step_for_its_batches(name, folders):
    """Traced, not compiled: the data open, and the step takes the batches and returns the state."""
    config = in_smoke_form(name, folders)
    parts = setup.prepare(config, open_splits(config))
    fresh = functools.partial(setup.initial_state, parts.method, parts.optimizers, config.seed)
    state, batch = jax.eval_shape(fresh), next(training_batches(parts.training_sets, config, 0))
    update = make_update(parts.method, parts.optimizers, config.seed)
    new, scalars = jax.eval_shape(update, state, batch)
    assert new == state
    assert {f"loss/{player}" for player in parts.method.players} <= scalars.keys()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_model_of_every_method_is_read(method, tmp_path, folders):
    name = {"gmvae": "folder_gmvae", "mlvae": "mnist_mlvae"}.get(
        method, f"reference_mnist_{method}"
    )
    config = in_smoke_form(name, folders)
    assert config.method.name == method
    if method not in small_methods.MIXTURE:
        small_methods.shrink(config)
    parts = setup.prepare(config, open_splits(config))
    with contextlib.closing(checkpoint.Checkpoints(tmp_path, 1, 1)) as checkpoints:
        state = setup.initial_state(parts.method, parts.optimizers, config.seed)
        checkpoints.save(state._replace(step=state.step + 1), parts.record, None)

    model = refvae_jax.load(tmp_path)
    images = model.sample(2, seed=0)
    assert images.shape == (2, *model.image_shape)
    assert model.encode(images).keys() == set(model.latent_names)
    assert model.reconstruct(images).shape == images.shape
    if len(model.latent_names) == 1:
        with pytest.raises(UserError, match="one latent, z"):
            model.swap(images, images, "z")
    else:
        moved = {"style", "target"}.intersection(model.latent_names).pop()
        assert model.swap(images, images[::-1], moved).shape == images.shape
        assert model.resample(images, moved, n=3, seed=0).shape == (2, 3, *model.image_shape)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_every_form_is_in_the_schema(name):
    schema = configs.flatten(default.get_config()).keys()
    for form in ("", "smoke", *([] if name.startswith("quickstart") else ["cpu"])):
        config = CONFIGS[name].get_config(form)
        config_rules.check(config)
        assert config_rules.follow_resolution(config, {"data.resolution", "method.name"}) == []
        assert configs.flatten(config).keys() == schema


@pytest.mark.parametrize("form", ["", "cpu", "cpu16", "smoke"])
def test_networks_of_reference_mnist_fit_the_images_of_every_form(form):
    config = CONFIGS["reference_mnist_srbvae"].get_config(form)
    side = config.data.resolution
    assert METHODS["srbvae"](config, DataInfo((side, side, 3), 100, "cpu")).players == (
        "discriminator",
        "model",
    )
