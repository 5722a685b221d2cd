"""What every method is: a tuple of pure functions. Written down once, here."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax.distributions import Gaussian

MODEL, DISCRIMINATOR = "model", "discriminator"  # The players.

# What is known of the training images: `data/batches.py` says what a batch then holds.
Supervision = Literal["group", "reference", "unsupervised"]

# Latents in pairs: what a swap usually keeps, and what it exchanges.
COUNTERPART = {"content": "style", "common": "target"}

Config = Any  # An ml_collections.ConfigDict: a type checker does not know its fields.
Scalar = Float[Array, ""]
Images = Float[Array, "B H W C"]  # In [0, 1].
Codes = dict[str, Float[Array, "B D"]]  # By latent.
Latents = dict[str, Gaussian]  # Of [B, D], by latent.
Params = Mapping[str, Any]  # One player's tree.
Variables = dict[str, dict[str, Any]]  # {"params": {player: tree}, "mutable": {player: tree}}.
Batch = Mapping[str, Any]
Scalars = dict[str, Scalar]  # To log.
PlayerLoss = tuple[Scalar, tuple[Any, Scalars]]  # The loss, (the player's new mutable, scalars).
PlayerLosses = dict[str, PlayerLoss]  # By player.

InitFunction = Callable[[PRNGKeyArray], Variables]
LossFunction = Callable[[Variables, Batch, PRNGKeyArray], PlayerLosses]
EncodeFunction = Callable[[Variables, Images], Latents]
DecodeFunction = Callable[[Variables, Codes], Images]
PriorFunction = Callable[[Variables, PRNGKeyArray, int], Codes]


class DataInfo(NamedTuple):
    """What a method may know of the data and the devices before it sees any."""

    image_shape: tuple[int, int, int]  # [H, W, C]
    num_train_images: int
    platform: str  # "cpu", "gpu" or "tpu": what its functions are compiled for.


class Method(NamedTuple):
    """A method of disentanglement.

    `variables` is {"params": {player: tree}, "mutable": {player: tree}}, the second for batch
    statistics. Images are float32 in [0, 1], [B, H, W, C].

    Attributes:
      supervision: what a batch holds, see `data/batches.py`.
      players: those with parameters and a loss of their own.
      init: rng -> variables.
      losses: (variables, batch, rng) -> {player: (scalar, (the player's new mutable,
        {name: scalar to log}))}. Each is differentiated with respect to that player's parameters
        only. One function for all players, so that what they share is computed once.
      encode: (variables, image) -> {latent: Gaussian of [B, D]}, as at test time.
      decode: (variables, {latent: [B, D]}) -> image, as at test time.
      prior: (variables, rng, n) -> {latent: [n, D]}, codes drawn before any image is seen.
      over_batch: what the losses compute over the whole batch, in words for an error message; ""
        if each is a mean over examples (of each set), so that a batch may be computed in parts.
    """

    supervision: Supervision
    players: tuple[str, ...]
    init: InitFunction
    losses: LossFunction
    encode: EncodeFunction
    decode: DecodeFunction
    prior: PriorFunction
    over_batch: str = "its loss"

    def sample(self, variables: Variables, rng: PRNGKeyArray, n: int) -> Images:
        """n images from the prior, [n, H, W, C]."""
        return self.decode(variables, self.prior(variables, rng, n))


def standard_normal_prior(sizes: Mapping[str, int]) -> PriorFunction:
    """The `prior` N(0, I) of latents of these sizes, {latent: D}."""

    def prior(variables: Variables, rng: PRNGKeyArray, n: int) -> Codes:
        del variables
        return {
            name: jax.random.normal(jax.random.fold_in(rng, i), (n, size))
            for i, (name, size) in enumerate(sorted(sizes.items()))
        }

    return prior
