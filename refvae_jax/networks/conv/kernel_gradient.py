"""The kernel gradient of a convolution: image [B, H, W, C], cotangent [B, h, w, O] -> [k, k, C, O].

`shape` is that of the kernel.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.networks.conv.chunks import sum_over_chunks
from refvae_jax.networks.conv.pixels import AXES, Size, einsum, taps_of


def _kernel_native(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    # The examples as channels, dilated by the stride. Autodiff gives the same with other dimension
    # numbers, which XLA:CPU brings into this form, but not inside a loop: there it is 30 times
    # slower.
    size = [(n - 1) * stride + 1 for n in dy.shape[1:3]]
    x, dy = x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)
    high = [k - 1 + s - n - padding for k, s, n in zip(shape[:2], size, x.shape[1:3], strict=True)]
    around = [(padding, h) for h in high]
    found = lax.conv_general_dilated(
        x, dy, (1, 1), around, rhs_dilation=(stride, stride), dimension_numbers=AXES
    )
    return found.transpose(1, 2, 0, 3)  # [C, k, k, O] -> [k, k, C, O]


def _kernel_by_rows(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    """One matmul for each of the k rows of taps, some images at a time."""
    k, _, channels, features = shape

    def of_images(x: Array, dy: Array) -> Array:
        taps = list(taps_of(x, k, stride, padding))
        rows = (jnp.concatenate(taps[i : i + k], -1) for i in range(0, k * k, k))
        dy = dy.reshape(-1, features)
        # Of an einsum over images, rows and columns XLA writes a transposed copy, and without the
        # barrier it takes each row apart again. The product "to" takes 1.4 times as long as "ot".
        flat = (lax.optimization_barrier(row.reshape(-1, k * channels)) for row in rows)
        return jnp.stack([einsum("no,nt->ot", dy, row) for row in flat])

    made = dy[0, ..., 0].size * k * channels
    dk = sum_over_chunks(of_images, x, dy, made).astype(x.dtype)  # [k, O, k C]
    return dk.reshape(k, features, k, channels).transpose(0, 2, 3, 1)


def _kernel_by_patches(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    """One matmul, some images at a time: for an x of few channels, too thin for the rows.

    The pixels come last: interleaving a few numbers at a time costs more than the matmul.
    """

    def of_images(x: Array, dy: Array) -> Array:
        planes = jnp.moveaxis(x, 3, 0)[..., None]  # [C, B, H, W, 1]
        taps = jax.vmap(lambda plane: jnp.stack(list(taps_of(plane, shape[0], stride, padding))))
        flat = taps(planes).swapaxes(0, 1).reshape(-1, dy[..., 0].size)  # [k k C, B h w]
        return einsum("tn,no->to", lax.optimization_barrier(flat), dy.reshape(-1, shape[3]))

    made = dy[0, ..., 0].size * shape[0] ** 2 * shape[2]
    return sum_over_chunks(of_images, x, dy, made).astype(x.dtype).reshape(shape)


KERNEL_GRADIENT = {
    "native": _kernel_native,
    "rows": _kernel_by_rows,
    "patches": _kernel_by_patches,
}
