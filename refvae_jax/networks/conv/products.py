"""A convolution whose output and gradients are computed as its Form says; `forms.form` chooses it.

Image x [B, H, W, C], kernel [k, k, C, O], output and its cotangent dy [B, h, w, O].
"""

from functools import partial
from typing import Any

import jax
from jaxtyping import Array

from refvae_jax.networks.conv.forms import Form
from refvae_jax.networks.conv.forward import FORWARD
from refvae_jax.networks.conv.input_gradient import INPUT_GRADIENT
from refvae_jax.networks.conv.kernel_gradient import KERNEL_GRADIENT
from refvae_jax.networks.conv.pixels import Size


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
        kernel_gradient = KERNEL_GRADIENT[chosen.kernel_gradient]
        return dx, kernel_gradient(seen, of, kernel.shape, stride, padding)


products.defvjp(_products_forward, _products_backward)


def transposed_size(x: Array, kernel: Array, stride: int, padding: int) -> tuple[int, ...]:
    """Height and width of a transposed convolution's output."""
    return tuple((n - 1) * stride - 2 * padding + kernel.shape[0] for n in x.shape[1:3])
