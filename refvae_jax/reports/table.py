"""The reference paper's Table 1 from the results.json of runs, as Markdown.

    python -m refvae_jax table runs/reference_mnist_cpu
    python -m refvae_jax table runs/mnist_gmvae-cpu-s0 runs/mnist_mlvae-cpu-s0 --out=table.md

A RUN is a run's folder, or a folder of runs, of which those that are scored are taken. Every data
set, and every folder of your own images, has a table of its own: errors of continuous factors where
it has any, else the accuracy of each class; runs of the group setting have one of content and
style. A row is a method after a number of steps, averaged over seeds; runs of a method that differ
in further settings have rows of their own, which name them. The best of `target` and of lone `z` is
bold in each column, unless runs were scored on different images; below them is what `common` knows,
and at the end what is scored by knowing nothing.
"""

import argparse
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from refvae_jax import config as configs
from refvae_jax.errors import exit_status
from refvae_jax.evaluation.score import Score
from refvae_jax.files import atomic, user_path
from refvae_jax.reports.finished_runs import FinishedRun, differing, read_runs, rows_of
from refvae_jax.reports.layouts import (
    LAYOUTS,
    TITLES,
    Layout,
    columns_of,
    find,
    layout_of,
    published_value,
)
from refvae_jax.reports.markdown import Cell, Row, Table, markdown, shown

FEW_SEEDS = 5  # From here on the order of the methods may be spoken of.
SAME_CHANCE = 1e-4  # Beyond rounding, other chance levels mean other data.
# What some methods do not use, and what belongs to a row.
SETTINGS_MAY_DIFFER = (
    "data.reference_split",
    "network.discriminator_features",
    *configs.SUPERVISION_FIELDS,
    *configs.FREE_FIELDS,
)


def mean_interval(values: Sequence[float]) -> Cell:
    """The Cell of the values of n seeds: half = t(.975, n - 1) s / sqrt(n), s with n - 1."""
    n = len(values)
    if n == 1:
        return Cell(float(values[0]), None)
    half = stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)
    return Cell(float(np.mean(values)), float(half))


def make_row(
    runs: Sequence[FinishedRun], label: str, heading: str, layout: Layout, columns: Sequence[str]
) -> Row:
    """The Row of runs that differ in the seed alone; a cell needs the score of every seed."""
    method = runs[0].method
    cells, paper = [], []
    for column in columns:
        scores = [find(run, layout, layout.blocks[heading], column) for run in runs]
        values = [score.value for score in scores if score]
        cells.append(mean_interval(values) if len(values) == len(runs) else None)
        paper.append(published_value(runs[0], heading, column, scores[0]))
    return Row(TITLES.get(method, method) + label, runs[0].steps, len(runs), cells, paper)


def mark_best(rows: list[Row], better: Sequence[str | None]) -> list[Row]:
    """Marks the best mean of each column of several rows, and those printed the same.

    Args:
      rows: [Row].
      better: "lower" or "higher", for each column; None if its cells cannot be compared.
    """
    cells = [list(row.cells) for row in rows]
    for column, direction in enumerate(better):
        known = [(row, cell) for row in cells if (cell := row[column]) is not None]
        if len(known) < 2 or direction is None:
            continue
        means = [cell.mean for _, cell in known]
        best = shown(min(means) if direction == "lower" else max(means))
        for row, cell in known:
            row[column] = cell._replace(best=shown(cell.mean) == best)
    return [row._replace(cells=marked) for row, marked in zip(rows, cells, strict=True)]


def uses(run: FinishedRun, field: str) -> bool:
    """Whether the run's method looks at a field of the config: of the latents only its own."""
    section, _, latent = field.partition(".")
    return section != "latents" or any(score.latent == latent for score in run.scores)


def other_settings(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """{field: a warning} for the fields of images and sizes in which the runs of a table differ."""
    warnings = {}
    for field in differing(runs, SETTINGS_MAY_DIFFER):
        users = [run for run in runs if uses(run, field)]
        others = [r for r in users if r.config.get(field) != users[0].config.get(field)]
        if others and field.startswith(("data.", "network.", "latents.")):
            one, two = users[0], others[0]
            warnings[field] = (
                f"Warning: config.{field} is {one.config.get(field)!r} in {one.folder} and "
                f"{two.config.get(field)!r} in {two.folder}: do not compare their rows."
            )
    return warnings


def chance_of(column: str, scores: Sequence[tuple[FinishedRun, Score]]) -> tuple[Cell | None, str]:
    """(The Cell of what knows nothing, ""), or (None, a warning) where it is not one number."""
    levels = {run.folder: score.chance for run, score in scores}
    low, high = (extreme(levels, key=levels.__getitem__) for extreme in (min, max))
    if levels[high] - levels[low] <= SAME_CHANCE:
        return Cell(levels[low], None), ""
    return None, (
        f"Warning: chance of {column} is {shown(levels[low])} in {low} and "
        f"{shown(levels[high])} in {high}: they were scored on other data."
    )


def make_table(runs: Sequence[FinishedRun], layout: Layout) -> Table:
    """The Table of runs of one data set."""
    columns = columns_of(runs, layout)
    blocks, members = {}, rows_of(runs, TITLES)
    for heading in layout.blocks:
        rows = [
            make_row(alike, label, heading, layout, columns)
            for (_, label, _), alike in members.items()
        ]
        blocks[heading] = [row for row in rows if any(row.cells)]
    every = [latent for latents in layout.blocks.values() for latent in latents]
    settings = other_settings(runs)
    other_images = any(field.startswith("data.") for field in settings)
    chance, better, notes = [], [], [layout.meaning]
    for column in columns:
        scores = [(run, score) for run in runs if (score := find(run, layout, every, column))]
        cell, warning = chance_of(column, scores)
        chance.append(cell)
        better.append(None if other_images or warning else scores[0][1].better)
        notes += [warning] * bool(warning)
    blocks[""] = mark_best(blocks[""], better)
    notes += settings.values()
    last = Row(layout.chance, None, None, chance, [None] * len(columns))
    table = Table(runs[0].data, columns, blocks, last, notes)
    return table._replace(notes=notes + remarks(table))


def remarks(table: Table) -> list[str]:
    """Sentences on how far a Table may be trusted."""
    rows = [row for block in table.blocks.values() for row in block]
    notes = []
    if any((row.seeds or 1) > 1 for row in rows):
        notes.append("± is half the width of the 95 % t-interval over the seeds.")
    if any((row.seeds or 1) < FEW_SEEDS for row in rows):
        notes.append(f"Fewer than {FEW_SEEDS} seeds do not support the order of the methods.")
    published_rows = [row.method for row in rows if any(f is not None for f in row.paper)]
    if published_rows:
        notes.append("*paper*: as published, on the authors' own images and sizes.")
    if any(name.startswith((TITLES["vae"], TITLES["betavae"])) for name in published_rows):
        notes.append("Which of its two rows VAE is beta-VAE is a guess: the sign is lost.")
    return notes


def gather(runs: Sequence[FinishedRun]) -> list[Table]:
    """The [Table] of runs, one for each FinishedRun.data and Layout, in the order of the runs.

    Raises:
      UserError: runs that differ in nothing, or a run that has no score of a table.
    """
    sections: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        sections.setdefault((run.data, layout_of(run)), []).append(run)
    return [make_table(members, LAYOUTS[name]) for (_, name), members in sections.items()]


def main(argv: list[str]) -> int:
    """Prints the tables of the runs named, and writes them; returns the exit status."""
    parser = argparse.ArgumentParser("refvae table", description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder, or one of runs")
    parser.add_argument("--out", type=user_path, help="a file to write the tables to as well")
    options = parser.parse_args(argv)

    def report() -> None:
        text = markdown(gather(read_runs(options.runs)))
        print(text, end="")
        if options.out:
            with atomic(options.out) as temporary:
                temporary.write_text(text)

    places = {options.out: "choose another file with --out"} if options.out else None
    return exit_status(report, places=places)
