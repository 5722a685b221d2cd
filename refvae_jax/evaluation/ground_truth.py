"""What follows from what is known of the images: which latent should carry what, and chance.

The ground truth of an image is its label (class or group), further categorical factors (the
direction a figure looks in), and continuous factors (a colour).

Which latent should carry a factor follows from the supervision alone: what all members of a group
share belongs to `content`, the rest to `style`; what is constant among reference images is a target
factor and belongs to `target`, the rest to `common`; what is not known of the reference images is
taken to be constant there. A lone latent `z` should carry everything.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from refvae_jax.data.splits import Splits, categorical_factors
from refvae_jax.evaluation.score import Score
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.probes import chance

ERRORS = ("mae", "strong_mae", "mse")  # Lower means more is known.
PER_CLASS = ("balanced_accuracy",)  # Averages over classes; chance is one over their number.


def expected_latents(supervision: str, splits: Splits) -> dict[str, str]:
    """{factor: the latent that should carry it}, see above.

    With "average", if there are continuous factors and one latent should carry them all.

    Args:
      supervision: of the method.
      splits: `comparable` Splits.
    """
    train, reference = splits.train, splits.reference
    values = {name: column for name, (column, _) in categorical_factors(train).items()}
    values |= dict(zip(train.factors.continuous_names, train.factors.continuous.T, strict=True))
    if supervision == "group":
        order = np.argsort(train.label, kind="stable")
        same = np.diff(train.label[order]) == 0

        def shared(name: str) -> bool:
            return name == "label" or not np.any(np.diff(values[name][order])[same])

        found = {name: "content" if shared(name) else "style" for name in values}
    elif supervision == "reference" and reference is not None:
        known = dict(
            zip(reference.factors.continuous_names, reference.factors.continuous.T, strict=True)
        )
        known |= {name: column for name, (column, _) in categorical_factors(reference).items()}
        known |= {"label": reference.label[reference.label >= 0]}
        found = {
            name: "common" if len(np.unique(known.get(name, ()))) > 1 else "target"
            for name in values
        }
    else:
        found = dict.fromkeys(values, "z")
    of_continuous = {found[name] for name in train.factors.continuous_names}
    return found | ({"average": of_continuous.pop()} if len(of_continuous) == 1 else {})


class GroundTruth(NamedTuple):
    """Makes Scores of values: which way is better, and what knowing nothing scores.

    A probe that knows nothing names the majority class or the mean. An image decoded from codes of
    two origins (swap, resample) shows something in any case: the class of another image, a number
    that errs like the mean at best and like another image's if it varies as much. An error that
    should be low is compared with the first, one that should be high with the second.
    """

    expected_latent: dict[str, str]  # Of `expected_latents`.
    accuracy: dict[str, float]  # {categorical factor: of its majority class}
    recall: dict[str, float]  # {categorical factor: 1 / number of classes}
    mae: dict[str, float]  # {continuous factor: of the mean of probe_train}, with "average".
    another: dict[str, float]  # {factor: of an image that shows another's}, with "average".
    mse: float  # Of the mean training image.

    def score(
        self,
        value: float,
        *,
        probe: str,
        source: str,
        latent: str = "",
        factor: str = "",
        class_name: str = "",
    ) -> Score:
        """The Score of an accuracy or an error of one factor; arguments as of Score."""
        is_error = probe in ERRORS
        should_know = latent in ("", "z", self.expected_latent.get(factor))
        lower = is_error == should_know
        if probe == "r2":
            level = 0.0
        elif source in ("swap", "resample"):
            level = (self.another | (self.mae if lower else {}))[factor]
        elif is_error:
            level = self.mae[factor]
        else:
            level = (self.recall if class_name or probe in PER_CLASS else self.accuracy)[factor]
        better = "lower" if lower else "higher"
        return Score(value, probe, source, better, level, latent, factor, class_name)

    def scores_of_factors(
        self, names: Sequence[str], values: np.ndarray, *, probe: str, source: str, latent: str = ""
    ) -> list[Score]:
        """Scores of the continuous factors, values [F], and of their average.

        An average over factors that different latents should carry says nothing and is left out.
        """
        return [
            self.score(value, probe=probe, source=source, latent=latent, factor=factor)
            for factor, value in regression.with_average(names, values).items()
            if factor != "average" or "average" in self.expected_latent
        ]


def difference_of_two(values: np.ndarray) -> np.ndarray:
    """Mean absolute difference [F] of two different rows of `values` [N, F]; 0 of a single row."""
    n = len(values)
    ranked = np.sort(values.astype(np.float64), axis=0)
    # The i-th smallest is the larger one of i pairs and the smaller one of n - 1 - i.
    weights = 2 * np.arange(n) - (n - 1)
    return weights @ ranked / max(n * (n - 1) / 2, 1)


def agreement_of_two(column: np.ndarray) -> float:
    """The share of the pairs of different rows of `column` [N] that agree; 0 of a single row."""
    n, counts = len(column), np.unique(column, return_counts=True)[1]
    return float(counts @ (counts - 1) / max(n * (n - 1), 1))


def ground_truth(supervision: str, splits: Splits) -> GroundTruth:
    """The GroundTruth of `comparable` Splits; errors are scored on their test part."""
    train, learned, test = splits.train, splits.probe_train, splits.test
    mean_image = train.image.mean(axis=0, dtype=np.float64) / 255
    names, values, mae = test.factors.continuous_names, test.factors.continuous, {}
    columns = {name: column for name, (column, _) in categorical_factors(test).items()}
    another = {name: agreement_of_two(column) for name, column in columns.items()}
    if names:
        errors = regression.constant_errors(learned.factors.continuous, values)
        mae = regression.with_average(names, errors)
        another |= regression.with_average(names, difference_of_two(values))
    of_learned = {name: column for name, (column, _) in categorical_factors(learned).items()}
    accuracy = {name: chance(of_learned[name], column) for name, column in columns.items()}
    recall = {name: 1 / len(np.unique(column)) for name, column in columns.items()}
    mse = swaps.squared_distance(test.image, np.broadcast_to(255 * mean_image, test.image.shape))
    mse /= test.image.size * 255**2
    expected = expected_latents(supervision, splits)
    return GroundTruth(expected, accuracy, recall, mae, another, mse)
