"""What is measured of a model: {name: value}, names as in results.json.

    <latent>/label/<probe>[/sample]     can the label be read from the posterior mean (or a sample)?
    <latent>/<kind>/...                 the same of a further class, such as a direction
    <latent>/<factor>/mae[/sample]      the same of a continuous factor, by a linear regressor
    swap/<kept latent>/...              seen through the decoder, judged on pixels or re-encoded
    resample/<kept latent>/...          the same with the other latent drawn from its prior
    reconstruction/...                  how much of the image the codes keep

Which latent should carry what, and what knowing nothing scores, is in `ground_truth.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refvae_jax.data.splits import classes
from refvae_jax.inference import posterior_sample
from refvae_jax.methods.base import COUNTERPART
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.evaluation_classifier import (
    train_classifier,
    train_multi_classifier,
    train_regressor,
)
from refvae_jax.metrics.linear import linear_accuracy
from refvae_jax.metrics.probes import Codes, paper_accuracy, strong_accuracy

LISTED_CLASSES = 20  # Of more than these the accuracies one by one tell nobody anything.


class Judges(NamedTuple):
    """Judges of pixels trained on real images, each a function of uint8 [N, H, W, C] or None."""

    label: Callable | None  # -> [N]
    kinds: Callable | None  # -> [N, K]
    factors: Callable | None  # -> [N, F]


def make_judges(train, seed):
    """Judges of whatever is known of the images of an ImageSet."""
    label = kinds = numbers = None
    known = train.factors
    if len(train.class_names) > 1:
        num_classes = len(train.class_names)
        label = train_classifier(train.image, train.label, num_classes=num_classes, seed=seed)
    if known.kinds:
        sizes = tuple(map(len, known.kinds.values()))
        kinds = train_multi_classifier(train.image, known.categories, sizes, seed=seed)
    if known.names:
        numbers = train_regressor(train.image, known.values, seed=seed)
    return Judges(label, kinds, numbers)


def class_scores(codes, labels, names, seed, setting):
    """Accuracies {probe: value} of reading a class from one latent.

    Args:
      codes: [N, D] of fit, validation and test.
      labels: [N] of each.
      names: of the classes.
      seed: of the probes.
      setting: the mixture paper's classifier is for "group", the reference paper's linear one
        for the others; the strong probe for all.
    """
    fit, validation, test = map(Codes, codes, labels)
    options = {"num_classes": len(names), "seed": seed}
    strong = {"strong_accuracy": strong_accuracy(fit, validation, test, **options)}
    if setting == "group":
        return {"paper_accuracy": paper_accuracy(fit, test, **options)} | strong
    linear = linear_accuracy(fit, test, num_classes=len(names))
    found = {
        "linear_accuracy": linear.accuracy,
        "balanced_accuracy": linear.balanced_accuracy,
        **strong,
    }
    if len(names) <= LISTED_CLASSES:
        by_class = zip(names, linear.per_class, strict=True)
        # A class called "sample" would take the name of the accuracy from a sample.
        found |= {
            f"linear_accuracy/{name}": v
            for name, v in by_class
            if v is not None and name != "sample"
        }
    return found


def factor_scores(codes, factors, names, seed):
    """Errors {factor/metric: value} of reading the continuous factors from one latent.

    Args:
      codes: [N, D] of fit, validation and test.
      factors: [N, F] of each.
      names: of the F factors.
      seed: of the non-linear probes.
    """
    fit, validation, test = map(regression.FactorCodes, codes, factors)
    linear = regression.linear_errors(fit, test)
    strong = regression.strong_errors(fit, validation, test, seed=seed)
    return {
        **by_factor(names, "mae", linear.mae),
        **by_factor(names, "r2", linear.r2),
        **by_factor(names, "strong_mae", strong.mae),
    }


def by_factor(names, metric, values):
    """{factor/metric: value} and their average."""
    row = regression.with_average(names, values)
    return {f"{name}/{metric}": value for name, value in row.items()}


def code_scores(model, splits, seed, setting):
    """How well each latent tells classes and factors, by every probe, mean and sample."""
    parts = (splits.probe_train, splits.validation, splits.test)
    encoded = [model.encode(part.image) for part in parts]
    known, numbers = [classes(part) for part in parts], [part.factors.values for part in parts]
    names = splits.test.factors.names
    scores = {}
    for latent in model.latent_names:
        for suffix in ("", "/sample"):
            codes = [
                posterior_sample(q[latent], seed, f"{latent} {name}") if suffix else q[latent].mean
                for name, q in zip(("train", "validation", "test"), encoded, strict=True)
            ]
            for factor, (_, kinds) in known[0].items():
                labels = [part[factor][0] for part in known]
                found = class_scores(codes, labels, kinds, seed, setting)
                scores |= {f"{latent}/{factor}/{name}{suffix}": v for name, v in found.items()}
            if names:
                found = factor_scores(codes, numbers, names, seed)
                scores |= {f"{latent}/{name}{suffix}": v for name, v in found.items()}
    return scores


def judged(judges, images, part, rows=slice(None)):
    """What the judges see in images that should show part's factors at `rows`: {score: value}."""
    scores, known = {}, part.factors
    if judges.label is not None:
        scores["label/accuracy"] = float(np.mean(judges.label(images) == part.label[rows]))
    if judges.kinds is not None:
        right = (judges.kinds(images) == known.categories[rows]).mean(axis=0)
        scores |= {f"{name}/accuracy": float(v) for name, v in zip(known.kinds, right, strict=True)}
    if judges.factors is not None:
        error = np.abs(judges.factors(images) - known.values[rows]).mean(axis=0)
        scores |= by_factor(known.names, "mae", error)
    return scores


def prefixed(prefix, scores):
    """The scores under `prefix/`."""
    return {f"{prefix}/{name}": value for name, value in scores.items()}


def decoder_scores(model, test, judges, seed):
    """What the decoder makes of the codes, of exchanged and of newly drawn ones.

    swap/content/...: content of A with the style of B, judged by what A shows.
    swap/style/...: the same picture, judged by what B shows: its style was kept.
    swap/content/style_moved: re-encoded, its style is nearer to B's than to A's.
    swap/content/pixel_change: how far it is from A's reconstruction, B's reconstruction being 1.
    resample/content/...: content of A with a style from the prior, judged by what A shows.
    resample/style/...: style of A with a content from the prior, judged the same way.
    """
    means = model.means(test.image)
    recon = model.decode(means)
    scores = {}
    for kept, moved in COUNTERPART.items():
        if kept not in means:
            continue
        other = swaps.partner(len(test.image), seed)
        swapped = model.decode(means | {moved: means[moved][other]})
        prior = model.prior_codes(len(test.image), seed)
        seen = model.means(swapped)[moved]
        scores = {
            **prefixed(f"swap/{kept}", judged(judges, swapped, test)),
            **prefixed(f"swap/{moved}", judged(judges, swapped, test, other)),
            f"swap/{kept}/{moved}_moved": swaps.moved_fraction(
                seen, means[moved], means[moved][other]
            ),
            f"swap/{kept}/pixel_change": swaps.pixel_change(swapped, recon, recon[other]),
        }
        for fixed, drawn in ((kept, moved), (moved, kept)):
            resampled = model.decode(means | {drawn: prior[drawn]})
            scores |= prefixed(f"resample/{fixed}", judged(judges, resampled, test))
    scores |= prefixed("reconstruction", judged(judges, recon, test))
    error = swaps.squared_distance(recon, test.image) / (test.image.size * 255**2)
    return scores | {"reconstruction/mse": error}


def all_scores(model, splits, judges, seed, setting):
    """`code_scores` and `decoder_scores` of a model."""
    codes = code_scores(model, splits, seed, setting)
    return codes | decoder_scores(model, splits.test, judges, seed)
