"""Convolutions, in forms that XLA compiles well for a CPU.

    y = conv(x, kernel, stride=2, padding=2)             # kernel [5, 5, C, O]
    y = conv_transpose(x, kernel, stride=2, padding=1)   # kernel [4, 4, C, O]

Images are [B, H, W, C], kernels [k, k, C, O], strides and zero padding the same on all sides.

A convolution is linear in the image and in the kernel, so training needs three products:

    y  = forward(x, kernel)
    dx = input_gradient(dy, kernel)
    dk = kernel_gradient(x, dy)

A transposed convolution needs the same three with the roles of image and cotangent exchanged, and
so does a convolution of stride 1. XLA:CPU has one native convolution, fast for some shapes of some
of these products and up to a hundred times slower than a matmul for others. `form` therefore picks
the way to compute each product from a fixed rule: never timed, the same in every run. On a GPU or
TPU everything is XLA's own.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


class Form(NamedTuple):
    """How to compute the three products: keys of `FORWARD`, `INPUT_GRADIENT`, `KERNEL_GRADIENT`.

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
      kind: "conv" or "conv_transpose".
      platform: of the device, as `jax.default_backend()` names it.
      kernel_size: k.
      stride: of the convolution, or of the one that is transposed.
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

    Plain transposed convolutions, 4x4 stride 2, take 25 s (8x8x256 -> 128, jax 0.10.2, quiet
    machine) where the chosen form takes about 0.6 s in three products of 0.2 s.
    """
    if platform != "cpu" or kernel_size == 1:
        return None
    if kind == "conv_transpose":
        return Form("native", "phases", "taps", mirrored=True) if stride > 1 else None
    if stride == 1:
        # To three channels the taps need 300 MB (64x64, batch 256) and gain nothing on 0.12.
        to_one = out_channels == 1 < in_channels
        return Form("patches", "fold", "patches", mirrored=True) if to_one else None
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
    k, size = kernel.shape[0], _transposed_size(x, kernel, stride, padding)
    platform = jax.default_backend()
    chosen = form("conv_transpose", platform, k, stride, *kernel.shape[2:], min(size))
    return _conv_transpose(x, kernel, stride, padding, chosen)


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


def _conv(x, kernel, stride, padding, chosen):
    # With more padding than the kernel sees, the mirrored one would crop below nothing.
    if chosen is None or padding >= kernel.shape[0]:
        return _native(x, kernel, stride, padding)
    if chosen.mirrored:
        # With stride 1 a convolution is a transposed one with another padding.
        return _conv_transpose(x, kernel, stride, kernel.shape[0] - 1 - padding, chosen)
    return _products(x, kernel, stride, padding, x.shape[1:3], chosen)


def _conv_transpose(x, kernel, stride, padding, chosen):
    if chosen is None:
        around = kernel.shape[0] - 1 - padding
        return _native(x, kernel, 1, around, dilation=stride)
    size = _transposed_size(x, kernel, stride, padding)
    return _products(x, _flip(kernel), stride, padding, size, chosen)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _products(x, kernel, stride, padding, size, chosen):
    """Output of a layer; `kernel` and `size` (of the image) are those of the convolution."""
    if chosen.mirrored:
        return INPUT_GRADIENT[chosen.input_gradient](x, kernel, stride, padding, size)
    return FORWARD[chosen.forward](x, kernel, stride, padding)


def _products_forward(x, kernel, *static):
    return _products(x, kernel, *static), (x, kernel)


def _products_backward(stride, padding, size, chosen, saved, dy):
    x, kernel = saved
    kernel_gradient = KERNEL_GRADIENT[chosen.kernel_gradient]
    if chosen.mirrored:
        dx = FORWARD[chosen.forward](dy, kernel, stride, padding)
        return dx, kernel_gradient(dy, x, kernel.shape, stride, padding)
    dx = INPUT_GRADIENT[chosen.input_gradient](dy, kernel, stride, padding, size)
    return dx, kernel_gradient(x, dy, kernel.shape, stride, padding)


_products.defvjp(_products_forward, _products_backward)


# Forward: image [B, H, W, C] -> [B, h, w, O].


def _native(x, kernel, stride, padding, dilation=1):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _forward_by_patches(x, kernel, stride, padding):
    """One matmul with the k k C values that each output pixel sees."""
    patches = jnp.concatenate(list(_taps(x, kernel.shape[0], stride, padding)), axis=-1)
    return _einsum("bhwt,to->bhwo", patches, kernel.reshape(-1, kernel.shape[3])).astype(x.dtype)


# Input gradient: cotangent [B, h, w, O] -> [B, H, W, C].


def _input_gradient_by_fold(dy, kernel, stride, padding, size):
    """One matmul to k k taps of C channels, each tap added where it belongs.

    The taps are added up within each of the stride x stride phases of the padded image, where
    they lie dense, and the phases interleaved at the end.
    """
    k, _, channels, _ = kernel.shape
    (h, w), (height, width) = dy.shape[1:3], size
    rows, columns = (-(-(n + 2 * padding) // stride) for n in size)
    taps = _einsum("bhwo,ijco->bhwijc", dy, kernel)
    zeros = jnp.zeros((dy.shape[0], rows, columns, channels), taps.dtype)

    def phase(r, c):
        parts = [
            _pad(
                taps[:, :, :, i, j],
                (i // stride, rows - h - i // stride),
                (j // stride, columns - w - j // stride),
            )
            for i in range(r, k, stride)
            for j in range(c, k, stride)
        ]
        return sum(parts[1:], parts[0]) if parts else zeros

    dx = _interleave([[phase(r, c) for c in range(stride)] for r in range(stride)])
    return dx[:, padding : padding + height, padding : padding + width].astype(dy.dtype)


def _input_gradient_by_phases(dy, kernel, stride, padding, size):
    """One dense convolution of stride 1 to all stride x stride phases of the image.

    Pixel `stride m + r` of the image sees every stride-th tap of the kernel only, from tap
    `first[r]` of the flipped kernel on, at pixels `m + offset[r]`, .. of the cotangent.
    """
    kernel = _flip(kernel)  # [k, k, O, C]
    k = kernel.shape[0]
    around = k - 1 - padding
    first = [(around - r) % stride for r in range(stride)]
    offset = [(r + f - around) // stride for r, f in enumerate(first)]
    low, high = min(offset), max(offset)
    taps = -(-k // stride)
    rows, columns = (-(-n // stride) for n in size)

    short = (0, taps * stride - k)
    kernel = jnp.pad(kernel, (short, short, (0, 0), (0, 0)))
    kernel = jnp.concatenate([kernel[i::stride, j::stride] for i in first for j in first], axis=-1)
    h, w = dy.shape[1:3]
    dy = _pad(dy, (-low, high + rows + taps - 1 - h), (-low, high + columns + taps - 1 - w))
    phases = iter(jnp.split(_native(dy, kernel, 1, 0), stride**2, axis=-1))
    dx = _interleave(
        [
            [next(phases)[:, a - low : a - low + rows, b - low : b - low + columns] for b in offset]
            for a in offset
        ]
    )
    return dx[:, : size[0], : size[1]]


# Kernel gradient: image [B, H, W, C], cotangent [B, h, w, O] -> [k, k, C, O].


def _kernel_gradient_native(x, dy, shape, stride, padding):
    zeros = jnp.zeros(shape, x.dtype)
    transpose = jax.linear_transpose(lambda kernel: _native(x, kernel, stride, padding), zeros)
    return transpose(dy)[0]


def _kernel_gradient_by_taps(x, dy, shape, stride, padding):
    """One matmul for each of the k k taps: no patches in memory."""
    taps = _taps(x, shape[0], stride, padding)
    return jnp.stack([_einsum("bhwc,bhwo->co", t, dy).astype(x.dtype) for t in taps]).reshape(shape)


def _kernel_gradient_by_patches(x, dy, shape, stride, padding):
    """One matmul: for an x of few channels, whose taps are too thin for a matmul each."""
    patches = jnp.concatenate(list(_taps(x, shape[0], stride, padding)), axis=-1)
    return _einsum("bhwt,bhwo->to", patches, dy).astype(x.dtype).reshape(shape)


def _taps(x, k, stride, padding):
    """For each tap of the kernel the pixels [B, h, w, C] that it sees."""
    h, w = ((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    x = _pad(x, (padding, padding), (padding, padding))
    for i in range(k):
        for j in range(k):
            yield x[:, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (w - 1) + 1 : stride]


def _interleave(phases):
    """Images [B, h, w, C] as a list of lists [stride][stride] -> [B, h stride, w stride, C]."""
    x = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)  # [B, h, s, w, s, C]
    b, h, s, w, _, c = x.shape
    return x.reshape(b, h * s, w * s, c)


def _flip(kernel):
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _pad(x, rows, columns):
    # Not jnp.pad: negative padding crops.
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)])


def _einsum(equation, a, b):
    # Matmuls and the sums after them run in float32 where the images are bfloat16.
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum(equation, a, b, preferred_element_type=wide)


def _transposed_size(x, kernel, stride, padding):
    return tuple((n - 1) * stride - 2 * padding + kernel.shape[0] for n in x.shape[1:3])


FORWARD = {"native": _native, "patches": _forward_by_patches}
INPUT_GRADIENT = {"fold": _input_gradient_by_fold, "phases": _input_gradient_by_phases}
KERNEL_GRADIENT = {
    "native": _kernel_gradient_native,
    "taps": _kernel_gradient_by_taps,
    "patches": _kernel_gradient_by_patches,
}
