"""A checkpoint to results.json and to pictures.

What is measured is in `scores.py`. The test part is scored once, with the checkpoint and the probes
chosen on validation.
"""

import json
import re
import statistics
from pathlib import Path

from refvae_jax.console import LOGGER
from refvae_jax.data.splits import comparable
from refvae_jax.evaluation import ground_truth, scores
from refvae_jax.files import write_json
from refvae_jax.inference import open_trained
from refvae_jax.training import checkpoint
from refvae_jax.training.setup import initial_variables

# What the mixture paper reports for (method, data set), in the words of results.json;
# `published.py` has the reference paper's.
PAPER_SCORES = {
    ("gmvae", "mnist"): {
        "content/label/paper_accuracy": 0.992,
        "style/label/paper_accuracy": 0.139,
    },
    ("mlvae", "mnist"): {
        "content/label/paper_accuracy": 0.893,
        "style/label/paper_accuracy": 0.166,
    },
}

DETAIL = re.compile(rf"{ground_truth.ONE_CLASS}|/r2|mae/sample$")  # Not told on the terminal.


def assemble(values, untrained, chance, paper, carrier):
    """The `scores` of results.json: value, chance, better, and untrained and paper where known.

    An average over numbers that different latents should carry says nothing and is left out.

    Args:
      values, untrained, paper: {name: value}.
      chance: ground_truth.Chance.
      carrier: {factor: latent} of `ground_truth.carriers`.
    """
    table = {}
    for name, value in values.items():
        if "/average/" in name and "average" not in carrier:
            continue
        lower = ground_truth.lower_is_better(name, carrier)
        table[name] = {
            "value": value,
            "chance": chance.of(name, lower),
            "better": "lower" if lower else "higher",
        }
        for column, known in (("untrained", untrained), ("paper", paper)):
            if name in known:
                table[name][column] = known[name]
    return table


def format_table(table):
    """The main scores as lines of text, beside chance, an untrained model and the paper.

    Single classes, the shares of the variance and factors from a sample, most of a hundred lines
    in the reference setting, are only counted.
    """
    shown = {name: row for name, row in table.items() if not DETAIL.search(name)}
    known = set().union(*shown.values())
    columns = [c for c in ("value", "chance", "untrained", "paper") if c in known]
    width = max(map(len, shown))
    lines = [f"{'score':<{width}}" + "".join(f"{c:>11}" for c in columns) + "  better"]
    for name, row in shown.items():
        cells = "".join(f"{row[c]:>11.4f}" if c in row else f"{'':>11}" for c in columns)
        lines.append(f"{name:<{width}}{cells}  {row['better']}")
    if len(shown) < len(table):
        lines.append(f"and {len(table) - len(shown)} more, in finer detail, in results.json")
    return "\n".join(lines)


def paper_scores(config):
    """What the paper reports for this setting, {} where it does not."""
    as_published = config.data.grouped_fraction == 1 and config.method.k == 2
    known = PAPER_SCORES.get((config.method.name, config.data.name), {})
    return known if as_published else {}


def evaluate(config, workdir, step="best", splits=None):
    """Scores a checkpoint and its untrained beginning; writes results.json and prints the table.

    Args:
      config: of the run; says where the data are.
      workdir: the run's folder.
      step: of the checkpoint, see `checkpoint.load`.

    Returns:
      The contents of results.json.

    Raises:
      UserError: no checkpoint, other images than it was trained on, or none that can be scored.
    """
    workdir, seed = Path(workdir), config.seed
    model, step, parts = open_trained(config, workdir, step, splits)
    splits = comparable(parts)
    scored, count = len(splits.test.label), len(parts.test.label)
    if scored < count:
        LOGGER.info(
            f"{scored} of {count} test images are scored: data.probe_train_split has no image of "
            f"the groups of the others, to learn from"
        )
    carrier = ground_truth.carriers(model.method.supervision, splits)
    LOGGER.info(f"evaluating checkpoint {step}: probes, judges, swaps")
    judges, chance = scores.make_judges(splits.train, seed), ground_truth.chance_levels(splits)
    beginning = model.with_variables(initial_variables(model.method, seed))
    values, untrained = (
        scores.all_scores(m, splits, judges, seed, model.method.supervision)
        for m in (model, beginning)
    )
    ceiling = scores.judged(judges, splits.test.image, splits.test)
    values |= scores.prefixed("judge", ceiling)
    table = assemble(values, untrained, chance, paper_scores(config), carrier)
    results = {
        "method": config.method.name,
        "dataset": config.data.name,
        "seed": seed,
        "steps": step,
        "trained_steps": checkpoint.steps(workdir)[-1],
        "config": config.to_dict(),
        "images_per_second": images_per_second(workdir),
        "scores": table,
    }
    write_json(results, workdir / "results.json")
    LOGGER.info(format_table(table))
    return results


def images_per_second(workdir):
    """The median speed of training, from timing.jsonl; None where nothing was logged yet."""
    path = Path(workdir) / "timing.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    speeds = [json.loads(line)["images_per_second"] for line in lines]
    return statistics.median(speeds) if speeds else None
