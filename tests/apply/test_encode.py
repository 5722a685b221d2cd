"""The codes that `encode` writes, and what it says of bad input."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

import refvae_jax
from refvae_jax import __main__, buckets
from refvae_jax.apply import encode
from refvae_jax.model import CHUNK
from tests.apply.conftest import SIDE


def expected(pixels):
    """{latent: mean [N, D]} of the model of halves."""
    parts = zip(("content", "style"), np.split(pixels / 255, 2, axis=2), strict=True)
    return {name: part.reshape(len(pixels), -1) for name, part in parts}


def test_npz_holds_path_mean_and_logvar(model, pictures, tmp_path, capsys):
    folder, pixels = pictures
    assert encode.main(["run", str(folder), f"--out={tmp_path}/new/codes.npz"]) == 0
    codes = np.load(tmp_path / "new" / "codes.npz")
    assert codes["path"].tolist() == [str(folder / f"{i}.png") for i in range(5)]
    for name, mean in expected(pixels).items():
        np.testing.assert_allclose(codes[f"{name}_mean"], mean, atol=1e-6)
        np.testing.assert_allclose(codes[f"{name}_logvar"], mean / 2, atol=1e-6)
        assert codes[f"{name}_mean"].dtype == np.float32
    assert len(codes.files) == 5
    assert "the codes of 5 images" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["codes.npz"]


def test_csv_has_a_row_per_image_and_gives_back_each_number(model, pictures, tmp_path):
    folder, _ = pictures
    paths = [str(folder / "3.png"), str(folder / "[12].png")]
    assert encode.main(["run", *paths, f"--out={tmp_path}/codes.csv"]) == 0
    with open(tmp_path / "codes.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["path", "content_mean_0"] and header[-1] == "style_logvar_31"
    assert [row[0] for row in rows] == [str(folder / f"{i}.png") for i in (3, 1, 2)]
    codes = model.encode(model.read([row[0] for row in rows]))
    written = np.array([row[1:] for row in rows], np.float32)
    together = [part for q in codes.values() for part in q]
    np.testing.assert_array_equal(written, np.concatenate(together, axis=1))


def test_any_number_of_images_goes_through_in_chunks(model, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    count = 2 * CHUNK + 3
    for i in range(count):
        level = Image.new("L", (SIDE, SIDE), i % 256)
        level.save(tmp_path / "in" / f"{i:04}.png")
    sizes = []
    whole = model.encode
    monkeypatch.setattr(model, "encode", lambda x: sizes.append(len(x)) or whole(x))
    assert encode.main(["run", str(tmp_path / "in"), f"--out={tmp_path}/codes.npz"]) == 0
    means = np.load(tmp_path / "codes.npz")["content_mean"]
    np.testing.assert_allclose(means[:, 0] * 255, np.arange(count) % 256, atol=1e-4)
    assert sizes == [CHUNK, CHUNK, 3]


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_unreadable_ones_are_named_skipped_and_counted(model, pictures, tmp_path, capsys, suffix):
    folder, _ = pictures
    (folder / "1.png").write_bytes(b"no image")
    assert encode.main(["run", str(folder), f"--out={tmp_path}/codes.{suffix}"]) == 0
    said = capsys.readouterr().out
    assert f"1 of 5 images cannot be read and are skipped: {folder / '1.png'} (it is no" in said
    assert "the codes of 4 images" in said
    if suffix == "npz":
        codes = np.load(tmp_path / "codes.npz")
        assert [path[-5] for path in codes["path"]] == ["0", "2", "3", "4"]
        assert codes["content_mean"].shape == (4, SIDE * SIDE // 2)


def test_pictures_of_16_bits_are_warned_of_once(model, pictures, tmp_path, capsys):
    folder, pixels = pictures
    for i in (1, 3):
        Image.fromarray(pixels[i, ..., 0].astype(np.uint16)).save(folder / f"{i}.png")
    assert encode.main(["run", str(folder), f"--out={tmp_path}/codes.npz"]) == 0
    said = capsys.readouterr().out
    assert f"are used of 2 images, such as {folder / '1.png'}: if" in said
    assert said.count("upper 8") == 1


def test_a_failure_leaves_no_file(model, pictures, tmp_path, capsys):
    folder, _ = pictures
    (folder / "1.png").write_bytes(b"no image")
    for suffix in ("npz", "csv"):
        assert encode.main(["run", str(folder / "1.png"), f"--out={tmp_path}/codes.{suffix}"]) == 2
        assert "1 image given, none can be read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_from_a_bucket_and_into_it(model, pictures, bucket):
    folder, pixels = pictures
    buckets.upload({path.name: path for path in folder.iterdir()}, bucket / "in")
    assert encode.main(["run", f"{bucket}/in", f"--out={bucket}/codes.npz"]) == 0
    codes = np.load(io.BytesIO((bucket / "codes.npz").read_bytes()))
    np.testing.assert_allclose(codes["style_mean"], expected(pixels)["style"], atol=1e-6)
    assert encode.main(["run", f"{bucket}/none"]) == 2


def test_bad_arguments_are_one_sentence(model, pictures, tmp_path, capsys):
    folder, _ = pictures
    for arguments, words in {
        ("nowhere/*.png",): "No images match nowhere/*.png: name files, folders or patterns",
        (str(folder), str(tmp_path / "none")): f"No images match {tmp_path / 'none'}",
        (str(folder), "--out=codes.txt"): "--out=codes.txt must end in .npz or .csv.",
        (str(folder), "--out=/proc/none/codes.npz"): "Choose another place with --out.",
    }.items():
        assert encode.main(["run", *arguments]) == 2
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1 and message.startswith("error: ")


def test_a_trained_run_and_its_images_of_any_size_and_colour(trained, tmp_path):
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8))
    colour.save(tmp_path / "small.bmp")
    colour.resize((200, 90)).save(tmp_path / "large.jpg")
    model = refvae_jax.load(trained, "last")
    images = model.read([tmp_path / "small.bmp", tmp_path / "large.jpg"])
    assert images.shape == (2, 32, 32, 1) and images.dtype == np.uint8
    # The run pads: the small image keeps its pixels, the large one is resized.
    np.testing.assert_array_equal(images[0, 1:31, 6:26, 0], np.asarray(colour.convert("L")))
    assert not images[0, :1].any() and images[1, [0, -1]].any()
    arguments = [str(trained), f"{tmp_path}/*.*", "--step=last", f"--out={tmp_path}/x.npz"]
    assert __main__.main(["encode", *arguments]) == 0
    codes = np.load(tmp_path / "x.npz")
    assert [path.rpartition("/")[2] for path in codes["path"]] == ["large.jpg", "small.bmp"]
    for name, q in model.encode(images[::-1]).items():
        np.testing.assert_array_equal(codes[f"{name}_mean"], q.mean)
        np.testing.assert_array_equal(codes[f"{name}_logvar"], q.logvar)
