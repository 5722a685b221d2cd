"""The networks of the reference paper: blocks as in progressive GANs, no batch statistics.

Encoder((32, 64, 128, 256, 256), {"common": 32, "target": 32}, platform)  # images -> Gaussians
Decoder(256, (256, 128, 64, 32), 3, platform)                             # codes -> [B, 64, 64, 3]

Images are in [0, 1] outside and in [-1, 1] inside. Leaky ReLU of slope 0.2 and pixel norm with
epsilon 1e-8 are progressive GAN's own values (Karras et al. 2018).
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from refvae_jax.distributions import Gaussian
from refvae_jax.networks.conv.layers import Conv, ConvDoubled
from refvae_jax.networks.sizes import PROGRESSIVE

START = PROGRESSIVE.smallest  # Height and width of the smallest feature map.


def block_class(remat: bool) -> type["Block"]:
    """`Block`, with or without rematerialisation."""
    return nn.remat(Block) if remat else Block


def leaky_relu(x: Array) -> Array:
    """Slope 0.2 below zero."""
    return nn.leaky_relu(x, 0.2)


def pixel_norm(x: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """Each pixel's features [..., C] divided by their root mean square."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


class Block(nn.Module):
    """Twice [3x3 convolution, leaky ReLU, pixel norm]; [B, H, W, C] -> [B, H, W, width].

    Attributes:
      width: channels.
      platform: "cpu", "gpu" or "tpu", to compile for.
      normalise: whether there is a pixel norm.
      doubles: whether the image is doubled first, by nearest neighbours, to [B, 2 H, 2 W, C].
    """

    width: int
    platform: str
    normalise: bool = True
    doubles: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        """The features."""
        for i in range(2):
            layer = ConvDoubled if self.doubles and i == 0 else Conv
            conv = layer(
                self.width, 3, stride=1, padding=1, platform=self.platform, name=f"conv_{i}"
            )
            x = leaky_relu(conv(x))
            x = pixel_norm(x) if self.normalise else x
        return x


class Trunk(nn.Module):
    """From an image [B, H, W, C] in [0, 1] to START x START features, flat: [B, F].

    Attributes:
      widths: of the 1x1 convolution, then of the blocks, each of which halves the image.
      platform: "cpu", "gpu" or "tpu", to compile for.
      normalise: whether there is a pixel norm.
      dtype: of the computation.
      remat: whether a gradient computes the inside of each block again instead of keeping it.
    """

    widths: Sequence[int]
    platform: str
    normalise: bool = True
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B F"]:
        """The features."""
        x = 2 * x.astype(self.dtype) - 1
        x = Conv(self.widths[0], 1, stride=1, padding=0, platform=self.platform, name="from_image")(
            x
        )
        for i, width in enumerate(self.widths[1:]):
            x = block_class(self.remat)(width, self.platform, self.normalise, name=f"block_{i}")(x)
            x = nn.avg_pool(x, (2, 2), (2, 2))
        return x.reshape(x.shape[0], -1)


class Encoder(nn.Module):
    """Images [B, H, W, C] in [0, 1] to one Gaussian of [B, D] per latent, each with its own trunk.

    Attributes:
      widths: of a `Trunk`.
      latents: size of each latent by name.
      platform: "cpu", "gpu" or "tpu", to compile for.
      dtype: of the computation; parameters and Gaussians stay float32.
      remat: whether a gradient computes the inside of each block again instead of keeping it.
    """

    widths: Sequence[int]
    latents: Mapping[str, int]
    platform: str
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], only: Sequence[str] | None = None
    ) -> dict[str, Gaussian]:
        """{latent: Gaussian} of all latents, or of the names in `only`."""
        found = {}
        for name in self.latents if only is None else only:
            trunk = Trunk(self.widths, self.platform, dtype=self.dtype, remat=self.remat, name=name)
            features = trunk(x)
            head = nn.Dense(2 * self.latents[name], dtype=self.dtype, name=f"{name}_head")
            found[name] = Gaussian(*jnp.split(head(features).astype(jnp.float32), 2, axis=-1))
        return found


class Decoder(nn.Module):
    """Codes {name: [B, D]} to images [B, H, W, C] in [0, 1].

    Attributes:
      start_width: channels of the first START x START map.
      widths: of the blocks, each of which follows a doubling of the image.
      channels: of the image.
      platform: "cpu", "gpu" or "tpu", to compile for.
      dtype: of the computation; the image is float32.
      remat: whether a gradient computes the inside of each block again instead of keeping it.
    """

    start_width: int
    widths: Sequence[int]
    channels: int
    platform: str
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, codes: Mapping[str, Float[Array, "B D"]]) -> Float[Array, "B H W C"]:
        """The images."""
        x = jnp.concatenate([code for _, code in sorted(codes.items())], axis=-1)
        x = nn.Dense(START**2 * self.start_width, dtype=self.dtype, name="from_codes")(x)
        x = x.reshape(-1, START, START, self.start_width)
        for i, width in enumerate(self.widths):
            x = block_class(self.remat)(width, self.platform, doubles=True, name=f"block_{i}")(x)
        x = Conv(self.channels, 1, stride=1, padding=0, platform=self.platform, name="to_image")(x)
        return 0.5 * (jnp.tanh(x.astype(jnp.float32)) + 1)
