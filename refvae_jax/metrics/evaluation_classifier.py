"""Evaluation classifiers and regressors of swapped and generated images, trained on real ones.

    classify = train_classifier(images, labels, num_classes=10, seed=0)
    np.mean(classify(swapped) == labels)
    predict = train_regressor(images, factors, seed=0)
    np.mean(np.abs(predict(swapped) - factors), axis=0)

They see pixels only, never a code, so they also notice a decoder that ignores a latent. Each takes
a `train` in the place of `image_network.train`, for example one that knows its result already.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from refvae_jax.metrics import image_network
from refvae_jax.metrics.image_network import CROSS_ENTROPY, Outputs, check_images
from refvae_jax.metrics.probes import moments, unstandardise

Train = Callable[[np.ndarray, np.ndarray, int, Callable, int], Outputs]


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    seed: int,
    train: Train = image_network.train,
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a small convolutional classifier on real images.

    Args:
      images: uint8 [N, H, W, C].
      labels: int [N], in [0, num_classes).
      num_classes: number of classes.
      seed: initialisation, batches and shifts; the same seed gives the same classifier.
      train: with the arguments of `image_network.train`.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns predicted labels int32 [M].

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], or labels out of range.
    """
    check_images(images)
    labels = np.asarray(labels, np.int32)
    if not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(f"Expected a label for each image, got {labels.shape}, {images.shape}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"Labels must lie in [0, {num_classes}).")
    outputs = train(images, labels, num_classes, CROSS_ENTROPY, seed)
    return lambda images: outputs(images).argmax(-1).astype(np.int32)


def train_multi_classifier(
    images: np.ndarray,
    factors: np.ndarray,
    sizes: Sequence[int],
    *,
    seed: int,
    train: Train = image_network.train,
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains one classifier of several categorical factors at once, as `train_classifier`.

    Args:
      images: uint8 [N, H, W, C].
      factors: int [N, K], column k in [0, sizes[k]).
      sizes: K numbers of classes.
      seed: initialisation, batches and shifts; the same seed gives the same classifier.
      train: with the arguments of `image_network.train`.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns predictions int32 [M, K].

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], or factors out of range.
    """
    check_images(images)
    factors = np.asarray(factors, np.int32)
    if not len(images) or factors.shape != (len(images), len(sizes)):
        raise ValueError(f"Expected factors [N, K], got {factors.shape}, {images.shape}.")
    if factors.min() < 0 or (factors.max(axis=0) >= sizes).any():
        raise ValueError(f"Categorical factors must lie below {tuple(sizes)}.")
    ends = np.cumsum(sizes)[:-1].tolist()

    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        parts = jnp.split(outputs, ends, axis=1)
        return sum(CROSS_ENTROPY(part, targets[:, k]) for k, part in enumerate(parts))

    outputs = train(images, factors, sum(sizes), loss, seed)

    def predict(images: np.ndarray) -> np.ndarray:
        parts = np.split(outputs(images), ends, axis=1)
        return np.stack([part.argmax(-1) for part in parts], axis=1).astype(np.int32)

    return predict


def train_regressor(
    images: np.ndarray,
    factors: np.ndarray,
    *,
    seed: int,
    train: Train = image_network.train,
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a small convolutional regressor of continuous factors on real images.

    The loss is the squared error of the factors standardised over `factors`, so their units do not
    matter. The images are shifted while training, so a factor cannot be read from a position.

    Args:
      images: uint8 [N, H, W, C].
      factors: float [N, F], in any units.
      seed: initialisation, batches and shifts; the same seed gives the same regressor.
      train: with the arguments of `image_network.train`.

    Returns:
      A function of uint8 images [M, H, W, C], any M, that returns factors float32 [M, F] in the
      units of `factors`.

    Raises:
      ValueError: images that are not uint8 [N, H, W, C], factors not finite or not [N, F].
    """
    check_images(images)
    factors = np.asarray(factors, np.float64)
    if not len(images) or factors.ndim != 2 or len(factors) != len(images) or not factors.size:
        raise ValueError(f"Expected factors [N, F], got {factors.shape}, images {images.shape}.")
    if not np.isfinite(factors).all():
        raise ValueError("The factors hold values that are not finite.")
    mean, scale = moments(factors)
    targets = ((factors - mean) * scale).astype(np.float32)
    outputs = train(images, targets, factors.shape[1], optax.squared_error, seed)
    return lambda images: unstandardise(outputs(images), mean, scale).astype(np.float32)
