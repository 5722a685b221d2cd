"""Batches of made images for both sides of train_step.py. Needs numpy only."""

from collections.abc import Sequence

import numpy as np


def made_batch(
    supervision: str, size: int, shape: Sequence[int], num_groups: int, num_others: int = 0
) -> dict:
    """A batch of random bytes as `refvae_jax.data.batches` gives it.

    Args:
      supervision: one of `data.batches.SUPERVISION`.
      size: B, images per set.
      shape: of an image, [H, W, C].
      num_groups: how many groups the images have under the supervision "group".
      num_others: images of each set beside the batch, for the independence term.
    """
    batch = _made(supervision, size, shape, num_groups)
    if num_others:
        batch["others"] = _made(supervision, num_others, shape, num_groups)
    return batch


def _made(supervision: str, size: int, shape: Sequence[int], num_groups: int) -> dict:
    rng = np.random.default_rng(0)

    def images() -> dict[str, np.ndarray]:
        return {"image": rng.integers(0, 256, (size, *shape), np.uint8)}

    if supervision == "reference":
        return {"unlabelled": images(), "reference": images()}
    if supervision == "group":
        return {"group": rng.integers(0, num_groups, size, np.int32)} | images()
    return images()
