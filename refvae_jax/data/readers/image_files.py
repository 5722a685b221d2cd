"""Image files as a network sees them, and the ones that a user names.

form = ImageForm((64, 64, 3), crop=resize.WHOLE)
read_image(Path("a.tif"), form)               # uint8 [64, 64, 3]
find_images(["a.tif", "pictures/", "*.png"])  # [Path("a.tif"), ...]
"""

import functools
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.data.readers import bucket_folder, resize
from refvae_jax.data.readers.brightness import Doubts
from refvae_jax.data.readers.decode import load_image, read_where_possible, some_of
from refvae_jax.data.readers.scan import SUFFIXES, scan
from refvae_jax.data.readers.value_range import Range
from refvae_jax.errors import UserError
from refvae_jax.files import cache_folder, user_path

MODES = {1: "L", 3: "RGB"}  # Of Pillow, by number of channels.


class ImageForm(NamedTuple):
    """What an image is made into before a network sees it."""

    shape: tuple[int, int, int]  # (H, W, C), H = W, C = 1 or 3.
    crop: int  # See `resize.fit`.
    value_range: Range = ()  # Of pixels of more than 8 bits, see `value_range.to_bytes`.


def read_image(path: Path, form: ImageForm) -> np.ndarray:
    """Decodes an image and brings it to size.

    Returns:
      uint8 [H, W, C].

    Raises:
      OSError, ValueError and others: it cannot be read, or is too large to be padded.
    """
    side, _, channels = form.shape
    return resize.fit(load_image(path, MODES[channels], form.value_range), form.crop, side)


def read_any(path: Path, form: ImageForm, doubts: Doubts) -> np.ndarray:
    """As `read_image`; of an image too large to be padded, it resizes the largest square.

    The `doubts` look at it if it has more than 8 bits.
    """
    side, _, channels = form.shape
    look = functools.partial(doubts.look, path)
    image = load_image(path, MODES[channels], form.value_range, look)
    crop = form.crop
    if crop == resize.PAD and max(image.size) > side:
        _warn_of_large(side)
        crop = resize.WHOLE
    return resize.fit(image, crop, side)


@functools.cache  # Once per process.
def _warn_of_large(side: int) -> None:
    LOGGER.warning(
        f"the model saw images of up to {side} x {side} pixels, padded where smaller: of larger "
        f"ones the largest centred square is resized"
    )


def read_all(paths: Sequence[Path], form: ImageForm) -> np.ndarray:
    """The images of all paths by `read_any`, in parallel: uint8 [N, H, W, C].

    Warns of those of more than 8 bits that may come out black or white, see `Doubts`.

    Raises:
      UserError: some cannot be read.
    """
    bad: list[str] = []
    doubts = Doubts(form.value_range)
    names = [str(path) for path in paths]
    chunks = read_where_possible(names, lambda row: read_any(paths[row], form, doubts), bad.append)
    images = [found for _, found in chunks]
    if bad:
        raise UserError(f"{len(bad)} of {len(paths)} images cannot be read: {some_of(bad)}")
    doubts.warn()
    return np.concatenate(images)


def find_images(places: Sequence[str | Path]) -> list[Path]:
    """The images that a user names: files as given, then those of a folder or pattern, sorted.

    Args:
      places: files, folders (with all that is below), patterns such as `pictures/**/*.png`, and
        folders in a bucket, which are fetched: their paths are those of the copies.

    Raises:
      UserError: one of them holds no image.
    """
    return [path for place in places for path in _images_of(user_path(place))]


def _images_of(place: Path) -> list[Path]:
    if is_bucket(place):
        place = bucket_folder.fetch(str(place), cache_folder("data") / bucket_folder.FETCHED)
    if place.is_dir():
        found = [place / name for name in scan(place).files]
    elif place.is_file():
        return [place]
    else:
        matches = sorted(map(Path, glob.glob(str(place), recursive=True)))
        found = [path for path in matches if path.is_file() and path.suffix.lower() in SUFFIXES]
    if not found:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise UserError(
            f"No images match {place}: name files, folders or patterns of images ({kinds})."
        )
    return found
