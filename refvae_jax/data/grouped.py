"""Groups: which training images are known to share their content."""

import numpy as np

from refvae_jax.data.order import make_rng
from refvae_jax.errors import UserError


def known_groups(label: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Hides the group of all but a fraction of the images.

    Args:
      label: int [N], the group of each image.
      fraction: in [0, 1]; exactly round(fraction * N) images keep their group, and those of a
        smaller fraction are among those of a larger one.
      seed: decides which images.

    Returns:
      int32 [N], the label where it is known and -1 elsewhere.

    Raises:
      UserError: if the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise UserError(
            f"data.grouped_fraction is {fraction}: set --config.data.grouped_fraction "
            "to a number from 0 to 1."
        )
    order = make_rng(seed, "known_groups").permutation(len(label))
    known = order[: round(fraction * len(label))]
    group = np.full(len(label), -1, np.int32)
    group[known] = label[known]
    return group
