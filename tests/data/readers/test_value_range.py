"""Pixels of more than 8 bits: how they become bytes, and the range that percentiles give."""

import numpy as np
import pytest
from PIL import Image

from configs import default
from refvae_jax.data import cache
from refvae_jax.data.cache import open_split
from refvae_jax.data.image_identity import image_record
from refvae_jax.data.readers import presets, resize, value_range
from refvae_jax.data.readers.brightness import mostly_outside
from refvae_jax.data.readers.image_files import ImageForm, read_all, read_image
from refvae_jax.data.readers.source import Source
from refvae_jax.errors import UserError

PIXELS = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # All values of 12 bits.


@pytest.fixture
def data(tmp_path):
    """The config.data of a folder of ten images of 12 bits in 16, each 64 x 64."""
    config = default.get_config().data
    presets.choose(config, "folder")
    config.update({"dir": str(tmp_path / "in"), "cache_dir": str(tmp_path / "cache")})
    config.update({"resolution": 64, "hold_out": 0.2})
    (tmp_path / "in").mkdir()
    for i, suffix in enumerate(["png", "tif"] * 5):
        Image.fromarray(PIXELS).save(tmp_path / "in" / f"{i}.{suffix}")
    return config


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_low_becomes_black_high_white_and_the_rest_lies_between(dtype):
    pixels = np.array([[0, 100, 1120, 2140, 4000]], dtype)
    assert value_range.to_bytes(pixels, (100, 2140)).tolist() == [[0, 0, 128, 255, 255]]


def test_without_a_range_the_upper_of_16_bits_are_taken():
    pixels = np.array([0, 255, 256, 65535], np.uint16)
    assert value_range.to_bytes(pixels, ()).tolist() == [0, 0, 1, 255]
    for wrong in (np.array([0.5]), np.array([70_000]), np.array([-1])):
        with pytest.raises(ValueError, match=r"data\.value_range is not set"):
            value_range.to_bytes(wrong, ())
    with pytest.raises(ValueError, match="NaN"):
        value_range.to_bytes(np.array([0.5, np.nan]), (0, 1))


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ((), True),
        ((0, 4095), True),
        ((-1.5, 1.5), True),
        (("0.1%", "99.9%"), True),
        ((0, "99%"), True),
        ((1, 1), False),
        (("99%", "1%"), False),
        ((0, 1, 2), False),
        (("a", "b"), False),
        (("-1%", "101%"), False),
        ((0, float("nan")), False),
    ],
)
def test_what_a_range_may_be(limits, allowed):
    assert value_range.are_limits(limits) == allowed


def test_given_numbers_are_used_for_files(data):
    data.value_range = (0, 4095)
    images = open_split(data, "train")
    wanted = np.rint(PIXELS / 4095 * 255).astype(np.uint8)
    np.testing.assert_array_equal(images.image[..., 0], np.stack([wanted] * 6))
    assert images.value_range == (0, 4095)


def test_percentiles_are_the_sets_own_printed_and_recorded(data, capsys):
    data.value_range = ("10%", "90%")
    images = open_split(data, "train")
    low, high = np.percentile(np.tile(PIXELS, 10), [10, 90])
    assert images.value_range == pytest.approx((low, high))
    assert "is 409 to 3686" in capsys.readouterr().out
    assert image_record(images)["value_range"] == images.value_range
    again = open_split(data, "train")  # From the cache.
    assert again.value_range == images.value_range
    # A file read by itself, with the recorded range, is what training saw.
    form = ImageForm((64, 64, 1), resize.WHOLE, images.value_range)
    one = read_image(cache.user_path(data.dir) / "1.tif", form)
    np.testing.assert_array_equal(one, again.image[0])
    # The other splits have the same range.
    assert open_split(data, "test").value_range == images.value_range


def test_a_draw_of_pixels_gives_nearly_the_percentiles(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(50, 40_000))
    monkeypatch.setattr(value_range, "MOST_PIXELS", 200_000)
    parts = [value_range.sample(image, i, 50) for i, image in enumerate(images)]
    assert {len(part) for part in parts} == {4_000}
    low, high = value_range.resolve(("1%", "99%"), lambda: parts, "x")
    assert np.abs(np.array([low, high]) - np.percentile(images, [1, 99])).max() < 0.03


def test_dark_images_are_warned_of(data, capsys):
    images = open_split(data, "train").image
    assert images.max() == 4095 >> 8
    said = capsys.readouterr().out
    assert "16 bits are used of 10 images of" in said and "--config.data.value_range" in said


def test_bad_ranges_are_one_sentence(data, tmp_path):
    def fails():
        with pytest.raises(UserError) as caught:
            open_split(data, "train")
        return str(caught.value)

    data.value_range = (0, 0.5)
    assert "go from 0 to 4095, and nearly all are outside data.value_range 0 to 0.5" in fails()
    data.value_range = (5000, "99.9%")
    assert "is 5000 to 4091, no range" in fails()
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "in" / "new.png")
    assert "no image of" in fails() and "drop it" in fails()


def test_floats_need_a_range(data, tmp_path, capsys):
    for i in range(10):
        (tmp_path / "in" / f"{i}.{'tif' if i % 2 else 'png'}").unlink()
        Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)).save(
            tmp_path / "in" / f"f{i}.tif"
        )
    with pytest.raises(
        UserError, match=r"10 images of .*f0\.tif, are floats, .* set --config\.data"
    ):
        open_split(data, "train")
    assert "16 bits" not in capsys.readouterr().out
    data.value_range, data.resolution = (-1, 1), 8
    image = open_split(data, "train").image[0, ..., 0]
    np.testing.assert_array_equal(image, np.rint(np.linspace(0, 255, 64)).reshape(8, 8))


def test_caches_from_before_keep_their_names():
    folder = Source("folder", "/pictures", "train", 64, crop=-1, hold_out=0.1)
    assert cache._key(folder) == "folder-train-64-af425b5137e6"
    digits = Source("mnist", "/data", "train[:90%]", 32, exclude=("1",), factors=("a/b",))
    assert cache._key(digits) == "mnist-train-90--32-d5fc17169778"
    keys = {cache._key(folder._replace(value_range=r)) for r in ((), (0, 1), ("0%", "1%"))}
    assert len(keys) == 3


def test_a_set_has_no_range(data):
    data.name, data.value_range = "digits5k", (0, 1)
    with pytest.raises(UserError, match=r"value_range is of own images, and digits5k is a set"):
        open_split(data, "train")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((), "the upper 8 of 16 bits are used of 1 image, such as {}: if they come out dark"),
        ((4000, 9000), "half of the pixels of 1 image, such as {}, are outside of 4000 to 9000"),
        ((0, 4095), ""),
    ],
)
def test_a_model_warns_once_of_files_unlike_its_training_images(tmp_path, capsys, limits, words):
    deep, plain = tmp_path / "deep.tif", tmp_path / "plain.png"
    Image.fromarray(PIXELS).save(deep)
    Image.fromarray((PIXELS >> 4).astype(np.uint8)).save(plain)
    read_all([plain, deep, deep], ImageForm((8, 8, 1), resize.WHOLE, limits))
    said = capsys.readouterr().out
    assert words.format(deep) in said and said.count("warning") == bool(words)


@pytest.mark.parametrize(("high", "answer"), [(1, True), (2, False), (3, False)])
def test_mostly_outside_is_more_than_half_of_the_pixels(high, answer):
    assert mostly_outside(np.array([[0, 1], [2, 3], [4, 5]]), (0, high)) == answer
