"""What the headers of a folder's images say: grey or colour, 8 bits or more.

look(root, scan(root).digest).channels                              # 1 or 3
value_range_of(root, scan(root).digest, ("0.1%", "99.9%"))          # (102.0, 3871.0)
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from refvae_jax.console import LOGGER
from refvae_jax.data.readers import value_range
from refvae_jax.data.readers.decode import BAD_IMAGE, in_parallel
from refvae_jax.data.readers.scan import scan
from refvae_jax.errors import UserError, counted

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")


class Looks(NamedTuple):
    """What the headers of the images of a folder say."""

    channels: int  # 1 if all readable images are grey, else 3.
    deep: tuple[str, ...]  # Images of more than 8 bits.
    floats: tuple[str, ...]  # Those of them whose pixels are floats.


@functools.lru_cache(maxsize=1)
def look(root: Path, state: str) -> Looks:
    """Looks at all images of the folder; again for a new `state`."""
    del state
    files = scan(root).files
    modes = list(in_parallel(lambda path: _mode(root / path), files))
    grey = [mode in _GREY_MODES for mode in modes if mode]
    if any(grey) and not all(grey):
        LOGGER.info(f"{sum(grey)} of {len(grey)} images of {root} are grey: all are read as colour")
    mode_of = dict(zip(files, modes, strict=True))
    deep = tuple(path for path, mode in mode_of.items() if value_range.is_deep(mode))
    floats = tuple(path for path in deep if mode_of[path] == "F")
    return Looks(1 if all(grey) else 3, deep, floats)


def _mode(path: Path) -> str:
    """Pillow's mode of an image, by the file's header alone; "" if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.mode
    except BAD_IMAGE:
        return ""


@functools.lru_cache(maxsize=1)
def value_range_of(root: Path, state: str, limits: value_range.Limits) -> value_range.Range:
    """The range of the images of more than 8 bits, the same for all splits of the folder.

    Args:
      root: the folder.
      state: changes with its images.
      limits: data.value_range.

    Raises:
      UserError: there are none, or no range; or some are floats and there are no limits.
    """
    _, deep, floats = look(root, state)
    if not limits:
        if floats:
            raise UserError(
                f"The pixels of {counted(len(floats), 'image')} of {root}, such as {floats[0]}, "
                f"are floats, and which of them are black and white is not known: "
                f"{value_range.ADVICE}."
            )
        if deep:
            LOGGER.warning(
                f"only the upper 8 of 16 bits are used of {counted(len(deep), 'image')} of {root}, "
                f"such as {deep[0]}: if they come out dark, {value_range.ADVICE}."
            )
        return ()
    if not deep:
        raise UserError(
            f"data.value_range is set, but no image of {root} has more than 8 bits: drop it."
        )
    rows = value_range.sampled_rows(len(deep))

    def pixels(row: int) -> np.ndarray:
        try:
            with Image.open(root / deep[row]) as image:
                return value_range.sample(np.asarray(image), row, len(rows))
        except BAD_IMAGE:
            return np.zeros(0)  # Reported when the image is decoded.

    return value_range.resolve(limits, lambda: in_parallel(pixels, rows), root)
