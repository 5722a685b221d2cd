"""What the products of a convolution share: padding, taps, phases and matmuls of images."""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Size = Sequence[int]
AXES = ("NHWC", "HWIO", "NHWC")  # Of images, kernels and outputs.


def taps_of(x: Array, k: int, stride: int, padding: int) -> Iterator[Array]:
    """For each tap of the kernel the pixels [B, h, w, C] that it sees."""
    h, w = ((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    x = padded(x, (padding, padding), (padding, padding))
    for i in range(k):
        for j in range(k):
            yield x[:, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (w - 1) + 1 : stride]


def interleave(phases: Sequence[Sequence[Array]]) -> Array:
    """Images [B, h, w, C] as a list of lists [stride][stride] -> [B, h stride, w stride, C]."""
    x = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)  # [B, h, s, w, s, C]
    b, h, s, w, _, c = x.shape
    return x.reshape(b, h * s, w * s, c)


def flip(kernel: Array) -> Array:
    """The kernel of the transposed convolution: turned by 180 degrees, [k, k, O, C]."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def padded(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """Zeros around images [B, H, W, C]: (before, after) of rows and columns; negative ones crop."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)])


def einsum(equation: str, a: Array, b: Array) -> Array:
    """jnp.einsum to float32 where the images are bfloat16, for the sums that follow."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum(equation, a, b, preferred_element_type=wide)
