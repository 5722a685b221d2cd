"""Every data set is decoded once into a memory-mapped cache of uint8 images.

    images = open_split(config.data, "train")
    images.image[rows]  # uint8 [B, H, W, C], read from the page cache

A cache is a directory of image.npy, label.npy, factors.npy and meta.json. It is built beside its
place and renamed into it, so that it is there whole or not at all. Opening one imports neither
TensorFlow nor TFDS.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from refvae_jax.data.source import Reader, Source, open_source

_FORMAT = 2  # Raise it when the bytes written for the same source change.
_LARGE = 20_000  # From this many images on, a progress bar.


class ImageSet(NamedTuple):
    """A split in memory-mapped form."""

    image: np.ndarray  # uint8 memmap [N, H, W, C], read-only
    label: np.ndarray  # int32 [N], in [0, num_classes)
    num_classes: int
    factors: np.ndarray  # float32 [N, F], the continuous ground truth
    factor_names: tuple[str, ...]  # F names, () where the set has none


def open_split(data_config: ConfigDict, split: str) -> ImageSet:
    """Opens a split, decoding it into the cache the first time.

    Args:
      data_config: `name`, `dir`, `cache_dir`, `resolution` and the TFDS split expressions
        `train_split`, `reference_split`, `validation_split`, `fit_split`, `test_split`.
      split: which of them: "train", "reference", "validation", "fit" or "test".

    Returns:
      The images, zero-padded around the centre to [resolution, resolution], in TFDS's order.

    Raises:
      UserError: if the set or the split cannot be used; the sentence says what to do.
      OSError: if the cache cannot be written.
    """
    if split == "fit" and not data_config.fit_split:
        split = "train"
    source = Source(
        name=data_config.name,
        data_dir=_data_dir(data_config.dir),
        split=data_config[f"{split}_split"],
        resolution=data_config.resolution,
    )
    root = _cache_root(data_config.cache_dir)
    folder = root / _key(source)
    found = _load(folder)
    if found is None:
        _build(source, root, folder)
        found = _load(folder)
    if found is None:
        raise OSError(f"The cache {folder} was damaged while it was opened.")
    return found


def _data_dir(configured: str) -> str:
    directory = configured or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in directory:  # A bucket.
        return directory
    return os.path.abspath(os.path.expanduser(directory))


def _cache_root(configured: str) -> Path:
    if configured:
        return Path(configured).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "refvae_jax" / "data"


def _key(source: Source) -> str:
    """Returns the directory's name: readable, and different for every different source."""
    digest = hashlib.sha256(json.dumps([_FORMAT, *source]).encode()).hexdigest()[:12]
    words = re.sub(r"[^\w.]+", "-", f"{source.name}-{source.split}")[:80]
    return f"{words}-{source.resolution}-{digest}"


def _load(folder: Path) -> ImageSet | None:
    """Returns the set, or None if there is none, it is damaged or its data were prepared anew."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if any((folder / name).stat().st_size != size for name, size in meta["sizes"].items()):
            return None
        if _fingerprint(meta["data_path"]) not in (None, meta["fingerprint"]):
            return None
        image = np.load(folder / "image.npy", mmap_mode="r")
        label = np.load(folder / "label.npy")
        factors = np.load(folder / "factors.npy")
        return ImageSet(image, label, meta["num_classes"], factors, tuple(meta["factor_names"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, EOFError):
        return None


def _fingerprint(data_path: str) -> list[int] | None:
    """Returns what changes when TFDS prepares a set anew; None if the set is gone or remote."""
    try:
        info = os.stat(os.path.join(data_path, "dataset_info.json"))
    except OSError:
        return None  # The cache outlives the data that it was made from.
    return [info.st_size, info.st_mtime_ns]


def _build(source: Source, root: Path, folder: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root):
        if _load(folder) is not None:  # Another process built it while this one waited.
            return
        # Only the holder of the lock builds, so whatever is left here belongs to a killed process.
        for left in root.glob(".building-*"):
            shutil.rmtree(left, ignore_errors=True)
        reader = open_source(source, spare_dir=root / "tfds")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            _write(reader, source, new)
            if folder.exists():  # Damaged or stale; readers that have it open keep it.
                os.rename(folder, Path(scratch, "old"))
            os.rename(new, folder)


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Lets one process at a time build in this cache; the system frees the lock of a dead one."""
    with open(root / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that builds a data set in {root}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(reader: Reader, source: Source, folder: Path) -> None:
    side, count = source.resolution, reader.num_images
    shape = (count, side, side, reader.num_channels)
    # Plain writes: a full disk is then an OSError, where a memory map would kill the process.
    with (
        open(folder / "image.npy", "wb") as images,
        open(folder / "label.npy", "wb") as labels,
        open(folder / "factors.npy", "wb") as factors,
        _progress(count, f"Decoding {source.name} {source.split}") as progress,
    ):
        _write_header(images, shape, np.uint8)
        _write_header(labels, (count,), np.int32)
        _write_header(factors, (count, len(reader.factor_names)), np.float32)
        written = 0
        for batch in reader.batches():
            for file, array in zip((images, labels, factors), batch, strict=True):
                file.write(np.ascontiguousarray(array).tobytes())
            written += len(batch[0])
            progress.update(len(batch[0]))
        for file in (images, labels, factors):
            file.flush()
            os.fsync(file.fileno())
    if written != count:
        raise OSError(f"{reader.data_path} holds {written} images where it declares {count}.")
    meta = {
        "source": source._asdict(),
        "num_classes": reader.num_classes,
        "factor_names": reader.factor_names,
        "data_path": reader.data_path,
        "fingerprint": _fingerprint(reader.data_path),
        "sizes": {file.name: file.stat().st_size for file in folder.glob("*.npy")},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: type) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _progress(count: int, text: str) -> Any:
    from tqdm import tqdm

    # None: shown if stderr is a terminal.
    hidden = None if count >= _LARGE else True
    return tqdm(total=count, desc=text, unit="image", disable=hidden, file=sys.stderr)
