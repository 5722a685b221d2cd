import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds

from refvae_jax.data import cache
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import tfds as tfds_reader
from refvae_jax.errors import UserError


@pytest.fixture
def builds(monkeypatch):
    """The sources that were decoded, in order."""
    made = []
    real = cache.open_source
    monkeypatch.setattr(
        cache, "open_source", lambda source, **kw: made.append(source) or real(source, **kw)
    )
    return made


def folder_of(config):
    (found,) = [p.parent for p in cache.cache_root(config.cache_dir).glob("*/meta.json")]
    return found


def leftovers(config):
    return list(cache.cache_root(config.cache_dir).glob(".building-*"))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_cache_equals_a_direct_read_padded_around_the_centre(config, split):
    images = open_split(config, split)
    direct = tfds.load(
        "digits5k",
        split=config[f"{split}_split"],
        data_dir=config.dir,
        as_supervised=True,
        batch_size=-1,
    )
    image, label = (np.asarray(x) for x in direct)
    assert isinstance(images.image, np.memmap) and images.image.dtype == np.uint8
    assert images.label.dtype == np.int32 and len(images.class_names) == 10
    assert not images.image.flags.writeable
    padded = np.pad(image, [(0, 0), (2, 2), (2, 2), (0, 0)])
    np.testing.assert_array_equal(images.image, padded)
    np.testing.assert_array_equal(images.label, label)


def test_hit_imports_no_tensorflow(config):
    open_split(config, "test")
    code = (
        "import json, sys\n"
        "from ml_collections import ConfigDict\n"
        "from refvae_jax.data.cache import open_split\n"
        "images = open_split(ConfigDict(json.loads(sys.argv[1])), 'test')\n"
        "assert images.image.shape == (1000, 32, 32, 1)\n"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code, config.to_json()], check=True, env=env)


def test_second_opening_decodes_nothing(config, builds):
    open_split(config, "test")
    open_split(config, "test")
    assert len(builds) == 1


@pytest.mark.parametrize(
    "change", [{"resolution": 40}, {"test_split": "test[:10]"}, {"name": "digits5k:1.0.0"}]
)
def test_another_source_is_another_cache(config, builds, change):
    open_split(config, "test")
    with config.unlocked():
        config.update(change)
    images = open_split(config, "test")
    assert len(builds) == 2
    assert images.image.shape[1] == config.resolution


def test_same_expression_is_shared_between_splits(config, builds):
    config.validation_split = config.test_split
    open_split(config, "test")
    open_split(config, "validation")
    assert len(builds) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image.npy", "label.npy", "categories.npy", "meta.json"])
@pytest.mark.parametrize("harm", ["truncate", "empty", "remove"])
def test_damaged_cache_is_rebuilt(config, builds, name, harm):
    expected = np.array(open_split(config, "test").image)
    file = folder_of(config) / name
    if harm == "remove":
        file.unlink()
    else:
        os.truncate(file, 0 if harm == "empty" else file.stat().st_size // 2)
    images = open_split(config, "test")
    assert len(builds) == 2
    np.testing.assert_array_equal(images.image, expected)
    assert not leftovers(config)


def test_data_prepared_again_are_decoded_again(config, builds):
    open_split(config, "test")
    os.utime(os.path.join(config.dir, "digits5k", "1.0.0", "dataset_info.json"))
    open_split(config, "test")
    open_split(config, "test")
    assert len(builds) == 2


def test_a_cache_that_changes_while_it_is_opened(config, monkeypatch):
    monkeypatch.setattr(cache, "_load", lambda folder: None)
    with pytest.raises(UserError, match=r"changed while it was being opened: run again\."):
        open_split(config, "test")


def test_a_set_with_fewer_images_than_it_declares(config, monkeypatch):
    real, counts = tfds_reader._examples, iter([1000, 100])  # Labels, then images.
    monkeypatch.setattr(tfds_reader, "_examples", lambda *args: real(*args).take(next(counts)))
    with pytest.raises(UserError, match=r"holds 100 images where it declares 1000: delete it and"):
        open_split(config, "test")
    assert not leftovers(config)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_while_writing_leaves_nothing(config, monkeypatch, error):
    real = cache.open_source

    def breaking(source, **kw):
        reader = real(source, **kw)

        def batches():
            yield tuple(array[:100] for array in next(reader.batches()))
            raise error

        return reader._replace(batches=batches)

    monkeypatch.setattr(cache, "open_source", breaking)
    with pytest.raises(type(error)):
        open_split(config, "test")
    assert not leftovers(config)
    monkeypatch.undo()
    assert len(open_split(config, "test").label) == 1000


def test_leftovers_of_a_killed_process_are_not_used_but_removed(config):
    rest = cache.cache_root(config.cache_dir) / ".building-killed"
    (rest / "new").mkdir(parents=True)
    (rest / "new" / "image.npy").write_bytes(b"half")
    assert len(open_split(config, "test").label) == 1000
    assert not rest.exists()


def test_racing_openings_decode_once(config, builds):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(open_split(config, "test"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1 and len(found) == 3
    np.testing.assert_array_equal(found[0].image, found[2].image)


def test_directories_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert cache.cache_root("") == tmp_path / "refvae_jax" / "data"
    assert cache.data_dir("", "mnist") == str(tmp_path / "tfds")
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert cache.data_dir("", "mnist") == os.path.expanduser("~/tensorflow_datasets")
    assert cache.data_dir("gs://bucket/data", "mnist") == "gs://bucket/data"
