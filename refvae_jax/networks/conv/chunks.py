"""Some images after the others, in a loop: what is made of them stays in a core's cache."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from refvae_jax.shares import num_shares

CHUNK = 2**16  # Numbers made of the images of a chunk, 256 kB in float32.


def by_chunks(function: Callable[[Array], Array], x: Array, made: int) -> Array:
    """function(x), computed for some images after the others; at once if B is not known yet.

    Args:
      function: of images [b, ...], to [b, ...].
      x: images [B, ...].
      made: how many numbers `function` makes of an image.
    """
    if not isinstance(x.shape[0], int):  # A program is exported for any number of images.
        return function(x)

    def of_device(x: Array) -> Array:
        images = _images(len(x), made)
        first = len(x) % images  # What does not fill a chunk comes first.
        found = lax.map(function, x[first:].reshape(-1, images, *x.shape[1:]))
        found = found.reshape(-1, *found.shape[2:])
        return jnp.concatenate([function(x[:first]), found]) if first else found

    found = _on_each_device(of_device, x)
    return found.reshape(-1, *found.shape[2:])


def sum_over_chunks(
    function: Callable[[Array, Array], Array], x: Array, dy: Array, made: int
) -> Array:
    """The sum of function(x, dy) over chunks of images; `made` as for `by_chunks`."""

    def of_device(x: Array, dy: Array) -> Array:
        images = _images(len(x), made)
        first = len(x) % images  # What does not fill a chunk comes first.

        def add(total: Array, start: Array) -> tuple[Array, None]:
            chunk = (lax.dynamic_slice_in_dim(a, start, images) for a in (x, dy))
            return total + function(*chunk), None

        shape = jax.eval_shape(function, x[:images], dy[:images])
        total = function(x[:first], dy[:first]) if first else jnp.zeros(shape.shape, shape.dtype)
        return lax.scan(add, total, jnp.arange(first, len(x), images))[0]

    return _on_each_device(of_device, x, dy).sum(axis=0)


def _on_each_device(function: Callable[..., Array], *arrays: Array) -> Array:
    """function(*arrays) of each device's own images, [num_shares(), ...], or of all, [1, ...].

    Chunks of all images would have to be gathered.
    """
    shares = num_shares()
    if shares == 1 or len(arrays[0]) % shares:
        return function(*arrays)[None]
    return jax.vmap(function)(*(a.reshape(shares, -1, *a.shape[1:]) for a in arrays))


def _images(available: int, made: int) -> int:
    return min(max(CHUNK // made, 1), available)
