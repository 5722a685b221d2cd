"""The reference paper's Table 1 from the results.json of runs, as Markdown.

    python -m refvae_jax.reports.table runs/reference_mnist_cpu
    python -m refvae_jax.reports.table runs/mnist_rbvae-cpu-s0 runs/mnist_vae-cpu-s0 --out=table.md

A RUN is a run's folder, or a folder of runs, of which those that are scored are taken. Every data
set has a table of its own: errors of continuous factors where it has any, else the accuracy of
each class; runs of the group setting have one of content and style. A row is a method after a
number of steps, averaged over seeds; runs of a method that differ in further settings have rows of
their own, which name them. The best of `target` and of lone `z` is bold in each column; below them
is what `common` knows, and at the end what is scored by knowing nothing.
"""

import argparse
import itertools
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from refvae_jax import config as configs
from refvae_jax.errors import UserError, exit_status
from refvae_jax.evaluation import published
from refvae_jax.reports.finished_runs import differing, read_runs, rows_of
from refvae_jax.reports.markdown import Cell, Row, Table, markdown, shown

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

FEW_SEEDS = 5  # From here on the order of the methods may be spoken of.
SAME_CHANCE = 1e-4  # Beyond rounding, other chance levels mean other data.
GROUP_COLUMNS = {
    "content/label/paper_accuracy": "content, paper's probe",
    "content/label/strong_accuracy": "content, strong",
    "style/label/paper_accuracy": "style, paper's probe",
    "style/label/strong_accuracy": "style, strong",
    "swap/content/label/accuracy": "swapped style",
}
FROM_COMMON = "*from* `common`"
# What some methods do not use, and what belongs to a row.
SETTINGS_MAY_DIFFER = (
    "data.reference_split",
    "network.discriminator_features",
    *configs.SUPERVISION_FIELDS,
    *configs.FREE_FIELDS,
)


class Layout(NamedTuple):
    """One kind of table."""

    pattern: str  # Of the score names in it; the group is the column.
    blocks: dict  # {heading: prefixes of score names, the first that a run has counts}
    chance: str  # What knows nothing.
    meaning: str


LATENTS = {"": ("target/", "z/"), FROM_COMMON: ("common/",)}
LAYOUTS = {
    "group": Layout(
        f"({'|'.join(GROUP_COLUMNS)})",
        {"": ("",)},
        "chance",
        "Accuracy of the label read from the posterior means, by the paper's probe and by a strong "
        "one: higher is better from `content`, lower from `style`. Swapped style: a classifier of "
        "real images judges the content decoded with another image's style. Chance: the majority "
        "class, of swaps another image's label.",
    ),
    "factors": Layout(
        "(?:target|common|z)/([^/]+/mae)",
        LATENTS,
        "constant predictor",
        "Mean absolute error of linear regressors from the posterior means: lower is better, but "
        "from `common` the constant predictor's is best.",
    ),
    "classes": Layout(
        "(?:target|common|z)/(label/(?:balanced_accuracy|linear_accuracy/(?!sample$).+(?<!/sample)))",
        LATENTS,
        "chance",
        "Accuracy of a linear classifier of the posterior means, on each class and their average: "
        "higher is better, but from `common` chance is best.",
    ),
}


def layout_of(run):
    """The name of the Layout that shows a run."""
    names = [
        name
        for name, layout in LAYOUTS.items()
        if any(re.fullmatch(layout.pattern, n) and is_known(s) for n, s in run.scores.items())
    ]
    if not names:
        raise UserError(
            f"{run.folder} has none of the scores of a table: leave it out if nothing is known of "
            f"its images, or else score it again with launch.py --mode=eval."
        )
    return names[0]


def title(column):
    """The heading of a column: a factor, a class, `average`, or as in GROUP_COLUMNS."""
    words = column.removesuffix("/mae").removeprefix("label/linear_accuracy/")
    words = words.removeprefix("label/balanced_accuracy")
    return GROUP_COLUMNS.get(column, words or "average")


def mean_interval(values):
    """The Cell of the values of n seeds: half = t(.975, n - 1) s / sqrt(n), s with n - 1."""
    n = len(values)
    if n == 1:
        return Cell(float(values[0]), None)
    half = stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)
    return Cell(float(np.mean(values)), float(half))


def is_known(score):
    """Whether a score of results.json has a finite value."""
    return score["value"] is not None and math.isfinite(score["value"])


def found(run, prefixes, column):
    """The run's score of a column, {} where it has none that is known."""
    scores = (run.scores[p + column] for p in prefixes if p + column in run.scores)
    return next(filter(is_known, scores), {})


def make_row(runs, label, heading, prefixes, columns):
    """The Row of runs that differ in the seed alone; a cell needs the score of every seed."""
    method = runs[0].method
    known = published.figures(runs[0].dataset, method, common=heading == FROM_COMMON)
    cells, paper = [], []
    for column in columns:
        scores = [found(run, prefixes, column) for run in runs]
        cells.append(mean_interval([s["value"] for s in scores]) if all(scores) else None)
        paper.append(scores[0].get("paper", known.get(title(column))))
    return Row(TITLES.get(method, method) + label, runs[0].steps, len(runs), cells, paper)


def mark_best(rows, better):
    """Marks the best mean of each column of several rows, and those printed the same.

    Args:
      rows: [Row].
      better: "lower" or "higher", for each column.
    """
    cells = [list(row.cells) for row in rows]
    for column, direction in enumerate(better):
        means = [row[column].mean for row in cells if row[column]]
        if len(means) < 2:
            continue
        best = shown(min(means) if direction == "lower" else max(means))
        for row in cells:
            if row[column]:
                row[column] = row[column]._replace(best=shown(row[column].mean) == best)
    return [row._replace(cells=marked) for row, marked in zip(rows, cells, strict=True)]


def columns_of(runs, layout):
    """[column] of which any run has a score: in the order of the fullest run, the average last."""
    lists = []
    for run in runs:
        matches = (re.fullmatch(layout.pattern, name) for name in run.scores)
        lists.append([match[1] for match in matches if match and is_known(run.scores[match[0]])])
    columns = dict.fromkeys(itertools.chain(*sorted(lists, key=len, reverse=True)))
    return sorted(columns, key=lambda column: title(column) == "average")


def uses(run, field):
    """Whether the run's method looks at a field of the config: of the latents only its own."""
    section, _, latent = field.partition(".")
    return section != "latents" or any(name.startswith(f"{latent}/") for name in run.scores)


def other_settings(runs):
    """[A warning for each field of images and sizes in which the runs of a table differ]."""
    warnings = []
    for field in differing(runs, SETTINGS_MAY_DIFFER):
        users = [run for run in runs if uses(run, field)]
        others = [r for r in users if r.config.get(field) != users[0].config.get(field)]
        if others and field.startswith(("data.", "network.", "latents.")):
            one, two = users[0], others[0]
            warnings.append(
                f"Warning: config.{field} is {one.config.get(field)!r} in {one.folder} and "
                f"{two.config.get(field)!r} in {two.folder}: do not compare their rows."
            )
    return warnings


def make_table(runs, layout):
    """The Table of runs of one data set."""
    columns = columns_of(runs, layout)
    blocks, members = {}, rows_of(runs, TITLES)
    for heading, prefixes in layout.blocks.items():
        rows = [
            make_row(alike, label, heading, prefixes, columns)
            for (_, label, _), alike in members.items()
        ]
        blocks[heading] = [row for row in rows if any(row.cells)]
    every = [prefix for prefixes in layout.blocks.values() for prefix in prefixes]
    notes, chance, better = [layout.meaning], [], []
    for column in columns:
        scores = {run.folder: found(run, every, column) for run in runs}
        levels = {folder: score["chance"] for folder, score in scores.items() if score}
        low, high = min(levels, key=levels.get), max(levels, key=levels.get)
        if levels[high] - levels[low] > SAME_CHANCE:
            notes.append(
                f"Warning: chance of {title(column)} is {shown(levels[low])} in {low} and "
                f"{shown(levels[high])} in {high}: they were scored on other data."
            )
        chance.append(Cell(levels[low], None))
        better.append(next(score["better"] for score in scores.values() if score))
    blocks[""] = mark_best(blocks[""], better)
    notes += other_settings(runs)
    last = Row(layout.chance, None, None, chance, [None] * len(columns))
    table = Table(runs[0].dataset, list(map(title, columns)), blocks, last, notes)
    return table._replace(notes=notes + remarks(table))


def remarks(table):
    """Sentences on how far a Table may be trusted."""
    rows = [row for block in table.blocks.values() for row in block]
    notes = []
    if any(row.seeds > 1 for row in rows):
        notes.append("± is half the width of the 95 % t-interval over the seeds.")
    if any(row.seeds < FEW_SEEDS for row in rows):
        notes.append(f"Fewer than {FEW_SEEDS} seeds do not support the order of the methods.")
    published_rows = [row.method for row in rows if any(f is not None for f in row.paper)]
    if published_rows:
        notes.append("*paper*: as published, on the authors' own images and sizes.")
    if any(name.startswith((TITLES["vae"], TITLES["betavae"])) for name in published_rows):
        notes.append("Which of its two rows VAE is beta-VAE is a guess: the sign is lost.")
    return notes


def gather(runs):
    """The [Table] of runs, one for each data set and Layout, in the order of the runs.

    Raises:
      UserError: runs that differ in nothing, or a run that has no score of a table.
    """
    sections = {}
    for run in runs:
        sections.setdefault((run.dataset, layout_of(run)), []).append(run)
    return [make_table(members, LAYOUTS[name]) for (_, name), members in sections.items()]


def main(argv):
    """Prints the tables of the runs named, and writes them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder, or one of runs")
    parser.add_argument("--out", type=Path, help="a file to write the tables to as well")
    options = parser.parse_args(argv)

    def tell():
        text = markdown(gather(read_runs(options.runs)))
        print(text, end="")
        if options.out:
            options.out.write_text(text)

    return exit_status(tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
