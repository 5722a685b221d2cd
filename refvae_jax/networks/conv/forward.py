"""The output of a convolution: image [B, H, W, C], kernel [k, k, C, O] -> [B, h, w, O]."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.networks.conv.pixels import AXES, einsum, taps_of

WIDE = 32  # Output channels from which on XLA's own convolution is fast.


def native(x: Array, kernel: Array, stride: int, padding: int, dilation: int = 1) -> Array:
    """XLA's own; with `dilation` - 1 zeros between the pixels of x."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        lhs_dilation=(dilation, dilation),
        dimension_numbers=AXES,
    )


def _forward_wide(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """XLA's own, to several neighbouring pixels at once: of few channels, which it computes slowly.

    The kernel is as wide as what these pixels see together, and mostly zeros are added to it.
    """
    k, _, channels, features = kernel.shape
    h, w = ((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    pixels = next(n for n in (4, 2, 1) if n == 1 or (n * features <= WIDE and w % n == 0))
    wide = stride * (pixels - 1)
    # One copy of the kernel for each of the pixels, moved by the stride.
    copies = [
        jnp.pad(kernel, ((0, 0), (i, wide - i), (0, 0), (0, 0))) for i in range(0, wide + 1, stride)
    ]
    kernel = jnp.stack(copies, axis=3).reshape(k, k + wide, channels, -1)
    y = lax.conv_general_dilated(
        x, kernel, (stride, stride * pixels), [(padding, padding)] * 2, dimension_numbers=AXES
    )
    return y.reshape(x.shape[0], h, w, features)


def _forward_by_patches(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """One matmul with the k k C values that each output pixel sees."""
    patches = jnp.concatenate(list(taps_of(x, kernel.shape[0], stride, padding)), axis=-1)
    flat = kernel.reshape(-1, kernel.shape[3])
    return einsum("bhwt,to->bhwo", patches, flat).astype(x.dtype)


FORWARD = {"native": native, "wide": _forward_wide, "patches": _forward_by_patches}
