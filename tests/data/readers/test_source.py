"""Each bad input gets its own error message."""

import errno
import os
import socket
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from refvae_jax.data.cache import open_split
from refvae_jax.errors import UserError


class RefvaeTestBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A tiny set; its subclasses each have one flaw."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar = None
    EXAMPLE: ClassVar = None

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": ((i, self.EXAMPLE) for i in range(3))}

    def _generate_examples(self):
        raise NotImplementedError


class RefvaeNoLabel(RefvaeTestBuilder):
    FEATURES: ClassVar = {"image": tfds.features.Image(shape=(4, 4, 1)), "age": np.int64}
    EXAMPLE: ClassVar = {"image": np.zeros((4, 4, 1), np.uint8), "age": 3}


class RefvaeUnlabelled(RefvaeTestBuilder):
    FEATURES: ClassVar = {
        "image": tfds.features.Image(shape=(4, 4, 1)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    EXAMPLE: ClassVar = {"image": np.zeros((4, 4, 1), np.uint8), "label": -1}


class RefvaeAnySize(RefvaeTestBuilder):
    FEATURES: ClassVar = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    EXAMPLE: ClassVar = {"image": np.full((5, 8, 3), 7, np.uint8), "label": 1}


class RefvaeBrokenDownload(RefvaeAnySize):
    def _split_generators(self, dl_manager):
        raise ConnectionError("the server is away")


class RefvaeFullDisk(RefvaeAnySize):
    ERROR: ClassVar = None

    def _split_generators(self, dl_manager):
        raise self.ERROR


class RefvaeRemote(RefvaeAnySize):
    url_infos: ClassVar = {"https://nowhere.invalid/data.zip": None}


def fails(config, split="train"):
    with pytest.raises(UserError) as caught:
        open_split(config, split)
    return str(caught.value)


@pytest.fixture
def made(config, tmp_path):
    config.dir = str(tmp_path / "made")
    config.train_split = "train"
    config.resolution = 8
    return config


def test_unknown_name_suggests_the_nearest(config):
    config.name = "digit5k"
    assert "'digits5k'" in fails(config)
    config.name = "fashion_mnst"
    assert "'fashion_mnist'" in fails(config)


@pytest.mark.parametrize("name", ["digits5k:9.9.9", "mnist/foo", "", "mnist:x"])
def test_bad_version_or_config(config, name):
    config.name = name
    assert "config.data.name" in fails(config)


@pytest.mark.parametrize("split", ["trian", "train[:", "", "train[:99999]"])
def test_bad_split(config, split):
    config.train_split = split
    message = fails(config)
    assert f"no split '{split}'" in message and "train (4000), test (1000)" in message


@pytest.mark.parametrize("split", ["train[5:5]", "train[4000:]"])
def test_empty_split(config, split):
    config.train_split = split
    assert f"'{split}'" in fails(config) and "empty" in fails(config)


def test_image_larger_than_the_resolution(config):
    config.resolution = 20
    message = fails(config)
    assert "28" in message and "--config.data.resolution" in message


def test_set_without_label(made):
    made.name = "refvae_no_label"
    message = fails(made)
    assert "'label'" in message and "it has image, age" in message


def test_a_factor_that_the_set_lacks(config):
    config.factors = ("attributes/Male",)
    message = fails(config)
    assert "'attributes/Male', which data.factors names" in message
    assert "it has image, label" in message and "--config.data.factors" in message


def test_images_without_labels(made):
    made.name = "refvae_unlabelled"
    assert "without a label" in fails(made)


def test_images_of_unknown_size_are_centred(made):
    made.name = "refvae_any_size"
    image = np.array(open_split(made, "train").image)
    assert image.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(image[:, 1:6], 7)  # 5 rows: 1 above, 2 below.
    assert image.sum() == 3 * 5 * 8 * 3 * 7
    made.resolution = 7
    assert "up to 8 pixels" in fails(made)


def test_failed_preparation_says_why_and_what_to_run(made):
    made.name = "refvae_broken_download"
    message = fails(made)
    assert "the server is away" in message
    assert f"tfds build refvae_broken_download --data_dir={made.dir}" in message
    assert "TFDS_DATA_DIR" in message


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("Not enough disk space. Needed: 3 GiB"),
        ValueError(f"could not write: {os.strerror(errno.ENOSPC)}"),
    ],
)
def test_a_full_disk_names_the_directory(made, monkeypatch, error):
    made.name = "refvae_full_disk"
    monkeypatch.setattr(RefvaeFullDisk, "ERROR", error)
    with pytest.raises(OSError, match=r"No space left on device") as caught:
        open_split(made, "train")
    assert caught.value.filename == made.dir


def test_no_network_fails_at_once(made, monkeypatch):
    def no_address(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    made.name = "refvae_remote"
    assert "nowhere.invalid" in fails(made)


def test_bars_are_for_terminals(made, monkeypatch):
    shown = []
    monkeypatch.setattr(tfds, "display_progress_bar", shown.append)
    made.name = "refvae_no_label"
    fails(made)  # It is prepared before its label is missed.
    assert shown == [False]


@pytest.mark.slow
def test_read_only_data_directory(made, tmp_path):
    (tmp_path / "made").mkdir(mode=0o555)
    made.name = "refvae_any_size"
    assert "read-only" in fails(made)
    made.name = "digits5k"  # Comes with the package: prepared beside the cache instead.
    made.train_split, made.resolution = "train[:100]", 28
    assert open_split(made, "train").image.shape == (100, 28, 28, 1)
    assert not list((tmp_path / "made").iterdir())
