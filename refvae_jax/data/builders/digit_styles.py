"""The styles of reference MNIST: a digit's outline, drawn with a stroke width, a colour and a size.

style = draw_style("train", row=4, copy=1, resolution=32, max_width=3)
image = transform(edges(digit, 32), *style)  # uint8 [32, 32, 3]
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

_SPLIT_SEEDS = {"train": 0, "test": 1}  # Part of the data set: others need a new VERSION.


class Style(NamedTuple):
    """The target factors of one image, in the units that `transform` takes."""

    k: int  # Side of the dilating square in pixels, 1 or more.
    colour: np.ndarray  # [3] float32, RGB in [0, 1].
    side: int  # Side of the scaled image in pixels, at most the resolution.


def edges(digit: np.ndarray, resolution: int) -> np.ndarray:
    """Enlarges a digit (bilinear) and keeps its outline, the morphological gradient.

    Each pixel becomes the difference of the largest and the smallest of its 3x3 neighbours.

    Args:
      digit: [H, W] uint8.
      resolution: height and width R of the result.

    Returns:
      [R, R] uint8.
    """
    enlarged = Image.fromarray(digit).resize((resolution, resolution), Image.Resampling.BILINEAR)
    return ndimage.morphological_gradient(np.asarray(enlarged), size=(3, 3))


def transform(edge_image: np.ndarray, k: int, colour: np.ndarray, side: int) -> np.ndarray:
    """Draws an outline with its stroke width, colour and size, applied in this order.

    Args:
      edge_image: [R, R] uint8.
      k: side in pixels of the square that dilates the strokes; 1 changes nothing, an even side
        shifts them by half a pixel to the upper left.
      colour: [3] RGB in [0, 1], multiplied with the grey value.
      side: the image is scaled down to side x side pixels, 1 to R (bilinear, antialiased), and
        padded with zeros around.

    Returns:
      [R, R, 3] uint8.
    """
    resolution = len(edge_image)
    wide = ndimage.grey_dilation(edge_image, size=(k, k))
    # Scaling is linear and equal for all channels, so one channel is scaled and then coloured: the
    # same image, rounded once instead of twice.
    grey = Image.fromarray(wide.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    image = np.zeros((resolution, resolution, 3), np.uint8)
    start = (resolution - side) // 2
    inside = slice(start, start + side)
    image[inside, inside] = np.rint(np.asarray(grey)[..., None] * colour)
    return image


def draw_style(split: str, row: int, copy: int, *, resolution: int, max_width: int) -> Style:
    """Draws the style of an image, always the same for the same arguments.

    k is uniform in 1..max_width; the colour uniform in the cube [0, 1]^3 and then divided by its
    norm; the side uniform in [R/2, R], rounded. Colour and size of an image are the same at every
    resolution, but for the rounding.

    Args:
      split: the source's, "train" or "test".
      row: the digit's place in that split.
      copy: number of the digit's image, from 0.
      resolution: height and width R of the image.
      max_width: the largest k.
    """
    # A named bit generator: NumPy may change its default, and this is part of the data set.
    rng = np.random.Generator(np.random.PCG64([_SPLIT_SEEDS[split], row, copy]))
    uniform = rng.random(5)
    colour = uniform[1:4] / np.linalg.norm(uniform[1:4])
    return Style(
        k=1 + int(max_width * uniform[0]),
        colour=colour.astype(np.float32),
        side=round(resolution * (1 + uniform[4]) / 2),
    )


def factors_of(style: Style, resolution: int, max_width: int) -> dict[str, float]:
    """Returns the factors by name, in the ranges of ReferenceMnist's docstring."""
    red, green, blue = style.colour.tolist()
    return {
        "red": red,
        "green": green,
        "blue": blue,
        # Of the rounded side: exactly what the image shows.
        "size": style.side / resolution,
        "width": (style.k - 1) / (max_width - 1),
    }
