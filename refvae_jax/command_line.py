"""Reads the config and the workdir from the command line; one sentence for each error there."""

import functools
import re
import runpy
import shlex
import traceback
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from refvae_jax import config_rules
from refvae_jax.data.readers.source import OWN_DATASETS
from refvae_jax.errors import UserError, did_you_mean
from refvae_jax.files import full_path, user_path

_WHICH = "Which config? For example --config=configs/quickstart.py"


def config_files(root: str | Path) -> list[str]:
    """The runnable configs ["configs/NAME.py"] of the clone at root."""
    files = sorted(Path(root, "configs").glob("*.py"))
    # Not those that only hold what others share.
    return [f"configs/{file.name}" for file in files if "def get_config(" in file.read_text()]


def explain(error: Exception) -> str:
    """One sentence for an exception of the flag parser or of a config file."""
    message = str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if "ml_collections" not in frame.filename and not isinstance(error, flags.Error):
        return f"{frame.filename}, line {frame.lineno}: {type(error).__name__}: {message}"
    if isinstance(error, OSError):
        found = re.search(r"\[Errno \d+\] ([^:]*): '([^']*)'", message)
        words, name = found.groups() if found else ("", message)
        if found and words != "No such file or directory":
            return f"The config file {name} cannot be read: {words}. See configs/."
        return _no_config_file(name)
    if isinstance(error, KeyError | AttributeError):
        words = re.findall(r"[\w.]+", message)
        close = re.search(r'Did you mean "([^"]+)"', message)
        hint = (
            f" Did you mean {close.group(1)!r}?"
            if close
            else " `python -m refvae_jax fields` lists them."
        )
        return f"The config has no field {words[0]!r}.{hint}"
    if "Error whilst parsing config file" in message:
        return "The config file cannot be read: " + message.strip().splitlines()[-1]
    return message.strip()


def _no_config_file(name: str) -> str:
    return f"There is no config file {name}.{did_you_mean(name, config_files('.'))} See configs/."


def _with_config_file(argument: str) -> str:
    """The argument with the home folder for the `~` of --config=~/FILE, which no shell fills in.

    Raises:
      UserError: it names no config file.
    """
    flag, equals, name = argument.partition("=")
    if flag != "--config" or not equals:
        return argument
    if not name:
        raise UserError(_WHICH)
    if name.endswith(".json"):
        raise UserError(
            f"{name} is no config file: name the file of configs/ that the run was started with, "
            f"and the run with --workdir."
        )
    return f"{flag}={user_path(name)}"


def from_command_line(
    argv: list[str], flag: flags.FlagHolder, values: flags.FlagValues = flags.FLAGS
) -> tuple[ConfigDict, list[str]]:
    """Parses all flags; widths of the networks that no flag sets follow the resolution.

    Args:
      argv: the command line, the program's name first.
      flag: made by DEFINE_config_file.
      values: the flags that it is one of.

    Returns:
      The config that `flag` holds, and lines that tell of widths that followed.

    Raises:
      UserError: one sentence for the first error on the command line.
    """
    argv = [_with_config_file(argument) for argument in argv]
    try:
        rest = values(argv)[1:]
        config = flag.value
        if config is not None:
            config.get("seed")  # A file that could not be loaded says so at the first use.
    except (flags.Error, KeyError, AttributeError, TypeError, ValueError, OSError) as error:
        raise UserError(explain(error)) from error
    if rest:
        raise UserError(f"Unexpected argument {rest[0]!r}: flags are written --name=value.")
    if config is None:
        raise UserError(_WHICH)
    overrides = config_flags.get_override_values(values[flag.name])
    lines = [
        f"for images of {config.data.resolution} pixels config.{field} is now "
        f"{config.network[field.split('.')[1]]}"
        for field in config_rules.follow_resolution(config, overrides)
    ]
    return config, lines


def config_from_file(path: str | Path, form: str) -> ConfigDict:
    """The ConfigDict of a config file in one of its forms, "" for none.

    Raises:
      UserError: there is no such file, or it makes no config.
    """
    if not Path(path).is_file():
        raise UserError(_no_config_file(str(path)))
    get_config = runpy.run_path(str(path)).get("get_config")
    if get_config is None:
        raise UserError(f"{Path(path).name} defines no get_config().")
    return get_config(*filter(None, [form]))


def default_workdir(flag: str, config: ConfigDict) -> Path:
    """`runs/<name>[-<arg>][-<folder of own images>]-s<seed>`.

    Args:
      flag: the --config flag's value.
      config: the config it names, with the other flags applied.
    """
    path, _, arg = flag.partition(":")
    pictures = full_path(config.data.dir).name
    own = pictures if config.data.name in OWN_DATASETS else ""
    parts = (Path(path).stem, arg.replace("/", "-"), own, f"s{config.seed}")
    return Path("runs") / "-".join(filter(None, parts))


def training_command(config: ConfigDict) -> str:
    """The command that trains by this config: the defaults, and a flag per field that differs."""
    default, wanted = config_rules.defaults(), config_rules.with_defaults(config)
    values = {field.name: _field_of(wanted, field.name) for field in config_rules.FIELDS}
    flags = {name: v for name, v in values.items() if v != _field_of(default, name)}
    default.update_from_flattened_dict(flags)
    followed = config_rules.follow_resolution(default, flags)  # Unless a flag sets them.
    flags |= {name: values[name] for name in followed}
    words = [f"--config.{name}={value}" for name, value in flags.items()]
    return shlex.join(["python", "launch.py", "--config=configs/default.py", *words])


def _field_of(config: ConfigDict, name: str) -> Any:
    """The value of a dotted name; a tuple where JSON has made a list of it."""
    value = functools.reduce(lambda place, key: place[key], name.split("."), config)
    return tuple(value) if isinstance(value, list) else value
