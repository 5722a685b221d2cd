"""The learning curve of a run: every kept checkpoint scored.

    python -m refvae_jax.curve runs/mnist_gmvae-cpu-s0

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

from refvae_jax import checkpoint, figures, logs, scores
from refvae_jax.errors import UserError, exit_status
from refvae_jax.inference import Model, build_method
from refvae_jax.record import check_same_images, image_record
from refvae_jax.splits import comparable, open_splits

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
    variables, record, _ = checkpoint.load(workdir, min(missing))
    config = ml_collections.ConfigDict(record["config"])
    method = build_method(record)
    model = Model(method, variables, record["image_shape"])
    parts = open_splits(config)
    check_same_images(record, image_record(parts.train))
    splits = comparable(parts)
    splits = splits._replace(test=splits.validation)
    judges = scores.make_judges(splits.train, config.seed)
    for step in sorted(missing):
        there = model.with_variables(checkpoint.load(workdir, step)[0])
        found = scores.all_scores(there, splits, judges, config.seed, method.setting)
        epoch = step * config.batch_size / record["num_train_images"]
        logs.append(path, {"step": step, "epoch": epoch, "scores": found})
        values = ", ".join(f"{found[name]:.3f}" for name in SHOWN if name in found)
        logs.say(f"step {step}, epoch {epoch:.1f}: {values}")


def draw(path, picture):
    """Plots the scores of SHOWN against epochs."""
    rows = sorted(map(json.loads, path.read_text().splitlines()), key=lambda row: row["step"])
    epochs = [row["epoch"] for row in rows]
    shown = [name for name in SHOWN if rows and name in rows[0]["scores"]]
    series = {name: (epochs, [row["scores"][name] for row in rows]) for name in shown}
    figures.curve(series, picture)


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
