"""Exchanges a latent between image files: A with that latent of B.

    python -m refvae_jax swap runs/quickstart-s0 a.png pictures/ --latent=style --out=swap.png

A and B name as many images, or one of them a single image.
"""

import argparse

import numpy as np

from refvae_jax.apply import arguments
from refvae_jax.apply.pictures import Drawn, Out, draw_each
from refvae_jax.apply.reading import Inputs, pairs
from refvae_jax.model import Model


def swap(model: Model, options: argparse.Namespace) -> None:
    """Draws a strip per pair: a, b, and a with the latent of b."""
    model.check_latent(options.latent)

    def draw(images: np.ndarray) -> Drawn:
        made = model.swap(images[:, 0], images[:, 1], options.latent)[:, None]
        return Drawn(np.concatenate([images, made], axis=1), made)

    draw_each(Inputs(model, *pairs(options.a, options.b)), draw, Out(options.out))


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Shows image files A, B, and A with a latent of B."
    add = [arguments.a_and_b, arguments.latent]
    return arguments.run(swap, arguments.parse("swap", meaning, argv, out="swap.png", add=add))
