"""Decodes image files; skips up to 1 % unreadable ones and reports them.

image = load_image(Path("a.jpg"), "RGB")
for rows, found in read_each(paths, lambda row: np.asarray(load_image(paths[row], "L")), "x"):
    ...
"""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from refvae_jax.console import LOGGER
from refvae_jax.data.readers.value_range import Look, Range, eight_bit
from refvae_jax.errors import UserError

MAX_UNREADABLE = 0.01  # Share of a split's images that may be left out.
# Of one image; a header that claims more is taken for damage. Pillow only warns from here on.
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or math.inf
# What Pillow raises for damaged files: OSError and ValueError, and for damaged EXIF data also
# struct.error, TypeError, AttributeError.
BAD_IMAGE = Exception
_BATCH = 1024  # Images at a time: bounds the memory.
_TASKS = 8  # Of a thread, in a batch.
_NAMED = 5  # Unreadable images named in a message.


def load_image(
    path: Path, mode: str, value_range: Range = (), look: Look | None = None
) -> Image.Image:
    """Decodes the first frame of an image, turned as its EXIF data say; transparent is black.

    Args:
      path: of the file.
      mode: "L" or "RGB".
      value_range: of pixels of more than 8 bits, see `value_range.to_bytes`.
      look: see `value_range.eight_bit`.

    Raises:
      OSError, ValueError and others: it cannot be read.
    """
    with Image.open(path) as file:
        if math.prod(file.size) > MAX_PIXELS:
            raise ValueError("it claims to be {} x {} pixels".format(*file.size))
        image = eight_bit(ImageOps.exif_transpose(file), value_range, look)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image if image.mode == mode else image.convert(mode)


def in_parallel(function: Callable[[Any], Any], items: Sequence | np.ndarray) -> Iterable:
    """Yields function(item) of each of the items, in order, computed in threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), _BATCH):  # Each queued item costs a kilobyte.
            yield from pool.map(function, items[start : start + _BATCH])


def read_where_possible(
    paths: Sequence[str],
    read: Callable[[int], np.ndarray],
    leave_out: Callable[[str], None],
    size: int = _BATCH,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads images in parallel and in order; the next batch while the caller uses one.

    Args:
      paths: of the N images, for `leave_out`.
      read: from the row in [0, N) to the image, uint8 [R, R, C]; an exception leaves it out.
      leave_out: called with the path and the reason of each image that is left out.
      size: images read at a time.

    Yields:
      (int [b], rows that could be read; uint8 [b, R, R, C]), 0 < b <= size.
    """

    def attempt(row: int) -> np.ndarray | str:
        try:
            return read(row)
        except BAD_IMAGE as error:
            return f"{paths[row]} ({_reason(error)})"

    workers = os.cpu_count() or 1
    in_turn = max(1, size // (_TASKS * workers))  # Small images take less time than a task does.
    with ThreadPoolExecutor(workers) as pool:

        def start(first: int) -> tuple[range, Iterator[np.ndarray | str]]:
            rows = range(first, min(first + size, len(paths)))
            tasks = [rows[i : i + in_turn] for i in range(0, len(rows), in_turn)]
            found = pool.map(lambda task: [attempt(row) for row in task], tasks)
            return rows, itertools.chain.from_iterable(found)

        ahead = start(0)
        for first in range(0, len(paths), size):
            (rows, answers), ahead = ahead, start(first + size)
            found = dict(zip(rows, answers, strict=True))
            for answer in found.values():
                if isinstance(answer, str):
                    leave_out(answer)
            good = [row for row, answer in found.items() if not isinstance(answer, str)]
            if good:
                yield np.array(good), np.stack([found[row] for row in good])


def _reason(error: Exception) -> str:
    """Why an image cannot be read, without its path."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def read_each(
    paths: Sequence[str], read: Callable[[int], np.ndarray], where: str | Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `read_where_possible`; warns of unreadable ones at the end.

    Args:
      paths: of the N images, for messages.
      read: from the row in [0, N) to the image, uint8 [R, R, C]; an exception leaves it out.
      where: the images' place, for messages.

    Yields:
      (int [b], rows that could be read; uint8 [b, R, R, C]), b > 0 and bounded.

    Raises:
      UserError: more than MAX_UNREADABLE of them cannot be read.
    """
    bad: list[str] = []

    def leave_out(image: str) -> None:
        bad.append(image)
        if len(bad) > math.ceil(MAX_UNREADABLE * len(paths)):
            raise UserError(
                f"At least {len(bad)} of {len(paths)} images of {where} cannot be read, more than "
                f"one in a hundred: fix or remove them. {some_of(bad)}"
            )

    yield from read_where_possible(paths, read, leave_out)
    if bad:
        LOGGER.warning(
            f"{len(bad)} of {len(paths)} images of {where} cannot be read and are left out: "
            f"{some_of(bad)}"
        )


def some_of(bad: Sequence[str]) -> str:
    """The first few of the images that were left out, for a message."""
    return "; ".join(bad[:_NAMED])
