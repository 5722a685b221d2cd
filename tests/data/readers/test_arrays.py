"""Images in arrays: what is read, how it is divided, and everything that can be wrong with it."""

import os
import tracemalloc

import numpy as np
import pytest

from configs import default
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import array_files, presets
from refvae_jax.data.readers.listing import list_splits
from refvae_jax.errors import UserError
from refvae_jax.reports import data_sheet

N = 40
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 8, 8), np.uint8)
LABEL = np.arange(N) % 4


def save(path, kind, **arrays):
    """Writes arrays as a .npz, compressed or not, or as a folder of .npy; returns the path."""
    if kind == "npy":
        path.mkdir(exist_ok=True)
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
        return path
    write = np.savez_compressed if kind == "compressed" else np.savez
    write(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


@pytest.fixture
def data(tmp_path):
    config = default.get_config().data
    presets.choose(config, "arrays")
    config.update({"dir": str(tmp_path / "x.npz"), "cache_dir": str(tmp_path / "cache")})
    config.update({"resolution": 8, "hold_out": 0.0})
    return config


@pytest.fixture
def fails(data, tmp_path):
    """fails(split="train", **arrays) -> the error message for these arrays."""

    def message(split="train", **arrays):
        data.dir = str(save(tmp_path / "x", "npz", **arrays))
        with pytest.raises(UserError) as caught:
            open_split(data, split)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


@pytest.mark.parametrize("kind", ["npz", "compressed", "npy"])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_every_way_of_storing_gives_the_same_pixels(data, tmp_path, monkeypatch, kind, channels):
    monkeypatch.setattr(array_files, "_BLOCK", 1000)  # Several blocks.
    shape = (N, 8, 8) if channels is None else (N, 8, 8, channels)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    data.dir = str(save(tmp_path / "x", kind, image=pixels, label=LABEL))
    found = open_split(data, "train")
    np.testing.assert_array_equal(found.image, pixels.reshape(N, 8, 8, -1))
    np.testing.assert_array_equal(found.label, LABEL)
    assert found.class_names == ("0", "1", "2", "3")


def test_splits_are_held_out_as_those_of_a_folder(data, tmp_path):
    data.hold_out = 0.2
    data.dir = str(save(tmp_path / "x", "npz", image=IMAGES, label=LABEL.astype(str)))
    parts = {split: open_split(data, split) for split in ("train", "validation", "test")}
    assert [len(part.label) for part in parts.values()] == [24, 8, 8]
    seen = [image.tobytes() for part in parts.values() for image in part.image]
    assert sorted(seen) == sorted(image.tobytes() for image in IMAGES)
    for part in parts.values():
        assert np.bincount(part.label).tolist() == [len(part.label) // 4] * 4
        for image, label in zip(part.image, part.label, strict=True):
            (row,) = np.flatnonzero((image[..., 0] == IMAGES).all(axis=(1, 2)))
            assert label == LABEL[row]


@pytest.mark.parametrize("kind", ["npz", "compressed"])
def test_references_by_truth_values_or_by_a_label(data, tmp_path, kind):
    data.reference_split = "reference"
    chosen = LABEL == 2
    data.dir = str(save(tmp_path / "x", kind, image=IMAGES, reference=chosen))
    both = {split: open_split(data, split).image[..., 0] for split in ("train", "reference")}
    np.testing.assert_array_equal(both["reference"], IMAGES[chosen])
    np.testing.assert_array_equal(both["train"], IMAGES[~chosen])
    data.dir = str(save(tmp_path / "y", kind, image=IMAGES, label=LABEL))
    data.reference_class = "2"
    train = open_split(data, "train")
    assert train.class_names == ("0", "1", "3")
    np.testing.assert_array_equal(open_split(data, "reference").image[..., 0], IMAGES[chosen])


def test_factors_with_and_without_names(data, tmp_path):
    numbers = RNG.normal(size=(N, 2)).astype(np.float32)
    data.dir = str(save(tmp_path / "x", "npz", image=IMAGES, factors=numbers))
    found = open_split(data, "train").factors
    assert found.continuous_names == ("factor_0", "factor_1")
    np.testing.assert_array_equal(found.continuous, numbers)
    named = {"factors": numbers, "factor_names": np.array(["size", "hue"])}
    data.dir = str(save(tmp_path / "y", "npz", image=IMAGES, **named))
    assert open_split(data, "train").factors.continuous_names == ("size", "hue")
    table = np.zeros(N, [("size", np.float64), ("hair", "U8"), ("smiles", bool)])
    table["size"], table["smiles"] = numbers[:, 0], LABEL > 1
    table["hair"] = np.where(LABEL, "red", "black")
    data.dir = str(save(tmp_path / "z", "npz", image=IMAGES, factors=table))
    found = open_split(data, "train").factors
    np.testing.assert_array_equal(found.continuous[:, 0], numbers[:, 0])
    assert found.categorical_names == {"hair": ("black", "red"), "smiles": ("False", "True")}
    np.testing.assert_array_equal(found.categorical, np.stack([LABEL > 0, LABEL > 1], axis=1))


@pytest.mark.parametrize("kind", ["npz", "compressed", "npy"])
def test_floats_with_their_range_or_percentiles(data, tmp_path, kind, capsys):
    pixels = RNG.uniform(-2, 2, (N, 8, 8)).astype(np.float32)
    data.dir = str(save(tmp_path / "x", kind, image=pixels))
    data.value_range = (-1, 1)
    found = open_split(data, "train")
    wanted = np.rint((pixels.astype(float).clip(-1, 1) + 1) * 127.5)
    np.testing.assert_array_equal(found.image[..., 0], wanted)
    data.value_range = ("5%", "95%")
    found = open_split(data, "train")
    assert found.value_range == pytest.approx(np.percentile(pixels, [5, 95]))
    assert capsys.readouterr().out.count("data.value_range 5% to 95%") == 1
    ends = [(found.image == end).mean() for end in (0, 255)]
    assert ends == pytest.approx([0.05, 0.05], abs=0.01)


def test_images_of_any_size_are_cropped_and_resized(data, tmp_path):
    wide = np.zeros((N, 16, 40), np.uint8)
    wide[:, :, 12:28] = 200
    data.dir = str(save(tmp_path / "x", "npz", image=wide))
    assert (open_split(data, "train").image == 200).all()


@pytest.mark.parametrize("kind", ["npz", "compressed", "npy"])
def test_a_large_array_is_never_in_memory_as_a_whole(data, tmp_path, kind):
    count, side = 400, 200
    pixels = np.zeros((count, side, side, 3), np.uint8)  # 48 MB
    data.dir = str(save(tmp_path / "x", kind, image=pixels))
    del pixels
    tracemalloc.start()
    assert len(open_split(data, "train").label) == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * side * side * 3 / 2


def test_an_array_that_changed_is_read_again(data, tmp_path):
    data.dir = str(save(tmp_path / "x", "npy", image=IMAGES))
    assert open_split(data, "train").image.max() > 0
    save(tmp_path / "x", "npy", image=np.zeros_like(IMAGES)[:-1])
    assert open_split(data, "train").image.max() == 0


def test_wrong_images_are_one_sentence(data, fails):
    assert "has pixels, but no array 'image'" in fails(pixels=IMAGES)
    assert "has the shape [40, 3, 8, 8], but must have [N, H, W]" in fails(
        image=np.zeros((N, 3, 8, 8), np.uint8)
    )
    assert "has the shape [64], but must have" in fails(image=np.zeros(64, np.uint8))
    assert "holds no images, since it has the shape [0, 8, 8]" in fails(
        image=np.zeros((0, 8, 8), np.uint8)
    )
    assert "is bool, but must be uint8 or other numbers" in fails(image=IMAGES > 9)
    assert "holds Python objects" in fails(image=np.array([None, 1]))
    for other in (np.uint16, np.float32):
        message = fails(image=IMAGES.astype(other))
        assert f"is {np.dtype(other)}, and which of its values are black" in message
        assert "--config.data.value_range" in message
    data.value_range = (0, 1)
    assert "is uint8: drop it" in fails(image=IMAGES)
    assert "go from 0 to 255, and nearly all are outside data.value_range 0 to 1" in fails(
        image=IMAGES.astype(np.float32)
    )
    holes = IMAGES / 255
    holes[7, 0, 0] = np.nan
    assert "image 7: some of its pixels are NaN or infinite: replace them" in fails(image=holes)
    data.value_range, data.crop, data.resolution = (), 0, 4
    assert "has images of 8 x 8 pixels, but data.resolution is 4: set --config.data.crop" in fails(
        image=IMAGES
    )


def test_what_does_not_match_the_images_is_one_sentence(data, fails):
    assert "label of " in (message := fails(image=IMAGES, label=LABEL[:-1]))
    assert "of shape [39], but must be whole numbers or text of shape [40], one for" in message
    assert "is float64 of shape [40], but must be whole" in fails(image=IMAGES, label=LABEL / 2)
    assert "must be truth values (bool) of shape [40]" in fails(image=IMAGES, reference=LABEL)
    assert "must be numbers of shape [40, F]" in fails(image=IMAGES, factors=np.zeros((N - 1, 2)))
    assert "must be numbers of shape [40, F]" in fails(image=IMAGES, factors=np.full((N, 1), "a"))
    numbers = np.zeros((N, 2))
    for names, words in {
        ("a",): "must be text of shape [2], one for each factor",
        ("a", "a"): "two columns 'a'",
        ("label", "a"): "column 'label': a factor's name must",
    }.items():
        message = fails(image=IMAGES, factors=numbers, factor_names=np.array(names))
        assert words in message
    numbers[3, 1] = np.nan
    assert "column 'factor_1': fill in" in fails(image=IMAGES, factors=numbers)
    assert "has no split 'validation', but train (40): set" in fails("validation", image=IMAGES)
    data.reference_split = "reference"
    assert "add an array reference" in fails("reference", image=IMAGES)
    data.reference_class = "5"
    assert "No image has the label '5'" in fails(image=IMAGES, label=LABEL)
    assert "already: drop --config.data.reference_class" in fails(
        image=IMAGES, label=LABEL, reference=LABEL == 2
    )
    data.reference_class, data.exclude = "", ("9",)
    assert "data.exclude names '9', which is no class of" in fails(image=IMAGES, label=LABEL)


def test_files_that_are_no_arrays_are_one_sentence(data, tmp_path):
    def fails(path):
        data.dir = str(path)
        with pytest.raises(UserError) as caught:
            open_split(data, "train")
        return str(caught.value)

    assert "There is no file" in fails(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no zip")
    assert "is no .npz: save one with numpy.savez" in fails(tmp_path / "text.npz")
    (tmp_path / "empty").mkdir()
    assert "holds no .npy files" in fails(tmp_path / "empty")
    np.save(tmp_path / "single.npy", IMAGES)
    assert "single.npy is a single array without a name: save it as" in fails(
        tmp_path / "single.npy"
    )
    with pytest.raises(UserError, match=r"single\.npy is a single array"):
        data_sheet.data_config(str(tmp_path / "single.npy"))
    (tmp_path / "empty" / "image.npy").write_bytes(b"x")
    assert "image.npy cannot be used" in fails(tmp_path / "empty")
    assert "Where are the images?" in fails("")


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_arrays_named_as_a_folder_of_images(tmp_path, kind):
    with pytest.raises(UserError, match=r"holds arrays.*: set --config\.data\.name=arrays\."):
        list_splits(save(tmp_path / "x", kind, image=IMAGES), "")


def test_a_contact_sheet_of_arrays(tmp_path, capsys):
    pixels = RNG.uniform(0, 1, (N, 8, 8)).astype(np.float32)
    path = save(tmp_path / "x", "npz", image=pixels, reference=LABEL == 2)
    out = tmp_path / "sheet.png"
    assert data_sheet.main([str(path), "--value-range", "0", "99%", f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "reference: 10 images 64 x 64 x 1" in said and "values from 0 (black) to 0.99" in said
    assert out.is_file()
    assert data_sheet.main([str(path), "--value-range", "1", "0", f"--out={out}"]) == 2
    assert "the lower one first" in capsys.readouterr().err
    assert data_sheet.main([os.fspath(path), f"--out={out}"]) == 2
    assert "is float32, and which of its values" in capsys.readouterr().err
