"""Batches of made images for both sides of train_step.py. Needs numpy only."""

import numpy as np


def made_batch(setting, size, shape, num_groups):
    """A batch of random bytes as `data.settings` gives it.

    Args:
      setting: a key of `data.settings.SETTINGS`.
      size: B, images a set.
      shape: of an image, [H, W, C].
      num_groups: how many groups the images of the setting "group" have.
    """
    rng = np.random.default_rng(0)

    def images():
        return {"image": rng.integers(0, 256, (size, *shape), np.uint8)}

    if setting == "reference":
        return {"unlabelled": images(), "reference": images()}
    groups = {"group": rng.integers(0, num_groups, size, np.int32)} if setting == "group" else {}
    return images() | groups
