"""What is known of the images and what follows from it: fair splits, directions, chance levels.

The ground truth of an image is its label (class or group), further kinds (the direction a figure
looks in), all of them classes, and numbers (a colour), the continuous factors.

Which latent should carry what follows from the supervision alone: what all members of a group
share belongs to `content`, the rest to `style`; what is constant among reference images is a target
factor and belongs to `target`, the rest to `common`. A lone latent `z` should carry everything.
"""

import re
from typing import NamedTuple

import numpy as np

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.order import make_rng, place_in_group
from refvae_jax.errors import UserError
from refvae_jax.metrics import regression
from refvae_jax.metrics.probes import chance

ERRORS = ("mae", "strong_mae", "mse")  # Lower means more is known.
VALIDATION_SHARE = 0.2  # Of `fit`, where validation has other groups.


class Splits(NamedTuple):
    """The parts of a data set; `fit` is what probes learn from."""

    train: ImageSet
    fit: ImageSet
    validation: ImageSet
    test: ImageSet
    reference: ImageSet | None = None


def comparable(splits):
    """Splits whose labels count from 0 and are known to whatever is scored on them.

    Groups of the test part may be in none of train and validation (unseen persons). Then judges
    learn from `fit` instead of train, and a fifth of each group of `fit` takes the place of
    validation. Test images of groups that `fit` lacks are left out.

    Raises:
      UserError: `fit` and test have no group in common, or only one image of each.
    """
    known = np.isin(splits.test.label, splits.fit.label)
    if not known.any():
        raise UserError(
            "No group of the test split is in the split that probes learn from: divide the images "
            "of the test groups with --config.data.fit_split='test@members[:50%]' "
            "--config.data.test_split='test@members[50%:]'."
        )
    test, fit, validation, train = splits.test, splits.fit, splits.validation, splits.train
    if not known.all():
        test = take(test, np.flatnonzero(known))
    if not np.isin(validation.label, fit.label).all():
        place, size = place_in_group(fit.label, make_rng(0, "probe validation"))
        # One image at least, for a probe must not be chosen on what it has learned from.
        held = (place < np.maximum(1, np.floor(VALIDATION_SHARE * size))) & (size > 1)
        if not held.any():
            raise UserError(
                "Each test group has a single image in the split that probes learn from, and two "
                "are needed, to learn from one and to choose the probes on the other: take groups "
                "with more images, or a larger share of them in data.fit_split."
            )
        fit, validation = take(fit, np.flatnonzero(~held)), take(fit, np.flatnonzero(held))
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


def carriers(setting, splits):
    """{factor: the latent that should carry it}, see above; "average" as the first number.

    Args:
      setting: of the method.
      splits: `comparable` Splits.
    """
    train, reference = splits.train, splits.reference
    values = {name: column for name, (column, _) in classes(train).items()}
    values |= dict(zip(train.factors.names, train.factors.values.T, strict=True))
    if setting == "group":
        order = np.argsort(train.label, kind="stable")
        same = np.diff(train.label[order]) == 0

        def shared(name):
            return name == "label" or not np.any(np.diff(values[name][order])[same])

        found = {name: "content" if shared(name) else "style" for name in values}
    elif setting == "reference":
        known = {"label": reference.label}
        known |= dict(zip(reference.factors.names, reference.factors.values.T, strict=True))
        known |= {name: column for name, (column, _) in classes(reference).items()}
        found = {
            name: "common" if len(np.unique(known.get(name, ()))) > 1 else "target"
            for name in values
        }
    else:
        found = dict.fromkeys(values, "z")
    if train.factors.names:
        found["average"] = found[train.factors.names[0]]
    return found


def lower_is_better(name, carrier):
    """Whether a lower value of the score `name` speaks for the separation.

    Args:
      name: as in results.json.
      carrier: {factor: latent} of `carriers`.
    """
    parts = [part for part in name.split("/") if part not in ("swap", "resample")]
    latent, factor = parts[0], parts[1]
    is_error = any(part in ERRORS for part in parts)
    if latent in ("reconstruction", "judge") or factor.endswith(("_moved", "pixel_change")):
        return is_error
    return is_error == (latent == "z" or latent == carrier[factor])


class Chance(NamedTuple):
    """What knowing nothing scores."""

    accuracy: dict  # {label or kind: of its majority class}
    recall: dict  # {label or kind: of one of its classes, one over their number}
    mae: dict  # {factor: of the mean of fit}, with "average".
    mse: float  # Of the mean training image.

    def of(self, name):
        """The chance level of a score."""
        if name.endswith("_moved"):
            return 0.5
        if "/r2" in name or name.endswith("/pixel_change"):
            return 0.0
        if name == "reconstruction/mse":
            return self.mse
        one_class = re.search(r"/linear_accuracy/(?!sample$)", name)
        known = (self.recall if one_class else self.accuracy) | self.mae
        return next(known[factor] for factor in known if f"/{factor}/" in name)


def chance_levels(splits):
    """The Chance of `comparable` Splits; errors are scored on their test part."""
    train, fit, test = splits.train, splits.fit, splits.test
    mean_image = train.image.mean(axis=0, dtype=np.float64) / 255
    names, mae = test.factors.names, {}
    if names:
        errors = regression.constant_errors(fit.factors.values, test.factors.values)
        mae = dict(zip(names, map(float, errors), strict=True)) | {"average": float(errors.mean())}
    of_fit = {name: column for name, (column, _) in classes(fit).items()}
    accuracy = {n: chance(of_fit[n], column) for n, (column, _) in classes(test).items()}
    recall = {n: 1 / len(np.unique(column)) for n, (column, _) in classes(test).items()}
    mse = np.mean((test.image / 255 - mean_image) ** 2)
    return Chance(accuracy=accuracy, recall=recall, mae=mae, mse=float(mse))
