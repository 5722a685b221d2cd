"""What is measured of a model: {name: value}, names as in results.json.

    <latent>/label/<probe>[/sample]     can the label be read from the posterior mean (or a sample)?
    <latent>/<factor>/mae[/sample]      the same of a continuous factor, by a linear regressor
    swap/<kept latent>/...              seen through the decoder, judged on pixels or re-encoded
    resample/<kept latent>/...          the same with the other latent drawn from its prior
    reconstruction/...                  how much of the image the codes keep

Of two latents one should carry what the sets share (`content`, `common`: the label), the other
the rest (`style`; `target`: the continuous factors). A single latent `z` should carry everything.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refvae_jax.data.cache import ImageSet
from refvae_jax.inference import posterior_sample
from refvae_jax.methods.base import OTHER
from refvae_jax.metrics import regression, swaps
from refvae_jax.metrics.judge import train_factor_judge, train_judge
from refvae_jax.metrics.linear import linear_accuracy
from refvae_jax.metrics.probes import Codes, chance, paper_accuracy, strong_accuracy

CARRIES_LABEL = ("content", "common", "z")
CARRIES_FACTORS = ("target", "z")
ERRORS = ("mae", "strong_mae", "mse")  # Lower means more is known.


class Splits(NamedTuple):
    """The parts of a data set; `fit` is what probes learn from."""

    train: ImageSet
    fit: ImageSet
    validation: ImageSet
    test: ImageSet


class Judges(NamedTuple):
    """Judges of pixels trained on real images: uint8 [N, H, W, C] -> [N], and -> [N, F] or None."""

    label: Callable
    factors: Callable | None


def make_judges(train, seed):
    """Judges of the label and, where the set has any, of the continuous factors."""
    label = train_judge(train.image, train.label, num_classes=train.num_classes, seed=seed)
    if not train.factor_names:
        return Judges(label, None)
    return Judges(label, train_factor_judge(train.image, train.factors, seed=seed))


def label_scores(codes, labels, num_classes, seed, setting):
    """Accuracies {probe: value} of reading the label from one latent.

    Args:
      codes: [N, D] of fit, validation and test.
      labels: [N] of each.
      num_classes: the labels'.
      seed: of the probes.
      setting: the mixture paper's classifier is for "group", the reference paper's linear one
        for the others; the strong probe for all.
    """
    fit, validation, test = map(Codes, codes, labels)
    options = {"num_classes": num_classes, "seed": seed}
    strong = {"strong_accuracy": strong_accuracy(fit, validation, test, **options)}
    if setting == "group":
        return {"paper_accuracy": paper_accuracy(fit, test, **options)} | strong
    linear = linear_accuracy(fit, test, num_classes=num_classes)
    by_class = {f"linear_accuracy/{i}": a for i, a in enumerate(linear.per_class) if a is not None}
    return {"linear_accuracy": linear.accuracy} | by_class | strong


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
    row = {f"{name}/{metric}": float(v) for name, v in zip(names, values, strict=True)}
    return row | {f"average/{metric}": float(np.mean(values))}


def code_scores(model, splits, seed, setting):
    """How well each latent tells the label and the factors, by every probe, mean and sample."""
    parts = (splits.fit, splits.validation, splits.test)
    encoded = [model.encode(part.image) for part in parts]
    labels, factors = [p.label for p in parts], [p.factors for p in parts]
    scores = {}
    for latent in model.latent_names:
        for suffix in ("", "/sample"):
            codes = [
                posterior_sample(q[latent], seed, f"{latent} {name}") if suffix else q[latent].mean
                for name, q in zip(("train", "validation", "test"), encoded, strict=True)
            ]
            found = label_scores(codes, labels, splits.test.num_classes, seed, setting)
            scores |= {f"{latent}/label/{name}{suffix}": v for name, v in found.items()}
            if splits.test.factor_names:
                found = factor_scores(codes, factors, splits.test.factor_names, seed)
                scores |= {f"{latent}/{name}{suffix}": v for name, v in found.items()}
    return scores


def judged(judges, images, part, rows=slice(None)):
    """What the judges see in images that should show part's factors at `rows`: {score: value}."""
    scores = {"label/accuracy": float(np.mean(judges.label(images) == part.label[rows]))}
    if judges.factors is not None:
        error = np.abs(judges.factors(images) - part.factors[rows]).mean(axis=0)
        scores |= by_factor(part.factor_names, "mae", error)
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
    """
    means = model.means(test.image)
    recon = model.decode(means)
    error = np.square(recon.astype(np.float32) / 255 - test.image / np.float32(255))
    scores = {}
    for kept, moved in OTHER.items():
        if kept not in means:
            continue
        other = swaps.partner(len(test.image), seed)
        swapped = model.decode(means | {moved: means[moved][other]})
        drawn = model.decode(means | {moved: model.prior_codes(len(test.image), seed)[moved]})
        seen = model.means(swapped)[moved]
        scores = {
            **prefixed(f"swap/{kept}", judged(judges, swapped, test)),
            **prefixed(f"swap/{moved}", judged(judges, swapped, test, other)),
            f"swap/{kept}/{moved}_moved": swaps.moved_fraction(
                seen, means[moved], means[moved][other]
            ),
            f"swap/{kept}/pixel_change": swaps.pixel_change(swapped, recon, recon[other]),
            **prefixed(f"resample/{kept}", judged(judges, drawn, test)),
        }
    scores |= prefixed("reconstruction", judged(judges, recon, test))
    return scores | {"reconstruction/mse": float(error.mean())}


def all_scores(model, splits, judges, seed, setting):
    """`code_scores` and `decoder_scores` of a model."""
    codes = code_scores(model, splits, seed, setting)
    return codes | decoder_scores(model, splits.test, judges, seed)


class Chance(NamedTuple):
    """What knowing nothing scores."""

    accuracy: float  # Of the majority class.
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
        factors = [f for f in self.mae if f"/{f}/" in name]
        return self.mae[factors[0]] if factors else self.accuracy


def chance_levels(splits):
    """The Chance of a data set; errors are scored on its test part."""
    train, fit, test = splits.train, splits.fit, splits.test
    mean_image = train.image.mean(axis=0, dtype=np.float64) / 255
    errors = regression.constant_errors(fit.factors, test.factors) if test.factor_names else []
    mae = by_factor(test.factor_names, "mae", errors) if test.factor_names else {}
    return Chance(
        accuracy=chance(fit.label, test.label),
        mae={name.removesuffix("/mae"): value for name, value in mae.items()},
        mse=float(np.mean((test.image / 255 - mean_image) ** 2)),
    )


def lower_is_better(name):
    """Whether a lower value of the score speaks for the separation."""
    parts = [part for part in name.split("/") if part not in ("swap", "resample")]
    latent, factor = parts[0], parts[1]
    is_error = any(part in ERRORS for part in parts)
    if latent in ("reconstruction", "judge") or factor.endswith(("_moved", "pixel_change")):
        return is_error
    carries = latent in (CARRIES_LABEL if factor == "label" else CARRIES_FACTORS)
    return is_error == carries
