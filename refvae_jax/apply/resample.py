"""Draws a latent of image files anew from its prior; the others stay those of the image.

    python -m refvae_jax resample runs/quickstart-s0 pictures/ --latent=style --n=8

The draws are the same for every image, so a column of the picture can be read on its own.
"""

import argparse

import numpy as np

from refvae_jax.apply import arguments
from refvae_jax.apply.pictures import Drawn, Out, draw_each
from refvae_jax.apply.reading import Inputs
from refvae_jax.data.readers.image_files import find_images
from refvae_jax.figures.codes import decode_crossed
from refvae_jax.model import Model


def resample(model: Model, options: argparse.Namespace) -> None:
    """Draws a strip per image: it, then n times with another draw of the latent."""
    model.check_latent(options.latent)
    drawn = {options.latent: model.prior_codes(options.n, options.seed)[options.latent]}

    def draw(images: np.ndarray) -> Drawn:
        means = model.means(images[:, 0])
        made = decode_crossed(model, columns=drawn, rows=means, kept=options.latent)
        return Drawn(np.concatenate([images, made], axis=1), made)

    draw_each(Inputs(model, find_images(options.images)), draw, Out(options.out))


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Shows image files with a latent drawn anew from its prior."
    number = arguments.count(8, "draws per image (default: 8)")
    add = [arguments.images, arguments.latent, number, arguments.seed]
    options = arguments.parse("resample", meaning, argv, out="resample.png", add=add)
    return arguments.run(resample, options)
