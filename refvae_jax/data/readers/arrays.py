"""Reads images from arrays: a .npz, or a folder of .npy files.

    image      uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]; other numbers with data.value_range
    label      optional, whole numbers or text [N]: the group
    reference  optional, bool [N]: the images whose target factors are constant
    factors    optional: numbers [N, F], named by factor_names, text [F]; or a structured array [N],
               whose numbers are continuous factors and whose text is categorical ones

`image` is memory-mapped, or read as a stream from a compressed .npz, never held whole. All splits
are taken from it, as from a folder without splits.
"""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from refvae_jax.buckets import is_bucket
from refvae_jax.data.readers import resize, value_range
from refvae_jax.data.readers.array_columns import Arrays, factors, labels, references
from refvae_jax.data.readers.array_files import Stored, open_arrays, state_of
from refvae_jax.data.readers.division import check_enough
from refvae_jax.data.readers.image_files import MODES
from refvae_jax.data.readers.partition import parse, resolve, select
from refvae_jax.data.readers.source import Reader, Source, excluded
from refvae_jax.errors import UserError


def open_array_set(source: Source) -> Reader:
    """Opens a split of arrays, see `open.open_source`."""
    if is_bucket(source.data_dir):
        raise UserError(
            f"Arrays are mapped from a local disk, not from {source.data_dir}: copy them to one."
        )
    root = Path(source.data_dir)
    arrays = open_arrays(root)
    image = _checked_image(root, arrays, source)
    count = image.shape[0]
    is_reference = references(arrays, count, source.reference_class)
    names, label = labels(arrays, count, is_reference)
    splits = {"train": np.arange(count)}
    if is_reference is not None:
        splits = {
            "train": np.flatnonzero(~is_reference),
            "reference": np.flatnonzero(is_reference),
        }
    pool, parts = _pool(root, splits, source)
    pool = pool[~np.isin(label[pool], excluded(source, names))]
    rows = pool[select(label[pool], parts)]
    check_enough(rows, label[pool], source, splits, root)
    limits = _value_range(root, state_of(root), source.value_range)
    return Reader(
        num_channels=_channels(image),
        label=label[rows],
        class_names=names,
        factors=factors(arrays, count, rows),
        data_path=str(root),
        batches=lambda: _batches(image, rows, source, limits),
        value_range=limits,
    )


def _pool(root: Path, splits: dict[str, np.ndarray], source: Source) -> tuple[np.ndarray, list]:
    """(rows that a split is taken from, its Parts)."""
    base, parts = parse(resolve(source.split, splits, source.hold_out, source.split_by))
    if base in splits:
        return splits[base], parts
    have = ", ".join(f"{name} ({len(rows)})" for name, rows in splits.items())
    advice = (
        "set the share of train that validation and test get, such as --config.data.hold_out=0.1"
    )
    if base == "reference":
        advice = (
            "add an array reference, with a truth value per image, or set "
            "--config.data.reference_class to the label of those images"
        )
    raise UserError(f"{root} has no split '{source.split}', but {have}: {advice}.")


def _channels(image: Stored) -> int:
    return image.shape[3] if len(image.shape) == 4 else 1


def _checked_image(root: Path, arrays: Arrays, source: Source) -> Stored:
    """The array `image`, unless its type or shape is wrong."""
    if "image" not in arrays:
        raise UserError(f"{root} has {', '.join(arrays)}, but no array 'image': name one so.")
    image = arrays["image"]
    shape, dtype = image.shape, image.dtype
    if not all(shape[:1]):
        raise UserError(
            f"{image.where} holds no images, since it has the shape {list(shape)}: put some there."
        )
    if len(shape) not in (3, 4) or _channels(image) not in MODES or 0 in shape:
        raise UserError(
            f"{image.where} has the shape {list(shape)}, but must have [N, H, W], [N, H, W, 1] or "
            f"[N, H, W, 3]."
        )
    if dtype.kind not in "uif":
        raise UserError(f"{image.where} is {dtype}, but must be uint8 or other numbers.")
    if dtype != np.uint8 and not source.value_range:
        raise UserError(
            f"{image.where} is {dtype}, and which of its values are black and white is not known: "
            f"{value_range.ADVICE}."
        )
    if dtype == np.uint8 and source.value_range:
        raise UserError(f"data.value_range is set, but {image.where} is uint8: drop it.")
    largest = max(shape[1:3])
    if source.crop == resize.PAD and largest > source.resolution:
        raise UserError(
            f"{image.where} has images of {shape[2]} x {shape[1]} pixels, but data.resolution is "
            f"{source.resolution}: {resize.advice_for(largest)}."
        )
    return image


@functools.lru_cache(maxsize=1)
def _value_range(root: Path, state: str, limits: value_range.Limits) -> value_range.Range:
    """The range of the image array, the same for all splits; computed again for a new `state`."""
    del state
    if not limits:
        return ()
    image = open_arrays(root)["image"]
    rows = value_range.sampled_rows(image.shape[0])

    def samples() -> Iterator[np.ndarray]:
        for found, pixels in _rows_of(image, rows):
            for row, one in zip(found, pixels, strict=True):
                yield value_range.sample(one, int(row), len(rows))

    return value_range.resolve(limits, samples, image.where)


def _rows_of(image: Stored, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (some of the rows, which increase; their pixels [b, H, W] or [b, H, W, C])."""
    start = 0
    for block in image.blocks():
        stop = start + len(block)
        found = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        if len(found):
            yield found, np.asarray(block[found - start])
        start = stop


def _batches(
    image: Stored, rows: np.ndarray, source: Source, limits: value_range.Range
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As of `Reader.batches`."""

    def fit(row: int, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype != np.uint8:
            try:
                pixels = value_range.to_bytes(pixels, limits)
            except ValueError as error:
                raise UserError(f"{image.where}, image {row}: {error}.") from error
        plain = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        return resize.fit(Image.fromarray(plain), source.crop, source.resolution)

    done = 0
    with ThreadPoolExecutor() as pool:
        for found, pixels in _rows_of(image, rows):
            yield np.arange(done, done + len(found)), np.stack([*pool.map(fit, found, pixels)])
            done += len(found)
