"""The input gradient of a convolution: cotangent [B, h, w, O], kernel [k, k, C, O] -> [B, H, W, C].

`size` is the height and width of the image.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.networks.conv.chunks import by_chunks
from refvae_jax.networks.conv.forward import native
from refvae_jax.networks.conv.pixels import AXES, Size, einsum, flip, interleave, padded


def _input_native(dy: Array, kernel: Array, stride: int, padding: int, size: Size) -> Array:
    """XLA's own: stride - 1 zeros between the pixels of the cotangent, the kernel flipped."""
    low = kernel.shape[0] - 1 - padding
    full = [(n - 1) * stride + 1 for n in dy.shape[1:3]]
    around = [(low, n - f + padding) for n, f in zip(size, full, strict=True)]
    return lax.conv_general_dilated(
        dy, flip(kernel), (1, 1), around, lhs_dilation=(stride, stride), dimension_numbers=AXES
    )


def _input_by_fold(dy: Array, kernel: Array, stride: int, padding: int, size: Size) -> Array:
    """One matmul to k k taps of C channels, each tap added where it belongs.

    The taps are added up within each of the stride x stride phases of the padded image, where
    they lie dense, and the phases interleaved at the end.
    """
    k, _, channels, _ = kernel.shape
    (h, w), (height, width) = dy.shape[1:3], size
    rows, columns = (-(-(n + 2 * padding) // stride) for n in size)
    taps = einsum("bhwo,ijco->bhwijc", dy, kernel)
    zeros = jnp.zeros((dy.shape[0], rows, columns, channels), taps.dtype)

    def phase(r: int, c: int) -> Array:
        parts = [
            padded(
                taps[:, :, :, i, j],
                (i // stride, rows - h - i // stride),
                (j // stride, columns - w - j // stride),
            )
            for i in range(r, k, stride)
            for j in range(c, k, stride)
        ]
        return sum(parts[1:], parts[0]) if parts else zeros

    dx = interleave([[phase(r, c) for c in range(stride)] for r in range(stride)])
    return dx[:, padding : padding + height, padding : padding + width].astype(dy.dtype)


def _input_by_shifts(dy: Array, kernel: Array, stride: int, padding: int, size: Size) -> Array:
    """`fold` for stride 1 and few channels C, some images at a time.

    The cotangent is padded before the matmul, the taps then shifted. The taps have the pixels last,
    so that a row of them is one block of memory.
    """
    del stride  # 1
    k, _, channels, _ = kernel.shape
    (height, width), around = size, k - 1 - padding

    def of_images(dy: Array) -> Array:
        dy = padded(dy, (around, around), (around, around))
        b, h, w, features = dy.shape
        # With more axes XLA:CPU would compute them in another order and copy them into this one.
        taps = einsum("to,no->tn", kernel.reshape(-1, features), dy.reshape(-1, features))
        # Without the barrier XLA multiplies again for each of the shifts.
        taps = lax.optimization_barrier(taps).reshape(k, k, channels, b, h, w)

        def shifted(i: int, j: int) -> Array:
            row, column = k - 1 - i, k - 1 - j
            return taps[i, j, :, :, row : row + height, column : column + width]

        parts = [shifted(i, j) for i in range(k) for j in range(k)]
        return jnp.moveaxis(sum(parts[1:], parts[0]), 0, -1).astype(dy.dtype)

    made = k * k * channels * (height + 2 * around) * (width + 2 * around)
    return by_chunks(of_images, dy, made)


def _input_by_phases(dy: Array, kernel: Array, stride: int, padding: int, size: Size) -> Array:
    """One dense convolution of stride 1 to all stride x stride phases of the image.

    Pixel `stride m + r` of the image sees every stride-th tap of the kernel only, from tap
    `first[r]` of the flipped kernel on, at pixels `m + offset[r]`, .. of the cotangent.
    """
    kernel = flip(kernel)  # [k, k, O, C]
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
    dy = padded(dy, (-low, high + rows + taps - 1 - h), (-low, high + columns + taps - 1 - w))
    phases = iter(jnp.split(native(dy, kernel, 1, 0), stride**2, axis=-1))
    dx = interleave(
        [
            [next(phases)[:, a - low : a - low + rows, b - low : b - low + columns] for b in offset]
            for a in offset
        ]
    )
    return dx[:, : size[0], : size[1]]


INPUT_GRADIENT = {
    "native": _input_native,
    "fold": _input_by_fold,
    "phases": _input_by_phases,
    "shifts": _input_by_shifts,
}
