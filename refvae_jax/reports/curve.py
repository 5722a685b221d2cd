"""The learning curve of a run: every kept checkpoint scored.

    python -m refvae_jax.reports.curve runs/mnist_gmvae-cpu-s0

Keep checkpoints with `config.keep_every_steps`. Scores are those of the validation part (which
also chooses the strong probes, so they are a little high): the test part is for results.json, once.
Writes curve.jsonl, a line a checkpoint, and figures/curve.png; checkpoints already in curve.jsonl
are not scored again.
"""

import argparse
import json
import sys
from pathlib import Path

import ml_collections
from absl import logging

from refvae_jax.console import LOGGER
from refvae_jax.data.splits import comparable
from refvae_jax.errors import UserError, exit_status
from refvae_jax.evaluation import scores
from refvae_jax.figures import files
from refvae_jax.files import append_json_line
from refvae_jax.inference import open_trained
from refvae_jax.training import checkpoint

SHOWN = (
    "content/label/paper_accuracy",
    "content/label/strong_accuracy",
    "style/label/paper_accuracy",
    "style/label/strong_accuracy",
    "style/label/strong_accuracy/sample",
    "swap/content/label/accuracy",
    "target/average/mae",
    "common/average/mae",
    "z/average/mae",
    "swap/common/label/accuracy",
)


def score(workdir, path):
    """Appends to `path` the validation scores of each checkpoint that is not in it yet."""
    known = path.read_text().splitlines() if path.exists() else []
    missing = set(checkpoint.steps(workdir)) - {json.loads(line)["step"] for line in known}
    if not missing:
        return
    config = ml_collections.ConfigDict(checkpoint.read_record(workdir, min(missing))["config"])
    model, _, parts = open_trained(config, workdir, min(missing))
    splits = comparable(parts)
    splits = splits._replace(test=splits.validation)
    judges = scores.make_judges(splits.train, config.seed)
    for step in sorted(missing):
        there = model.with_variables(checkpoint.load(workdir, step)[0])
        found = scores.all_scores(there, splits, judges, config.seed, model.method.supervision)
        epoch = step * config.batch_size / len(parts.train.label)
        append_json_line({"step": step, "epoch": epoch, "scores": found}, path)
        values = ", ".join(f"{found[name]:.3f}" for name in SHOWN if name in found)
        LOGGER.info(f"step {step}, epoch {epoch:.1f}: {values}")


def draw(path, picture):
    """Plots the scores of SHOWN against epochs."""
    rows = sorted(map(json.loads, path.read_text().splitlines()), key=lambda row: row["step"])
    epochs = [row["epoch"] for row in rows]
    shown = [name for name in SHOWN if rows and name in rows[0]["scores"]]
    series = {name: (epochs, [row["scores"][name] for row in rows]) for name in shown}
    files.curve(series, picture)


def score_and_draw(workdir):
    """Brings curve.jsonl and curve.png of a run up to date."""
    if not checkpoint.steps(workdir):
        raise UserError(f"{workdir} has no checkpoints: train there first.")
    score(workdir, workdir / "curve.jsonl")
    draw(workdir / "curve.jsonl", workdir / "figures" / "curve.png")


def main(argv):
    """Scores and draws; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    logging.set_verbosity(logging.ERROR)
    return exit_status(score_and_draw, parser.parse_args(argv).workdir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
