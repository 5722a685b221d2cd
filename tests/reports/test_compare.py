"""Runs beside each other, with toy models in place of trained ones."""

import imageio.v3 as imageio
import numpy as np
import pytest

from configs import default
from refvae_jax import config as configs
from refvae_jax import console
from refvae_jax.errors import UserError
from refvae_jax.figures import draw, grids
from refvae_jax.reports import compare
from tests.toy import HalvesModel, random_images

IMAGES = random_images(12)
CODES = {name: g.mean for name, g in HalvesModel().encode(random_images(50)).items()}


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    def figure_inputs(config, workdir):
        latents = ("z",) if config.method.name == "vae" else ("content", "style")
        codes = CODES if len(latents) == 2 else {"z": np.eye(64)}
        return HalvesModel(latent_names=latents), IMAGES, codes

    console.install()
    monkeypatch.setattr(draw, "figure_inputs", figure_inputs)

    def make(folder, method, **data):
        config = default.get_config()
        config.method.name, config.seed = method, 3
        config.data.update(data)
        (tmp_path / folder).mkdir()
        configs.write(config, tmp_path / folder / "config.json")
        return str(tmp_path / folder)

    return make


def test_pictures_of_two_runs_stand_side_by_side(make_run, tmp_path, capsys):
    runs = [make_run("a", "gmvae"), make_run("b", "mlvae", dir="/elsewhere")]
    assert compare.main([*runs, f"--out={tmp_path}"]) == 0
    alone = grids.still_pictures(HalvesModel(), IMAGES, CODES, seed=3)
    assert capsys.readouterr().out.split("wrote ")[1:] == [f"{tmp_path}/{n}.png\n" for n in alone]
    for name, picture in alone.items():
        both = imageio.imread(tmp_path / f"{name}.png")
        height, width = picture.shape[:2]
        titles, panels = both[:-height], both[-height:]
        np.testing.assert_array_equal(panels[:, :width], picture)
        np.testing.assert_array_equal(panels[:, width:], picture)
        left, right = titles[:, :width], titles[:, width:]
        assert left.min() < 100  # Letters.
        assert (left != right).any()  # GM-VAE, ML-VAE.


def test_only_what_all_runs_have_is_drawn(make_run, tmp_path, capsys):
    runs = [make_run("a", "gmvae"), make_run("b", "vae")]
    assert compare.main([*runs, f"--out={tmp_path}"]) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "samples_prior.png",
        "samples_aggregate.png",
    }
    assert "left out" in (said := capsys.readouterr().out) and "swaps" in said


def test_runs_of_one_method_are_titled_by_their_folders(make_run, tmp_path):
    paths = [tmp_path / f for f in ("a", "b", "c")]
    for path, method in zip(paths, ("gmvae", "gmvae", "mlvae"), strict=True):
        make_run(path.name, method)
    runs = {path: configs.read(path / "config.json") for path in paths}
    assert list(compare.titles(runs).values()) == ["GM-VAE (a)", "GM-VAE (b)", "ML-VAE"]
    (tmp_path / "more").mkdir()
    make_run("more/a", "gmvae")
    paths = [tmp_path / "a", tmp_path / "more" / "a"]
    runs = {path: configs.read(path / "config.json") for path in paths}
    assert list(compare.titles(runs).values()) == [f"GM-VAE ({path})" for path in paths]


def test_supervision_does_not_change_the_images(make_run, tmp_path):
    runs = [make_run("a", "gmvae", grouped_fraction=0.1), make_run("b", "mlvae", group_chunk=10)]
    assert compare.main([*runs, f"--out={tmp_path}"]) == 0


def test_runs_on_other_data_cannot_be_compared(make_run, tmp_path, capsys):
    runs = [make_run("a", "gmvae"), make_run("b", "mlvae", name="mnist")]
    assert compare.main([*runs, f"--out={tmp_path}"]) == 2
    assert "config.data.name is 'digits5k' and 'mnist'" in capsys.readouterr().err


def test_runs_on_other_folders_of_own_images_cannot_be_compared(make_run, tmp_path, capsys):
    runs = [make_run(f, "gmvae", name="folder", dir=f"/pics/{f}") for f in ("a", "b")]
    assert compare.main([*runs, f"--out={tmp_path}"]) == 2
    assert "config.data.dir is '/pics/a' and '/pics/b'" in capsys.readouterr().err


@pytest.mark.usefixtures("emulator")
def test_a_bucket_that_is_none_is_named_before_pictures_are_drawn(make_run, monkeypatch, capsys):
    run = make_run("a", "gmvae")
    monkeypatch.setattr(draw, "figure_inputs", lambda *_: pytest.fail("drawn"))
    assert compare.main([run, "--out=gs://nowhere/pictures"]) == 2
    assert "There is no bucket 'nowhere'" in capsys.readouterr().err


def test_a_folder_without_a_run_is_named(make_run, tmp_path, capsys):
    assert compare.main([make_run("a", "gmvae"), str(tmp_path)]) == 2
    assert f"{tmp_path} is not a run" in capsys.readouterr().err


def test_a_run_that_lost_its_config(tmp_path):
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    with pytest.raises(UserError, match=f"There is no {tmp_path}/config.json: the command that"):
        compare.compare([tmp_path], tmp_path / "out")
