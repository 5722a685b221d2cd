"""The networks of the mixture paper (Table 2): strided convolutions, batch norm, ReLU.

Encoder((32, 64, 128, 256), {"content": 8, "style": 8}, platform) # [B, 32, 32, 1] -> Gaussians
Decoder(128, (128, 64), 1, platform)                              # codes -> [B, 32, 32, 1]
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from refvae_jax.distributions import Gaussian
from refvae_jax.networks.conv.layers import Conv, ConvTranspose
from refvae_jax.networks.sizes import STRIDED

START = STRIDED.smallest  # Height and width of the decoder's first feature map.


def _batch_norm(train: bool, dtype: DTypeLike, name: str) -> nn.BatchNorm:
    # PyTorch's constants: flax's own momentum of 0.99 leaves the running statistics of a short run
    # far behind its weights. (PyTorch's running variance is unbiased, flax's is not; here that is
    # at most one part in a thousand.)
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)


def _block(
    network: Any, layer: type[Conv], index: int, x: Array, train: bool, width: int, **geometry: int
) -> Array:
    """Convolution, batch norm and ReLU: the network's block of this index.

    Args:
      network: an Encoder or a Decoder, which gets the parameters.
      layer: the class of the convolution.
      index: of the block, in the names of its parameters.
      x: images [B, H, W, C].
      train: as of the networks.
      width: channels of the output.
      **geometry: of the layer.
    """

    def block(network: Any, x: Array) -> Array:
        # No bias: batch norm would subtract it.
        convolve = layer(
            width,
            **geometry,
            platform=network.platform,
            use_bias=False,
            name=f"{layer.__name__}_{index}",
        )
        normalise = _batch_norm(train, network.dtype, f"BatchNorm_{index}")
        return nn.relu(normalise(convolve(x)))

    return (nn.remat(block) if network.remat else block)(network, x)


def image_activation(x: Array) -> Array:
    """0.5 (x + 1) on [-1, 1] and slope 0.01 outside: nearly [0, 1], with gradient everywhere."""
    inside = jnp.clip(x, -1, 1)
    return 0.5 * (inside + 1) + 0.01 * (x - inside)


class Encoder(nn.Module):
    """Images [B, H, W, C] in [0, 1] to one Gaussian of [B, D] for each latent.

    Attributes:
      widths: channels of the 5x5 convolutions, each halving the image.
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
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> dict[str, Gaussian]:
        """{latent: Gaussian}; `train` takes the batch's own statistics and updates the running."""
        x = x.astype(self.dtype)
        for i, width in enumerate(self.widths):
            x = _block(self, Conv, i, x, train, width, kernel_size=5, stride=2, padding=2)
        x = x.reshape(x.shape[0], -1)
        heads = {n: nn.Dense(2 * d, dtype=self.dtype, name=n)(x) for n, d in self.latents.items()}
        return {n: Gaussian(*jnp.split(h.astype(jnp.float32), 2, -1)) for n, h in heads.items()}


class Decoder(nn.Module):
    """Codes {name: [B, D]} to images [B, H, W, C], nearly in [0, 1] (see `image_activation`).

    Attributes:
      start_width: channels that each latent gives to the first 8x8 feature map.
      widths: channels of the transposed 4x4 convolutions, each doubling the image.
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
    def __call__(
        self, codes: Mapping[str, Float[Array, "B D"]], train: bool
    ) -> Float[Array, "B H W C"]:
        """The images; `train` as for the encoder."""
        start = (START, START, self.start_width)
        dense = [
            nn.Dense(START**2 * self.start_width, dtype=self.dtype, name=name)(code)
            for name, code in sorted(codes.items())
        ]
        x = jnp.concatenate([h.reshape(-1, *start) for h in dense], axis=-1)
        for i, width in enumerate(self.widths):
            x = _block(self, ConvTranspose, i, x, train, width, kernel_size=4, stride=2, padding=1)
        # The paper says padding 1, which would give an image two pixels too large.
        x = Conv(self.channels, kernel_size=5, stride=1, padding=2, platform=self.platform)(x)
        return image_activation(x.astype(jnp.float32))
