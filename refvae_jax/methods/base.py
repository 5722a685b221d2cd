"""What every method is: a tuple of pure functions. Written down once, here."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class DataInfo(NamedTuple):
    """What a method may know of the data before it sees any."""

    image_shape: tuple[int, int, int]  # [H, W, C]
    num_train_images: int


class Method(NamedTuple):
    """A method of disentanglement.

    `variables` is {"params": {player: tree}, "mutable": {player: tree}}, the second for batch
    statistics. Images are float32 in [0, 1], [B, H, W, C].

    Attributes:
      init: rng -> variables.
      losses: {player: fn}, fn(variables, batch, rng) -> (scalar, (the player's new mutable,
        {name: scalar to log})). Differentiated by that player's parameters only.
      encode: (variables, image) -> {latent: Gaussian of [B, D]}, as at test time.
      decode: (variables, {latent: [B, D]}) -> image, as at test time.
      sample: (variables, rng, n) -> n images from the prior.
    """

    init: Callable
    losses: Mapping[str, Callable]
    encode: Callable
    decode: Callable
    sample: Callable
