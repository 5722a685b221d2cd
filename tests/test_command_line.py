"""What launch.py advises is typed as it stands."""

import json
import re
import shlex

import pytest
from ml_collections import ConfigDict

from refvae_jax import command_line
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError
from refvae_jax.run import run
from refvae_jax.training import setup

SMOKE = ("--config=configs/quickstart.py:smoke", "--config.num_train_steps=2")


@pytest.mark.slow
def test_advice_on_sizes_is_followed_until_a_run_can_train(parse, tmp_path):
    flags = ["--config.data.resolution=12", "--config.network.decoder_widths=(8, 4)"]
    flags.append("--config.data.crop=-1")
    for field in ("data.resolution", "network.decoder_widths"):
        with pytest.raises(UserError) as error:
            run(parse(*SMOKE, *flags)[0], tmp_path / "run")
        (advised,) = re.findall(rf'--config\.{field}=(?:"[^"]*"|\d+)', str(error.value))
        flags = [flag for flag in flags if field not in flag] + shlex.split(advised)
    assert not (tmp_path / "run").exists()
    config, _ = parse(*SMOKE, *flags)
    assert config.data.resolution == 16 and config.network.decoder_widths == (8,)
    setup.prepare(config, open_splits(config))


def test_widths_that_follow_are_told_before_the_data_are_read(parse, tmp_path, capsys):
    flags = ("--config.data.resolution=64", "--config.data.name=none")
    config, lines = parse(*SMOKE, *flags)
    with pytest.raises(UserError, match="'none'"):
        run(config, tmp_path, "train", lines)
    told = "images of 64 pixels config.network.decoder_widths is now (8, 4, 2)"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("default", ""),
        ("quickstart", "smoke"),
        ("mnist_gmvae_independent", "cpu"),
        ("reference_mnist_srbvae", "cpu16"),
        ("affectnet_rbvae", ""),
        ("folder_gmvae", ""),
    ],
)
def test_the_command_of_a_config_gives_that_config(name, form, parse):
    config = command_line.config_from_file(f"configs/{name}.py", form)
    if name.startswith("folder"):
        config.data.dir, config.data.value_range = "my pictures", ("0.1%", "99.9%")
    kept = ConfigDict(json.loads(json.dumps(config.to_dict())))  # As a record keeps it.
    python, launch, *flags = shlex.split(command_line.training_command(kept))
    assert (python, launch) == ("python", "launch.py")
    made, lines = parse(*flags)
    assert made.to_dict() == config.to_dict() and not lines
