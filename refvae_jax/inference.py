"""A trained model as plain functions of numpy arrays.

model = load("runs/quickstart-s0")
latents = model.encode(images)                  # {"content": Gaussian [N, D], "style": ...}
model.swap(images, images[::-1], "content")     # uint8 [N, H, W, C]
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from refvae_jax.data.image_identity import check_same_images, image_record
from refvae_jax.data.splits import Splits, open_splits
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.networks.batched import apply_batched
from refvae_jax.networks.conv.forms import Hardware
from refvae_jax.training import checkpoint

CHUNK = 256  # Images or codes a compiled call; the last one is padded, so one program serves all.


class Model:
    """Encodes and decodes; images are uint8 [N, H, W, C] of any count N, in and out.

    Attributes:
      image_shape: (H, W, C).
      latent_names: for example ("content", "style").
      method: the Method, as pure functions of its variables.
    """

    def __init__(self, method, variables, image_shape):
        self.method = method
        self._variables = variables
        self.image_shape = tuple(image_shape)

        def encode(variables, image):
            return method.encode(variables, image.astype(jnp.float32) / 255)

        def to_bytes(image):
            return (jnp.clip(image, 0, 1) * 255 + 0.5).astype(jnp.uint8)

        self._encode: Callable = jax.jit(encode)
        self._decode: Callable = jax.jit(lambda v, codes: to_bytes(method.decode(v, codes)))
        self._sample = jax.jit(
            lambda v, rng, n: to_bytes(method.sample(v, rng, n)), static_argnums=2
        )
        self._prior = jax.jit(method.prior, static_argnums=2)
        one = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.uint8)
        self._sizes = {
            name: q.mean.shape[-1] for name, q in jax.eval_shape(encode, variables, one).items()
        }
        self.latent_names = tuple(self._sizes)

    def with_variables(self, variables):
        """The same model with other parameters; shares the compiled functions."""
        other = copy.copy(self)
        other._variables = variables
        return other

    def _check(self, images):
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.image_shape:
            raise UserError(
                f"The model takes uint8 images of shape [N, {', '.join(map(str, self.image_shape))}"
                f"], not {images.dtype} of {list(images.shape)}."
            )
        if not len(images):
            raise UserError("The model was given no images.")
        return images

    def _check_latent(self, name):
        if len(self.latent_names) < 2:
            raise UserError(
                f"This model has one latent, {self.latent_names[0]}: there is no other that an "
                f"image could keep."
            )
        if name not in self.latent_names:
            raise UserError(
                f"This model's latents are {' and '.join(self.latent_names)}: name one of them, "
                f"not {name!r}."
            )

    def _pairs(self, a, b):
        a, b = self._check(a), self._check(b)
        if len(a) != len(b):
            raise UserError(
                f"Images are taken in pairs, but there are {len(a)} and {len(b)}: give as many "
                f"of one as of the other."
            )
        return a, b

    def encode(self, images):
        """{latent: Gaussian of [N, D]} of the images."""
        return apply_batched(lambda x: self._encode(self._variables, x), self._check(images), CHUNK)

    def means(self, images):
        """{latent: [N, D]}, the posterior means."""
        return {name: q.mean for name, q in self.encode(images).items()}

    def decode(self, codes):
        """Images of {latent: [N, D]}."""
        codes = {name: np.asarray(codes[name], np.float32) for name in self.latent_names}
        return apply_batched(lambda c: self._decode(self._variables, c), codes, CHUNK)

    def reconstruct(self, images):
        """The decoded posterior means."""
        return self.decode(self.means(images))

    def swap(self, a, b, latent):
        """Images `a` with that latent taken from `b`, image by image."""
        self._check_latent(latent)
        a, b = self._pairs(a, b)
        return self.decode(self.means(a) | {latent: self.means(b)[latent]})

    def resample(self, images, latent, n, seed):
        """Each image n times with that latent drawn from its prior: [N, n, H, W, C]."""
        self._check_latent(latent)
        repeated = {name: np.repeat(z, n, axis=0) for name, z in self.means(images).items()}
        repeated[latent] = self.prior_codes(len(repeated[latent]), seed)[latent]
        return self.decode(repeated).reshape(len(images), n, *self.image_shape)

    def interpolate(self, a, b, n, latents=None):
        """From each `a` to its `b` in n steps on the straight line of their means: [N, n, H, W, C].

        Only the named latents move, all by default; the others stay those of `a`.
        """
        a, b = self._pairs(a, b)
        for name in latents or ():
            self._check_latent(name)
        start, end = self.means(a), self.means(b)
        moving = self.latent_names if latents is None else latents
        t = np.linspace(0, 1, n, dtype=np.float32)[None, :, None]
        codes = {}
        for name in self.latent_names:
            target = end[name] if name in moving else start[name]
            path = (1 - t) * start[name][:, None] + t * target[:, None]
            codes[name] = path.reshape(-1, self._sizes[name])
        return self.decode(codes).reshape(len(a), n, *self.image_shape)

    def prior_codes(self, n, seed):
        """n codes from the prior, {latent: [n, D]}."""
        return jax.device_get(self._prior(self._variables, jax.random.key(seed), n))

    def sample(self, n, seed):
        """n images from the prior."""
        return np.asarray(self._sample(self._variables, jax.random.key(seed), n))


def posterior_sample(q, seed, name):
    """One sample of a numpy Gaussian, [N, D]; other noise for every seed and name."""
    eps = np.random.default_rng([seed, *name.encode()]).standard_normal(q.mean.shape, np.float32)
    return q.mean + eps * np.exp(0.5 * q.logvar)


class Trained(NamedTuple):
    """A checkpoint, read with the images that it was trained on."""

    model: Model
    step: int
    splits: Splits


def method_of(record):
    """The Method of a checkpoint's record."""
    config = ml_collections.ConfigDict(record["config"])
    hardware = Hardware(jax.default_backend(), num_devices=1)
    info = DataInfo(tuple(record["image_shape"]), record["num_train_images"], hardware)
    return METHODS[config.method.name](config, info)


def load(workdir, step="best"):
    """The Model of a run, on any devices; `step` is "best", "last" or a number.

    Raises:
      UserError: there is no such checkpoint.
    """
    variables, record, _ = checkpoint.load(workdir, step)
    return Model(method_of(record), variables, record["image_shape"])


def open_trained(config, workdir, step="best", splits=None):
    """Reads a checkpoint and opens the images that it was trained on.

    Args:
      config: of the run; says where the data are.
      workdir: the run's folder.
      step: "best", "last" or a number.
      splits: the config's Splits, where they are open already.

    Returns:
      Trained.

    Raises:
      UserError: there is no such checkpoint, or the images are not those of its training.
    """
    variables, record, step = checkpoint.load(workdir, step)
    splits = open_splits(config) if splits is None else splits
    check_same_images(record, image_record(splits.train, splits.reference))
    return Trained(Model(method_of(record), variables, record["image_shape"]), step, splits)
