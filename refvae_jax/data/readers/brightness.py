"""Images of more than 8 bits that a trained model may see black or white.

doubts = Doubts(form.value_range)
doubts.look(path, pixels)  # Of each image, from any thread and in any order.
doubts.warn()              # At the end, of all of them.
"""

from pathlib import Path

import numpy as np

from refvae_jax.console import LOGGER
from refvae_jax.data.readers.value_range import Range
from refvae_jax.errors import counted


class Doubts:
    """Gathers the images that do not fit the values a model was trained with.

    Without a value range these are all images of more than 8 bits; with one, those of more than 8
    bits that are `mostly_outside`.

    Args:
      value_range: that of the training images, as of `ImageForm`.
    """

    def __init__(self, value_range: Range) -> None:
        self._range = value_range
        self._paths: set[str] = set()  # A file that is read again counts once.

    def look(self, path: Path, pixels: np.ndarray) -> None:
        """Notes an image of more than 8 bits if it is in doubt."""
        if not self._range or mostly_outside(pixels, self._range):
            self._paths.add(str(path))

    def warn(self) -> None:
        """Warns once of all images noted, if there are any."""
        if not self._paths:
            return
        images, first = counted(len(self._paths), "image"), min(self._paths)
        if self._range:
            LOGGER.warning(
                "more than half of the pixels of {}, such as {}, are outside of {:g} to {:g}, the "
                "values that the model was trained with, and become black or white: scale them to "
                "these values first".format(images, first, *self._range)
            )
        else:
            LOGGER.warning(
                f"the model was trained without data.value_range, so only the upper 8 of 16 bits "
                f"are used of {images}, such as {first}: if they come out dark, save them with 8 "
                f"bits first"
            )


def mostly_outside(pixels: np.ndarray, value_range: Range) -> bool:
    """Whether more than half of the pixels are below or above (low, high)."""
    low, high = value_range
    return bool(2 * np.count_nonzero((pixels < low) | (pixels > high)) > pixels.size)
