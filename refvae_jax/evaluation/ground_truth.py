"""What follows from what is known of the images: directions of scores, chance levels.

The ground truth of an image is its label (class or group), further kinds (the direction a figure
looks in), all of them classes, and numbers (a colour), the continuous factors.

Which latent should carry what follows from the supervision alone: what all members of a group
share belongs to `content`, the rest to `style`; what is constant among reference images is a target
factor and belongs to `target`, the rest to `common`; what is not known of the reference images is
taken to be constant there. A lone latent `z` should carry everything.
"""

import re
from typing import NamedTuple

import numpy as np

from refvae_jax.data.splits import classes
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.probes import chance

ERRORS = ("mae", "strong_mae", "mse")  # Lower means more is known.
ONE_CLASS = r"/linear_accuracy/(?!sample$)"  # In the name of the score of a single class.


def carriers(setting, splits):
    """{factor: the latent that should carry it}, see above.

    With "average", if there are numbers and one latent should carry them all.

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
        known = dict(zip(reference.factors.names, reference.factors.values.T, strict=True))
        known |= {"label": reference.label}
        known |= {name: column for name, (column, _) in classes(reference).items()}
        known |= {"label": known["label"][known["label"] >= 0]}
        found = {
            name: "common" if len(np.unique(known.get(name, ()))) > 1 else "target"
            for name in values
        }
    else:
        found = dict.fromkeys(values, "z")
    of_numbers = {found[name] for name in train.factors.names}
    return found | ({"average": of_numbers.pop()} if len(of_numbers) == 1 else {})


def latent_and_factor(name):
    """The first two parts of a score's name, `swap` or `resample` aside."""
    first, *rest = name.split("/")
    return tuple(rest[:2] if first in ("swap", "resample") else (first, rest[0]))


def lower_is_better(name, carrier):
    """Whether a lower value of the score `name` speaks for the separation.

    Args:
      name: as in results.json.
      carrier: {factor: latent} of `carriers`.
    """
    latent, factor = latent_and_factor(name)
    is_error = any(part in ERRORS for part in name.split("/"))
    if latent in ("reconstruction", "judge") or factor.endswith(("_moved", "pixel_change")):
        return is_error
    return is_error == (latent == "z" or latent == carrier[factor])


class Chance(NamedTuple):
    """What knowing nothing scores.

    A probe that knows nothing names the majority class or the mean. An image decoded from codes of
    two origins (swap, resample) shows something in any case: the class of another image, a number
    that errs like the mean at best and like another image's if it varies as much. An error that
    should be low is held against the first, one that should be high against the second.
    """

    accuracy: dict  # {label or kind: of its majority class}
    recall: dict  # {label or kind: of one of its classes, and on their average: 1 / their number}
    mae: dict  # {factor: of the mean of fit}, with "average".
    another: dict  # {label, kind, factor: of an image that shows another test image's}, "average".
    mse: float  # Of the mean training image.

    def of(self, name, lower):
        """The chance level of a score, of which lower values are better if `lower`."""
        if name.endswith("_moved"):
            return 0.5
        if "/r2" in name or name.endswith("/pixel_change"):
            return 0.0
        if name == "reconstruction/mse":
            return self.mse
        one_class = re.search(rf"{ONE_CLASS}|/balanced_accuracy", name)
        known = (self.recall if one_class else self.accuracy) | self.mae
        if name.startswith(("swap/", "resample/")):
            known = self.another | (self.mae if lower else {})
        return known[latent_and_factor(name)[1]]


def difference_of_two(values):
    """Mean absolute difference [F] of two different rows of `values` [N, F]; 0 of a single row."""
    n = len(values)
    ranked = np.sort(values.astype(np.float64), axis=0)
    # The i-th smallest is the larger one of i pairs and the smaller one of n - 1 - i.
    weights = 2 * np.arange(n) - (n - 1)
    return weights @ ranked / max(n * (n - 1) / 2, 1)


def agreement_of_two(column):
    """The share of the pairs of different rows of `column` [N] that agree; 0 of a single row."""
    n, counts = len(column), np.unique(column, return_counts=True)[1]
    return float(counts @ (counts - 1) / max(n * (n - 1), 1))


def chance_levels(splits):
    """The Chance of `comparable` Splits; errors are scored on their test part."""
    train, fit, test = splits.train, splits.probe_train, splits.test
    mean_image = train.image.mean(axis=0, dtype=np.float64) / 255
    names, values, mae = test.factors.names, test.factors.values, {}
    another = {n: agreement_of_two(column) for n, (column, _) in classes(test).items()}
    if names:
        mae = regression.with_average(names, regression.constant_errors(fit.factors.values, values))
        another |= regression.with_average(names, difference_of_two(values))
    of_fit = {name: column for name, (column, _) in classes(fit).items()}
    accuracy = {n: chance(of_fit[n], column) for n, (column, _) in classes(test).items()}
    recall = {n: 1 / len(np.unique(column)) for n, (column, _) in classes(test).items()}
    mse = swaps.squared_distance(test.image, np.broadcast_to(255 * mean_image, test.image.shape))
    mse /= test.image.size * 255**2
    return Chance(accuracy=accuracy, recall=recall, mae=mae, another=another, mse=mse)
