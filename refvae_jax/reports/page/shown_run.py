"""What the page of a report is made of, read from the folders of runs.

runs = read_shown(["runs/quickstart-s0", "runs/quickstart-s1"])   # or ["example:digits"]
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax import config_rules, packed
from refvae_jax.errors import UserError
from refvae_jax.files import exists, full_path, read_json_lines
from refvae_jax.reports.finished_runs import FinishedRun, finished_run, read_run, scored_in
from refvae_jax.reports.side_by_side import check_same_data, titles
from refvae_jax.training import launches
from refvae_jax.training.run_folder import find_run, is_run, named_folder, read_record, steps


class ShownRun(NamedTuple):
    """A run, of which only the config must be there: what is not yet there is not shown."""

    folder: Path
    title: str  # What tells it from the others of the page.
    config: ConfigDict
    scored: FinishedRun | None
    trained_steps: int  # Of the newest checkpoint.
    record: Mapping[str, Any]  # Of the images, see data/image_identity.py; {} without checkpoints.
    rows: list[dict[str, float]]  # Of metrics.jsonl.
    launches: list[dict[str, Any]]  # Of launches.jsonl.


def read_shown(paths: Iterable[str | Path]) -> list[ShownRun]:
    """Reads runs, each once.

    Args:
      paths: folders of runs, or folders that hold those of scored runs; `example:NAME` or an
        exported folder, which have no figures and no curves.

    Raises:
      UserError: a folder without a run, runs on different data, or files that cannot be read.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        folders |= {full_path(folder): folder for folder in _runs_in(path)}
    named = {folder: config_rules.with_defaults(_config(folder)) for folder in folders.values()}
    check_same_data(named)
    shown = [_read(folder, title, named[folder]) for folder, title in titles(named).items()]
    check_same_images(shown)
    return shown


def _runs_in(path: str | Path) -> list[Path]:
    if exported := packed.packed_folder(path):
        return [exported]
    folder = named_folder(path)
    return [find_run(folder)] if is_run(folder) else scored_in(folder)


def _config(folder: Path) -> ConfigDict:
    if packed.packed_folder(folder):
        return ConfigDict(packed.read_description(folder)["record"]["config"])
    return configs.read(folder / "config.json")


def _read(folder: Path, title: str, config: ConfigDict) -> ShownRun:
    if packed.packed_folder(folder):
        return _exported(folder, title, config)
    saved = steps(folder)
    scored = read_run(folder) if exists(folder / "results.json") else None
    return ShownRun(
        folder=folder,
        title=title,
        config=config,
        scored=scored,
        trained_steps=saved[-1] if saved else 0,
        record=_read_record(folder, saved[-1]) if saved else {},
        rows=_read_lines(folder / "metrics.jsonl"),
        launches=_read_lines(folder / launches.FILE) and launches.read(folder),
    )


def _exported(folder: Path, title: str, config: ConfigDict) -> ShownRun:
    description = packed.read_description(folder)
    results = description["results"]
    return ShownRun(
        folder=folder,
        title=title,
        config=config,
        scored=finished_run(folder, results) if results else None,
        trained_steps=results["trained_steps"] if results else description["step"],
        record=description["record"],
        rows=[],
        launches=[],
    )


def _read_record(folder: Path, step: int) -> dict[str, Any]:
    try:
        return read_record(folder, step)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Checkpoint {step} of {folder} is damaged: the command that the run was started with "
            f"moves it away and trains on from the one before."
        ) from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        return read_json_lines(path)
    except json.JSONDecodeError as error:
        raise UserError(
            f"A line of {path} is damaged: the command that the run was started with repairs it if "
            f"the run is not at its end, or else remove that line."
        ) from error


def check_same_images(runs: list[ShownRun]) -> None:
    """Raises UserError unless the images were the same, which configs of own images cannot tell."""
    for digest in ("train_digest", "reference_digest"):
        known = [run for run in runs if digest in run.record]
        for other in known[1:]:
            if other.record[digest] != known[0].record[digest]:
                raise UserError(
                    f"{known[0].folder} and {other.folder} were trained on other images, although "
                    f"their configs name the same data: report runs on the same data."
                )
