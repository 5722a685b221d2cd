"""Runs of the reference paper from the command to the scores and figures, and what reads them."""

import importlib
import json

import numpy as np
import pytest

from refvae_jax.metrics import image_network
from refvae_jax.reports import table
from refvae_jax.run import run
from tests import notebooks, small_methods

pytestmark = pytest.mark.slow

FACTORS = ("red", "green", "blue", "size", "width", "average")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{method: folder of a whole run, 20 steps long}."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("MIN_STEPS", "MAX_STEPS"):  # Of the judges, whose worth is not asked.
            patch.setattr(image_network, bound, 20)
        for name in ("srbvae", "vae"):
            folders[name] = tmp_path_factory.mktemp(name)
            config = importlib.import_module(f"configs.reference_mnist_{name}").get_config("smoke")
            small_methods.shrink(config)
            run(config, folders[name])
    return folders


def scores_of(folder):
    return json.loads((folder / "results.json").read_text())["scores"]


def test_two_latents_are_scored(runs):
    scores = scores_of(runs["srbvae"])
    wanted = {
        f"{where}/{factor}/mae": better
        for factor in FACTORS
        for where, better in (
            ("target", "lower"),
            ("common", "higher"),
            ("swap/target", "lower"),
            ("swap/common", "higher"),
            ("resample/target", "lower"),
            ("resample/common", "higher"),
            ("reconstruction", "lower"),
            ("judge", "lower"),
        )
    }
    wanted |= {f"target/{f}/r2": "higher" for f in FACTORS}
    wanted |= {f"common/{f}/strong_mae": "higher" for f in FACTORS}
    wanted |= {f"common/label/linear_accuracy{c}": "higher" for c in ("", "/3", "/7")}
    wanted |= {"target/label/linear_accuracy": "lower", "swap/target/label/accuracy": "lower"}
    wanted |= {"swap/common/label/accuracy": "higher", "swap/common/target_moved": "higher"}
    assert {name: scores[name]["better"] for name in wanted} == wanted
    for name in wanted:
        assert np.isfinite([scores[name]["value"], scores[name]["chance"]]).all(), name
    # Nothing known, a picture errs like the mean at best, and like another digit if it varies.
    least, most = (scores[f"swap/{kept}/width/mae"]["chance"] for kept in ("target", "common"))
    assert scores["target/width/mae"]["chance"] == least < most
    assert "untrained" in scores["target/size/mae"]


def test_a_lone_latent_is_scored(runs):
    scores = scores_of(runs["vae"])
    assert {f"z/{factor}/mae" for factor in FACTORS} <= scores.keys()
    assert scores["z/label/linear_accuracy"]["better"] == "higher"
    assert not any(name.startswith(("swap", "resample", "common", "target")) for name in scores)


def test_both_are_drawn(runs):
    drawn = {name: {p.name for p in (runs[name] / "figures").iterdir()} for name in runs}
    assert {"synthesis.png", "swaps.png", "samples_crossed.png", "target.gif"} <= drawn["srbvae"]
    assert "samples_prior.png" in drawn["vae"] and "swaps.png" not in drawn["vae"]


def test_what_is_logged(runs):
    lines = (runs["srbvae"] / "metrics.jsonl").read_text().splitlines()
    row, validation = ({}, {})
    for line in map(json.loads, lines):
        (validation if "validation/squared_error" in line else row).update(line)
    inputs = [
        f"{s}/{kind}" for s in ("unlabelled", "reference") for kind in ("encoder", "generator")
    ]
    wanted = {f"discriminator/accuracy/{name}" for name in inputs}
    wanted |= {"grad_norm/model", "grad_norm/discriminator", "loss/model", "loss/discriminator"}
    assert wanted <= row.keys()
    assert all(0 <= row[f"discriminator/accuracy/{name}"] <= 1 for name in inputs)
    assert {"validation/change/common", "validation/change/target"} <= validation.keys()


def test_one_table_holds_both(runs, capsys):
    assert table.main([str(folder) for folder in runs.values()]) == 0
    text = capsys.readouterr().out
    assert "| VAE " in text and text.count("| sRb-VAE ") == 2  # Also what `common` knows.
    assert "constant predictor" in text and "Warning" not in text


def test_the_notebook_reads_a_lone_latent(runs, monkeypatch):
    pictures, text = notebooks.execute(monkeypatch, runs["vae"])
    assert len(pictures) == 3 and "latents ('z',)" in text
