"""Judges of swapped and generated images, trained on real ones.

    judge = train_judge(images, labels, num_classes=10, seed=0)
    np.mean(judge(swapped) == labels)
    judge = train_factor_judge(images, factors, seed=0)
    np.mean(np.abs(judge(swapped) - factors), axis=0)

They see pixels only, never a code, so they also notice a decoder that ignores a latent.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from refvae_jax.metrics.probes import moments, unstandardise
from refvae_jax.networks.conv.layers import Conv

BATCH_SIZE = 128
LAST_WIDTH, LAST_SIZE = 64, 4
LEARNING_RATE = 3e-3  # The highest of a one-cycle schedule.
EPOCHS, MIN_STEPS, MAX_STEPS = 14, 100, 2_000  # The bounds count more than the epochs.
MAX_SHIFT = 2  # Pixels, in each direction.
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def train_judge(
    images: np.ndarray, labels: np.ndarray, *, num_classes: int, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a small convolutional classifier on real images.

    Args:
      images: uint8 [N, H, W, C].
      labels: int [N], in [0, num_classes).
      num_classes: number of classes.
      seed: initialisation, batches and shifts; the same seed gives the same judge.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns predicted labels int32 [M].

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], or labels out of range.
    """
    _check(images)
    labels = np.asarray(labels, np.int32)
    if not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(f"Expected a label for each image, got {labels.shape}, {images.shape}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Labels must lie in [0, {num_classes}).")
    outputs = _train(images, labels, num_classes, CROSS_ENTROPY, seed)
    return lambda images: outputs(images).argmax(-1).astype(np.int32)


def train_kinds_judge(
    images: np.ndarray, categories: np.ndarray, sizes: tuple[int, ...], *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains one small convolutional classifier of several classes at once, as `train_judge`.

    Args:
      images: uint8 [N, H, W, C].
      categories: int [N, K], column k in [0, sizes[k]).
      sizes: K numbers of classes.
      seed: initialisation, batches and shifts; the same seed gives the same judge.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns predictions int32 [M, K].

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], or categories out of range.
    """
    _check(images)
    categories = np.asarray(categories, np.int32)
    if not len(images) or categories.shape != (len(images), len(sizes)):
        raise ValueError(f"Expected categories [N, K], got {categories.shape}, {images.shape}.")
    if categories.min() < 0 or (categories.max(axis=0) >= sizes).any():
        raise ValueError(f"Categories must lie below {sizes}.")
    ends = np.cumsum(sizes)[:-1].tolist()

    def loss(outputs, targets):
        parts = jnp.split(outputs, ends, axis=1)
        return sum(CROSS_ENTROPY(part, targets[:, k]) for k, part in enumerate(parts))

    outputs = _train(images, categories, sum(sizes), loss, seed)

    def predict(images):
        parts = np.split(outputs(images), ends, axis=1)
        return np.stack([part.argmax(-1) for part in parts], axis=1).astype(np.int32)

    return predict


def train_factor_judge(
    images: np.ndarray, factors: np.ndarray, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a small convolutional regressor of continuous factors on real images.

    The loss is the squared error of the factors standardised over `factors`, so their units do not
    matter. The images are shifted while training: a factor must not be the place of a thing.

    Args:
      images: uint8 [N, H, W, C].
      factors: float [N, F], in any units.
      seed: initialisation, batches and shifts; the same seed gives the same judge.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns factors float32 [M, F] in the
      units of `factors`.

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], factors not finite or not [N, F].
    """
    _check(images)
    factors = np.asarray(factors, np.float64)
    if not len(images) or factors.ndim != 2 or len(factors) != len(images) or not factors.size:
        raise ValueError(f"Expected factors [N, F], got {factors.shape}, images {images.shape}.")
    if not np.isfinite(factors).all():
        raise ValueError("The factors hold values that are not finite.")
    mean, scale = moments(factors)
    targets = ((factors - mean) * scale).astype(np.float32)
    outputs = _train(images, targets, factors.shape[1], optax.squared_error, seed)
    return lambda images: unstandardise(outputs(images), mean, scale).astype(np.float32)


def _train(
    images: np.ndarray, targets: np.ndarray, num_outputs: int, loss: Callable, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Minimises the mean of loss(outputs [B, num_outputs], targets [B, ...]).

    Returns a function of uint8 images [M, H, W, C] that returns outputs float32 [M, num_outputs].
    """
    network = _Judge(num_outputs)
    batch_size = min(BATCH_SIZE, len(images))
    num_steps = _num_steps(len(images))
    rng = jax.random.key(seed)
    # Initial weights drawn by threefry would take XLA seconds more to compile.
    variables = _init(network, jax.random.key(seed, impl="rbg"), jnp.zeros((1, *images.shape[1:])))
    state = (variables, _optimizer(num_steps).init(variables["params"]))
    step_fn = functools.partial(_train_step, network, loss, num_steps)
    for step, index in enumerate(_batches(len(images), batch_size, num_steps, seed)):
        state = step_fn(state, images[index], targets[index], jax.random.fold_in(rng, step))
    return functools.partial(_outputs, network, state[0], images.shape[1:])


class _Judge(nn.Module):
    """[3x3 stride 2, batch norm, ReLU] down to about 4x4, linear 128, ReLU, linear.

    Widths double up to 64: 16, 32, 64 at 32x32, and 8 before them at 64x64, where a layer of full
    width would cost more than all the others.
    """

    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        depth = max(1, round(np.log2(min(x.shape[1:3]) / LAST_SIZE)))
        for width in (LAST_WIDTH >> i for i in reversed(range(depth))):
            x = Conv(width, 3, stride=2, padding=1, use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.relu(x)
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(self.num_outputs)(x)  # [B, num_outputs]


@functools.partial(jax.jit, static_argnums=0)
def _init(network: _Judge, rng: jax.Array, image: jax.Array) -> Any:
    return network.init(rng, image, train=False)


def _num_steps(num_images: int) -> int:
    return int(np.clip(EPOCHS * num_images // BATCH_SIZE, MIN_STEPS, MAX_STEPS))


def _optimizer(num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_onecycle_schedule(num_steps, LEARNING_RATE))


def _batches(num_images: int, batch_size: int, num_steps: int, seed: int):
    """Yields `num_steps` index arrays [B]: a new permutation each epoch, running across its end."""
    rng = np.random.default_rng(seed)
    queue = np.empty(0, int)
    for _ in range(num_steps):
        if len(queue) < batch_size:
            queue = np.concatenate([queue, rng.permutation(num_images)])
        yield queue[:batch_size]
        queue = queue[batch_size:]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _train_step(
    network: _Judge,
    loss: Callable,
    num_steps: int,
    state: Any,
    images: jax.Array,
    targets: jax.Array,
    rng: jax.Array,
) -> Any:
    variables, opt_state = state
    images = _shift(_to_float(images), rng)

    def loss_fn(params):
        outputs, mutable = network.apply(
            variables | {"params": params}, images, train=True, mutable="batch_stats"
        )
        return loss(outputs, targets).mean(), mutable

    params = variables["params"]
    grads, mutable = jax.grad(loss_fn, has_aux=True)(params)
    updates, opt_state = _optimizer(num_steps).update(grads, opt_state)
    return {"params": optax.apply_updates(params, updates), **mutable}, opt_state


def _shift(images: jax.Array, rng: jax.Array) -> jax.Array:
    """Moves each image [H, W, C] of the batch by up to MAX_SHIFT pixels, its edge continued."""
    pad = (MAX_SHIFT, MAX_SHIFT)
    padded = jnp.pad(images, ((0, 0), pad, pad, (0, 0)), mode="edge")
    corners = jax.random.randint(rng, (len(images), 2), 0, 2 * MAX_SHIFT + 1)

    def crop(image, corner):
        return jax.lax.dynamic_slice(image, (*corner, 0), images.shape[1:])

    return jax.vmap(crop)(padded, corners)


def _to_float(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 127.5 - 1


@functools.partial(jax.jit, static_argnums=0)
def _apply(network: _Judge, variables: Any, images: jax.Array) -> jax.Array:
    return network.apply(variables, _to_float(images), train=False)


def _outputs(
    network: _Judge, variables: Any, image_shape: tuple[int, ...], images: np.ndarray
) -> np.ndarray:
    """Outputs float32 [M, num_outputs] of uint8 images, in padded batches of one shape."""
    _check(images)
    if images.shape[1:] != image_shape:
        raise ValueError(f"The judge knows images of {image_shape}, got {images.shape[1:]}.")
    outputs = [np.empty((0, network.num_outputs), np.float32)]
    for start in range(0, len(images), BATCH_SIZE):
        batch = images[start : start + BATCH_SIZE]
        padding = BATCH_SIZE - len(batch)
        padded = np.pad(batch, ((0, padding), (0, 0), (0, 0), (0, 0)))
        outputs.append(np.asarray(_apply(network, variables, padded))[: len(batch)])
    return np.concatenate(outputs)


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"Expected uint8 [N, H, W, C], got {images.dtype} {images.shape}.")
