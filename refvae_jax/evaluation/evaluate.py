"""A checkpoint to results.json.

What is measured is in `measures/`. The test part is scored once, with the checkpoint and the probes
chosen on validation.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from refvae_jax.console import LOGGER
from refvae_jax.data.splits import Splits, comparable
from refvae_jax.evaluation import measures
from refvae_jax.evaluation.ground_truth import ground_truth
from refvae_jax.evaluation.measures import Evaluated
from refvae_jax.evaluation.measures.decoder import seen, train_classifiers
from refvae_jax.evaluation.published import mixture_paper_accuracy
from refvae_jax.evaluation.score import Score
from refvae_jax.files import as_path, never_lost, read_json_lines, write_json
from refvae_jax.inference import Model, open_trained
from refvae_jax.training import checkpoint
from refvae_jax.training.run_folder import find_run
from refvae_jax.training.setup import initial_variables

COLUMNS = ("value", "chance", "untrained", "paper")


class Scorer:
    """Scores models on `comparable` Splits; trains the classifiers of real images once.

    Args:
      supervision: of the models' method.
      splits: "test" is scored.
      seed: of classifiers, probes and draws.
    """

    def __init__(self, supervision: str, splits: Splits, seed: int) -> None:
        self._supervision, self._splits, self._seed = supervision, splits, seed
        self._truth = ground_truth(supervision, splits)
        self._classifiers = train_classifiers(splits.train, seed)

    def scores(self, model: Model) -> list[Score]:
        """All Scores of a model."""
        evaluated = Evaluated(
            model=model,
            splits=self._splits,
            codes=measures.encode(model, self._splits),
            truth=self._truth,
            classifiers=self._classifiers,
            supervision=self._supervision,
            seed=self._seed,
        )
        return measures.all_scores(evaluated)

    def ceiling(self) -> list[Score]:
        """What the classifiers see in the real test images: the most that swaps can reach."""
        test = self._splits.test
        return list(seen(self._classifiers, self._truth, test.image, test, source="images"))


def score_model(model: Model, splits: Splits, seed: int) -> list[Score]:
    """All Scores of a model and its untrained beginning on `comparable` Splits."""
    scorer = Scorer(model.method.supervision, splits, seed)
    beginning = model.with_variables(initial_variables(model.method, seed))
    untrained = {score.name: score.value for score in scorer.scores(beginning)}
    scores = [score._replace(untrained=untrained[score.name]) for score in scorer.scores(model)]
    return scores + scorer.ceiling()


def with_paper(scores: list[Score], config: ConfigDict) -> list[Score]:
    """The Scores with what the mixture paper reports for this setting."""
    known = mixture_paper_accuracy(config)

    def reported(score: Score) -> float | None:
        by_paper = (score.probe, score.source, score.factor) == ("paper_accuracy", "mean", "label")
        return known.get(score.latent) if by_paper else None

    return [score._replace(paper=reported(score)) for score in scores]


def is_detail(score: Score) -> bool:
    """Whether a Score is only counted on the terminal.

    Single classes, explained shares and errors from a sample: most of a hundred lines where there
    are continuous factors.
    """
    error_of_sample = score.source == "sample" and score.probe in ("mae", "strong_mae")
    return bool(score.class_name) or score.probe == "r2" or error_of_sample


def format_table(scores: list[Score]) -> str:
    """The main Scores as lines of text, beside chance, an untrained model and the paper."""
    shown = [score for score in scores if not is_detail(score)]
    columns = [c for c in COLUMNS if any(getattr(score, c) is not None for score in shown)]
    width = max(len(score.name) for score in shown)
    lines = [f"{'score':<{width}}" + "".join(f"{c:>11}" for c in columns) + "  better"]
    for score in shown:
        values = [getattr(score, column) for column in columns]
        cells = "".join(f"{'':>11}" if v is None else f"{v:>11.4f}" for v in values)
        lines.append(f"{score.name:<{width}}{cells}  {score.better}")
    if len(shown) < len(scores):
        lines.append(f"and {len(scores) - len(shown)} more, in finer detail, in results.json")
    return "\n".join(lines)


def evaluate(
    config: ConfigDict,
    workdir: str | Path,
    step: str | int = "best",
    splits: Splits | None = None,
    check_ours: Callable[[], None] = never_lost,
) -> dict[str, Any]:
    """Scores a checkpoint and its untrained beginning; writes results.json and prints the table.

    Args:
      config, workdir, step, splits: as of `inference.open_trained`.
      check_ours: raises if another run has taken the folder over; called before it is written to.

    Returns:
      The contents of results.json.

    Raises:
      UserError: no checkpoint, other images than it was trained on, or none that can be scored.
    """
    workdir = find_run(workdir)
    model, step, parts = open_trained(config, workdir, step, splits)
    splits = comparable(parts)
    scored, count = len(splits.test.label), len(parts.test.label)
    if scored < count:
        LOGGER.info(
            f"{scored} of {count} test images are scored: data.probe_train_split has no image of "
            f"the groups of the others, to learn from"
        )
    LOGGER.info(f"evaluating checkpoint {step}: probes, classifiers, swaps")
    scores = with_paper(score_model(model, splits, config.seed), config)
    results = {
        "method": config.method.name,
        "dataset": config.data.name,
        "seed": config.seed,
        "steps": step,
        "trained_steps": checkpoint.steps(workdir)[-1],
        "config": config.to_dict(),
        "images_per_second": images_per_second(workdir),
        "scores": {score.name: score.to_json() for score in scores},
    }
    check_ours()
    write_json(results, workdir / "results.json")
    LOGGER.info(format_table(scores))
    return results


def images_per_second(workdir: str | Path) -> float | None:
    """The median speed of training, from timing.jsonl; None where nothing was logged yet."""
    speeds = [
        row["images_per_second"] for row in read_json_lines(as_path(workdir) / "timing.jsonl")
    ]
    return statistics.median(speeds) if speeds else None
