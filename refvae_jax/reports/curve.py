"""The learning curve of a run: every kept checkpoint scored.

    python -m refvae_jax curve runs/mnist_gmvae-cpu-s0

Keep checkpoints with `config.keep_every_steps`. Scores are those of the validation part (which
also chooses the strong probes, so they are a little high): the test part is for results.json, once.
Writes curve.jsonl, a line per checkpoint, and figures/curve.png; checkpoints already in curve.jsonl
are not scored again.
"""

import argparse
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from refvae_jax.console import LOGGER, parts
from refvae_jax.data.splits import comparable
from refvae_jax.errors import UserError, exit_status
from refvae_jax.evaluation import judges, measures
from refvae_jax.evaluation.evaluate import Scorer
from refvae_jax.evaluation.score import Score, from_json
from refvae_jax.figures import files
from refvae_jax.files import append_json_line, check_appendable, read_json_lines, user_path
from refvae_jax.inference import open_trained
from refvae_jax.training import checkpoint
from refvae_jax.training.run_folder import copy_advice, find_run, read_record


def is_shown(score: Score) -> bool:
    """Whether a Score is plotted: the label and the average factor, and what swaps keep."""
    if score.source == "swap":
        return score.latent in ("content", "common") and score.factor == "label"
    if score.factor == "label":
        of_sample = score.source == "sample" and score.latent == "content"
        return score.latent in ("content", "style") and not of_sample and not score.class_name
    return score.source == "mean" and score.probe == "mae" and score.factor == "average"


def score_checkpoints(workdir: Path, path: Path) -> None:
    """Appends to `path` the validation scores of each checkpoint that is not in it yet."""
    missing = set(checkpoint.steps(workdir)) - {row["step"] for row in read_json_lines(path)}
    if not missing:
        return
    check_appendable(path)  # Scoring takes minutes: a read-only run should be noticed before.
    config = ConfigDict(read_record(workdir, min(missing))["config"])
    model, _, opened = open_trained(config, workdir, min(missing))
    splits = comparable(opened)
    splits = splits._replace(test=splits.validation)
    total = len(missing) * measures.count_parts(model.latent_names, splits)
    with (
        parts(total, "evaluating") as part_done,
        judges.trained_beside(splits.train, config.seed) as classifiers,
    ):
        scorer = Scorer(model.method.supervision, splits, config.seed, classifiers, part_done)
        for step in sorted(missing):
            there = model.with_variables(checkpoint.load(workdir, step)[0])
            found = scorer.scores(there)
            epoch = step * config.batch_size / len(opened.train.label)
            rows = {score.name: score.to_json() for score in found}
            append_json_line({"step": step, "epoch": epoch, "scores": rows}, path)
            values = ", ".join(
                f"{score.name} {score.value:.3f}" for score in found if is_shown(score)
            )
            LOGGER.info(f"step {step}, epoch {epoch:.1f}: {values}")


def plot(rows: list[dict[str, Any]], picture: Path) -> None:
    """Plots the shown scores against epochs.

    Args:
      rows: of curve.jsonl.
      picture: path of the PNG.
    """
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in sorted(rows, key=lambda row: row["step"]):
        for score in filter(is_shown, from_json(row["scores"])):
            epochs, values = series.setdefault(score.name, ([], []))
            epochs.append(row["epoch"])
            values.append(score.value)
    files.curve(series, picture)


def score_and_plot(workdir: Path) -> None:
    """Brings curve.jsonl and curve.png of a run up to date."""
    if not checkpoint.steps(workdir):
        raise UserError(f"{workdir} has no checkpoints: train there first.")
    path = workdir / "curve.jsonl"
    score_checkpoints(workdir, path)
    picture = workdir / "figures" / "curve.png"
    plot(read_json_lines(path), picture)
    LOGGER.info(f"wrote {path} and {picture}")


def main(argv: list[str]) -> int:
    """Scores and draws; returns the exit status."""
    parser = argparse.ArgumentParser("refvae curve", description=__doc__.splitlines()[0])
    parser.add_argument("workdir", metavar="RUN", help="a run's folder")
    name = parser.parse_args(argv).workdir
    places = {user_path(name): copy_advice(user_path(name), "refvae curve COPY")}
    return exit_status(lambda: score_and_plot(find_run(name)), places=places)
