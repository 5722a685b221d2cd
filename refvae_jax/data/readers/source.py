"""What is read and how it is handed over, whichever way it is stored.

    reader = open_source(Source(name="mnist", data_dir="/data", split="train", resolution=32))
    for rows, images in reader.batches(): ...

Images come from TFDS (`tfds_sets.py`) or from a folder (`folder.py`).
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refvae_jax.data.readers.resize import PAD

FOLDER = "folder"  # The data.name of the user's own images.


class Source(NamedTuple):
    """What to read: everything that decides the pixels and their order."""

    name: str  # "name", "name:version" or "name/config:version", as in TFDS; or FOLDER.
    data_dir: str  # Where TFDS keeps prepared data, or the folder.
    split: str  # A TFDS split expression, with an @ and parts as in `partition.py`.
    resolution: int  # Height and width of the images.
    crop: int = PAD  # Side of the centred square that is resized, WHOLE or PAD, see `fit.py`.
    label: str = "label"  # Path of the feature that is the group or class.
    factors: tuple[str, ...] = ()  # Paths of features to score by, beside those of "factors".
    exclude: tuple[str, ...] = ()  # Labels whose images are left out.
    hold_out: float = 0.0  # Share of train for each of validation and test that is missing.
    split_by: str = "members"  # How it is divided, "groups" or "members".
    reference_class: str = ""  # FOLDER: the class whose images are the reference.


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


def open_source(source: Source, spare_dir: Path) -> Reader:
    """Finds a data set, prepares it if need be, and checks that it can be used.

    Args:
      source: what to read.
      spare_dir: where the package's own sets are prepared if source.data_dir is read-only.

    Raises:
      UserError: if the set or its split is unknown, cannot be prepared or is empty, or does not
        have the features asked for; while reading, if too many images cannot be used.
      OSError: if the disk is full or must not be written.
    """
    if source.name == FOLDER:
        return importlib.import_module("refvae_jax.data.readers.folder").open_folder(source)
    return importlib.import_module("refvae_jax.data.readers.tfds").open_set(source, spare_dir)


def fingerprint(name: str, data_path: str) -> str | None:
    """Returns what changes when the data do; None if they are gone or remote."""
    try:
        if name == FOLDER:
            return (
                importlib.import_module("refvae_jax.data.readers.scan").scan(Path(data_path)).digest
            )
        info = Path(data_path, "dataset_info.json").stat()
    except OSError:
        return None  # A cache outlives the data that it was made from.
    return f"{info.st_size} {info.st_mtime_ns}"


def categorise(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers words in their order: ((place of each value) int32 [N], (the kinds))."""
    kinds, places = np.unique(values, return_inverse=True)
    return places.astype(np.int32), tuple(map(str, kinds))
