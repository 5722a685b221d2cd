"""A toy model whose codes are its pixels, and what cuts a picture into its cells."""

from typing import NamedTuple

import numpy as np

from refvae_jax.figures.layout import BACKGROUND

PAD = 2


class Gaussian(NamedTuple):
    mean: np.ndarray
    logvar: np.ndarray


class HalvesModel:
    """The left half of the image is its content, the right half its style: exact both ways."""

    def __init__(self, image_shape=(8, 8, 1), latent_names=("content", "style")):
        self.image_shape = image_shape
        self.latent_names = latent_names

    def encode(self, images):
        parts = np.split(images / 255.0, len(self.latent_names), axis=2)
        means = [part.reshape(len(images), -1) for part in parts]
        return {
            name: Gaussian(mean, np.zeros_like(mean))
            for name, mean in zip(self.latent_names, means, strict=True)
        }

    def means(self, images):
        return {name: q.mean for name, q in self.encode(images).items()}

    def decode(self, codes):
        height, _, channels = self.image_shape
        parts = [
            codes[name].reshape(len(codes[name]), height, -1, channels)
            for name in self.latent_names
        ]
        return np.rint(255 * np.concatenate(parts, axis=2).clip(0, 1)).astype(np.uint8)

    def prior_codes(self, n, seed):
        rng = np.random.default_rng(seed)
        sizes = {name: g.mean.shape[1] for name, g in self.encode(self.blank()).items()}
        return {name: rng.uniform(size=(n, size)) for name, size in sizes.items()}

    def blank(self):
        return np.zeros((1, *self.image_shape), np.uint8)

    def reconstruct(self, images):
        # Recognisably not the image, as a real model's would be.
        return (images // 2).astype(np.uint8)


def random_images(n, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def cells_of(picture, rows, columns, height=8, width=8):
    """Undoes the enlarging and cuts a picture into its cells: [rows, columns, height, width, 3]."""
    scale = picture.shape[1] // (columns * (width + PAD) + PAD)
    small = picture[::scale, ::scale]
    np.testing.assert_array_equal(small.repeat(scale, 0).repeat(scale, 1), picture)
    assert (small[:PAD] == BACKGROUND).all()
    assert (small[:, :PAD] == BACKGROUND).all()
    cells = small[PAD:, PAD:].reshape(rows, height + PAD, columns, width + PAD, 3).swapaxes(1, 2)
    assert (cells[:, :, height:] == BACKGROUND).all()
    assert (cells[:, :, :, width:] == BACKGROUND).all()
    return cells[:, :, :height, :width]


def rgb(images):
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def assert_closed(frames):
    """The step from the last frame to the first is a step like the others, and not a pause."""
    frames = np.asarray(frames, float)
    moved = np.abs(np.roll(frames, -1, axis=0) - frames).mean(axis=(1, 2, 3))
    assert 0 < moved[-1] <= moved[:-1].max()
