"""Batches for evaluation: every image once, in order."""

from collections.abc import Iterator

import numpy as np

from refvae_jax.data.cache import ImageSet


def evaluation_batches(images: ImageSet, *, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields all images once, in order, in batches of one size.

    The last batch is filled up with repetitions of the last image, whose mask is 0, so that
    sum(mask * x) / sum(mask) is the exact mean over the set.

    Yields:
      {"image": uint8 [B, H, W, C], "label": int32 [B], "factors": float32 [B, F],
      "mask": float32 [B] of 0 and 1}.
    """
    size = len(images.label)
    for start in range(0, size, batch_size):
        positions = np.arange(start, start + batch_size)
        rows = np.minimum(positions, size - 1)
        yield {
            "image": np.asarray(images.image[rows]),
            "label": images.label[rows],
            "factors": images.factors.values[rows],
            "mask": (positions < size).astype(np.float32),
        }
