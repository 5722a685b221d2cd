"""Configs on disk, and how two of them differ. The schema is in `config_rules.py`.

write(config, path); read(path)  # the config.json of a workdir
same_run(old, new, workdir)      # may `new` continue where `old` stopped?
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from refvae_jax.data.readers.source import OWN_DATASETS
from refvae_jax.errors import UserError
from refvae_jax.files import as_path, full_path, write_json

CADENCES = ("log_every_steps", "validate_every_steps", "checkpoint_every_steps")

# What may change between two parts of one run without changing its result.
FREE_FIELDS = (
    "data.dir",
    "data.cache_dir",
    *CADENCES,
    "profile.first_step",
    "profile.num_steps",
    "keep_last",
    "keep_every_steps",
    "parallel.start_seconds",
    "parallel.silence_seconds",
)

# What may change because training does not look at it: what is scored, and by which probes.
SCORING_FIELDS = ("data.probe_train_split", "data.test_split", "data.factors")

# What is known of the images, not which images they are.
SUPERVISION_FIELDS = ("data.grouped_fraction", "data.group_chunk")

NAMED = 4  # Differing fields that a message lists.

# What may change too, with a warning.
WARN_FIELDS = {
    "data.dir": "its images for training must be those that the run was trained on",
    "num_train_steps": "the schedules of the learning rate and the independence term follow it",
    "remat": "gradients are the same to rounding",
    "steps_per_call": "on a CPU the steps are the same to the bit, elsewhere perhaps to rounding",
    "optimizer.accumulate_steps": "each part draws noise of its own",
    "parallel.map": "what is computed over a batch changes with it, see training/devices.py",
}


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"data.name": value, ...} of a ConfigDict, tuples as lists, as JSON keeps them."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{name}.{inner}": v for inner, v in flatten(value).items()}
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def read(path: str | Path) -> ConfigDict:
    """The ConfigDict of a config.json.

    Raises:
      UserError: the file is missing or damaged.
    """
    try:
        return ConfigDict(json.loads(as_path(path).read_text()))
    except FileNotFoundError as error:
        raise UserError(
            f"There is no {path}: the command that the run was started with writes it again."
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error}): restore it, or remove it and use the config that the "
            f"run was started with."
        ) from error


def write(config: ConfigDict, path: str | Path) -> None:
    """Writes config.json whole or not at all."""
    write_json(config.to_dict(), path)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], exempt: Collection[str] = FREE_FIELDS
) -> list[str]:
    """[field] that two flat configs both have with different values, without those of `exempt`.

    data.dir always counts if it names the user's own images.
    """
    names = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    moved = ["data.dir"] * other_folder(old, new)
    return [name for name in names if name not in {*exempt, "data.dir"}] + moved


def same_run(old_config: ConfigDict, new_config: ConfigDict, workdir: str | Path) -> str:
    """Checks that a run of the old config may continue under the new one.

    Returns:
      A warning to print, or "".

    Raises:
      UserError: naming the first fields that differ.
    """
    old, new = flatten(old_config), flatten(new_config)
    exempt = FREE_FIELDS + SCORING_FIELDS
    names = differences(old, new, exempt) + sorted((old.keys() ^ new.keys()) - {*exempt})
    changes = [f"config.{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names]
    if set(names) - WARN_FIELDS.keys():
        more = f"; and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(changes[:NAMED])}{more}): "
            f"choose another --workdir, or the old values."
        )
    return "; ".join(f"{c}: {WARN_FIELDS[n]}" for n, c in zip(names, changes, strict=True))


def own_folder(flat: Mapping[str, Any]) -> Path | None:
    """The folder of the user's own images that a flat config is of; None if it is of another set.

    For other sets data.dir only says where they are; for these it is their only name.
    """
    if flat.get("data.name") not in OWN_DATASETS:
        return None
    return full_path(flat.get("data.dir", ""))


def other_folder(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two flat configs are of the user's own images in different folders."""
    folders = own_folder(old), own_folder(new)
    return None not in folders and folders[0] != folders[1]
