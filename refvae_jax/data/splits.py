"""The parts of a data set, made fair to score on."""

from typing import NamedTuple

import numpy as np

from refvae_jax.data.cache import ImageSet, open_split
from refvae_jax.data.order import make_rng, place_in_group
from refvae_jax.errors import UserError

VALIDATION_SHARE = 0.2  # Of `probe_train`, where validation has other groups.


class Splits(NamedTuple):
    """The parts of a data set; `probe_train` is what probes learn from."""

    train: ImageSet
    probe_train: ImageSet
    validation: ImageSet
    test: ImageSet
    reference: ImageSet | None = None


def open_splits(config):
    """All parts of the config's data, Splits."""
    reference = ("reference",) if config.data.reference_split else ()
    names = ("train", "probe_train", "validation", "test", *reference)
    return Splits(*(open_split(config.data, name) for name in names))


def fair_rows(splits):
    """Which rows of `probe_train` and test `comparable` uses, by their labels alone.

    Returns:
      (rows of test, rows of fit to learn from, rows of fit in the place of validation), int64
      each; None for a part that stays as it is.

    Raises:
      UserError: `probe_train` and test have no group in common, or only one image of each; or test has
        too few images to exchange anything.
    """
    if len(splits.test.label) < 2:
        raise UserError("The test split has a single image: --config.data.test_split needs two.")
    fit = splits.probe_train.label
    known = np.isin(splits.test.label, fit)
    if np.count_nonzero(known) == 1:
        raise UserError(
            "Only one test image is of a group that probes learn from, and exchanging codes takes "
            "two: put more images of the groups of data.probe_train_split into the test split."
        )
    if not known.any():
        raise UserError(
            "No group of the test split is in the split that probes learn from: divide the images "
            "of the test groups with --config.data.probe_train_split='test@members[:50%]' "
            "--config.data.test_split='test@members[50%:]'."
        )
    tested = None if known.all() else np.flatnonzero(known)
    if np.isin(splits.validation.label, fit).all():
        return tested, None, None
    place, size = place_in_group(fit, make_rng(0, "probe validation"))
    # One image at least, for a probe must not be chosen on what it has learned from.
    held = (place < np.maximum(1, np.floor(VALIDATION_SHARE * size))) & (size > 1)
    if not held.any():
        raise UserError(
            "Each test group has a single image in the split that probes learn from, and two "
            "are needed, to learn from one and to choose the probes on the other: take groups "
            "with more images, or a larger share of them in data.probe_train_split."
        )
    return tested, np.flatnonzero(~held), np.flatnonzero(held)


def comparable(splits):
    """Splits whose labels count from 0 and are known to whatever is scored on them.

    Groups of the test part may be in none of train and validation (unseen persons). Then judges
    learn from `probe_train` instead of train, and a fifth of each group of `probe_train` takes the place of
    validation. Test images of groups that `probe_train` lacks are left out.

    Raises:
      UserError: as of `fair_rows`.
    """
    tested, learned, held = fair_rows(splits)
    test, fit, validation, train = splits.test, splits.probe_train, splits.validation, splits.train
    if tested is not None:
        test = take(test, tested)
    if held is not None:
        fit, validation = take(fit, learned), take(fit, held)
    if not np.isin(test.label, train.label).all():
        train = fit
    parts = [train, fit, validation, test]
    ids = np.unique(np.concatenate([part.label for part in parts]))
    renamed = [rename(part, ids) for part in parts]
    return Splits(*renamed, splits.reference)


def take(part, rows):
    """Some images of an ImageSet, in memory."""
    factors = part.factors._replace(
        values=part.factors.values[rows], categories=part.factors.categories[rows]
    )
    return part._replace(image=part.image[rows], label=part.label[rows], factors=factors)


def rename(part, ids):
    """The ImageSet with its labels as places among the sorted `ids`."""
    names = part.class_names or tuple(map(str, range(ids[-1] + 1)))
    label = np.searchsorted(ids, part.label).astype(np.int32)
    return part._replace(label=label, class_names=tuple(names[i] for i in ids))


def classes(part):
    """{name: (int [N], its names)} of the label, if there are several, and the kinds."""
    found = {"label": (part.label, part.class_names)} if len(part.class_names) > 1 else {}
    for place, (name, names) in enumerate(part.factors.kinds.items()):
        found[name] = (part.factors.categories[:, place], names)
    return found
