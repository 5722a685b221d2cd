"""The command that a page gives makes the config of its run."""

import shlex

import pytest
from absl import flags
from ml_collections import config_flags

from configs import affectnet_srbvae, folder_gmvae, quickstart
from refvae_jax import command_line, config_rules
from refvae_jax import config as configs
from refvae_jax.reports.page import repeat


def parsed(command, monkeypatch):
    """The flat config of a command line."""
    words = shlex.split(command.replace("\\\n", ""))  # As a shell reads it.
    assert words[:2] == ["python", "launch.py"]
    monkeypatch.setattr("sys.argv", words[1:])  # Where the names of fields are looked up.
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=values)
    config, _ = command_line.from_command_line(words[1:], flag, values)
    return configs.flatten(config)


def with_odd_values():
    config = folder_gmvae.get_config("cpu")
    config.data.dir = "/my pictures/it's $HOME"
    config.data.value_range = ("0.1%", "99.9%")
    config.data.exclude = ("a b", "c")
    config.optimizer.decay_at = ()
    config.remat = True
    return config


@pytest.mark.parametrize(
    "config",
    [quickstart.get_config("smoke"), affectnet_srbvae.get_config("cpu"), with_odd_values()],
    ids=["quickstart", "affectnet", "odd"],
)
def test_the_command_makes_the_same_config(config, tmp_path, monkeypatch):
    configs.write(config, tmp_path / "config.json")
    read = configs.read(tmp_path / "config.json")
    assert parsed(repeat.command_of(read), monkeypatch) == configs.flatten(config)


def test_the_defaults_need_no_flag():
    assert repeat.command_of(config_rules.defaults()) == (
        "python launch.py --config=configs/default.py"
    )


def test_typed_commands_are_listed_once_and_starts_from_python_are_not():
    launches = [{"command": command} for command in ("b", "", "b", "a")]
    assert repeat.commands_of(launches) == ["b", "a"]


def test_fields_that_differ():
    one, two = config_rules.defaults(), config_rules.defaults()
    assert repeat.fields_that_differ([one, two]) == {}
    two.method.k, two.seed = 5.0, 3
    assert repeat.fields_that_differ([one, two]) == {"method.k": [2.0, 5.0], "seed": [0, 3]}
