"""The command that repeats a run, and what tells one config from another."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax.command_line import training_command


def command_of(config: ConfigDict) -> str:
    """The `training_command` of a config, a flag per line."""
    python, launch, defaults, *flags = shlex.split(training_command(config))
    return " \\\n    ".join([f"{python} {launch} {defaults}", *map(shlex.quote, flags)])


def commands_of(launches: Sequence[Mapping[str, Any]]) -> list[str]:
    """The commands, as typed, of the lines of a launches.jsonl; those in a row once."""
    typed = [launch["command"] for launch in launches if launch["command"]]
    return list(dict.fromkeys(typed))


def fields_that_differ(runs: Sequence[ConfigDict]) -> dict[str, list[Any]]:
    """{field: its value in each config} of the fields in which two configs differ."""
    flat = [configs.flatten(config) for config in runs]
    names = dict.fromkeys(name for fields in flat for name in fields)
    values = {name: [fields.get(name) for fields in flat] for name in names}
    return {name: found for name, found in values.items() if any(v != found[0] for v in found)}
