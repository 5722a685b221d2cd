"""Every data set is decoded once into a memory-mapped cache of uint8 images.

    images = open_split(config.data, "train")
    images.image[rows]  # uint8 [B, H, W, C], read from the page cache

A cache is a directory of image.npy, label.npy, factors.npy, categories.npy and meta.json. It is
built beside its final place and renamed into it, so it is complete or absent. Opening one imports
neither TensorFlow nor TFDS.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER, progress_bar
from refvae_jax.data.open import fingerprint, open_source
from refvae_jax.data.readers.bucket_folder import FETCHED
from refvae_jax.data.readers.source import OWN_DATASETS, Factors, Reader, Source
from refvae_jax.data.readers.value_range import Range
from refvae_jax.errors import UserError
from refvae_jax.files import cache_folder, growing_array, locked, naming, user_path

_FORMAT = 5  # Raise it when the bytes written for the same source change.
_SAME_NAME = (
    "name",
    "resolution",
    "crop",
    "label",
    "hold_out",
    "split_by",
    "reference_class",
)
_DIGEST_IMAGES = 256  # Images whose pixels enter a digest, spread evenly over the set.


class ImageSet(NamedTuple):
    """A split, its images memory-mapped."""

    image: np.ndarray  # uint8 memmap [N, H, W, C], read-only
    label: np.ndarray  # int32 [N], the class or group
    class_names: tuple[str, ...]  # By label; () where labels are bare numbers.
    factors: Factors
    value_range: Range = ()  # Of own images of more than 8 bits, where data.value_range is set.


def open_split(data_config: ConfigDict, split: str) -> ImageSet:
    """Opens a split, decoding it into the cache the first time.

    Args:
      data_config: `config.data`, see config_rules.py.
      split: which of them: "train", "reference", "validation", "probe_train" or "test".

    Returns:
      The images at [resolution, resolution], in the order of the data set.

    Raises:
      UserError: if the set or the split cannot be used; the message says what to do.
      OSError: if the cache cannot be written.
    """
    if split == "probe_train" and not data_config.probe_train_split:
        split = "train"
    source = Source(
        data_dir=data_dir(data_config.dir, data_config.name),
        split=data_config[f"{split}_split"],
        factors=tuple(data_config.factors),
        exclude=tuple(map(str, data_config.exclude)),
        value_range=tuple(data_config.value_range),
        **{name: data_config[name] for name in _SAME_NAME},
    )
    root = cache_root(data_config.cache_dir)
    folder = root / _key(source)
    found = _load(folder)
    if found is not None:
        _remind(folder)
    else:
        _build(source, root, folder)
        found = _load(folder)
    if found is None:
        raise UserError(f"The cache {folder} changed while it was being opened: run again.")
    return found


def digest(images: ImageSet) -> str:
    """Fingerprint of a set: of all labels and up to _DIGEST_IMAGES images.

    Returns:
      16 hexadecimal digits; a file added to a folder changes them, and so does another resolution.
    """
    total = hashlib.sha256(np.ascontiguousarray(images.label).tobytes())
    rows = np.linspace(0, len(images.image) - 1, _DIGEST_IMAGES).astype(int)
    total.update(np.ascontiguousarray(images.image[np.unique(rows)]).tobytes())
    return total.hexdigest()[:16]


@functools.cache
def _remind(folder: Path) -> None:
    """Repeats once per process the warning, given at decoding, that images are missing."""
    meta = json.loads((folder / "meta.json").read_text())
    if missing := meta.get("missing"):
        LOGGER.warning(
            f"{missing} images of the split '{meta['source']['split']}' of "
            f"{meta['data_path']} cannot be read and are left out: fix or remove them. "
            f"Delete {folder} and the next run names them."
        )


def data_dir(configured: str, name: str) -> str:
    """Where a set is read: the absolute path of a folder, or a bucket.

    Args:
      configured: data.dir.
      name: data.name.

    Raises:
      UserError: none is given for the user's own images.
    """
    if name in OWN_DATASETS and not configured:
        raise UserError("Where are the images? Set --config.data.dir to their folder or file.")
    directory = configured or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if is_bucket(directory):
        return str(user_path(directory))
    return os.path.abspath(user_path(directory))


def cache_root(configured: str) -> Path:
    """Where decoded images are kept, for a data.cache_dir."""
    return user_path(configured).absolute() if configured else cache_folder("data")


def _key(source: Source) -> str:
    """Returns the directory's name: readable, and different for every different source."""
    # Caches from before there was a value_range are those without one.
    fields = source if source.value_range else source[:-1]
    digest = hashlib.sha256(json.dumps([_FORMAT, *fields]).encode()).hexdigest()[:12]
    words = re.sub(r"[^\w.]+", "-", f"{source.name}-{source.split}")[:80]
    return f"{words}-{source.resolution}-{digest}"


def _load(folder: Path) -> ImageSet | None:
    """Returns the set; None if it is absent or damaged, or its data were prepared again since."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if any((folder / name).stat().st_size != size for name, size in meta["sizes"].items()):
            return None
        source = meta["source"]
        now = fingerprint(source["name"], source["data_dir"], meta["data_path"])
        if now not in (None, meta["fingerprint"]):
            return None
        image = np.load(folder / "image.npy", mmap_mode="r")
        label, continuous, categorical = (
            np.load(folder / f"{name}.npy") for name in ("label", "factors", "categories")
        )
        class_names = {name: tuple(names) for name, names in meta["kinds"].items()}
        factors = Factors(continuous, tuple(meta["factor_names"]), categorical, class_names)
        value_range = tuple(meta.get("value_range", ()))  # Older caches have none.
        return ImageSet(image, label, tuple(meta["class_names"]), factors, value_range)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, EOFError):
        return None


def _build(source: Source, root: Path, folder: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)

    def wait() -> None:
        LOGGER.info(f"waiting for another process that builds a data set in {root}")

    with locked(root / ".lock", wait):
        if _load(folder) is not None:  # Another process built it while this one waited.
            return
        # Only the holder of the lock builds, so leftovers belong to a killed process.
        for left in root.glob(".building-*"):
            shutil.rmtree(left, ignore_errors=True)
        reader = open_source(source, spare_dir=root / "tfds", fetched_dir=root / FETCHED)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            with naming(root):
                _write(reader, source, new)
            if folder.exists():  # Damaged or stale; readers that have it open keep it.
                os.rename(folder, Path(scratch, "old"))
            os.rename(new, folder)


def _write(reader: Reader, source: Source, folder: Path) -> None:
    side, count = source.resolution, len(reader.label)
    kept = []
    shape = (side, side, reader.num_channels)
    with (
        growing_array(folder / "image.npy", count, shape, np.dtype(np.uint8)) as append,
        progress_bar(count, f"Decoding {source.name} {source.split}") as progress,
    ):
        for rows, batch in reader.batches():
            append(batch)  # Without those that cannot be read.
            kept.append(rows)
            progress.update(len(rows))
        if not kept:
            raise UserError(f"No image of the split '{source.split}' of {source.name} can be read.")
    rows = np.concatenate(kept)
    factors = reader.factors
    np.save(folder / "label.npy", reader.label[rows].astype(np.int32))
    np.save(folder / "factors.npy", factors.continuous[rows].astype(np.float32))
    np.save(folder / "categories.npy", factors.categorical[rows].astype(np.int32))
    meta = {
        "source": source._asdict(),
        "class_names": reader.class_names,
        "factor_names": factors.continuous_names,
        "kinds": factors.categorical_names,
        "data_path": reader.data_path,
        "value_range": reader.value_range,
        "missing": count - len(rows),
        "fingerprint": fingerprint(source.name, source.data_dir, reader.data_path),
        "sizes": {file.name: file.stat().st_size for file in folder.glob("*.npy")},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
