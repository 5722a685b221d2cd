"""The types that readers share: what to read, and what an opened split gives. See `open.py`."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from refvae_jax.data.readers.resize import PAD

FOLDER_DATASET = "folder"  # The data.name of the user's own images.
# Below TFDS's directory: where TFDS, and our builders, look for files downloaded by hand.
MANUAL_DIR = "downloads/manual"


class Source(NamedTuple):
    """What to read: everything that decides the pixels and their order."""

    name: str  # "name", "name:version" or "name/config:version", as in TFDS; or FOLDER_DATASET.
    data_dir: str  # Where TFDS keeps prepared data, or the folder.
    split: str  # A TFDS split expression, with an @ and parts as in `partition.py`.
    resolution: int  # Height and width of the images.
    crop: int = PAD  # Side of the centred square that is resized, WHOLE or PAD, see `resize.py`.
    label: str = "label"  # Path of the feature that is the group or class.
    factors: tuple[str, ...] = ()  # Paths of features to score by, beside those of "factors".
    exclude: tuple[str, ...] = ()  # Labels whose images are left out.
    hold_out: float = 0.0  # Share of train for each of validation and test that is missing.
    split_by: str = "members"  # How it is divided, "groups" or "members".
    reference_class: str = ""  # FOLDER_DATASET: the class whose images are the reference.


class Factors(NamedTuple):
    """The ground truth beside the label: numbers, and names of kinds."""

    values: np.ndarray  # float32 [N, F]
    names: tuple[str, ...]  # F names.
    categories: np.ndarray  # int32 [N, K], in [0, number of kinds)
    kinds: dict[str, tuple[str, ...]]  # {name: its kinds} of the K categories.


class Reader(NamedTuple):
    """An opened split: what is known without decoding an image, and how to decode them."""

    num_channels: int
    label: np.ndarray  # int32 [N]
    class_names: tuple[str, ...]  # By label; () where labels are bare numbers.
    factors: Factors
    data_path: str  # Of the data, for messages.
    # Yields (int [b], rows in [0, N) that could be read; uint8 [b, R, R, C]) in order.
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]


def categorise(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers words in their order: ((place of each value) int32 [N], (the kinds))."""
    kinds, places = np.unique(values, return_inverse=True)
    return places.astype(np.int32), tuple(map(str, kinds))
