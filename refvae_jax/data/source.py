"""Reads a split of any TFDS data set, and says in a sentence why it cannot.

TensorFlow and TFDS, seconds each, are imported inside the functions only: `cache.py` comes here
once a split.
"""

import difflib
import errno
import importlib
import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from refvae_jax.data.tf_cpu import import_tensorflow
from refvae_jax.errors import UserError

# Builders of this package, which TFDS knows once their module is imported. They need no network.
_OWN_BUILDERS = {
    "digits5k": "refvae_jax.data.builders.digits5k",
    "reference_mnist": "refvae_jax.data.builders.reference_mnist",
}
_BATCH = 1024  # Images decoded at a time: bounds the memory.
# The disk's errors stay OSErrors; the others of a download are the network's.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class Source(NamedTuple):
    """What to read: everything that decides the pixels and their order."""

    name: str  # "name", "name:version" or "name/config:version", as in TFDS.
    data_dir: str  # Where TFDS keeps prepared data.
    split: str  # A TFDS split expression.
    resolution: int  # Images are padded to this height and width.


class Reader(NamedTuple):
    """An opened split: its sizes, where it is and how to read it."""

    num_images: int
    num_channels: int
    num_classes: int
    factor_names: tuple[str, ...]  # Of the continuous factors, () if there are none.
    data_path: str  # The prepared data set's own directory.
    # Yields (uint8 [b, resolution, resolution, C], int32 [b], float32 [b, F]) in TFDS's unshuffled
    # order.
    batches: Callable[[], Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]]


def open_source(source: Source, spare_dir: Path) -> Reader:
    """Finds a data set, prepares it if need be, and checks that it can be used.

    Args:
      source: what to read.
      spare_dir: where the package's own sets are prepared if source.data_dir is read-only.

    Raises:
      UserError: if the set, its version or its split is unknown, cannot be prepared or is empty,
        or if it has no uint8 `image` and class `label`; while reading, if an image is larger
        than the resolution or has no label.
      OSError: if the disk is full or must not be written.
    """
    import_tensorflow()
    import tensorflow_datasets as tfds

    builder = _find_builder(tfds, source)
    own = builder.name in _OWN_BUILDERS
    if own and not builder.is_prepared() and not _writable(source.data_dir):
        builder = _find_builder(tfds, source._replace(data_dir=str(spare_dir)))
    if not builder.is_prepared():
        _prepare(builder, source)
    num_images = _count(builder, source)
    features = builder.info.features
    _check_features(tfds, features, source)
    return Reader(
        num_images=num_images,
        num_channels=features["image"].shape[-1] or 3,  # Unknown: decoded as RGB.
        num_classes=features["label"].num_classes,
        factor_names=_factor_names(features),
        data_path=str(builder.data_path),
        batches=lambda: _read(tfds, builder, source),
    )


def _find_builder(tfds: ModuleType, source: Source) -> Any:
    base = source.name.split(":")[0].split("/")[0]
    if base in _OWN_BUILDERS:
        importlib.import_module(_OWN_BUILDERS[base])
    try:
        return tfds.builder(source.name, data_dir=source.data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        known = {*tfds.list_builders(with_community_datasets=False), *_OWN_BUILDERS}
        near = difflib.get_close_matches(base, sorted(known), n=1, cutoff=0.0)[0]
        raise UserError(
            f"There is no data set '{source.name}': did you mean '{near}'? Set --config.data.name "
            f"to a name that TFDS knows or to a set prepared in {source.data_dir}."
        ) from None
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"Data set '{source.name}' cannot be opened: set --config.data.name to NAME, "
            f"NAME:VERSION or NAME/CONFIG:VERSION. ({_reason(error)})"
        ) from error


def _writable(directory: str) -> bool:
    """Whether a directory that may not exist yet can be written; a bucket is taken to be."""
    if "://" in directory:
        return True
    path = Path(directory)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    # Root may write anywhere; a directory that forbids everyone to write is still left alone.
    return os.access(existing, os.W_OK) and bool(existing.stat().st_mode & 0o222)


def _prepare(builder: Any, source: Source) -> None:
    try:
        if not _writable(builder.data_dir):
            raise PermissionError("the directory is read-only")  # No errno: not the disk's.
        _check_reachable(builder, source.data_dir)
        builder.download_and_prepare()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise
        raise UserError(
            f"Data set '{source.name}' is not in {source.data_dir} and could not be prepared: run "
            f"`tfds build {source.name} --data_dir={source.data_dir}` where it can be downloaded, "
            "or set TFDS_DATA_DIR or --config.data.dir to a directory that holds it. "
            f"({_reason(error)})"
        ) from error


def _check_reachable(builder: Any, data_dir: str) -> None:
    """Raises ConnectionError if a download is bound to fail; TFDS would retry for minutes."""
    hosts = sorted({urlsplit(url).hostname or "" for url in builder.url_infos or {}} - {""})
    downloaded = list(Path(data_dir).glob("downloads/*"))
    if not hosts or downloaded or urllib.request.getproxies():
        return  # Nothing to ask for, or an earlier download or a proxy may serve it.
    for host in hosts:
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            continue
        return
    raise ConnectionError(f"no network: {hosts[0]} has no address")


def _count(builder: Any, source: Source) -> int:
    splits = builder.info.splits
    known = ", ".join(f"{name} ({info.num_examples})" for name, info in splits.items())
    try:
        count = splits[source.split].num_examples
    except (ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"Data set '{source.name}' has no split '{source.split}': set data.train_split, "
            f"data.validation_split and data.test_split to expressions like 'train[:90%]' over "
            f"{known}. ({_reason(error)})"
        ) from error
    if not count:
        raise UserError(
            f"Split '{source.split}' of data set '{source.name}' is empty: choose a range within "
            f"{known}."
        )
    return count


def _check_features(tfds: ModuleType, features: Any, source: Source) -> None:
    has = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = has.get("image"), has.get("label")
    if (
        not isinstance(image, tfds.features.Image)
        or image.np_dtype != np.uint8
        or not isinstance(label, tfds.features.ClassLabel)
    ):
        raise UserError(
            f"Data set '{source.name}' cannot be used here, which needs an 8-bit feature 'image' "
            f"and a class 'label', but it has {', '.join(has) or 'other features'}: choose "
            "another --config.data.name."
        )


def _factor_names(features: Any) -> tuple[str, ...]:
    """Names of the numbers in a feature dict "factors", in its order."""
    return tuple(features["factors"]) if "factors" in features else ()


def _read(
    tfds: ModuleType, builder: Any, source: Source
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    tf = import_tensorflow()
    side, names = source.resolution, _factor_names(builder.info.features)

    def pad(example):
        image = example["image"]
        # Centres; would also crop, which the check below turns into an error.
        padded = tf.image.resize_with_crop_or_pad(image, side, side)
        factors = [tf.cast(example["factors"][name], tf.float32) for name in names]
        factors = tf.stack(factors) if names else tf.zeros(0)
        return padded, tf.cast(example["label"], tf.int32), factors, tf.shape(image)[:2]

    dataset = builder.as_dataset(
        split=source.split,
        shuffle_files=False,  # The cache must not depend on chance.
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    dataset = dataset.map(pad, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH).prefetch(1)
    for image, label, factors, size in dataset.as_numpy_iterator():
        largest = int(size.max())
        if largest > side:
            raise UserError(
                f"Images of data set '{source.name}' are up to {largest} pixels wide or high, but "
                f"data.resolution is {side}: set --config.data.resolution to {largest} or more."
            )
        if label.min() < 0:
            raise UserError(
                f"Split '{source.split}' of data set '{source.name}' holds images without a "
                "label: choose a labelled split."
            )
        yield image, label, factors


def _reason(error: Exception) -> str:
    """Returns the first line of what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
