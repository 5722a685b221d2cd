"""The three products of a convolution, each in the ways that suit a CPU; `forms.form` chooses.

Image x [B, H, W, C], kernel [k, k, C, O], output and its cotangent dy [B, h, w, O].
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.networks.conv.chunks import by_chunks, on_each_device, sum_over_chunks
from refvae_jax.networks.conv.forms import Form

Size = Sequence[int]
AXES = ("NHWC", "HWIO", "NHWC")
WIDE = 32  # Output channels from which on XLA's own convolution is fast.


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def products(x: Array, kernel: Array, stride: int, padding: int, size: Size, chosen: Form) -> Array:
    """Output of a layer; `kernel` and `size` (of the image) are those of the convolution."""
    with jax.named_scope("output"):
        if chosen.mirrored:
            return _input_gradient(x, kernel, stride, padding, size, chosen)
        return FORWARD[chosen.forward](x, kernel, stride, padding)


def _products_forward(x: Array, kernel: Array, *static: Any) -> tuple[Array, tuple[Array, Array]]:
    return products(x, kernel, *static), (x, kernel)


def _products_backward(
    stride: int,
    padding: int,
    size: Size,
    chosen: Form,
    saved: tuple[Array, Array],
    dy: Array,
) -> tuple[Array, Array]:
    x, kernel = saved
    with jax.named_scope("input_gradient"):
        if chosen.mirrored:
            dx = FORWARD[chosen.forward](dy, kernel, stride, padding)
        else:
            dx = _input_gradient(dy, kernel, stride, padding, size, chosen)
    with jax.named_scope("kernel_gradient"):
        seen, of = (dy, x) if chosen.mirrored else (x, dy)
        return dx, _kernel_gradient(seen, of, kernel.shape, stride, padding, chosen)


products.defvjp(_products_forward, _products_backward)


# Forward: image [B, H, W, C] -> [B, h, w, O].


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
    return y.reshape(len(x), h, w, features)


def _forward_by_patches(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """One matmul with the k k C values that each output pixel sees."""
    patches = jnp.concatenate(list(_taps(x, kernel.shape[0], stride, padding)), axis=-1)
    flat = kernel.reshape(-1, kernel.shape[3])
    return _einsum("bhwt,to->bhwo", patches, flat).astype(x.dtype)


# Input gradient: cotangent [B, h, w, O] -> [B, H, W, C].


def _input_gradient(
    dy: Array, kernel: Array, stride: int, padding: int, size: Size, chosen: Form
) -> Array:
    function = partial(
        INPUT_GRADIENT[chosen.input_gradient],
        kernel=kernel,
        stride=stride,
        padding=padding,
        size=size,
    )
    if chosen.input_gradient != "shifts":
        return function(dy)
    dx = on_each_device(function, chosen.shards, dy)
    return dx.reshape(-1, *dx.shape[2:])


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
    taps = _einsum("bhwo,ijco->bhwijc", dy, kernel)
    zeros = jnp.zeros((dy.shape[0], rows, columns, channels), taps.dtype)

    def phase(r: int, c: int) -> Array:
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


def _input_by_shifts(dy: Array, kernel: Array, stride: int, padding: int, size: Size) -> Array:
    """`fold` for stride 1 and few channels C, some images at a time.

    The cotangent is padded before the matmul, the taps then shifted. The taps have the pixels last,
    so that a row of them is one block of memory.
    """
    del stride  # 1
    k, _, channels, _ = kernel.shape
    (height, width), around = size, k - 1 - padding

    def of_images(dy: Array) -> Array:
        dy = _pad(dy, (around, around), (around, around))
        b, h, w, features = dy.shape
        # With more axes XLA:CPU would compute them in another order and copy them into this one.
        taps = _einsum("to,no->tn", kernel.reshape(-1, features), dy.reshape(-1, features))
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
    dy = _pad(dy, (-low, high + rows + taps - 1 - h), (-low, high + columns + taps - 1 - w))
    phases = iter(jnp.split(native(dy, kernel, 1, 0), stride**2, axis=-1))
    dx = _interleave(
        [
            [next(phases)[:, a - low : a - low + rows, b - low : b - low + columns] for b in offset]
            for a in offset
        ]
    )
    return dx[:, : size[0], : size[1]]


# Kernel gradient: image [B, H, W, C], cotangent [B, h, w, O] -> [k, k, C, O].


def _kernel_gradient(
    x: Array, dy: Array, shape: Size, stride: int, padding: int, chosen: Form
) -> Array:
    function = partial(
        KERNEL_GRADIENT[chosen.kernel_gradient], shape=shape, stride=stride, padding=padding
    )
    return on_each_device(function, chosen.shards, x, dy).sum(axis=0)


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
        taps = list(_taps(x, k, stride, padding))
        rows = (jnp.concatenate(taps[i : i + k], -1) for i in range(0, k * k, k))
        dy = dy.reshape(-1, features)
        # Of an einsum over images, rows and columns XLA writes a transposed copy, and without the
        # barrier it takes each row apart again. This order of axes is twice as fast as the other.
        flat = (lax.optimization_barrier(row.reshape(-1, k * channels)) for row in rows)
        return jnp.stack([_einsum("no,nt->ot", dy, row) for row in flat])

    made = dy[0, ..., 0].size * k * channels
    dk = sum_over_chunks(of_images, x, dy, made).astype(x.dtype)  # [k, O, k C]
    return dk.reshape(k, features, k, channels).transpose(0, 2, 3, 1)


def _kernel_by_patches(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    """One matmul, some images at a time: for an x of few channels, too thin for the rows.

    The pixels come last: interleaving a few numbers at a time costs more than the matmul.
    """

    def of_images(x: Array, dy: Array) -> Array:
        planes = jnp.moveaxis(x, 3, 0)[..., None]  # [C, B, H, W, 1]
        taps = jax.vmap(lambda plane: jnp.stack(list(_taps(plane, shape[0], stride, padding))))
        flat = taps(planes).swapaxes(0, 1).reshape(-1, dy[..., 0].size)  # [k k C, B h w]
        return _einsum("tn,no->to", lax.optimization_barrier(flat), dy.reshape(-1, shape[3]))

    made = dy[0, ..., 0].size * shape[0] ** 2 * shape[2]
    return sum_over_chunks(of_images, x, dy, made).astype(x.dtype).reshape(shape)


def _taps(x: Array, k: int, stride: int, padding: int) -> Iterator[Array]:
    """For each tap of the kernel the pixels [B, h, w, C] that it sees."""
    h, w = ((n + 2 * padding - k) // stride + 1 for n in x.shape[1:3])
    x = _pad(x, (padding, padding), (padding, padding))
    for i in range(k):
        for j in range(k):
            yield x[:, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (w - 1) + 1 : stride]


def _interleave(phases: Sequence[Sequence[Array]]) -> Array:
    """Images [B, h, w, C] as a list of lists [stride][stride] -> [B, h stride, w stride, C]."""
    x = jnp.stack([jnp.stack(row, axis=3) for row in phases], axis=2)  # [B, h, s, w, s, C]
    b, h, s, w, _, c = x.shape
    return x.reshape(b, h * s, w * s, c)


def flip(kernel: Array) -> Array:
    """The kernel of the transposed convolution: turned by 180 degrees, [k, k, O, C]."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _pad(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    # Not jnp.pad: negative padding crops.
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)])


def _einsum(equation: str, a: Array, b: Array) -> Array:
    # Matmuls and the sums after them run in float32 where the images are bfloat16.
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum(equation, a, b, preferred_element_type=wide)


def transposed_size(x: Array, kernel: Array, stride: int, padding: int) -> tuple[int, ...]:
    """Height and width of a transposed convolution's output."""
    return tuple((n - 1) * stride - 2 * padding + kernel.shape[0] for n in x.shape[1:3])


FORWARD = {"native": native, "wide": _forward_wide, "patches": _forward_by_patches}
INPUT_GRADIENT = {
    "native": _input_native,
    "fold": _input_by_fold,
    "phases": _input_by_phases,
    "shifts": _input_by_shifts,
}
KERNEL_GRADIENT = {
    "native": _kernel_native,
    "rows": _kernel_by_rows,
    "patches": _kernel_by_patches,
}
