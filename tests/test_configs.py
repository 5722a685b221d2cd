"""Every file of configs/: it builds, takes two steps, and names no field outside the schema."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from configs import default
from refvae_jax import config as configs
from refvae_jax import train

CONFIGS = {
    path.stem: importlib.import_module(f"configs.{path.stem}")
    for path in sorted(Path(default.__file__).parent.glob("*.py"))
    if path.stem not in ("default", "reference_mnist")
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_and_takes_two_steps_in_its_smoke_form(name, tmp_path):
    config = CONFIGS[name].get_config("smoke")
    config.num_train_steps = 2
    if config.data.name == "mnist":
        # The digits that need no download stand in for MNIST, which has the same form.
        config.data.name = "digits5k"
    assert train.train(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (row,) = [r for r in rows if "loss/model" in r]
    assert np.isfinite(list(row.values())).all() and row["step"] == 2


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_every_form_is_in_the_schema(name):
    schema = configs.flatten(default.get_config()).keys()
    for form in ("", "smoke", *(["cpu"] if name.startswith("mnist") else [])):
        config = CONFIGS[name].get_config(form)
        configs.check(config)
        assert configs.flatten(config).keys() == schema
