"""The convolutional network behind the evaluation classifiers and regressors, and its training.

outputs = train(images, targets, num_outputs=10, loss=CROSS_ENTROPY, seed=0)
outputs(unseen)    # float32 [M, 10]

The same in two steps, to keep what was learned:

variables = fit(images, targets, num_outputs=10, loss=CROSS_ENTROPY, seed=0)
outputs = outputs_of(variables, num_outputs=10, image_shape=(32, 32, 1))
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from refvae_jax.metrics.gradients import loss_gradients
from refvae_jax.networks.batched import apply_batched
from refvae_jax.networks.conv.layers import Conv

BATCH_SIZE = 128
LAST_WIDTH, LAST_SIZE = 64, 4
LEARNING_RATE = 3e-3  # The highest of a one-cycle schedule.
EPOCHS, MIN_STEPS, MAX_STEPS = 14, 100, 2_000  # The bounds count more than the epochs.
MAX_SHIFT = 2  # Pixels, in each direction.
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels

Outputs = Callable[[np.ndarray], np.ndarray]


def train(
    images: np.ndarray, targets: np.ndarray, num_outputs: int, loss: Callable, seed: int
) -> Outputs:
    """Minimises the mean of a loss over real images, shifted at random; arguments as of `fit`.

    Returns:
      A function of uint8 images [M, H, W, C] that returns outputs float32 [M, K].
    """
    return outputs_of(fit(images, targets, num_outputs, loss, seed), num_outputs, images.shape[1:])


def fit(
    images: np.ndarray,
    targets: np.ndarray,
    num_outputs: int,
    loss: Callable,
    seed: int,
    before_step: Callable[[], None] = lambda: None,
) -> Any:
    """The variables of the trained ImageNetwork.

    Args:
      images: uint8 [N, H, W, C], see `check_images`.
      targets: [N, ...].
      num_outputs: K.
      loss: (outputs [B, K], targets [B, ...]) -> [B] or [B, K].
      seed: of initialisation, batches and shifts.
      before_step: called before each step; may raise to end the training.
    """
    network = _network(num_outputs)
    batch_size = min(BATCH_SIZE, len(images))
    steps = num_steps(len(images))
    rng = jax.random.key(seed)
    # Initial weights drawn by threefry would take XLA seconds more to compile.
    variables = _init(network, jax.random.key(seed, impl="rbg"), jnp.zeros((1, *images.shape[1:])))
    state = (variables, _optimizer(steps).init(variables["params"]))
    step_fn = functools.partial(_train_step, network, loss, steps)
    for step, index in enumerate(_batches(len(images), batch_size, steps, seed)):
        before_step()
        state = step_fn(state, images[index], targets[index], jax.random.fold_in(rng, step))
    return state[0]


def outputs_of(variables: Any, num_outputs: int, image_shape: tuple[int, ...]) -> Outputs:
    """What `train` returns, of what `fit` returns."""
    return functools.partial(_outputs, _network(num_outputs), variables, image_shape)


def shapes_of(num_outputs: int, image_shape: tuple[int, ...]) -> Any:
    """The shapes and types of what `fit` returns."""
    image = jnp.zeros((1, *image_shape))
    return jax.eval_shape(_init, _network(num_outputs), jax.random.key(0, impl="rbg"), image)


def _network(num_outputs: int) -> "ImageNetwork":
    return ImageNetwork(num_outputs, jax.default_backend())


def check_images(images: np.ndarray) -> None:
    """Raises ValueError unless the images are uint8 [N, H, W, C]."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"Expected uint8 [N, H, W, C], got {images.dtype} {images.shape}.")


class ImageNetwork(nn.Module):
    """[3x3 stride 2, batch norm, ReLU] down to about 4x4, linear 128, ReLU, linear.

    Widths double up to 64: 16, 32, 64 at 32x32, and 8 before them at 64x64, where a layer of full
    width would cost more than all the others.

    Attributes:
      num_outputs: K.
      platform: "cpu", "gpu" or "tpu", to compile for.
    """

    num_outputs: int
    platform: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Images [B, H, W, C] in [-1, 1] -> [B, K]; `train` takes the batch's own moments."""
        depth = max(1, round(np.log2(min(x.shape[1:3]) / LAST_SIZE)))
        for width in (LAST_WIDTH >> i for i in reversed(range(depth))):
            x = Conv(width, 3, stride=2, padding=1, platform=self.platform, use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.relu(x)
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(self.num_outputs)(x)  # [B, K]


@functools.partial(jax.jit, static_argnums=0)
def _init(network: ImageNetwork, rng: jax.Array, image: jax.Array) -> Any:
    return network.init(rng, image, train=False)


def num_steps(num_images: int) -> int:
    """How many steps `fit` makes on so many images."""
    return int(np.clip(EPOCHS * num_images // BATCH_SIZE, MIN_STEPS, MAX_STEPS))


def _optimizer(num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_onecycle_schedule(num_steps, LEARNING_RATE))


def _batches(num_images: int, batch_size: int, num_steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yields `num_steps` index arrays [B]: a new permutation per epoch, running across its end."""
    rng = np.random.default_rng(seed)
    queue = np.empty(0, int)
    for _ in range(num_steps):
        if len(queue) < batch_size:
            queue = np.concatenate([queue, rng.permutation(num_images)])
        yield queue[:batch_size]
        queue = queue[batch_size:]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _train_step(
    network: ImageNetwork,
    loss: Callable,
    num_steps: int,
    state: Any,
    images: jax.Array,
    targets: jax.Array,
    rng: jax.Array,
) -> Any:
    variables, opt_state = state
    images = _shift(_to_signed_range(images), rng)
    grads, mutable = loss_gradients(network, loss, variables, images, targets)
    updates, opt_state = _optimizer(num_steps).update(grads, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **mutable}, opt_state


def _shift(images: jax.Array, rng: jax.Array) -> jax.Array:
    """Moves each image [H, W, C] of the batch by up to MAX_SHIFT pixels, its edge continued."""
    pad = (MAX_SHIFT, MAX_SHIFT)
    padded = jnp.pad(images, ((0, 0), pad, pad, (0, 0)), mode="edge")
    corners = jax.random.randint(rng, (len(images), 2), 0, 2 * MAX_SHIFT + 1)

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (*corner, 0), images.shape[1:])

    return jax.vmap(crop)(padded, corners)


def _to_signed_range(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 127.5 - 1


@functools.partial(jax.jit, static_argnums=0)
def _apply(network: ImageNetwork, variables: Any, images: jax.Array) -> jax.Array:
    return network.apply(variables, _to_signed_range(images), train=False)


def _outputs(
    network: ImageNetwork, variables: Any, image_shape: tuple[int, ...], images: np.ndarray
) -> np.ndarray:
    """Outputs float32 [M, K] of uint8 images, any M."""
    check_images(images)
    if images.shape[1:] != image_shape:
        raise ValueError(f"Trained on images of {image_shape}, got {images.shape[1:]}.")
    if not len(images):
        return np.empty((0, network.num_outputs), np.float32)
    return apply_batched(functools.partial(_apply, network, variables), images, BATCH_SIZE)
