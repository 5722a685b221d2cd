"""Images in a bucket are fetched once per host, and again where they changed."""

import numpy as np
import pytest
from PIL import Image

from configs import default
from refvae_jax import buckets
from refvae_jax.data.builders.digits5k import Digits5k
from refvae_jax.data.cache import open_split
from refvae_jax.data.open import _fingerprint_in_bucket, fingerprint
from refvae_jax.data.readers import bucket_folder, presets
from refvae_jax.errors import UserError


def save(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), colour).save(path)


@pytest.fixture
def local(tmp_path):
    """A folder of two groups of ten images, and what is none."""
    folder = tmp_path / "pictures"
    for group in range(2):
        for i in range(10):
            save(folder / f"group {group}" / f"{i}.png", (10 * group + 5, i, 0))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    save(folder / ".hidden" / "0.png", (1, 2, 3))
    rows = [f"group {group}/{i}.png,{i}" for group in range(2) for i in range(10)]
    (folder / "factors.csv").write_text("\n".join(["path,number", *rows]))
    return folder


@pytest.fixture
def remote(local, bucket):
    files = {str(p.relative_to(local)): p for p in local.rglob("*") if p.is_file()}
    buckets.upload(files, bucket / "pictures")
    return bucket / "pictures"


@pytest.fixture
def fetched(monkeypatch):
    """The names that were fetched so far."""
    names = []
    real = buckets.download

    def download(some, folder, into):
        names.extend(some)
        real(some, folder, into)

    monkeypatch.setattr(buckets, "download", download)
    return names


def as_in_a_new_process():
    for kept in (bucket_folder.listing, bucket_folder.tfds_listing, _fingerprint_in_bucket):
        kept.cache_clear()


def config(folder, tmp_path):
    as_in_a_new_process()
    data = default.get_config().data
    presets.choose(data, "folder")
    data.update({"dir": str(folder), "cache_dir": str(tmp_path / "cache"), "resolution": 16})
    return data


@pytest.mark.parametrize("split", ["train", "test"])
def test_it_gives_what_the_folder_gives(local, remote, tmp_path, split, fetched):
    here, there = (open_split(config(f, tmp_path), split) for f in (local, remote))
    np.testing.assert_array_equal(here.image, there.image)
    np.testing.assert_array_equal(here.label, there.label)
    np.testing.assert_array_equal(here.factors.continuous, there.factors.continuous)
    assert here.class_names == there.class_names == ("group 0", "group 1")
    assert len(fetched) == 21 and "notes.txt" not in fetched


def test_only_what_changed_is_fetched_again(local, remote, tmp_path, fetched):
    before = open_split(config(remote, tmp_path), "train")
    fetched.clear()
    np.testing.assert_array_equal(open_split(config(remote, tmp_path), "train").image, before.image)
    assert not fetched
    save(local / "group 0" / "0.png", (200, 0, 0))
    (local / "factors.csv").unlink()
    (remote / "factors.csv").unlink()
    (remote / "group 1" / "9.png").unlink()
    buckets.upload({"group 0/0.png": local / "group 0" / "0.png"}, remote)
    parts = [open_split(config(remote, tmp_path), s) for s in ("train", "validation", "test")]
    assert fetched == ["group 0/0.png"]
    images = np.concatenate([part.image for part in parts])
    assert len(images) == 19 and (images[:, 8, 8, 0] == 200).sum() == 1
    assert not parts[0].factors.continuous_names


def test_what_was_decoded_outlives_the_bucket(remote, tmp_path, monkeypatch, capsys):
    splits = ("train", "validation", "test")
    before = [open_split(config(remote, tmp_path), split).image for split in splits]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    asked = []

    def refuse(path):
        asked.append(path)
        raise UserError("The bucket cannot be reached.")

    monkeypatch.setattr(buckets, "check_reachable", refuse)
    data = config(remote, tmp_path)
    for split, images in zip(splits, before, strict=True):
        np.testing.assert_array_equal(open_split(data, split).image, images)
    assert capsys.readouterr().out.count("cannot be reached. Until then") == len(asked) == 1


def test_a_folder_without_images(bucket, tmp_path):
    with pytest.raises(UserError, match=r"gs://.*/nothing holds no images \(jpg"):
        open_split(config(bucket / "nothing", tmp_path), "train")
    with pytest.raises(UserError, match="There is no bucket 'nowhere'"):
        open_split(config("gs://nowhere/pictures", tmp_path), "train")


def test_a_tfds_set_that_was_replaced_is_noticed(bucket):
    found = []
    for version, content in [("1.0.0", b"1"), ("1.0.0", b"2"), ("2.0.0", b"3")]:
        buckets.write_bytes(bucket / "mnist" / version / "data", content)
        as_in_a_new_process()
        found.append(fingerprint("mnist:1.0.0", str(bucket), "/local/copy"))
    assert None not in found
    assert found[0] != found[1] == found[2], "that of another version does not count"


def digits(folder, cache):
    as_in_a_new_process()
    data = default.get_config().data
    name = f"digits5k:{Digits5k.VERSION}"
    data.update({"name": name, "dir": str(folder), "cache_dir": str(cache)})
    return data


@pytest.mark.slow
def test_a_tfds_set_is_prepared_if_the_bucket_lacks_it_else_fetched_once(
    bucket, tmp_path, fetched, capsys
):
    prepared = open_split(digits(bucket / "sets", tmp_path / "a"), "test")
    assert "sets holds no digits5k: it is prepared in" in capsys.readouterr().out
    (made,) = tmp_path.glob("a/**/digits5k")
    files = {str(p.relative_to(made)): p for p in made.rglob("*.*") if p.is_file()}
    buckets.upload(files, bucket / "sets" / "digits5k")
    buckets.write_bytes(bucket / "sets" / "digits5k" / "9.0.0" / "dataset_info.json", b"nothing")
    images = open_split(digits(bucket / "sets", tmp_path / "b"), "test")
    np.testing.assert_array_equal(images.image, prepared.image)
    np.testing.assert_array_equal(images.label, prepared.label)
    assert set(fetched) == set(files), "of another version than was asked for"
    open_split(digits(bucket / "sets", tmp_path / "b"), "train")
    assert len(fetched) == len(files)
