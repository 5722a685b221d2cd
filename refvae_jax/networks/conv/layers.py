"""Convolutions of images, in the form that suits the platform (see `forms.py`).

    y = conv(x, kernel, platform, stride=2, padding=2)             # kernel [5, 5, C, O]
    y = conv_transpose(x, kernel, platform, stride=2, padding=1)   # kernel [4, 4, C, O]
    y = conv_doubled(x, kernel, platform)                          # kernel [3, 3, C, O]

Images are [B, H, W, C], kernels [k, k, C, O], strides and zero padding the same on all sides.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from refvae_jax.networks.conv.forms import Form, form
from refvae_jax.networks.conv.forward import native
from refvae_jax.networks.conv.pixels import flip
from refvae_jax.networks.conv.products import products, transposed_size


def conv(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "k k C O"],
    platform: str,
    *,
    stride: int,
    padding: int,
) -> Float[Array, "B h w O"]:
    """Convolution: [B, H, W, C] -> [B, (H + 2 padding - k) // stride + 1, .., O]."""
    k, _, channels, features = kernel.shape
    size = min((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    chosen = form("conv", platform, k, stride, channels, features, size)
    return _conv(x, kernel, stride, padding, chosen)


def conv_transpose(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "k k C O"],
    platform: str,
    *,
    stride: int,
    padding: int,
) -> Float[Array, "B h w O"]:
    """Transposed convolution: [B, H, W, C] -> [B, (H - 1) stride - 2 padding + k, .., O].

    As PyTorch's, but the kernel is not flipped: a convolution of x with stride - 1 zeros
    between its pixels and k - 1 - padding around them.
    """
    k, _, channels, features = kernel.shape
    size = transposed_size(x, kernel, stride, padding)
    chosen = form("conv_transpose", platform, k, stride, channels, features, min(size))
    return _conv_transpose(x, kernel, stride, padding, chosen)


def conv_doubled(
    x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C O"], platform: str
) -> Float[Array, "B 2*H 2*W O"]:
    """Convolution 3x3 of the image `double(x)`: [B, H, W, C] -> [B, 2 H, 2 W, O].

    Of the nine pixels under the kernel only four differ. Adding the taps that fall on the same
    pixel gives a transposed convolution of 4 x 4 taps, with 16 multiplications instead of 36 for
    four pixels of the output (progressive GAN's code does so for its largest images).
    """
    (_, _, channels, features), size = kernel.shape, 2 * min(x.shape[1:3])
    chosen = form("conv_doubled", platform, 3, 1, channels, features, size)
    return _conv_doubled(x, kernel, chosen)


def double(x: Float[Array, "B H W C"]) -> Float[Array, "B 2*H 2*W C"]:
    """The image doubled by nearest neighbours: [B, H, W, C] -> [B, 2 H, 2 W, C]."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


class Conv(nn.Module):
    """`conv` with parameters `kernel` [k, k, C, features] and `bias` [features].

    The parameters are float32; the computation is in the type of the image.
    """

    features: int
    kernel_size: int
    stride: int
    padding: int
    platform: str
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w features"]:
        """Image [B, H, W, C] to [B, .., .., features]."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(x.dtype)
        y = self._function(x, kernel, stride=self.stride, padding=self.padding)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return y

    def _function(self, x: Array, kernel: Array, **geometry: int) -> Array:
        return conv(x, kernel, self.platform, **geometry)


class ConvTranspose(Conv):
    """`conv_transpose` with the parameters of `Conv`."""

    def _function(self, x: Array, kernel: Array, **geometry: int) -> Array:
        return conv_transpose(x, kernel, self.platform, **geometry)


class ConvDoubled(Conv):
    """`conv_doubled` with the parameters of `Conv`: kernel_size 3, stride 1 and padding 1."""

    def _function(self, x: Array, kernel: Array, **geometry: int) -> Array:
        del geometry
        return conv_doubled(x, kernel, self.platform)


def _conv(x: Array, kernel: Array, stride: int, padding: int, chosen: Form | None) -> Array:
    # With padding of k or more the mirrored convolution would need negative padding.
    if chosen is None or padding >= kernel.shape[0]:
        return native(x, kernel, stride, padding)
    if chosen.mirrored:
        # With stride 1 a convolution is a transposed one with another padding.
        return _conv_transpose(x, kernel, stride, kernel.shape[0] - 1 - padding, chosen)
    return products(x, kernel, stride, padding, x.shape[1:3], chosen)


def _conv_transpose(
    x: Array, kernel: Array, stride: int, padding: int, chosen: Form | None
) -> Array:
    if chosen is None:
        around = kernel.shape[0] - 1 - padding
        return native(x, kernel, 1, around, dilation=stride)
    size = transposed_size(x, kernel, stride, padding)
    return products(x, flip(kernel), stride, padding, size, chosen)


def _conv_doubled(x: Array, kernel: Array, chosen: Form | None) -> Array:
    if chosen is None:
        return native(double(x), kernel, 1, 1)
    # Doubling is a sum over 2x2 pixels of the image with zeros between: one kernel does both sums.
    first, *rest = (
        jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)
    )
    kernel = sum(rest, first)
    return _conv_transpose(x, kernel, 2, 1, chosen)
