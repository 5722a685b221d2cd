"""A trained model as plain functions of numpy arrays.

images = model.read("pictures/")                # uint8 [N, H, W, C]
latents = model.encode(images)                  # {"content": Gaussian [N, D], "style": ...}
model.swap(images, images[::-1], "content")     # uint8 [N, H, W, C]
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from refvae_jax.data.readers.image_files import ImageForm, find_images, read_all
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError, check_whole
from refvae_jax.methods.base import Method, Variables
from refvae_jax.networks.batched import apply_batched
from refvae_jax.training.step import to_unit_range

CHUNK = 256  # Images or codes per compiled call; the last is padded, so one program serves all.

Codes = dict[str, np.ndarray]  # {latent: [N, D]}


def encoder(method: Method) -> Callable[[Variables, jax.Array], dict[str, Gaussian]]:
    """(variables, images uint8 [B, H, W, C]) -> {latent: Gaussian of [B, D]}."""
    return lambda variables, image: method.encode(variables, to_unit_range(image))


def decoder(method: Method) -> Callable[[Variables, dict], jax.Array]:
    """(variables, {latent: [B, D]}) -> images uint8 [B, H, W, C]."""
    return lambda variables, codes: _to_bytes(method.decode(variables, codes))


def _to_bytes(image: jax.Array) -> jax.Array:
    return (jnp.clip(image, 0, 1) * 255 + 0.5).astype(jnp.uint8)


class Model:
    """Encodes and decodes; images are uint8 [N, H, W, C] of any count N, in and out.

    Attributes:
      image_shape: (H, W, C).
      latent_names: for example ("content", "style").
      latent_sizes: {latent: D}.
      method: the Method, as pure functions of its variables.
      form: how image files are brought to that shape, as those of the training were.
    """

    def __init__(self, method: Method, variables: dict[str, Any], form: ImageForm) -> None:
        self.method = method
        self._variables = variables
        self.form = form
        self.image_shape = form.shape

        encode, decode = encoder(method), decoder(method)
        self._encode: Callable = jax.jit(encode)
        self._decode: Callable = jax.jit(decode)
        self._sample = jax.jit(
            lambda v, rng, n: _to_bytes(method.sample(v, rng, n)), static_argnums=2
        )
        self._prior = jax.jit(method.prior, static_argnums=2)
        one = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.uint8)
        self.latent_sizes = {
            name: q.mean.shape[-1] for name, q in jax.eval_shape(encode, variables, one).items()
        }
        self.latent_names = tuple(self.latent_sizes)

    def with_variables(self, variables: dict[str, Any]) -> "Model":
        """The same model with other parameters; shares the compiled functions."""
        other = copy.copy(self)
        other._variables = variables
        return other

    def _check(self, images: Any) -> np.ndarray:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.image_shape:
            raise UserError(
                f"The model takes uint8 images of shape [N, {', '.join(map(str, self.image_shape))}"
                f"], not {images.dtype} of {list(images.shape)}."
            )
        if not len(images):
            raise UserError("The model was given no images.")
        return images

    def check_latent(self, name: str) -> None:
        """Raises UserError unless it is one of several latents, so that others can be kept."""
        if len(self.latent_names) < 2:
            raise UserError(
                f"This model has one latent, {self.latent_names[0]}: there is no other one that an "
                f"image could keep."
            )
        if name not in self.latent_names:
            raise UserError(
                f"This model's latents are {' and '.join(self.latent_names)}: name one of them, "
                f"not {name!r}."
            )

    def _check_codes(self, codes: Mapping[str, Any]) -> Codes:
        found = {
            name: np.asarray(z, np.float32)
            for name, z in codes.items()
            if name in self.latent_sizes
        }
        shapes = {name: z.shape for name, z in found.items()}
        count = max((shape[0] for shape in shapes.values() if shape), default=0)
        if not count or shapes != {name: (count, size) for name, size in self.latent_sizes.items()}:
            if any(isinstance(codes[name], Gaussian) for name in found):
                raise UserError(
                    "The model decodes codes, not posteriors: pass the means, model.means(images)."
                )
            wanted = ", ".join(f"{name} [N, {size}]" for name, size in self.latent_sizes.items())
            given = ", ".join(f"{name} {list(np.shape(z))}" for name, z in codes.items())
            raise UserError(
                f"The model decodes {wanted} with N of at least 1, not {given or 'nothing'}."
            )
        return found

    def _pairs(self, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
        a, b = self._check(a), self._check(b)
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise UserError(
                f"Images are used in pairs, but there are {len(a)} and {len(b)}: pass as many, or "
                f"one, which goes with each of the others."
            )
        count = max(len(a), len(b))
        return np.broadcast_to(a, (count, *a.shape[1:])), np.broadcast_to(b, (count, *b.shape[1:]))

    def read(self, places: str | Path | Sequence[str | Path]) -> np.ndarray:
        """Image files of any size and colour as the model sees them, uint8 [N, H, W, C].

        places: one or several files, folders or patterns, see `find_images`. Raises UserError if
        one of them holds no image, or an image cannot be read.
        """
        named = [places] if isinstance(places, str | Path) else places
        return read_all(find_images(named), self.form)

    def encode(self, images: np.ndarray) -> dict[str, Gaussian]:
        """{latent: Gaussian of [N, D]} of the images."""
        return apply_batched(lambda x: self._encode(self._variables, x), self._check(images), CHUNK)

    def means(self, images: np.ndarray) -> Codes:
        """{latent: [N, D]}, the posterior means."""
        return {name: np.asarray(q.mean) for name, q in self.encode(images).items()}

    def decode(self, codes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Images of {latent: [N, D]}."""
        return apply_batched(
            lambda c: self._decode(self._variables, c), self._check_codes(codes), CHUNK
        )

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """The decoded posterior means."""
        return self.decode(self.means(images))

    def swap(self, a: np.ndarray, b: np.ndarray, latent: str) -> np.ndarray:
        """Images `a` with that latent taken from `b`, image by image; one goes with many."""
        self.check_latent(latent)
        a, b = self._pairs(a, b)
        return self.decode(self.means(a) | {latent: self.means(b)[latent]})

    def resample(self, images: np.ndarray, latent: str, n: int, seed: int) -> np.ndarray:
        """Each image n times with that latent drawn from its prior: [N, n, H, W, C]."""
        self.check_latent(latent)
        check_whole(n, "n", least=1)
        repeated = {name: np.repeat(z, n, axis=0) for name, z in self.means(images).items()}
        repeated[latent] = self.prior_codes(len(repeated[latent]), seed)[latent]
        return self.decode(repeated).reshape(len(images), n, *self.image_shape)

    def interpolate(
        self, a: np.ndarray, b: np.ndarray, n: int, latents: str | Collection[str] | None = None
    ) -> np.ndarray:
        """From each `a` to its `b` in n steps on the straight line of their means: [N, n, H, W, C].

        Only the named latent or latents move, all by default; the others stay those of `a`. One
        image goes with many.
        """
        a, b = self._pairs(a, b)
        check_whole(n, "n", least=1)
        latents = [latents] if isinstance(latents, str) else latents
        for name in latents or ():
            self.check_latent(name)
        start, end = self.means(a), self.means(b)
        moving = self.latent_names if latents is None else latents
        t = np.linspace(0, 1, n, dtype=np.float32)[None, :, None]
        codes = {}
        for name in self.latent_names:
            target = end[name] if name in moving else start[name]
            path = (1 - t) * start[name][:, None] + t * target[:, None]
            codes[name] = path.reshape(-1, self.latent_sizes[name])
        return self.decode(codes).reshape(-1, n, *self.image_shape)

    def prior_codes(self, n: int, seed: int) -> Codes:
        """n codes from the prior, {latent: [n, D]}."""
        _check_draw(n, seed)
        # Fewer draws are the first of more, so that one compiled program serves many n.
        whole = -(-n // CHUNK) * CHUNK
        drawn = jax.device_get(self._prior(self._variables, jax.random.key(seed), whole))
        return {name: z[:n] for name, z in drawn.items()}

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n images from the prior."""
        _check_draw(n, seed)
        return np.asarray(self._sample(self._variables, jax.random.key(seed), n))


def _check_draw(n: Any, seed: Any) -> None:
    check_whole(n, "n", least=1)
    check_whole(seed, "seed")
