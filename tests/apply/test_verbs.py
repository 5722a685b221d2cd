"""Pictures of the verbs, pixel by pixel, with the model whose codes are the halves of an image."""

import os

import imageio.v3 as imageio
import numpy as np
import pytest

from refvae_jax.apply import arguments, interpolate, reconstruct, resample, sample, swap
from refvae_jax.apply.pictures import MOST_SHOWN, blocks
from refvae_jax.figures.layout import BACKGROUND, grid
from tests.apply.conftest import SIDE, halves
from tests.toy import cells_of, rgb


def singles(folder):
    """{name: pixels [H, W]} of the PNGs of a folder."""
    return {name: imageio.imread(folder / name) for name in sorted(os.listdir(folder))}


def test_reconstruct_shows_each_image_beside_its_reconstruction(model, pictures, tmp_path):
    folder, pixels = pictures
    assert reconstruct.main(["run", str(folder), f"--out={tmp_path}/x.png"]) == 0
    pairs = np.stack([pixels, pixels], axis=1)  # This model is exact.
    np.testing.assert_array_equal(imageio.imread(tmp_path / "x.png"), blocks(pairs))
    assert reconstruct.main(["run", str(folder), f"--out={tmp_path}/out"]) == 0
    found = singles(tmp_path / "out")
    assert list(found) == [f"{i:05}_{i}.png" for i in range(5)]
    np.testing.assert_array_equal(np.stack(list(found.values())), pixels[..., 0])


def test_swap_of_pairs(model, pictures, tmp_path):
    folder, pixels = pictures
    a, b = f"{folder}/[01].png", f"{folder}/[23].png"
    assert swap.main(["run", a, b, "--latent=style", f"--out={tmp_path}/x.png"]) == 0
    swapped = np.concatenate([pixels[:2, :, :4], pixels[2:4, :, 4:]], axis=2)
    strips = np.stack([pixels[:2], pixels[2:4], swapped], axis=1)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "x.png"), blocks(strips))


@pytest.mark.parametrize("one_first", [True, False])
def test_swap_of_one_with_many(model, pictures, tmp_path, one_first):
    folder, pixels = pictures
    a, b = (str(folder / "4.png"), str(folder))[:: 1 if one_first else -1]
    assert swap.main(["run", a, b, "--latent=content", f"--out={tmp_path}/out"]) == 0
    one, many = np.repeat(pixels[4:], 5, axis=0), pixels
    kept, given = (one, many) if one_first else (many, one)
    wanted = np.concatenate([given[:, :, :4], kept[:, :, 4:]], axis=2)[..., 0]
    found = singles(tmp_path / "out")
    assert next(iter(found)) == ("00000_4_0.png" if one_first else "00000_0_4.png")
    np.testing.assert_array_equal(np.stack(list(found.values())), wanted)


def test_a_pair_with_an_unreadable_image_is_skipped_as_a_pair(model, pictures, tmp_path, capsys):
    folder, pixels = pictures
    (folder / "2.png").write_bytes(b"no image")
    a, b = f"{folder}/[01].png", f"{folder}/[23].png"
    assert swap.main(["run", a, b, "--latent=style", f"--out={tmp_path}/out"]) == 0
    assert f"1 of 2 images cannot be read and are skipped: {folder / '0.png'} with " in (
        capsys.readouterr().out
    )
    (found,) = singles(tmp_path / "out").values()
    np.testing.assert_array_equal(found[:, 4:], pixels[3, :, 4:, 0])


def test_resample_draws_the_same_for_every_image_and_keeps_the_rest(model, pictures, tmp_path):
    folder, pixels = pictures
    options = ["--latent=style", "--n=3", "--seed=1", f"--out={tmp_path}/x.png"]
    assert resample.main(["run", f"{folder}/[01].png", *options]) == 0
    cells = cells_of(imageio.imread(tmp_path / "x.png"), 2, 4)
    np.testing.assert_array_equal(cells[:, 0], rgb(pixels[:2]))
    for column in range(1, 4):
        np.testing.assert_array_equal(cells[:, column, :, :4], rgb(pixels[:2, :, :4]))
    np.testing.assert_array_equal(cells[0, 1:, :, 4:], cells[1, 1:, :, 4:])
    drawn = model.prior_codes(3, 1)["style"].reshape(3, SIDE, 4)
    np.testing.assert_array_equal(cells[0, 1:, :, 4:, 0], np.floor(drawn * 255 + 0.5))


def test_interpolate_as_a_strip_and_as_an_animation(model, pictures, tmp_path):
    folder, pixels = pictures
    a, b = (str(folder / f"{i}.png") for i in (0, 1))
    assert interpolate.main(["run", a, b, "--n=3", f"--out={tmp_path}/x.png"]) == 0
    cells = cells_of(imageio.imread(tmp_path / "x.png"), 1, 3)[0]
    np.testing.assert_array_equal(cells[[0, 2]], rgb(pixels[:2]))
    middle = pixels[:2].astype(float).mean(axis=0)
    assert np.abs(cells[1].astype(float) - middle).max() <= 0.5
    assert interpolate.main(["run", a, b, "--n=3", f"--out={tmp_path}/x.gif"]) == 0
    frames = imageio.imread(tmp_path / "x.gif", index=None)
    assert len(frames) == 4  # There and back, neither end twice.
    np.testing.assert_array_equal(frames[1], frames[3])
    whole = grid(pixels[None, :1], max_size=480)
    assert np.abs(frames[0].astype(int) - whole).max() <= 1
    options = ["--latent=style", "--n=3", f"--out={tmp_path}/out"]
    assert interpolate.main(["run", a, b, *options]) == 0
    found = singles(tmp_path / "out")
    assert list(found) == [f"00000_0_1_{i}.png" for i in range(3)]
    for image in found.values():
        np.testing.assert_array_equal(image[:, :4], pixels[0, :, :4, 0])


def test_sample_is_decoded_from_the_prior(model, tmp_path):
    assert sample.main(["run", "--n=4", "--seed=3", f"--out={tmp_path}/x.png"]) == 0
    cells = cells_of(imageio.imread(tmp_path / "x.png"), 2, 2).reshape(4, SIDE, SIDE, 3)
    wanted = rgb(model.sample(4, 3))
    np.testing.assert_array_equal(cells, wanted[[0, 2, 1, 3]])  # Downwards first.
    assert sample.main(["run", "--n=2", f"--out={tmp_path}/out"]) == 0
    assert list(singles(tmp_path / "out")) == ["00000.png", "00001.png"]


def test_blocks_are_set_apart_and_near_a_square():
    strips = np.full((7, 2, SIDE, SIDE, 1), 9, np.uint8)
    cells = cells_of(blocks(strips), 4, 5)
    filled = (cells == 9).all(axis=(2, 3, 4))
    assert (filled | (cells == BACKGROUND).all(axis=(2, 3, 4))).all()
    assert filled.sum(axis=1).tolist() == [4, 4, 4, 2] and not filled[:, 2].any()


def test_bad_input_is_one_sentence(model, pictures, tmp_path, capsys):
    folder, _ = pictures
    (tmp_path / "file").touch()
    many, some = str(folder), f"{folder}/[012].png"
    for verb, given, words in [
        (swap, [many, some, "--latent=style"], "has 5 images and "),
        (
            swap,
            [many, many, "--latent=colour"],
            "content and style: name one of them, not 'colour'",
        ),
        (resample, [many, "--latent=common"], "name one of them, not 'common'"),
        (interpolate, [many, many, "--latent=z"], "name one of them, not 'z'"),
        (resample, [many, "--latent=style", "--n=0"], "n is 0, but must be a whole number of at"),
        (reconstruct, [many, "--out=x.jpg"], "--out=x.jpg must end in .png, or be a folder"),
        (interpolate, [many, many, "--out=x.mp4"], "must end in .png or .gif, or be a folder"),
        (reconstruct, [many, "--out=/proc/none"], "Choose another place with --out."),
        (reconstruct, [many, f"--out={tmp_path}/file"], f"Cannot use {tmp_path}/file"),
        (swap, [many, "none", "--latent=style"], "No images match none"),
        (sample, [f"--n={MOST_SHOWN + 1}"], "201 examples are too many for one picture"),
    ]:
        assert verb.main(["run", *given]) == 2, given
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1 and message.startswith("error: ")
    assert set(os.listdir(tmp_path)) == {"in", "file"}


def test_a_model_of_one_latent_cannot_swap(monkeypatch, pictures, capsys):
    folder, _ = pictures
    monkeypatch.setattr(arguments, "load", lambda run, step: halves(("z",)))
    assert swap.main(["run", str(folder), str(folder), "--latent=z"]) == 2
    assert "This model has one latent, z" in capsys.readouterr().err


def test_the_step_is_passed_on(model, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(arguments, "load", lambda run, step: asked.append((run, step)) or model)
    for step in ("best", "last", "500"):
        assert sample.main(["run", f"--step={step}", f"--out={tmp_path}/x.png"]) == 0
    assert sample.main(["run", f"--out={tmp_path}/x.png"]) == 0
    assert asked == [("run", step) for step in ("best", "last", "500", "best")]
