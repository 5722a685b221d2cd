"""What launch.py advises is typed as it stands."""

import json
import re
import shlex

import pytest

SMOKE = ("--config=configs/quickstart.py:smoke", "--config.num_train_steps=2")


def error_of(done):
    """The one error message of a launch.py that ended."""
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.slow
def test_advice_on_sizes_is_followed_until_a_run_trains(launch, tmp_path):
    workdir = f"--workdir={tmp_path / 'run'}"
    flags = [workdir, "--config.data.resolution=12", "--config.network.decoder_widths=(8, 4)"]
    flags.append("--config.data.crop=-1")
    for field in ("data.resolution", "network.decoder_widths"):
        error = error_of(launch(*SMOKE, *flags))
        (advised,) = re.findall(rf'--config\.{field}=(?:"[^"]*"|\d+)', error)
        flags = [flag for flag in flags if field not in flag] + shlex.split(advised)
    assert not (tmp_path / "run").exists()
    done = launch(*SMOKE, *flags)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["resolution"] == 16
    assert config["network"]["decoder_widths"] == [8]


@pytest.mark.slow
def test_widths_that_follow_are_printed_before_the_data_are_read(launch, tmp_path):
    flags = ("--config.data.resolution=64", "--config.data.name=none", f"--workdir={tmp_path}")
    done = launch(*SMOKE, *flags)
    assert "'none'" in error_of(done)
    assert "images of 64 pixels config.network.decoder_widths is now (8, 4, 2)" in done.stdout
