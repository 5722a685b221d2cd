"""The kinds of tables: which Scores of a run each shows, and under which heading."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from refvae_jax.errors import UserError
from refvae_jax.evaluation.published import published_scores
from refvae_jax.evaluation.score import Score
from refvae_jax.reports.finished_runs import FinishedRun
from refvae_jax.training.run_folder import score_advice

# The rows by method, in the paper's order.
TITLES = {
    "vae": "VAE",
    "dipvae1": "DIP-VAE-I",
    "dipvae2": "DIP-VAE-II",
    "betavae": "beta-VAE",
    "factorvae": "FactorVAE",
    "svae": "sVAE",
    "betatcvae": "beta-TCVAE",
    "mathieu": "Mathieu et al.",
    "rbvae": "Rb-VAE",
    "srbvae": "sRb-VAE",
    "gmvae": "GM-VAE",
    "mlvae": "ML-VAE",
}

GROUP_COLUMNS = {  # By source, latent and probe of the label.
    ("mean", "content", "paper_accuracy"): "content, paper's probe",
    ("mean", "content", "strong_accuracy"): "content, strong",
    ("mean", "style", "paper_accuracy"): "style, paper's probe",
    ("mean", "style", "strong_accuracy"): "style, strong",
    ("swap", "content", "accuracy"): "swapped style",
}
AVERAGE = "average"
FROM_COMMON = "*from* `common`"


def group_column(score: Score) -> str | None:
    """The heading of a Score in the table of the group setting; None if it has none."""
    of_label = score.factor == "label"
    key = (score.source, score.latent, score.probe)
    return GROUP_COLUMNS.get(key) if of_label else None


def factor_column(score: Score) -> str | None:
    """The heading of a Score in the table of continuous factors: the factor, or `average`."""
    linear_error = score.source == "mean" and score.probe == "mae"
    return score.factor if linear_error else None


def class_column(score: Score) -> str | None:
    """The heading of a Score in the table of classes: the class, or `average`."""
    if score.source != "mean" or score.factor != "label":
        return None
    if score.probe == "balanced_accuracy":
        return AVERAGE
    return (score.class_name or None) if score.probe == "linear_accuracy" else None


class Layout(NamedTuple):
    """One kind of table."""

    column: Callable[[Score], str | None]  # The heading under which it shows a Score.
    blocks: dict[str, tuple[str, ...]]  # {heading: latents, the first that a run has counts}
    chance: str  # What knows nothing.
    meaning: str


LATENTS = {"": ("target", "z"), FROM_COMMON: ("common",)}
LAYOUTS = {
    "group": Layout(
        group_column,
        {"": ("content", "style")},
        "chance",
        "Accuracy of the label read from the posterior means, by the paper's probe and by a strong "
        "one: higher is better from `content`, lower from `style`. Swapped style: accuracy of a "
        "classifier of real images on content decoded with another image's style. Chance: the "
        "majority class, of swaps another image's label.",
    ),
    "factors": Layout(
        factor_column,
        LATENTS,
        "constant predictor",
        "Mean absolute error of linear regressors from the posterior means: lower is better, but "
        "from `common` the constant predictor's is best.",
    ),
    "classes": Layout(
        class_column,
        LATENTS,
        "chance",
        "Accuracy of a linear classifier of the posterior means, on each class and their average: "
        "higher is better, but from `common` chance is best.",
    ),
}


def is_known(score: Score) -> bool:
    """Whether a Score has a finite value."""
    return math.isfinite(score.value)


def shown_scores(run: FinishedRun, layout: Layout) -> list[Score]:
    """The known Scores of a run that a layout shows."""
    latents = {latent for block in layout.blocks.values() for latent in block}
    return [
        score
        for score in run.scores
        if score.latent in latents and layout.column(score) and is_known(score)
    ]


def find_layout(run: FinishedRun) -> str | None:
    """The name of the Layout that shows a run; None if it has none of the scores of a table."""
    return next((name for name, layout in LAYOUTS.items() if shown_scores(run, layout)), None)


def layout_of(run: FinishedRun) -> str:
    """The name of the Layout that shows a run; raises UserError if there is none."""
    if name := find_layout(run):
        return name
    raise UserError(
        f"{run.folder} has none of the scores of a table: leave it out if nothing is known of its "
        f"images, or else, to score it again, {score_advice(run.folder)}."
    )


def find(run: FinishedRun, layout: Layout, latents: Sequence[str], column: str) -> Score | None:
    """The run's Score of a column, from the first of the latents that has one."""
    scores = [score for score in shown_scores(run, layout) if layout.column(score) == column]
    scores = [score for score in scores if score.latent in latents]
    return min(scores, key=lambda score: latents.index(score.latent), default=None)


def published_value(
    run: FinishedRun, heading: str, column: str, score: Score | None
) -> float | None:
    """What the paper of the run's method reports in a column below a heading; None if nothing."""
    if score is not None and score.paper is not None:
        return score.paper
    known = published_scores(run.dataset, run.method, common=heading == FROM_COMMON)
    return known.get(column)


def columns_of(runs: Sequence[FinishedRun], layout: Layout) -> list[str]:
    """The columns of which any run has a Score: in the order of the fullest run, average last."""
    lists = [
        [column for score in shown_scores(run, layout) if (column := layout.column(score))]
        for run in runs
    ]
    columns = dict.fromkeys(itertools.chain(*sorted(lists, key=len, reverse=True)))
    return sorted(columns, key=lambda column: column == AVERAGE)
