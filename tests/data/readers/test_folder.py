"""Folders of images: layouts, formats, ground truth, and everything that can be wrong with them."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from configs import default
from refvae_jax.data import cache
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import decode, presets, resize
from refvae_jax.data.readers.image_files import ImageForm, read_image
from refvae_jax.errors import UserError

GREY, RED = 100, (200, 30, 10)


def save(path, colour=RED, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def data(root, tmp_path):
    data = default.get_config().data
    presets.choose(data, "folder")
    data.update({"dir": str(root), "cache_dir": str(tmp_path / "cache"), "resolution": 16})
    return data


def fails(data, split="train"):
    with pytest.raises(UserError) as caught:
        open_split(data, split)
    return str(caught.value)


def make_groups(root, count=10, names=("a", "b", "c")):
    for place, name in enumerate(names):
        for i in range(count):
            save(root / name / f"{i}.png", (10 * place + 5, i, 0))


def test_one_pool_is_divided_and_every_image_used_once(root, data):
    make_groups(root)
    parts = [open_split(data, split) for split in ("train", "validation", "test")]
    assert [len(part.label) for part in parts] == [24, 3, 3]
    seen = np.concatenate([part.image[:, 8, 8, :2] for part in parts])
    assert len(np.unique(seen, axis=0)) == 30
    for part in parts:
        assert part.class_names == ("a", "b", "c")
        np.testing.assert_array_equal(part.image[:, 8, 8, 0], 10 * part.label + 5)


def test_second_opening_reads_no_image(root, data, monkeypatch):
    make_groups(root)
    first = open_split(data, "train")
    monkeypatch.setattr(cache, "open_source", None)
    np.testing.assert_array_equal(open_split(data, "train").image, first.image)


def test_splits_of_its_own(root, data):
    for split in ("train", "test"):
        make_groups(root / split, names=("b", "c") if split == "test" else ("a", "b"))
    train, test = open_split(data, "train"), open_split(data, "test")
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert len(test.label) == 20 and set(test.label) == {1, 2}
    assert len(train.label) == 18  # Validation is a tenth of it.


def test_val_is_validation(root, data):
    for split in ("train", "val", "test"):
        make_groups(root / split, count={"train": 10, "val": 2, "test": 3}[split])
    sizes = [len(open_split(data, split).label) for split in ("train", "validation", "test")]
    assert sizes == [30, 6, 9]


@pytest.mark.parametrize("stray", ["extra", "validation"])
def test_splits_beside_other_folders_are_no_classes(root, data, stray):
    for split in ("train", "val", "test"):
        make_groups(root / split, count=2)
    save(root / stray / "a.png")
    assert "test/ with folders in it" in fails(data)


def test_a_class_may_be_called_train(root, data):
    make_groups(root, names=("train", "car"))
    assert open_split(data, "train").class_names == ("car", "train")


def test_factors_of_reference_images_are_read(root, data):
    make_groups(root / "unlabelled", names=("x", "y"))
    make_groups(root / "reference", names=("y", "elsewhere"))
    data.reference_split = "reference"
    reference = open_split(data, "reference")
    assert sorted(reference.label) == [-1] * 10 + [1] * 10
    rows = [f"unlabelled/{name}/{i}.png,{i}" for name in "xy" for i in range(10)]
    (root / "factors.csv").write_text("path,f\n" + "\n".join(rows))
    assert open_split(data, "reference").factors.continuous_names == ()
    rows += [f"reference/{name}/{i}.png,{i}" for name in ("y", "elsewhere") for i in range(10)]
    (root / "factors.csv").write_text("path,f\n" + "\n".join(rows))
    reference = open_split(data, "reference")
    np.testing.assert_array_equal(reference.factors.continuous[:, 0], reference.image[:, 8, 8, 1])


def test_a_third_folder_is_unclear(root, data):
    for name in ("reference", "unlabelled", "test"):
        make_groups(root / name)
    assert "test/ beside reference/ and unlabelled/" in fails(data)


def test_excluded_classes_are_left_out(root, data):
    make_groups(root, names=("a", "b", "c"))
    data.exclude = ("b",)
    assert set(open_split(data, "train").label) == {0, 2}
    data.exclude = ("d",)
    assert f"'d', which is no class of {data.dir}" in fails(data)


def test_reference_beside_unlabelled(root, data):
    make_groups(root / "unlabelled", names=("x", "y"))
    make_groups(root / "reference", names=("deep/down",))
    data.reference_split = "reference"
    assert len(open_split(data, "reference").label) == 10
    assert open_split(data, "test").class_names == ("x", "y")


def test_reference_class(root, data):
    make_groups(root, names=("happy", "neutral", "sad"))
    data.reference_split, data.reference_class = "reference", "neutral"
    reference, train = open_split(data, "reference"), open_split(data, "train")
    assert set(reference.image[:, 8, 8, 0]) == {15} and set(reference.label) == {-1}
    assert set(train.image[:, 8, 8, 0]) == {5, 25} and train.class_names == ("happy", "sad")
    data.reference_class = "neutrl"
    assert "Did you mean 'neutral'" in fails(data, "reference")


@pytest.mark.slow
def test_crop_takes_the_centre_and_tensorflow_does_the_same(data):
    import tensorflow as tf

    from refvae_jax.data.readers import tfds
    from refvae_jax.data.readers.source import Source

    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    for crop in (resize.WHOLE, 40):
        side = 60 if crop == resize.WHOLE else crop
        source = Source("x", "x", "x", 20, crop=crop)
        theirs = tfds._fitted(tf, tf.constant(pixels), source).numpy()
        ours = resize.fit(Image.fromarray(pixels), crop, 20)
        assert np.abs(theirs.astype(int) - ours).max() <= 1
        square = pixels[(60 - side) // 2 :, (90 - side) // 2 :][:side, :side]
        alone = resize.fit(Image.fromarray(np.ascontiguousarray(square)), resize.WHOLE, 20)
        np.testing.assert_array_equal(ours, alone)


@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "bmp", "gif", "webp", "JPEG", "tif", "tiff", "ppm", "pgm"]
)
def test_formats(root, suffix):
    save(root / f"a.{suffix}")
    image = read_image(root / f"a.{suffix}", ImageForm((16, 16, 3), resize.WHOLE))
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - RED).max() <= 8


def test_transparent_is_black_16_bits_are_scaled_and_exif_turns(root):
    root.mkdir()
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(root / "clear.png")
    assert not read_image(root / "clear.png", ImageForm((8, 8, 3), resize.WHOLE)).any()
    Image.fromarray(np.full((8, 8), 256 * 77, np.uint16)).save(root / "deep.png")
    assert (read_image(root / "deep.png", ImageForm((8, 8, 1), resize.WHOLE)) == 77).all()
    turned = Image.new("L", (8, 8))
    turned.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # Upside down.
    turned.save(root / "turned.png", exif=exif)
    image = read_image(root / "turned.png", ImageForm((8, 8, 1), resize.WHOLE))[..., 0]
    assert (image[:4] == 0).all() and (image[4:] == 255).all()


def test_grey_stays_grey_unless_there_is_colour(root, data, capsys):
    for i in range(20):
        save(root / "a" / f"{i}.png", GREY)
    assert open_split(data, "train").image.shape[-1] == 1
    save(root / "b" / "0.png")
    assert open_split(data, "train").image.shape[-1] == 3  # Decoded again: the folder has changed.
    assert "20 of 21 images" in capsys.readouterr().out


def test_few_unreadable_images_are_named_many_are_an_error(root, data, capsys):
    make_groups(root, count=50)
    data.train_split, data.hold_out = "train", 0.0
    broken = root / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (root / "b" / "1.png").write_bytes(b"no image")
    assert len(open_split(data, "train").label) == 148
    said = capsys.readouterr().out
    assert "2 of 150 images" in said and "a/0.png" in said and "b/1.png" in said
    assert len(open_split(data, "train").label) == 148  # From the cache.
    assert "2 images of the split 'train'" in capsys.readouterr().out
    for i in range(3, 6):
        (root / "c" / f"{i}.png").unlink()  # Overwritten in place they would be noticed later only.
        (root / "c" / f"{i}.png").write_bytes(b"")
    assert "more than one in a hundred" in fails(data)


def test_image_that_claims_a_false_size(root, monkeypatch):
    save(root / "a.png", size=(40, 30))
    monkeypatch.setattr(decode, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="claims to be 40 x 30"):
        read_image(root / "a.png", ImageForm((8, 8, 3), resize.WHOLE))


@pytest.mark.parametrize("side", [10_000, 50_000])  # Pillow warns of the one, refuses the other.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_and_truncated_photographs_are_left_out(root, data, capsys, side):
    make_groups(root, count=60)
    data.hold_out = 0.0
    save(root / "a" / "cut.jpg", size=(200, 200))
    photograph = (root / "a" / "cut.jpg").read_bytes()
    (root / "a" / "cut.jpg").write_bytes(photograph[: len(photograph) // 2])
    bomb = bytearray((root / "b" / "0.png").read_bytes())
    bomb[16:24] = struct.pack(">2I", side, side)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (root / "b" / "0.png").write_bytes(bomb)
    assert len(open_split(data, "train").label) == 179
    said = capsys.readouterr().out
    assert "2 of 181 images" in said and "a/cut.jpg" in said and "b/0.png" in said


def test_factors(root, data):
    make_groups(root)
    lines = ["path,height,pose"]
    lines += [f"{n}/{i}.png,{i / 10},{'up' if i % 2 else 'down'}" for n in "abc" for i in range(10)]
    (root / "factors.csv").write_text("\n".join(lines))
    train = open_split(data, "train")
    assert train.factors.continuous_names == ("height",)
    assert train.factors.categorical_names == {"pose": ("down", "up")}
    number = train.image[:, 8, 8, 1]
    np.testing.assert_allclose(train.factors.continuous[:, 0], number / 10, rtol=1e-6)
    np.testing.assert_array_equal(train.factors.categorical[:, 0], number % 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,x\na/0.png,1", "lacks a row for a/1.png"),
        ("path,x\na/0.png,1\na/1.png,2\nz/9.png,3", "no image of the folder, z/9.png"),
        ("path,x\na/0.png\na/1.png,2", "line 2: 1 cells"),
        ("path,x\na/0.png,1\na/1.png,2\na/1.png,2", "twice"),
        ("", "lacks a row"),
        ("path,x,x\na/0.png,1,1\na/1.png,2,2", "two columns 'x'"),
        ("path,m/s\na/0.png,1\na/1.png,2", "column 'm/s': a factor's name must"),
        ("path,label\na/0.png,1\na/1.png,2", "column 'label': a factor's name must"),
        ("path,average\na/0.png,1\na/1.png,2", "column 'average': a factor's name must"),
        ("path,x\na/0.png,\xe9\na/1.png,2", "CSV in UTF-8"),
        ("path,x\na/0.png,1\na/1.png," + "1" * 200_000, "CSV in UTF-8"),
    ],
)
def test_factors_that_do_not_match(root, data, text, message):
    make_groups(root, count=2, names=("a",))
    (root / "factors.csv").write_text(text, encoding="latin-1")
    assert message in fails(data)


def test_empty_lines_among_the_factors(root, data):
    make_groups(root, count=10, names=("a",))
    rows = [f"a/{i}.png,{i}" for i in range(10)]
    (root / "factors.csv").write_text("path,x\n\n" + "\n".join(rows) + "\n\n")
    train = open_split(data, "train")
    np.testing.assert_array_equal(train.factors.continuous[:, 0], train.image[:, 8, 8, 1])


def test_numbers_with_gaps_are_not_categorical(root, data):
    make_groups(root, count=10, names=("a",))
    for cell in ("", "nan"):
        rows = [f"a/{i}.png,{i if i != 4 else cell}" for i in range(10)]
        (root / "factors.csv").write_text("path,x\n" + "\n".join(rows))
        assert f"column 'x': '{cell}' is no number" in fails(data)


def test_damaged_exif_data_are_an_unreadable_image(root, data, capsys):
    make_groups(root, count=100, names=("a", "b"))
    turn, text = (0x0112, 3, 1, 6), (0x010E, 5, 1, 0)  # Upright, with a fraction for a title.
    note = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    note += struct.pack("<HHII", *turn) + struct.pack("<HHII", *text) + bytes(24)
    Image.new("RGB", (20, 20)).save(root / "a" / "damaged.jpg", exif=note)
    data.hold_out = 0.0
    assert len(open_split(data, "train").label) == 200
    assert "a/damaged.jpg" in capsys.readouterr().out


def test_a_split_without_a_readable_image(root, data):
    make_groups(root / "train")
    (root / "test" / "a").mkdir(parents=True)
    (root / "test" / "a" / "0.png").write_bytes(b"nothing")
    assert "No image of the split 'test'" in fails(data, "test")


def test_bad_folders(root, data):
    assert "There is no folder" in fails(data)
    root.mkdir()
    assert "holds no images" in fails(data)
    make_groups(root / "reference")
    assert "unlabelled" in fails(data)
    data.dir = ""
    assert "--config.data.dir" in fails(data)


def test_images_beside_folders_are_left_out_with_one_warning(root, data, capsys):
    make_groups(root)
    save(root / "loose.png")
    assert sum(len(open_split(data, split).label) for split in ("train", "validation")) == 27
    said = capsys.readouterr().out
    assert said.count("are read, not 1 image beside them, such as loose.png: move") == 1


def test_link_loop_and_name_not_in_utf8(root, data):
    make_groups(root)
    os.symlink(root, root / "a" / "again")
    assert "symbolic link" in fails(data)
    (root / "a" / "again").unlink()
    os.symlink("itself.png", root / "a" / "itself.png")
    assert "cannot be followed" in fails(data)
    (root / "a" / "itself.png").unlink()
    os.makedirs(os.fsencode(root) + b"/\xff")
    assert "UTF-8" in fails(data)


def test_a_link_to_nothing_is_an_unreadable_image(root, data, capsys):
    for split in ("train", "test"):
        make_groups(root / split)
        os.symlink("nothing.png", root / split / "a" / "gone.png")
    data.hold_out = 0.0
    assert len(open_split(data, "train").label) == 30
    assert "1 of 31 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "second", "reference_class"),
    [("unlabelled", "reference", ""), ("train", "test", ""), (".", "neutral", "neutral")],
)
def test_copies_in_both_sets_are_reported(root, data, capsys, first, second, reference_class):
    make_groups(root / first)
    make_groups(root / second, count=1, names=("a",))
    data.reference_class = reference_class
    open_split(data, "train")
    other = "test" if second == "test" else "reference"
    said = capsys.readouterr().out
    assert f"train and {other} share 1 image, such as" in said
    assert f"a/0.png and {second}/a/0.png" in said


def test_factors_stay_with_their_image_when_others_are_left_out(root, data):
    make_groups(root, count=50)
    data.hold_out = 0.0
    rows = [f"{name}/{i}.png,{i}" for name in "abc" for i in range(50)]
    (root / "factors.csv").write_text("path,f\n" + "\n".join(rows))
    for broken in ("a/0.png", "b/1.png"):
        (root / broken).write_bytes(b"no image")
    train = open_split(data, "train")
    red, green = train.image[:, 8, 8, :2].T
    assert len(train.label) == 148
    np.testing.assert_array_equal(red, 10 * train.label + 5)
    np.testing.assert_array_equal(green, train.factors.continuous[:, 0])


def test_the_reference_class_is_in_no_split(root, data):
    for split in ("train", "test"):
        make_groups(root / split, names=("happy", "neutral"))
    data.reference_split, data.reference_class = "reference", "neutral"
    for split in ("train", "validation", "test"):
        assert set(open_split(data, split).image[:, 8, 8, 0]) == {5}
    assert len(open_split(data, "reference").label) == 10  # Those of train.
