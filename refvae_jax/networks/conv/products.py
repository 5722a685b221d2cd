"""The three products of a convolution, each in the ways that suit a CPU; `forms.form` chooses.

Image x [B, H, W, C], kernel [k, k, C, O], output and its cotangent dy [B, h, w, O].
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.networks.conv.forms import Form

Size = Sequence[int]
AXES = ("NHWC", "HWIO", "NHWC")
CHUNK = 2**17  # Numbers in the images of a chunk, 512 kB in float32: half of a core's cache.


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def products(x: Array, kernel: Array, stride: int, padding: int, size: Size, chosen: Form) -> Array:
    """Output of a layer; `kernel` and `size` (of the image) are those of the convolution."""
    with jax.named_scope("output"):
        if chosen.mirrored:
            return INPUT_GRADIENT[chosen.input_gradient](x, kernel, stride, padding, size)
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
            dx = INPUT_GRADIENT[chosen.input_gradient](dy, kernel, stride, padding, size)
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


def _forward_by_patches(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """One matmul with the k k C values that each output pixel sees."""
    patches, axes = _patches(x, kernel.shape[0], stride, padding)
    flat = kernel.reshape(-1, kernel.shape[3])
    return _einsum(f"{axes},to->bhwo", patches, flat).astype(x.dtype)


# Input gradient: cotangent [B, h, w, O] -> [B, H, W, C].


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
    """`fold` for stride 1: the cotangent is padded before the matmul, the taps then shifted."""
    del stride  # 1
    k, (height, width) = kernel.shape[0], size
    around = k - 1 - padding
    taps = _einsum("bhwo,ijco->bhwijc", _pad(dy, (around, around), (around, around)), kernel)

    def shifted(i: int, j: int) -> Array:
        row, column = k - 1 - i, k - 1 - j
        return taps[:, row : row + height, column : column + width, i, j]

    parts = [shifted(i, j) for i in range(k) for j in range(k)]
    # Without the barrier XLA moves what follows into each of the k k slices.
    return lax.optimization_barrier(sum(parts[1:], parts[0]).astype(dy.dtype))


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
    """First of each device's own images: chunks of all of them would have to be gathered."""
    function = partial(
        KERNEL_GRADIENT[chosen.kernel_gradient], shape=shape, stride=stride, padding=padding
    )
    if chosen.shards == 1 or len(x) % chosen.shards:
        return function(x, dy)
    by_device = (a.reshape(chosen.shards, -1, *a.shape[1:]) for a in (x, dy))
    return jax.vmap(function)(*by_device).sum(axis=0)


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


def _kernel_by_taps(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    """One matmul for each of the k k taps, some images at a time: what they read stays in cache."""

    def of_chunk(x: Array, dy: Array) -> Array:
        rows = dy.reshape(-1, dy.shape[3])
        # Of an einsum over images, rows and columns XLA writes a transposed copy of each tap; and
        # without the barrier it takes the tap apart again.
        taps = (
            lax.optimization_barrier(tap.reshape(-1, x.shape[3]))
            for tap in _taps(x, shape[0], stride, padding)
        )
        return jnp.stack([_einsum("nc,no->co", tap, rows) for tap in taps])

    return _sum_over_chunks(of_chunk, x, dy).astype(x.dtype).reshape(shape)


def _sum_over_chunks(function: Callable[[Array, Array], Array], x: Array, dy: Array) -> Array:
    """The sum of function(x, dy) over chunks of images, in a loop."""
    images = min(max(CHUNK // x[0].size, 1), len(x))

    def add(total: Array, start: Array) -> tuple[Array, None]:
        chunk = (lax.dynamic_slice_in_dim(a, start, images) for a in (x, dy))
        return total + function(*chunk), None

    first = len(x) % images or images  # What does not fill a chunk comes first.
    return lax.scan(add, function(x[:first], dy[:first]), jnp.arange(first, len(x), images))[0]


def _kernel_by_patches(x: Array, dy: Array, shape: Size, stride: int, padding: int) -> Array:
    """One matmul: for an x of few channels, whose taps are too thin for a matmul each."""
    patches, axes = _patches(x, shape[0], stride, padding)
    return _einsum(f"{axes},bhwo->to", patches, dy).astype(x.dtype).reshape(shape)


def _patches(x: Array, k: int, stride: int, padding: int) -> tuple[Array, str]:
    """The k k C values that each output pixel sees, and the names of the axes: t is k k C."""
    taps = list(_taps(x, k, stride, padding))
    if x.shape[3] == 1:  # Side by side: interleaving single numbers costs more than the matmul.
        return jnp.stack([tap[..., 0] for tap in taps]), "tbhw"
    return jnp.concatenate(taps, axis=-1), "bhwt"


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


FORWARD = {"native": native, "patches": _forward_by_patches}
INPUT_GRADIENT = {
    "native": _input_native,
    "fold": _input_by_fold,
    "phases": _input_by_phases,
    "shifts": _input_by_shifts,
}
KERNEL_GRADIENT = {
    "native": _kernel_native,
    "taps": _kernel_by_taps,
    "patches": _kernel_by_patches,
}
