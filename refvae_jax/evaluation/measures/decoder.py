"""What the decoder makes of codes, of exchanged codes and of newly drawn ones.

swap/content/...              content of A with the style of B, scored by what A shows
swap/style/...                the same picture, scored by what B shows: its style was kept
swap/content/style_moved      encoded again, its style is nearer to B's than to A's
swap/content/pixel_change     its distance from A's reconstruction, B's reconstruction being 1
resample/content/...          content of A with a style from the prior, scored by what A shows
resample/style/...            style of A with a content from the prior, scored the same way
reconstruction/...            how much of the image the codes keep
"""

from collections.abc import Iterator

import numpy as np

from refvae_jax.data.cache import ImageSet
from refvae_jax.evaluation.ground_truth import GroundTruth
from refvae_jax.evaluation.measures import Classifiers, Evaluated
from refvae_jax.evaluation.score import Score
from refvae_jax.methods.base import COUNTERPART
from refvae_jax.metrics import swaps


def measure(evaluated: Evaluated) -> Iterator[Score]:
    """Scores of swaps and resamples, where there are two latents, and of reconstructions."""
    model, test, truth = evaluated.model, evaluated.splits.test, evaluated.truth
    classifiers, seed, count = evaluated.classifiers, evaluated.seed, len(test.image)
    means = {name: np.asarray(q.mean) for name, q in evaluated.codes["test"].items()}
    recon = model.decode(means)
    for kept, moved in COUNTERPART.items():
        if kept not in means:
            continue
        other = swaps.partner(count, seed)
        swapped = model.decode(means | {moved: means[moved][other]})
        yield from seen(classifiers, truth, swapped, test, source="swap", latent=kept)
        yield from seen(classifiers, truth, swapped, test, other, source="swap", latent=moved)
        again = model.means(swapped)[moved]
        share = swaps.moved_fraction(again, means[moved], means[moved][other])
        yield Score(share, "moved", "swap", "higher", 0.5, kept, moved)
        change = swaps.pixel_change(swapped, recon, recon[other])
        yield Score(change, "pixel_change", "swap", "higher", 0.0, kept)
        prior = model.prior_codes(count, seed)
        for fixed, drawn in ((kept, moved), (moved, kept)):
            resampled = model.decode(means | {drawn: prior[drawn]})
            yield from seen(classifiers, truth, resampled, test, source="resample", latent=fixed)
    yield from seen(classifiers, truth, recon, test, source="reconstruction")
    error = swaps.squared_distance(recon, test.image) / (test.image.size * 255**2)
    yield Score(error, "mse", "reconstruction", "lower", truth.mse)


def seen(
    classifiers: Classifiers,
    truth: GroundTruth,
    images: np.ndarray,
    part: ImageSet,
    rows: np.ndarray | slice = slice(None),
    *,
    source: str,
    latent: str = "",
) -> Iterator[Score]:
    """Scores of what the classifiers see in images that should show part's factors at `rows`."""
    known, of = part.factors, {"source": source, "latent": latent}
    if classifiers.label is not None:
        right = float(np.mean(classifiers.label(images) == part.label[rows]))
        yield truth.score(right, probe="accuracy", factor="label", **of)
    if classifiers.categorical is not None:
        hits = (classifiers.categorical(images) == known.categorical[rows]).mean(axis=0)
        for name, value in zip(known.categorical_names, hits, strict=True):
            yield truth.score(float(value), probe="accuracy", factor=name, **of)
    if classifiers.continuous is not None:
        errors = np.abs(classifiers.continuous(images) - known.continuous[rows]).mean(axis=0)
        yield from truth.scores_of_factors(known.continuous_names, errors, probe="mae", **of)
