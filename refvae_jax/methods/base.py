"""What every method is: a tuple of pure functions. Written down once, here."""

from collections.abc import Callable
from typing import NamedTuple

import jax

MODEL, DISCRIMINATOR = "model", "discriminator"  # The players.

# Latents in pairs: what a swap usually keeps, and what it exchanges.
COUNTERPART = {"content": "style", "common": "target"}


class DataInfo(NamedTuple):
    """What a method may know of the data before it sees any."""

    image_shape: tuple[int, int, int]  # [H, W, C]
    num_train_images: int


class Method(NamedTuple):
    """A method of disentanglement.

    `variables` is {"params": {player: tree}, "mutable": {player: tree}}, the second for batch
    statistics. Images are float32 in [0, 1], [B, H, W, C].

    Attributes:
      supervision: what a batch holds, one of `data.batches.SUPERVISION`.
      players: who has parameters and a loss of its own, in the order of alternating updates.
      init: rng -> variables.
      losses: (variables, batch, rng) -> {player: (scalar, (the player's new mutable,
        {name: scalar to log}))}. Each is differentiated by that player's parameters only. One
        function for all, so that what they share is computed once.
      encode: (variables, image) -> {latent: Gaussian of [B, D]}, as at test time.
      decode: (variables, {latent: [B, D]}) -> image, as at test time.
      prior: (variables, rng, n) -> {latent: [n, D]}, codes drawn before any image is seen.
    """

    supervision: str
    players: tuple[str, ...]
    init: Callable
    losses: Callable
    encode: Callable
    decode: Callable
    prior: Callable

    def sample(self, variables, rng, n):
        """n images from the prior, [n, H, W, C]."""
        return self.decode(variables, self.prior(variables, rng, n))


def standard_normal_prior(sizes):
    """The `prior` N(0, I) of latents of these sizes, {latent: D}."""

    def prior(variables, rng, n):
        del variables
        return {
            name: jax.random.normal(jax.random.fold_in(rng, i), (n, size))
            for i, (name, size) in enumerate(sorted(sizes.items()))
        }

    return prior
