"""Interpolates between image files, on the straight line from the codes of A to those of B.

    python -m refvae_jax interpolate runs/quickstart-s0 a.png b.png --n=9 --out=interpolate.gif

A and B name as many images, or one of them a single image. With --latent only that one moves.
"""

import argparse

import numpy as np

from refvae_jax.apply import arguments
from refvae_jax.apply.pictures import Drawn, Out, draw_each
from refvae_jax.apply.reading import Inputs, pairs
from refvae_jax.model import Model


def interpolate(model: Model, options: argparse.Namespace) -> None:
    """Draws a strip, or a loop in an animation, per pair: from a to b in n steps."""
    moving = None if options.latent is None else [options.latent]
    for name in moving or ():
        model.check_latent(name)

    def draw(images: np.ndarray) -> Drawn:
        made = model.interpolate(images[:, 0], images[:, 1], options.n, moving)
        return Drawn(made, made)

    out = Out(options.out, (".png", ".gif"))
    draw_each(Inputs(model, *pairs(options.a, options.b)), draw, out)


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Shows the way from image files A to image files B, as a strip or a GIF."

    def latent(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--latent", help="the only one that moves (default: all move)")

    add = [arguments.a_and_b, latent, arguments.count(9, "steps (default: 9)")]
    options = arguments.parse("interpolate", meaning, argv, out="interpolate.png", add=add)
    return arguments.run(interpolate, options)
