"""Finished runs, read from their folders.

runs = read_runs(["runs/reference_mnist_cpu", "runs/mnist_vae-cpu-s7"])
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
