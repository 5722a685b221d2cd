"""The parts of a data set, and how they are made comparable for scoring."""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from refvae_jax.data.cache import ImageSet, open_split
from refvae_jax.data.order import make_rng, place_in_group
from refvae_jax.data.readers.division import can_be_halved
from refvae_jax.errors import UserError

VALIDATION_SHARE = 0.2  # Of `probe_train`, where validation has other groups.


class Splits(NamedTuple):
    """The parts of a data set; `probe_train` is what probes learn from."""

    train: ImageSet
    probe_train: ImageSet
    validation: ImageSet
    test: ImageSet
    reference: ImageSet | None = None


def open_splits(config: ConfigDict) -> Splits:
    """Opens all parts of the config's data.

    Raises:
      UserError, OSError: as of `cache.open_split`.
    """
    reference = ("reference",) if config.data.reference_split else ()
    names = ("train", "probe_train", "validation", "test", *reference)
    return Splits(*(open_split(config.data, name) for name in names))


def fair_rows(splits: Splits) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Chooses by their labels alone the rows of `probe_train` and test that `comparable` keeps.

    Returns:
      (rows of test, rows of `probe_train` to learn from, rows of `probe_train` in the place of
      validation), int64 each; None for a part that stays as it is.

    Raises:
      UserError: `probe_train` and test have no group in common, or only one image of each; or test
        has too few images to exchange codes.
    """
    if len(splits.test.label) < 2:
        raise UserError(
            "The test split has a single image, and exchanging codes takes two: put another one "
            "there, or name a larger split with --config.data.test_split."
        )
    groups = splits.probe_train.label
    known = np.isin(splits.test.label, groups)
    if np.count_nonzero(known) == 1:
        raise UserError(
            "Only one test image is of a group that probes learn from, and exchanging codes takes "
            "two: put more images of the groups of data.probe_train_split into the test split."
        )
    if not known.any():
        start = "No group of the test split is in the split that probes learn from"
        if not can_be_halved(splits.test.label):
            raise UserError(
                f"{start}, and its groups are too small to be divided between the two: put four or "
                f"more images into each test group."
            )
        raise UserError(
            f"{start}: divide the images of the test groups with "
            f"--config.data.probe_train_split='test@members[:50%]' "
            f"--config.data.test_split='test@members[50%:]'."
        )
    tested = None if known.all() else np.flatnonzero(known)
    if np.isin(splits.validation.label, groups).all():
        return tested, None, None
    place, size = place_in_group(groups, make_rng(0, "probe validation"))
    # At least one image per group: a probe must not be chosen on images it has learned from.
    held_out = (place < np.maximum(1, np.floor(VALIDATION_SHARE * size))) & (size > 1)
    if not held_out.any():
        raise UserError(
            "Each test group has a single image in the split that probes learn from, and two "
            "are needed, to learn from one and to choose the probes on the other: put four or more "
            "images into each test group."
        )
    return tested, np.flatnonzero(~held_out), np.flatnonzero(held_out)


def comparable(splits: Splits) -> Splits:
    """The Splits with labels numbered from 0, each known to whatever is scored on it.

    Train and validation may have none of the test groups (unseen persons). Then evaluation
    classifiers learn from `probe_train` instead of train, and a fifth of each group of
    `probe_train` takes the place of validation. Test images of groups that `probe_train` lacks are
    left out.

    Raises:
      UserError: as of `fair_rows`.
    """
    tested, learned, held_out = fair_rows(splits)
    train, probe_train, validation, test, reference = splits
    if tested is not None:
        test = take(test, tested)
    if learned is not None and held_out is not None:
        probe_train, validation = take(probe_train, learned), take(probe_train, held_out)
    if not np.isin(test.label, train.label).all():
        train = probe_train
    parts = [train, probe_train, validation, test]
    ids = np.unique(np.concatenate([part.label for part in parts]))
    train, probe_train, validation, test = (rename(part, ids) for part in parts)
    return Splits(train, probe_train, validation, test, reference)


def take(part: ImageSet, rows: np.ndarray) -> ImageSet:
    """Some images of an ImageSet, in memory."""
    factors = part.factors._replace(
        continuous=part.factors.continuous[rows], categorical=part.factors.categorical[rows]
    )
    return part._replace(image=part.image[rows], label=part.label[rows], factors=factors)


def rename(part: ImageSet, ids: np.ndarray) -> ImageSet:
    """The ImageSet with each label replaced by its place among the sorted `ids`."""
    names = part.class_names or tuple(map(str, range(ids[-1] + 1)))
    label = np.searchsorted(ids, part.label).astype(np.int32)
    return part._replace(label=label, class_names=tuple(names[i] for i in ids))


def categorical_factors(part: ImageSet) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """{factor: (class of each image, int32 [N]; names of the classes)}.

    The label is one of them, under the name "label", unless all images are of one class.
    """
    found = {}
    if len(part.class_names) > 1:
        found["label"] = part.label, part.class_names
    for place, (name, names) in enumerate(part.factors.categorical_names.items()):
        found[name] = (part.factors.categorical[:, place], names)
    return found
