"""Finished runs, read from their folders.

runs = read_runs(["runs/reference_mnist_cpu", "runs/mnist_vae-cpu-s7"])
check_averaged(runs)
"""

import json
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax.errors import UserError


class ScoredRun(NamedTuple):
    """What is read of a run's folder."""

    folder: Path
    method: str
    dataset: str
    seed: int
    steps: int  # It had trained for when it was scored; those of the best checkpoint may be fewer.
    config: dict  # {"data.name": value, ...} that it was scored with.
    scores: dict  # As in results.json.


def read_run(folder):
    """The ScoredRun of a folder that has a results.json."""
    try:
        results = json.loads((folder / "results.json").read_text())
        config = configs.flatten(ConfigDict(results["config"]))
        known = (results[name] for name in ("method", "dataset", "seed", "trained_steps"))
        return ScoredRun(folder, *known, config, results["scores"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The results of {folder} cannot be read ({type(error).__name__}: {error}): score the "
            f"run again with launch.py --mode=eval."
        ) from error


def read_runs(paths):
    """Reads runs, each once.

    Args:
      paths: folders of runs, or folders that hold such folders.

    Returns:
      [ScoredRun] in the order of the paths; those of one folder by name.

    Raises:
      UserError: one of the paths has no results, or some that cannot be read.
    """
    folders = {}
    for path in map(Path, paths):
        inside = [path, *sorted(path.glob("*/"))]
        scored = [folder for folder in inside if (folder / "results.json").exists()]
        if not scored:
            raise UserError(
                f"{path} has no results.json: name the folder of a run, and score it with "
                f"launch.py --mode=eval if it is not."
            )
        folders |= {folder.resolve(): folder for folder in scored}
    return [read_run(folder) for folder in folders.values()]


def check_averaged(runs):
    """Raises UserError where runs of one row have the same seed, or not the same config."""
    seeds, first = {}, {}
    for run in runs:
        row = (run.dataset, run.method, run.steps)
        what = f"are both {run.method} on {run.dataset} after {run.steps:,} steps"
        twin = seeds.setdefault((*row, run.seed), run)
        if twin is not run:
            raise UserError(
                f"{twin.folder} and {run.folder} {what} with seed {run.seed}: name one of them."
            )
        other = first.setdefault(row, run)
        exempt = ("seed", *configs.FREE_FIELDS)
        for name in configs.differences(other.config, run.config, exempt):
            raise UserError(
                f"{other.folder} and {run.folder} {what}, but config.{name} is "
                f"{other.config[name]!r} and {run.config[name]!r}: name runs of one kind."
            )
