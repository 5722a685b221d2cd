"""Reconstructs image files: each beside the decoded mean of its codes.

python -m refvae_jax reconstruct runs/quickstart-s0 pictures/ --out=reconstruct.png
"""

import argparse

import numpy as np

from refvae_jax.apply import arguments
from refvae_jax.apply.pictures import Drawn, Out, draw_each
from refvae_jax.apply.reading import Inputs
from refvae_jax.data.readers.image_files import find_images
from refvae_jax.model import Model


def reconstruct(model: Model, options: argparse.Namespace) -> None:
    """Draws a strip per image: it and its reconstruction."""

    def draw(images: np.ndarray) -> Drawn:
        made = model.reconstruct(images[:, 0])[:, None]
        return Drawn(np.concatenate([images, made], axis=1), made)

    draw_each(Inputs(model, find_images(options.images)), draw, Out(options.out))


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Shows image files beside their reconstructions."
    options = arguments.parse(
        "reconstruct", meaning, argv, out="reconstruct.png", add=[arguments.images]
    )
    return arguments.run(reconstruct, options)
