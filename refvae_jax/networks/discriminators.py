"""Discriminators of images with codes (sRb-VAE, sVAE, Mathieu et al.) and of codes (FactorVAE)."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax.networks.progressive import Trunk, leaky_relu


def keep_blocks(rng: PRNGKeyArray, shape: Sequence[int], rate: float) -> Float[Array, "... 2"]:
    """Which blocks of features examples keep, [*shape, 2] of 0 and 1: (image, codes).

    With probability `rate` an example loses one of the two, each with the same chance, and never
    both: nothing would be left to discriminate by.
    """
    rng_whether, rng_which = jax.random.split(rng)
    lost = jax.random.bernoulli(rng_whether, rate, (*shape, 1))
    which = jax.random.bernoulli(rng_which, 0.5, (*shape, 1))
    return 1.0 - lost * jnp.concatenate([which, ~which], axis=-1)


class Discriminator(nn.Module):
    """A logit for images [B, H, W, C] in [0, 1] with codes {name: [B, D]}.

    The encoder's trunk without pixel norm gives one block of features, the codes another, and a
    hidden layer combines them. Without it the logit would be f(x) + g(codes), which can only match
    images and codes separately and cannot be log q(x, codes) / p(x, codes) of equation 7.
    Before that layer `keep_blocks` hides one block of an example at random, so that the
    discriminator cannot learn to ignore the codes (reference paper, implementation details; there
    the last layer follows the blocks directly, the hidden layer is ours).

    Attributes:
      widths: of the image's `Trunk`.
      features: size of each block, and of the hidden layer.
      platform: "cpu", "gpu" or "tpu", to compile for.
      dtype: of the computation; the logit is float32.
      remat: of the `Trunk`.
    """

    widths: Sequence[int]
    features: int
    platform: str
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B H W C"],
        codes: Mapping[str, Float[Array, "B D"]],
        keep: Float[Array, "B 2"] | None = None,
    ) -> Float[Array, " B"]:
        """Logits [B]; with `keep` only the blocks where it is 1 are seen."""

        def dense(size: int, name: str, y: Array) -> Array:
            return nn.Dense(size, dtype=self.dtype, name=name)(y)

        image = Trunk(self.widths, self.platform, False, self.dtype, self.remat, name="image")(x)
        image = leaky_relu(dense(self.features, "image_features", image))
        latent = jnp.concatenate([code for _, code in sorted(codes.items())], axis=-1)
        for i in range(2):
            latent = leaky_relu(dense(self.features, f"code_features_{i}", latent))
        blocks = jnp.stack([image, latent], axis=1)  # [B, 2, features]
        if keep is not None:
            blocks = blocks * keep[..., None].astype(self.dtype)
        joint = leaky_relu(dense(self.features, "joint_features", blocks.reshape(len(x), -1)))
        return dense(1, "logit", joint)[:, 0].astype(jnp.float32)


class LatentDiscriminator(nn.Module):
    """A logit for codes [B, D]: FactorVAE's discriminator, 6 layers of 1000, leaky ReLU 0.2.

    Attributes:
      width: of the hidden layers.
      depth: their number.
    """

    width: int = 1000
    depth: int = 6

    @nn.compact
    def __call__(self, z: Float[Array, "B D"]) -> Float[Array, " B"]:
        """Logits [B]."""
        for _ in range(self.depth):
            z = leaky_relu(nn.Dense(self.width)(z))
        return nn.Dense(1)(z)[:, 0]
