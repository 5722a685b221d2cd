"""The command that repeats a run, and what tells one config from another."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax import config_rules


def changed_fields(config: ConfigDict) -> dict[str, Any]:
    """{field: value} of a config's fields that do not have their defaults."""
    default = configs.flatten(config_rules.defaults())
    return {
        name: value
        for name, value in configs.flatten(config).items()
        if name in default and value != default[name]
    }


def command_of(config: ConfigDict) -> str:
    """The command that trains with this config, whatever file it came from."""
    flags = [f"--config.{name}={_flag(value)}" for name, value in changed_fields(config).items()]
    return " \\\n    ".join(
        ["python launch.py --config=configs/default.py", *map(shlex.quote, flags)]
    )


def _flag(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, list) else str(value)


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
