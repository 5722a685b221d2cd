"""The types that readers share: what to read, and what an opened split gives. See `open.py`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from refvae_jax.data.readers.resize import PAD
from refvae_jax.data.readers.value_range import Limits, Range
from refvae_jax.errors import UserError, did_you_mean

# The data.name of the user's own images, in files and in arrays.
FOLDER_DATASET, ARRAYS_DATASET = OWN_DATASETS = ("folder", "arrays")
# Below TFDS's directory: where TFDS, and our builders, look for files downloaded by hand.
MANUAL_DIR = "downloads/manual"


class Source(NamedTuple):
    """What to read: everything that decides the pixels and their order."""

    name: (
        str  # "name", "name:version" or "name/config:version", as in TFDS; or one of OWN_DATASETS.
    )
    data_dir: str  # Where TFDS keeps prepared data, or the own images.
    split: str  # A TFDS split expression, with an @ and parts as in `partition.py`.
    resolution: int  # Height and width of the images.
    crop: int = PAD  # Side of the centred square that is resized, WHOLE or PAD, see `resize.py`.
    label: str = "label"  # Path of the feature that is the group or class.
    factors: tuple[str, ...] = ()  # Paths of features to score by, beside those of "factors".
    exclude: tuple[str, ...] = ()  # Labels whose images are left out.
    hold_out: float = 0.0  # Share of train held out for each missing split.
    split_by: str = "members"  # How it is divided, "groups" or "members".
    reference_class: str = ""  # Own images: the class that is the reference.
    value_range: Limits = ()  # Own images: of pixels of more than 8 bits, see `value_range.py`.


class Factors(NamedTuple):
    """The ground truth beside the label: F continuous and K categorical factors."""

    continuous: np.ndarray  # float32 [N, F]
    continuous_names: tuple[str, ...]  # F names
    categorical: np.ndarray  # int32 [N, K], each factor's class in [0, number of its classes)
    categorical_names: dict[str, tuple[str, ...]]  # {factor: names of its classes}, K entries


class Reader(NamedTuple):
    """An opened split: what is known without decoding an image, and how to decode them."""

    num_channels: int
    label: np.ndarray  # int32 [N]
    class_names: tuple[str, ...]  # By label; () where labels are bare numbers.
    factors: Factors
    data_path: str  # Of the data, for messages.
    # Yields (int [b], rows in [0, N) that could be read; uint8 [b, R, R, C]) in order.
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    value_range: Range = ()  # Of pixels of more than 8 bits, where data.value_range is set.


def categorise(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes from words [N]: (class of each, int32 [N]; names of the classes, sorted)."""
    names, classes = np.unique(values, return_inverse=True)
    return classes.astype(np.int32), tuple(map(str, names))


def make_factors(
    continuous: Mapping[str, np.ndarray],
    categorical: Mapping[str, np.ndarray],
    class_names: dict[str, tuple[str, ...]],
    count: int,
) -> Factors:
    """The Factors of N images from a column per factor.

    Args:
      continuous: {factor: [N]}.
      categorical: {factor: class of each image, [N]}.
      class_names: {factor: names of its classes}, in the order of `categorical`.
      count: N.
    """

    def matrix(columns: Mapping[str, np.ndarray], dtype: type) -> np.ndarray:
        return np.array([*columns.values()], dtype).reshape(len(columns), count).T.copy()

    return Factors(
        continuous=matrix(continuous, np.float32),
        continuous_names=tuple(continuous),
        categorical=matrix(categorical, np.int32),
        categorical_names=class_names,
    )


def excluded(source: Source, names: Sequence[str]) -> list[int]:
    """The labels of the classes in source.exclude, of own images.

    Raises:
      UserError: there is no class of that name.
    """
    for name in source.exclude:
        if name not in names:
            raise UserError(
                f"data.exclude names {name!r}, which is no class of {source.data_dir}."
                f"{did_you_mean(name, names)}"
            )
    return [names.index(name) for name in source.exclude]
