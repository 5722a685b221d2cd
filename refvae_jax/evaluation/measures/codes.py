"""Can a factor be read from a latent? Probes on posterior means and on posterior samples.

<latent>/label/<probe>[/sample]     accuracy of reading the label
<latent>/<factor>/<probe>[/sample]  the same of a further categorical factor
<latent>/<factor>/mae[/sample]      error of a linear regressor of a continuous factor
"""

from collections.abc import Iterator, Sequence

import numpy as np

from refvae_jax.data.splits import Splits, categorical_factors
from refvae_jax.evaluation.ground_truth import GroundTruth
from refvae_jax.evaluation.measures import PARTS, Evaluated
from refvae_jax.evaluation.score import Score
from refvae_jax.inference import posterior_sample
from refvae_jax.metrics import regression
from refvae_jax.metrics.linear import linear_accuracy
from refvae_jax.metrics.probes import Codes, paper_accuracy, strong_accuracy

LISTED_CLASSES = 20  # Of more classes than these, their accuracies one by one help nobody.


def count_parts(latent_names: Sequence[str], splits: Splits) -> int:
    """See `measures.count_parts`: of each latent its mean and a sample, by factors."""
    continuous = bool(splits.probe_train.factors.continuous_names)
    return 2 * len(latent_names) * (len(categorical_factors(splits.probe_train)) + continuous)


def measure(evaluated: Evaluated) -> Iterator[Score]:
    """Scores of every latent, factor and probe, from the mean and from a sample."""
    parts = [getattr(evaluated.splits, name) for name in PARTS]
    known = [categorical_factors(part) for part in parts]
    for latent in evaluated.model.latent_names:
        for source in ("mean", "sample"):
            codes = [_codes(evaluated, name, latent, source) for name in PARTS]
            of = {"latent": latent, "source": source}
            for factor, (_, names) in known[0].items():
                labels = [part[factor][0] for part in known]
                for probe, class_name, value in class_accuracies(
                    codes, labels, names, evaluated.seed, evaluated.supervision
                ):
                    yield evaluated.truth.score(
                        value, probe=probe, factor=factor, class_name=class_name, **of
                    )
                evaluated.part_done()
            if parts[0].factors.continuous_names:
                factors = [part.factors.continuous for part in parts]
                names = parts[0].factors.continuous_names
                yield from factor_errors(codes, factors, names, evaluated.truth, evaluated.seed, of)
                evaluated.part_done()


def _codes(evaluated: Evaluated, part: str, latent: str, source: str) -> np.ndarray:
    """The codes [N, D] of one part."""
    q = evaluated.codes[part][latent]
    if source == "mean":
        return np.asarray(q.mean)
    # The name of a stream of random numbers: another one is another sample.
    stream = "train" if part == "probe_train" else part
    return posterior_sample(q, evaluated.seed, f"{latent} {stream}")


def class_accuracies(
    codes: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    names: Sequence[str],
    seed: int,
    supervision: str,
) -> Iterator[tuple[str, str, float]]:
    """Yields (probe, class or "", accuracy) of reading a categorical factor from one latent.

    Args:
      codes: [N, D] of probe_train, validation and test.
      labels: [N] of each.
      names: of the classes.
      seed: of the probes.
      supervision: the mixture paper's classifier is for "group", the reference paper's linear one
        for the others; the strong probe for all.
    """
    learned, validation, test = map(Codes, codes, labels)
    num_classes = len(names)
    if supervision == "group":
        weak = paper_accuracy(learned, test, num_classes=num_classes, seed=seed)
        yield "paper_accuracy", "", weak
    else:
        linear = linear_accuracy(learned, test, num_classes=num_classes)
        yield "linear_accuracy", "", linear.accuracy
        yield "balanced_accuracy", "", linear.balanced_accuracy
    strong = strong_accuracy(learned, validation, test, num_classes=num_classes, seed=seed)
    yield "strong_accuracy", "", strong
    if supervision != "group" and num_classes <= LISTED_CLASSES:
        for name, value in zip(names, linear.per_class, strict=True):
            if value is not None:
                yield "linear_accuracy", name, value


def factor_errors(
    codes: Sequence[np.ndarray],
    factors: Sequence[np.ndarray],
    names: Sequence[str],
    truth: GroundTruth,
    seed: int,
    of: dict[str, str],
) -> Iterator[Score]:
    """Scores of reading the continuous factors from one latent.

    Args:
      codes: [N, D] of probe_train, validation and test.
      factors: [N, F] of each.
      names: of the F factors.
      truth: makes the Scores.
      seed: of the non-linear probes.
      of: {"latent", "source"} of the codes.
    """
    learned, validation, test = map(regression.FactorCodes, codes, factors)
    linear = regression.linear_errors(learned, test)
    strong = regression.strong_errors(learned, validation, test, seed=seed)
    for probe, values in (("mae", linear.mae), ("r2", linear.r2), ("strong_mae", strong.mae)):
        yield from truth.scores_of_factors(names, values, probe=probe, **of)
