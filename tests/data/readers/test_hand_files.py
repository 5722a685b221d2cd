"""Files fetched by hand into downloads/manual: used offline, named if missing or damaged."""

import hashlib
import json
import socket
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import hand_files
from refvae_jax.errors import UserError

CONTENTS = {"pixels.bin": bytes(range(48)), "labels.txt": b"0 1 1"}
SITE = "https://nowhere.invalid/data/"


def url_infos(urls):
    """{URL: what TFDS knows of the file}, from {URL: its name}."""
    return {
        url: tfds.download.checksums.UrlInfo(
            tfds.core.utils.Size(len(CONTENTS[name])),
            hashlib.sha256(CONTENTS[name]).hexdigest(),
            name,
        )
        for url, name in urls.items()
    }


class RefvaeByHand(tfds.core.GeneratorBasedBuilder):
    """Three images from two files, as TFDS prepares CelebA from five."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar = url_infos({f"{SITE}{name}": name for name in CONTENTS})

    def _info(self):
        image = tfds.features.Image(shape=(4, 4, 1))
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            homepage="https://nowhere.invalid",
        )

    def _split_generators(self, dl_manager):
        paths = dl_manager.download({name: f"{SITE}{name}" for name in CONTENTS})
        pixels = np.frombuffer(paths["pixels.bin"].read_bytes(), np.uint8).reshape(3, 4, 4, 1)
        labels = map(int, paths["labels.txt"].read_text().split())
        pairs = enumerate(zip(pixels, labels, strict=True))
        return {"train": ((i, {"image": x, "label": y}) for i, (x, y) in pairs)}

    def _generate_examples(self):
        raise NotImplementedError


class RefvaeByHandOnly(RefvaeByHand):
    """A set that TFDS cannot download."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir should contain
    pictures.tar.
    """


@pytest.fixture
def by_hand(config, tmp_path, monkeypatch):
    """The config.data of the set in an empty directory, without network."""

    def no_address(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    config.dir, config.name, config.resolution = str(tmp_path / "made"), "refvae_by_hand", 4
    config.train_split = "train"
    (tmp_path / "made" / "downloads" / "manual").mkdir(parents=True)
    return config


@pytest.fixture
def manual(by_hand, tmp_path):
    return tmp_path / "made" / "downloads" / "manual"


def fails(config):
    with pytest.raises(UserError) as caught:
        open_split(config, "train")
    return str(caught.value)


def test_whole_files_are_prepared_without_network(by_hand, manual):
    for name, contents in CONTENTS.items():
        (manual / name).write_bytes(contents)
    images = open_split(by_hand, "train")
    assert sorted(images.image[:, 0, 0, 0].tolist()) == [0, 16, 32]
    assert sorted(images.label.tolist()) == [0, 1, 1]


def test_nothing_there_names_all_files_and_the_folder(by_hand, manual):
    message = fails(by_hand)
    put = f"put labels.txt and pixels.bin from {SITE} into {manual}, which lacks all of them, and"
    assert put in message and "no network" in message and "tfds build" not in message


def test_a_missing_file_is_named(by_hand, manual):
    (manual / "pixels.bin").write_bytes(CONTENTS["pixels.bin"])
    assert f"into {manual}, which lacks labels.txt, and run this again" in fails(by_hand)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"<html>", "6 bytes instead of 48"),
        (b"", "0 bytes instead of 48"),
        (bytes(48), "its SHA-256 is another one"),
    ],
)
@pytest.mark.parametrize("others", [True, False])
def test_a_damaged_file_is_named(by_hand, manual, contents, words, others):
    if others:
        (manual / "labels.txt").write_bytes(CONTENTS["labels.txt"])
    (manual / "pixels.bin").write_bytes(contents)
    assert fails(by_hand) == (
        f"Damaged, or of another set than 'refvae_by_hand': {manual}/pixels.bin ({words}). Fetch "
        f"pixels.bin again from {SITE}pixels.bin, and run this again."
    )


def test_all_damaged_files_are_named_at_once(by_hand, manual):
    for name in CONTENTS:
        (manual / name).write_bytes(b"x")
    assert f"Fetch labels.txt and pixels.bin again from {SITE}, and" in fails(by_hand)


def test_earlier_downloads_count(by_hand, manual, monkeypatch):
    builder = tfds.builder("refvae_by_hand", data_dir=by_hand.dir)
    (manual / "labels.txt").write_bytes(b"")
    for folder in (manual.parent, manual.parent / "refvae_by_hand"):
        folder.mkdir(exist_ok=True)
        assert [file.path.name for file in hand_files.missing(builder)] == ["pixels.bin"]
        info = folder / "x.bin.INFO"
        info.write_text(json.dumps({"urls": [f"{SITE}pixels.bin"]}))
        assert not hand_files.missing(builder)
        hand_files.check_reachable(builder)
        info.write_text("{")  # Cut short.
        assert hand_files.missing(builder)
    with pytest.raises(ConnectionError, match=r"nowhere\.invalid has no address"):
        hand_files.check_reachable(builder)


def test_a_config_may_need_some_of_the_files_only(by_hand, manual, monkeypatch):
    builder = tfds.builder("refvae_by_hand", data_dir=by_hand.dir)
    monkeypatch.setattr(type(builder), "BUILDER_CONFIGS", ["one", "two"])
    with pytest.raises(ConnectionError):
        hand_files.check_reachable(builder)
    (manual / "labels.txt").write_bytes(CONTENTS["labels.txt"])
    hand_files.check_reachable(builder)


def test_files_of_several_places_are_at_the_page_of_the_set(by_hand, manual, monkeypatch):
    builder = tfds.builder("refvae_by_hand", data_dir=by_hand.dir)
    drive = {f"https://drive.invalid/uc?id={name[0]}": name for name in CONTENTS}
    monkeypatch.setattr(type(builder), "url_infos", url_infos(drive))
    assert f"pixels.bin from https://nowhere.invalid into {manual}" in hand_files.advice(builder)


def test_a_long_list_is_cut(by_hand, monkeypatch):
    builder = tfds.builder("refvae_by_hand", data_dir=by_hand.dir)
    many = {f"{SITE}{i:02}": tfds.download.checksums.UrlInfo(1, "0", f"{i:02}") for i in range(15)}
    monkeypatch.setattr(type(builder), "url_infos", many)
    assert "put 00, 01, " in hand_files.advice(builder)
    assert ", 11 and 3 more from" in hand_files.advice(builder)


def test_what_tfds_cannot_download_is_put_there_as_it_asks(by_hand, manual):
    by_hand.name = "refvae_by_hand_only"
    message = fails(by_hand)
    assert f"into {manual} (manual_dir should contain pictures.tar.) and run this" in message
    assert "tfds build" not in message
