"""Groups: which training images are known to share their content."""

import numpy as np

from refvae_jax.data.order import make_rng
from refvae_jax.data.readers.source import ARRAYS_DATASET, FOLDER_DATASET
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
    """
    order = make_rng(seed, "known_groups").permutation(len(label))
    known = order[: round(fraction * len(label))]
    group = np.full(len(label), -1, np.int32)
    group[known] = label[known]
    return group


def how_to_group(dataset: str) -> str:
    """What to do so that the images of a data.name have groups, as an advice."""
    return {
        FOLDER_DATASET: "put the images of each group into a subfolder of their own",
        ARRAYS_DATASET: "add an array `label` with the group of each image",
    }.get(dataset, "set data.label to the feature that names the group")


def check_groups(group: np.ndarray, dataset: str) -> None:
    """Raises UserError unless there are two groups, one with two images.

    Args:
      group: int [N], -1 = none.
      dataset: data.name, for the advice.
    """
    ids, sizes = np.unique(group[group >= 0], return_counts=True)
    if len(ids) < 2:
        raise UserError(
            f"The number of known groups in the training split is {len(ids)}, and at least two are "
            f"needed: {how_to_group(dataset)}, and check data.train_split and "
            f"data.grouped_fraction."
        )
    if sizes.max() < 2:
        raise UserError(
            f"Each of the {len(ids)} groups of the training split has a single image, so there is "
            f"nothing for members to share: put more images into each group, and check that "
            f"data.label names the group."
        )
