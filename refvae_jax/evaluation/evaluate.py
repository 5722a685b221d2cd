"""A checkpoint to results.json.

What is measured is in `measures/`. The test part is scored once, with the checkpoint and the probes
chosen on validation.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from refvae_jax.console import LOGGER, parts
from refvae_jax.data.splits import Splits, comparable
from refvae_jax.evaluation import judges, measures, untrained
from refvae_jax.evaluation.ground_truth import ground_truth
from refvae_jax.evaluation.measures import Classifiers, Evaluated
from refvae_jax.evaluation.measures.decoder import seen
from refvae_jax.evaluation.overview import format_table
from refvae_jax.evaluation.published import mixture_paper_accuracy
from refvae_jax.evaluation.score import Score
from refvae_jax.files import as_path, never_lost, read_json_lines, write_json
from refvae_jax.inference import Model, open_trained
from refvae_jax.training import checkpoint
from refvae_jax.training.run_folder import find_run
from refvae_jax.training.setup import initial_variables


class Scorer:
    """Scores models on `comparable` Splits.

    Args:
      supervision: of the models' method.
      splits: "test" is scored.
      seed: of probes and draws.
      classifiers: of real images.
      part_done: called after each of the `measures.count_parts` of a model.
    """

    def __init__(
        self,
        supervision: str,
        splits: Splits,
        seed: int,
        classifiers: Classifiers,
        part_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._supervision, self._splits, self._seed = supervision, splits, seed
        self._classifiers, self._part_done = classifiers, part_done
        self._truth = ground_truth(supervision, splits)

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
            part_done=self._part_done,
        )
        return measures.all_scores(evaluated)

    def ceiling(self) -> list[Score]:
        """What the classifiers see in the real test images: the most that swaps can reach."""
        test = self._splits.test
        return list(seen(self._classifiers, self._truth, test.image, test, source="images"))


def score_model(model: Model, splits: Splits, seed: int) -> list[Score]:
    """All Scores of a model and its untrained beginning on `comparable` Splits."""
    with judges.trained_beside(splits.train, seed) as classifiers:
        initial = initial_variables(model.method, seed)
        beginning = model.with_variables(initial)
        path = untrained.path_of(beginning, initial, splits, seed)
        before = untrained.read(path)
        count = measures.count_parts(model.latent_names, splits) * (2 if before is None else 1)
        with parts(count, "evaluating") as part_done:
            supervision = model.method.supervision
            scorer = Scorer(supervision, splits, seed, classifiers, part_done)
            if before is None:
                before = {score.name: score.value for score in scorer.scores(beginning)}
                untrained.keep(path, before)
            scores = [s._replace(untrained=before[s.name]) for s in scorer.scores(model)]
            return scores + scorer.ceiling()


def with_paper(scores: list[Score], config: ConfigDict) -> list[Score]:
    """The Scores with what the mixture paper reports for this setting."""
    known = mixture_paper_accuracy(config)

    def reported(score: Score) -> float | None:
        by_paper = (score.probe, score.source, score.factor) == ("paper_accuracy", "mean", "label")
        return known.get(score.latent) if by_paper else None

    return [score._replace(paper=reported(score)) for score in scores]


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
