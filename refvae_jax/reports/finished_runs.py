"""Finished runs, read from their folders.

runs = read_runs(["runs/reference_mnist_cpu", "runs/reference_mnist_vae-cpu-s7"])
rows = rows_of(runs, ["vae", "rbvae"])  # Those to be averaged over seeds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax.errors import UserError
from refvae_jax.evaluation.score import Score, from_json
from refvae_jax.files import exists, full_path, subfolders
from refvae_jax.training.run_folder import find_run, is_run, named_folder, score_advice

# Fields that the label of a row leaves out.
OF_ROW = ("seed", "num_train_steps", *configs.FREE_FIELDS)


class FinishedRun(NamedTuple):
    """What is read of a run's folder."""

    folder: Path
    method: str
    dataset: str
    seed: int
    steps: int  # It had trained for when it was scored; those of the best checkpoint may be fewer.
    config: dict[str, Any]  # {"data.name": value, ...} that it was scored with.
    scores: list[Score]
    best_step: int  # Of the checkpoint that was scored.
    images_per_second: float | None  # While it trained; None if nothing was logged.

    @property
    def data(self) -> str:
        """The data set's name; behind `folder` also which folder."""
        folder = configs.own_folder(self.config)
        return f"{self.dataset} {folder}" if folder else self.dataset


def finished_run(folder: Path, results: Mapping[str, Any]) -> FinishedRun:
    """The FinishedRun of the content of a results.json; KeyError or TypeError if it is none."""
    return FinishedRun(
        folder=folder,
        method=results["method"],
        dataset=results["dataset"],
        seed=results["seed"],
        steps=results["trained_steps"],
        config=configs.flatten(ConfigDict(results["config"])),
        scores=from_json(results["scores"]),
        best_step=results["steps"],
        images_per_second=results["images_per_second"],
    )


def read_run(folder: Path) -> FinishedRun:
    """The FinishedRun of a folder that has a results.json."""
    try:
        return finished_run(folder, json.loads((folder / "results.json").read_text()))
    except TypeError as error:
        raise UserError(
            f"The results of {folder} were written by version 0.1: train the run again."
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The results of {folder} cannot be read ({type(error).__name__}: {error}): to "
            f"score the run again, {score_advice(folder)}."
        ) from error


def read_runs(paths: Iterable[str | Path]) -> list[FinishedRun]:
    """Reads runs, each once.

    Args:
      paths: folders of runs, or folders that hold such folders.

    Returns:
      [FinishedRun] in the order of the paths; those of one folder by name.

    Raises:
      UserError: one of the paths has no results, or some that cannot be read.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        folders |= {full_path(folder): folder for folder in scored_in(named_folder(path))}
    return [read_run(folder) for folder in folders.values()]


def scored_in(folder: Path) -> list[Path]:
    """The folder if it is that of a scored run, and those of scored runs directly in it, by name.

    Raises:
      UserError: there is none.
    """
    inner = subfolders(folder)
    scored = [run for run in (folder, *inner) if exists(run / "results.json")]
    if scored:
        return scored
    if any(map(is_run, inner)) and not is_run(folder):
        raise UserError(
            f"None of the runs in {folder} is scored: to score one, {score_advice('RUN')}."
        )
    run = find_run(folder)
    raise UserError(f"{run} has no results.json: to score it, {score_advice(run)}.")


def differing(runs: Sequence[FinishedRun], exempt: Sequence[str]) -> list[str]:
    """[field] that two of the runs have with other values, those of `exempt` aside."""
    first = runs[0].config
    return sorted({f for run in runs for f in configs.differences(first, run.config, exempt)})


def labels_of(runs: Sequence[FinishedRun]) -> dict[Path, str]:
    """{folder: " (field=value, ...)"}: by what runs of one method differ, beside seed and steps."""
    labels = {}
    for method in {run.method for run in runs}:
        alike = [run for run in runs if run.method == method]
        fields = differing(alike, OF_ROW)
        for run in alike:
            words = ", ".join(f"{field}={run.config.get(field)}" for field in fields)
            labels[run.folder] = f" ({words})" if words else ""
    return labels


def rows_of(
    runs: Sequence[FinishedRun], known: Iterable[str]
) -> dict[tuple[str, str, int], list[FinishedRun]]:
    """{(method, label, steps): [run]}: the runs of each row, which differ in the seed alone.

    In the order of the methods in `known`, others at the end; labels in the order of the runs.

    Raises:
      UserError: two runs of a row have the same seed.
    """
    labels = labels_of(runs)
    rows: dict[tuple[str, str, int], list[FinishedRun]] = {}
    for run in runs:
        members = rows.setdefault((run.method, labels[run.folder], run.steps), [])
        for twin in (other for other in members if other.seed == run.seed):
            raise UserError(
                f"{twin.folder} and {run.folder} are both {run.method} on {run.data} after "
                f"{run.steps:,} steps with seed {run.seed}: name one of them."
            )
        members.append(run)
    methods, places = [*known, *(row[0] for row in rows)], [row[1] for row in rows]
    order = sorted(rows, key=lambda row: (methods.index(row[0]), places.index(row[1]), row[2]))
    return {row: rows[row] for row in order}
