"""The models that come with the package: their size, and what they do with digits."""

import functools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import refvae_jax
from refvae_jax import __main__, packed
from refvae_jax.errors import UserError

NAMES = ("digits",)
COUNT = 40


@functools.cache
def example(name):
    return refvae_jax.load(f"example:{name}")


def grey_digits():
    """Digits that no example was trained on, 8x8 enlarged to MNIST's 20: uint8 [COUNT, 28, 28]."""
    small = [Image.fromarray(image.astype(np.uint8) * 15) for image in load_digits().images[:COUNT]]
    large = np.stack([image.resize((20, 20), Image.Resampling.BICUBIC) for image in small])
    return np.pad(large, ((0, 0), (4, 4), (4, 4)))


def images_for(name):
    """What the example takes, uint8 [COUNT, 32, 32, C]."""
    return np.pad(grey_digits(), ((0, 0), (2, 2), (2, 2)))[..., None]


def test_all_are_known():
    assert packed.example_names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_and_has_a_card(name):
    files = sorted((packed.EXAMPLES / name).iterdir())
    assert [path.name for path in files] == ["README.md", packed.DESCRIPTION, packed.ARRAYS]
    assert sum(path.stat().st_size for path in files) < 3e6
    for latent, size in example(name).latent_sizes.items():
        assert f"| `{latent}` | {size} |" in files[0].read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_reconstruction_is_nearest_to_its_image(name):
    """Of digits from another source; the model was trained on MNIST."""
    flat = images_for(name).reshape(COUNT, -1) / 255
    found = example(name).reconstruct(images_for(name)).reshape(COUNT, -1) / 255
    distance = np.square(found[:, None] - flat[None]).sum(axis=-1)
    right = distance.argmin(axis=1) == np.arange(COUNT)
    assert right.mean() > 0.5  # Chance: 1 / COUNT.


def test_commands_take_them(tmp_path):
    Image.fromarray(grey_digits()[0]).save(tmp_path / "a.png")
    arguments = [f"{tmp_path}/a.png", f"--out={tmp_path}/codes.npz"]
    assert __main__.main(["encode", "example:digits", *arguments]) == 0
    codes = np.load(tmp_path / "codes.npz")
    for name, mean in example("digits").means(images_for("digits")[:1]).items():
        np.testing.assert_array_equal(codes[f"{name}_mean"], mean)


def test_an_unknown_one_is_answered_with_the_names(capsys):
    with pytest.raises(UserError, match=r"There is no example 'digit'\. Did you mean 'digits'"):
        refvae_jax.load("example:digit")
    assert __main__.main(["sample", "example:faces"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(f"example:{name}" in error for name in NAMES)
