"""Reads the images of a folder: any sizes, grey or colour, laid out as `listing.py` says.

Images that cannot be read are skipped by `decode.py`. For ground truth see `factors_file.py`.
"""

import contextlib
import functools
import hashlib
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from refvae_jax.console import LOGGER
from refvae_jax.data.readers.decode import read_each
from refvae_jax.data.readers.division import check_enough
from refvae_jax.data.readers.factors_file import no_factors, read_factors
from refvae_jax.data.readers.headers import look, value_range_of
from refvae_jax.data.readers.image_files import ImageForm, read_image
from refvae_jax.data.readers.listing import File, list_splits
from refvae_jax.data.readers.partition import parse, resolve, select
from refvae_jax.data.readers.scan import FACTORS_FILE, scan
from refvae_jax.data.readers.source import Reader, Source, excluded
from refvae_jax.errors import UserError, counted


def open_folder(source: Source) -> Reader:
    """Opens a split of a folder, see `open.open_source`."""
    root = Path(source.data_dir)
    splits = list_splits(root, source.reference_class)
    expression = resolve(source.split, splits, source.hold_out, source.split_by)
    base, parts = parse(expression)
    if base not in splits:
        sizes = ", ".join(f"{name} ({len(files)})" for name, files in splits.items())
        if base == "reference":
            advice = (
                "move the images whose target factors are constant to its subfolder reference and "
                "the others to unlabelled, or set --config.data.reference_class to their class."
            )
        else:
            advice = (
                "name one of them, or set the share of train that validation and test should each "
                "get, such as --config.data.hold_out=0.1."
            )
        raise UserError(f"{root} has no split '{source.split}', but {sizes}: {advice}")
    if base == "train":
        _warn_of_copies(root, splits)
    _warn_of_loose(root, scan(root).digest)
    known = [f for name, files in splits.items() if name != "reference" for f in files]
    names = sorted({file.class_name for file in known})
    label = _labels(splits[base], names)
    kept = np.flatnonzero(~np.isin(label, excluded(source, names)))
    rows = kept[select(label[kept], parts)]
    check_enough(rows, label[kept], source, splits, _place(root, base, splits, source))
    paths = [splits[base][row].path for row in rows]
    factors = no_factors(len(rows))
    if (root / FACTORS_FILE).exists():
        needed, allowed = [file.path for file in known], scan(root).files
        factors = read_factors(root / FACTORS_FILE, paths, needed=needed, allowed=allowed)
    state = scan(root).digest
    channels = look(root, state).channels
    value_range = value_range_of(root, state, source.value_range)
    form = ImageForm((source.resolution, source.resolution, channels), source.crop, value_range)
    return Reader(
        num_channels=channels,
        value_range=value_range,
        label=label[rows],
        class_names=tuple(names),
        factors=factors,
        data_path=str(root),
        batches=lambda: read_each(paths, lambda row: read_image(root / paths[row], form), root),
    )


def _place(root: Path, split: str, splits: dict[str, list[File]], source: Source) -> Path:
    """Where a folder has the images of a split."""
    if "reference" in splits and not source.reference_class:
        return root / {"train": "unlabelled"}.get(split, split)
    return root / split if len(splits.keys() - {"reference"}) > 1 else root


@functools.lru_cache(maxsize=1)  # Once for all splits.
def _warn_of_loose(root: Path, state: str) -> None:
    """Warns of images beside folders of images, which no layout takes; again for a new `state`."""
    del state
    files = scan(root).files
    loose = [path for path in files if "/" not in path]
    if loose and len(loose) < len(files):
        LOGGER.warning(
            f"only the subfolders of {root} are read, not {counted(len(loose), 'image')} beside "
            f"them, such as {loose[0]}: move what is missing into a subfolder"
        )


def _labels(files: list[File], names: list[str]) -> np.ndarray:
    """int32 [N], the index of each file's class among the names, -1 if it is none of them."""
    place = {name: label for label, name in enumerate(names)}
    return np.array([place.get(file.class_name, -1) for file in files], np.int32)


def _warn_of_copies(root: Path, splits: dict[str, list[File]]) -> None:
    """Warns of images of train that are in another split too."""
    for other in sorted(splits.keys() - {"train"}):
        pairs = copies(root, [[f.path for f in splits[name]] for name in ("train", other)])
        if pairs:
            LOGGER.warning(
                f"train and {other} share {counted(len(pairs), 'image')}, such as "
                f"{pairs[0][0]} and {pairs[0][1]}"
            )


def copies(root: Path, sets: list[list[str]]) -> list[tuple[str, str]]:
    """Returns the pairs (path of the first set, path of the second) of files of equal bytes."""
    by_size = [defaultdict(list) for _ in sets]
    for sizes, paths in zip(by_size, sets, strict=True):
        for path in paths:
            with contextlib.suppress(OSError):  # Reported when the image is decoded.
                sizes[os.path.getsize(root / path)].append(path)
    pairs: list[tuple[str, str]] = []
    for size in by_size[0].keys() & by_size[1].keys():
        first = {_hash(root / path): path for path in by_size[0][size]}
        first.pop(None, None)
        for path in by_size[1][size]:
            if twin := first.get(_hash(root / path)):
                pairs.append((twin, path))
    return sorted(pairs)


def _hash(path: Path) -> bytes | None:
    """Hash of the contents; None if they cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
