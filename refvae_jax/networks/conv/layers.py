"""Convolutions, in forms that XLA compiles well for a CPU.

    y = conv(x, kernel, stride=2, padding=2)             # kernel [5, 5, C, O]
    y = conv_transpose(x, kernel, stride=2, padding=1)   # kernel [4, 4, C, O]
    y = conv_doubled(x, kernel)                          # kernel [3, 3, C, O]

Images are [B, H, W, C], kernels [k, k, C, O], strides and zero padding the same on all sides.

A convolution is linear in the image and in the kernel, so training needs three products:

    y  = forward(x, kernel)
    dx = input_gradient(dy, kernel)
    dk = kernel_gradient(x, dy)

A transposed convolution needs the same three with the roles of image and cotangent exchanged, and
so do a convolution of stride 1 and one of a doubled image. XLA:CPU has one native convolution, fast
for some shapes of some of these products and up to a hundred times slower than a matmul for others.
`form` therefore picks the way to compute each product from a fixed rule: never timed, the same in
every run. On a GPU or TPU everything is XLA's own.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from refvae_jax.networks.conv.products import flip, native, products, transposed_size


class Form(NamedTuple):
    """How to compute the three products: keys of FORWARD, INPUT_GRADIENT,
    KERNEL_GRADIENT of `products.py`.

    Attributes:
      mirrored: the layer is the transpose of the convolution whose products these are: its output
        is that one's input gradient.
    """

    forward: str
    input_gradient: str
    kernel_gradient: str
    mirrored: bool = False


def form(kind, platform, kernel_size, stride, in_channels, out_channels, out_size):
    """Form for one layer, None for the plain one of `lax`.

    Args:
      kind: "conv", "conv_transpose" or "conv_doubled".
      platform: of the device, as `jax.default_backend()` names it.
      kernel_size: k.
      stride: of the convolution, or of the one that is transposed; of a doubled image 1.
      in_channels: C.
      out_channels: O.
      out_size: the smaller of the height and width of the output.

    Output and both gradients in milliseconds, plain and chosen, batch 256, float32, on 2 cores that
    other work shared (so compare within a pair):

                                              jax 0.10.2       jax 0.12.0.1
        5x5 stride 2   16x16x32 -> 64         238    174         84     53
                       8x8x64 -> 128          972    183        389     49
                       4x4x128 -> 256        3441    114        725     40
                       64x64x3 -> 64 (B 64)   206    128        217    162
        5x5 stride 1   32x32x64 -> 1          949    295        216    152

    The same on one core, batch 72, of 3x3:

        stride 1       16x16x256 -> 256      1558   1478       3622   1713
                       32x32x128 -> 128      3666   1882       2965   1719
                       64x64x64 -> 64        2792   1932       2460   1743
        doubled        4x4x32 -> 32             4      2          9      2
                       16x16x16 -> 8           41      8         42     12
                       16x16x128 -> 64       1215    425       1086    557
                       32x32x64 -> 32        2069    638       1895    556

    Plain transposed convolutions, 4x4 stride 2, take 25 s (8x8x256 -> 128, jax 0.10.2, quiet
    machine) where the chosen form takes about 0.6 s in three products of 0.2 s.
    """
    if platform != "cpu" or kernel_size == 1:
        return None
    if kind == "conv_doubled":
        return Form("native", "phases", "native", mirrored=True)
    if kind == "conv_transpose":
        return Form("native", "phases", "taps", mirrored=True) if stride > 1 else None
    if stride == 1:
        # To three channels the taps need 300 MB (64x64, batch 256) and gain nothing on 0.12.
        if out_channels == 1 < in_channels:
            return Form("patches", "shifts", "patches", mirrored=True)
        large = min(in_channels, out_channels) >= 32 and in_channels * out_size > 1024
        return Form("native", "phases", "strips") if large else None
    if in_channels == 1:
        return None
    return Form(
        "patches" if out_size <= 2 or in_channels > 128 else "native",
        "fold" if out_size <= 4 else "phases",
        "native" if out_size <= 8 else "taps",
    )


def conv(x, kernel, *, stride, padding):
    """Convolution: [B, H, W, C] -> [B, (H + 2 padding - k) // stride + 1, .., O]."""
    k = kernel.shape[0]
    size = min((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    chosen = form("conv", jax.default_backend(), k, stride, *kernel.shape[2:], size)
    return _conv(x, kernel, stride, padding, chosen)


def conv_transpose(x, kernel, *, stride, padding):
    """Transposed convolution: [B, H, W, C] -> [B, (H - 1) stride - 2 padding + k, .., O].

    As PyTorch's, but that the kernel is not flipped: a convolution of x with stride - 1 zeros
    between its pixels and k - 1 - padding around them.
    """
    k, size = kernel.shape[0], transposed_size(x, kernel, stride, padding)
    platform = jax.default_backend()
    chosen = form("conv_transpose", platform, k, stride, *kernel.shape[2:], min(size))
    return _conv_transpose(x, kernel, stride, padding, chosen)


def conv_doubled(x, kernel):
    """Convolution 3x3 of the image `double(x)`: [B, H, W, C] -> [B, 2 H, 2 W, O].

    Of the nine pixels that it sees only four differ. So the sums of the taps that fall on the same
    one are a transposed convolution of 4 x 4 taps, with 16 multiplications instead of 36 for four
    pixels of the output (progressive GAN's code does so for its largest images).
    """
    size = 2 * min(x.shape[1:3])
    chosen = form("conv_doubled", jax.default_backend(), 3, 1, *kernel.shape[2:], size)
    return _conv_doubled(x, kernel, chosen)


def double(x):
    """Nearest neighbours: [B, H, W, C] -> [B, 2 H, 2 W, C]."""
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
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        """Image [B, H, W, C] to [B, .., .., features]."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(x.dtype)
        y = self._function(x, kernel, stride=self.stride, padding=self.padding)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return y

    def _function(self, x, kernel, **geometry):
        return conv(x, kernel, **geometry)


class ConvTranspose(Conv):
    """`conv_transpose` with the parameters of `Conv`."""

    def _function(self, x, kernel, **geometry):
        return conv_transpose(x, kernel, **geometry)


class ConvDoubled(Conv):
    """`conv_doubled` with the parameters of `Conv`: kernel_size 3, stride 1 and padding 1."""

    def _function(self, x, kernel, **geometry):
        del geometry
        return conv_doubled(x, kernel)


def _conv(x, kernel, stride, padding, chosen):
    # With more padding than the kernel sees, the mirrored one would crop below nothing.
    if chosen is None or padding >= kernel.shape[0]:
        return native(x, kernel, stride, padding)
    if chosen.mirrored:
        # With stride 1 a convolution is a transposed one with another padding.
        return _conv_transpose(x, kernel, stride, kernel.shape[0] - 1 - padding, chosen)
    return products(x, kernel, stride, padding, x.shape[1:3], chosen)


def _conv_transpose(x, kernel, stride, padding, chosen):
    if chosen is None:
        around = kernel.shape[0] - 1 - padding
        return native(x, kernel, 1, around, dilation=stride)
    size = transposed_size(x, kernel, stride, padding)
    return products(x, flip(kernel), stride, padding, size, chosen)


def _conv_doubled(x, kernel, chosen):
    if chosen is None:
        return native(double(x), kernel, 1, 1)
    # Doubling is a sum over 2x2 pixels of the image with zeros between: one kernel for both sums.
    kernel = sum(
        jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)
    )
    return _conv_transpose(x, kernel, 2, 1, chosen)
