"""The file of a sweep: which runs it lists, and the config of each.

entries = load("configs/sweeps/reference_mnist_cpu.py")     # [SweepEntry]
config_by_name = make_configs(select(entries, "rbvae"))   # {name: ConfigDict}
"""

import runpy
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from refvae_jax import config as configs
from refvae_jax import config_rules
from refvae_jax.command_line import config_files, config_from_file, explain
from refvae_jax.errors import UserError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent


class SweepEntry(NamedTuple):
    """One training: the --config flag, the folder's name below OUT, {field: value} to override."""

    config: str
    name: str
    overrides: dict[str, Any]


def load(path: str | Path) -> list[SweepEntry]:
    """The entries of a sweep file.

    Raises:
      UserError: there is no such file, or it does not give entries of different names.
    """
    if not Path(path).is_file():
        known = sorted(str(file) for file in Path("configs/sweeps").glob("*.py"))
        raise UserError(f"There is no sweep file {path}.{did_you_mean(str(path), known)}")
    try:
        get_runs = runpy.run_path(str(path)).get("get_runs", list)
        listed = list(get_runs())
    except Exception as error:
        raise UserError(f"The sweep file cannot be read: {explain(error)}") from error
    try:
        entries = [SweepEntry(*entry) for entry in listed]
    except TypeError as error:
        raise UserError(
            f"{path}: get_runs() must return a list of (config, name, overrides)."
        ) from error
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not entries:
        what = f"two runs named {twice[0]!r}" if twice else "no runs"
        raise UserError(
            f"{path} gives {what}: its get_runs() must return a list of (config, name, overrides), "
            f"each with a name of its own."
        )
    return entries


def select(entries: Sequence[SweepEntry], method: str) -> list[SweepEntry]:
    """The entries named METHOD or METHOD-...; all if method is "".

    Raises:
      UserError: there are none.
    """
    chosen = [e for e in entries if not method or f"{e.name}-".startswith(f"{method}-")]
    if not chosen:
        known = ", ".join(entry.name for entry in entries)
        raise UserError(f"--only={method} fits none of the runs {known}.")
    return chosen


def config_of(entry: SweepEntry) -> ml_collections.ConfigDict:
    """The ConfigDict that launch.py will make of an entry.

    Raises:
      UserError: there is no such config, form or field, or no such value.
    """
    path, _, form = entry.config.partition(":")
    if not (ROOT / path).is_file():
        hint = did_you_mean(path, config_files(ROOT))
        raise UserError(f"Run {entry.name}: there is no {path}.{hint}")
    try:
        config = config_from_file(ROOT / path, form)
        fields = configs.flatten(config)
        for field in entry.overrides.keys() - fields.keys():
            hint = did_you_mean(field, fields)
            raise UserError(f"The config has no field {field!r}.{hint}")
        config.update_from_flattened_dict(entry.overrides)
        config_rules.follow_resolution(config, entry.overrides)
        config_rules.check(config)
    except UserError as error:
        raise UserError(f"Run {entry.name}: {error}") from error
    except Exception as error:
        raise UserError(f"Run {entry.name}: {explain(error)}") from error
    return config


def make_configs(entries: Iterable[SweepEntry]) -> dict[str, ml_collections.ConfigDict]:
    """{name: ConfigDict} of all entries, so that all errors are reported before the first run."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # Configs import each other from there.
    return {entry.name: config_of(entry) for entry in entries}
