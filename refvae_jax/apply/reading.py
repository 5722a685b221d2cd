"""The images that a verb is applied to, in chunks: memory is constant for any number of files.

inputs = Inputs(model, find_images(["pictures/"]))
for rows, images in inputs.chunks(): ...     # the next chunk is decoded meanwhile
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from refvae_jax.console import LOGGER, progress_bar
from refvae_jax.data.readers.brightness import Doubts
from refvae_jax.data.readers.decode import read_where_possible, some_of
from refvae_jax.data.readers.image_files import find_images, read_any
from refvae_jax.errors import UserError, counted
from refvae_jax.model import CHUNK, Model

_LONGEST = 60  # Letters of a stem that enter the name of a file.


class Inputs:
    """N examples of k images each, read as the model sees them.

    Attributes:
      names: of the examples, for messages: a path, or paths.
      count_read: examples that could be read so far.

    Args:
      model: says how images are cropped and resized.
      *columns: k lists of N paths.
    """

    def __init__(self, model: Model, *columns: list[Path]) -> None:
        self._form, self._columns = model.form, columns
        self.names = [" with ".join(map(str, paths)) for paths in zip(*columns, strict=True)]
        self.count_read = 0
        self._doubts = Doubts(model.form.value_range)

    def _read(self, row: int) -> np.ndarray:
        return np.stack([read_any(paths[row], self._form, self._doubts) for paths in self._columns])

    def stems(self, rows: Iterable[int]) -> list[str]:
        """Names of files for some examples: the row, then the stems of its images."""
        return [
            "_".join([f"{row:05}", *(paths[row].stem[:_LONGEST] for paths in self._columns)])
            for row in rows
        ]

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Reads all examples once, each chunk while the one before is used.

        Skips what cannot be read. Warnings at the end name and count these, and the images of more
        than 8 bits that may come out black or white.

        Yields:
          (int [b], rows that could be read; uint8 [b, k, H, W, C]), 0 < b <= CHUNK.

        Raises:
          UserError: none of the images can be read.
        """
        bad: list[str] = []
        with progress_bar(len(self.names), "Applying the model") as bar:
            for rows, images in read_where_possible(self.names, self._read, bad.append, CHUNK):
                self.count_read += len(rows)
                yield rows, images
                bar.update(len(rows))
        total = len(self.names)
        if len(bad) == total:
            raise UserError(f"{counted(total, 'image')} given, none can be read: {some_of(bad)}")
        if bad:
            LOGGER.warning(
                f"{len(bad)} of {total} images cannot be read and are skipped: {some_of(bad)}"
            )
        self._doubts.warn()


def pairs(a: str, b: str) -> tuple[list[Path], list[Path]]:
    """The paths that A and B name, as many of each: a single one goes with each of the other.

    Raises:
      UserError: they name different numbers of images, and neither a single one.
    """
    first, second = find_images([a]), find_images([b])
    count = max(len(first), len(second))
    if {len(first), len(second)} - {1, count}:
        raise UserError(
            f"{a} has {len(first)} images and {b} has {len(second)}: name as many of each, or a "
            f"single image on one side."
        )
    return _repeated(first, count), _repeated(second, count)


def _repeated(paths: list[Path], count: int) -> list[Path]:
    return paths * (count // len(paths))
