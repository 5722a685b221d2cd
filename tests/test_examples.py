"""The models that come with the package: their size, and what they do with digits."""

import functools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import refvae_jax
from refvae_jax import __main__, packed
from refvae_jax.data.builders.digit_styles import draw_style, edges, transform
from refvae_jax.errors import UserError

NAMES = ("digits", "reference_digits")
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
    if name == "reference_digits":
        styles = [draw_style("test", i, 0, resolution=32, max_width=3) for i in range(COUNT)]
        return np.stack(
            [transform(edges(d, 32), *s) for d, s in zip(grey_digits(), styles, strict=True)]
        )
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
    """Of digits from another source; the models were trained on MNIST."""
    images = images_for(name)
    found, given = (directions(x) for x in (example(name).reconstruct(images), images))
    right = (found @ given.T).argmax(axis=1) == np.arange(COUNT)
    assert right.mean() > 0.5  # Chance: 1 / COUNT.


def directions(images):
    """Images [N, H, W, C] as unit vectors, [N, H W C]: a blurred line is darker than a sharp."""
    flat = images.reshape(len(images), -1) / 255
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_colour_goes_with_the_target_and_stays_without_it():
    """Of the reference digits: swapped pairs of a red and a blue image."""
    images = images_for("reference_digits")
    tint = mean_tint(images)
    a, b = images[np.argsort(tint)[:8]], images[np.argsort(tint)[-8:]]
    model = example("reference_digits")
    given, kept = (mean_tint(model.swap(a, b, latent)) for latent in ("target", "common"))
    assert (given > kept + 0.5 * (mean_tint(b) - mean_tint(a))).all()


def mean_tint(images):
    """(red - blue) / (red + green + blue) of images [N, H, W, 3], in [-1, 1]: [N]."""
    red, green, blue = images.astype(float).sum(axis=(1, 2)).T
    return (red - blue) / (red + green + blue)


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
