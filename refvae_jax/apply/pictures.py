"""What the verbs draw, written as one picture, an animation or a folder of single images.

out = Out(Path("swap.png"))            # or a folder; UserError for another suffix
draw_each(inputs, draw, out)           # draw: images of a chunk -> Drawn
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refvae_jax.apply.reading import Inputs
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError, counted
from refvae_jax.figures.files import save_gif, save_png
from refvae_jax.figures.layout import grid
from refvae_jax.files import check_writable, is_dir

MOST_SHOWN = 200  # Examples in one picture.
FPS = 12


class Drawn(NamedTuple):
    """The images of b examples."""

    shown: np.ndarray  # uint8 [b, t, H, W, C], a strip per example for one picture.
    made: np.ndarray  # uint8 [b, n, H, W, C], those that the model made, for single files.


class Out:
    """Where pictures go: a file, or a folder if the path has no suffix or is one.

    Args:
      path: as the user wrote it.
      suffixes: of the files that can be written.

    Raises:
      UserError: the path has another suffix.
    """

    def __init__(self, path: Path, suffixes: Sequence[str] = (".png",)) -> None:
        self.path = path
        self.is_folder = is_dir(path) or not path.suffix
        if not self.is_folder and path.suffix.lower() not in suffixes:
            raise UserError(
                f"--out={path} must end in {' or '.join(suffixes)}, or be a folder for single "
                f"pictures."
            )

    def check(self, count: int) -> None:
        """Raises UserError if so many examples do not fit; OSError if nothing can be written."""
        if not self.is_folder and count > MOST_SHOWN:
            raise UserError(
                f"{count} examples are too many for one picture ({MOST_SHOWN} at most): name a "
                f"folder with --out, for single pictures."
            )
        check_writable(self.path / "0.png" if self.is_folder else self.path)

    def write(self, drawn: Iterable[tuple[Sequence[str], Drawn]]) -> None:
        """Writes the pictures of all examples; a folder's as they come, in constant memory.

        Args:
          drawn: (names of the files, without suffix; Drawn) of each chunk.
        """
        if self.is_folder:
            written = sum(_write_each(names, part.made, self.path) for names, part in drawn)
            LOGGER.info(f"wrote {counted(written, 'picture')} to {self.path}")
            return
        strips = np.concatenate([part.shown for _, part in drawn])
        if self.path.suffix.lower() == ".gif":
            save_gif(np.stack(list(there_and_back(strips))), self.path, FPS)
        else:
            save_png(blocks(strips), self.path)
        LOGGER.info(f"wrote {self.path}")


def draw_each(inputs: Inputs, draw: Callable[[np.ndarray], Drawn], out: Out) -> None:
    """Writes what `draw` makes of the inputs' images, uint8 [b, k, H, W, C]."""
    out.check(len(inputs.names))
    out.write((inputs.stems(rows), draw(images)) for rows, images in inputs.chunks())


def _write_each(names: Sequence[str], made: np.ndarray, folder: Path) -> int:
    """Writes single images, uint8 [b, n, H, W, C]; returns how many."""
    for name, images in zip(names, made, strict=True):
        for i, image in enumerate(images):
            number = f"_{i}" if len(images) > 1 else ""
            plain = image[..., 0] if image.shape[-1] == 1 else image
            save_png(plain, folder / f"{name}{number}.png")
    return made.shape[0] * made.shape[1]


def blocks(strips: np.ndarray) -> np.ndarray:
    """Strips, uint8 [N, t, H, W, C], one below the other, in as many blocks as make a square.

    Returns:
      A picture, uint8 [H', W', 3]; an empty column lies between two blocks of several columns.
    """
    count, length, *shape = strips.shape
    gap = int(length > 1)
    columns = max(1, round(math.sqrt(count / (length + gap))))
    rows = math.ceil(count / columns)
    columns = math.ceil(count / rows)
    cells = np.zeros((rows, columns, length + gap, *shape), np.uint8)
    empty = np.ones(cells.shape[:3], bool)
    for i, strip in enumerate(strips):
        cells[i % rows, i // rows, :length] = strip
        empty[i % rows, i // rows, :length] = False
    width = columns * (length + gap) - gap
    cells, empty = cells.reshape(rows, -1, *shape), empty.reshape(rows, -1)
    return grid(cells[:, :width], empty=empty[:, :width])


def there_and_back(strips: np.ndarray) -> Iterator[np.ndarray]:
    """Frames, uint8 [H', W', 3], that show strips [N, t, H, W, C] as loops side by side."""
    count, length, *shape = strips.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, *strips.shape[1:]), np.uint8)
    cells[:count] = strips
    empty = (np.arange(rows * columns) >= count).reshape(rows, columns)
    for t in chain(range(length), range(length - 2, 0, -1)):
        yield grid(cells[:, t].reshape(rows, columns, *shape), empty=empty, max_size=480)
