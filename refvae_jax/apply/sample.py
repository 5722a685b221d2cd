"""Draws images from the prior of a trained model.

python -m refvae_jax sample runs/quickstart-s0 --n=64 --out=sample.png
"""

import argparse

from refvae_jax.apply import arguments
from refvae_jax.apply.pictures import Drawn, Out
from refvae_jax.model import Model


def sample(model: Model, options: argparse.Namespace) -> None:
    """Draws n images."""
    out = Out(options.out)
    out.check(options.n)
    made = model.sample(options.n, options.seed)[:, None]
    out.write([([f"{i:05}" for i in range(len(made))], Drawn(made, made))])


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Draws images from the prior."
    add = [arguments.count(64, "images (default: 64)"), arguments.seed]
    return arguments.run(
        sample, arguments.parse("sample", meaning, argv, out="sample.png", add=add)
    )
