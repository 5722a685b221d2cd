"""Brings an image to the size that a network sees.

`crop` is the side of the centred square that is cut out and resized to the resolution, antialiased:
WHOLE takes the largest square, PAD does not resize but pads with zeros around the centre.
"""

import numpy as np
from PIL import Image

WHOLE, PAD = -1, 0
_LARGEST_PADDED = 256  # Pixels; networks for larger images are no advice.


def advice_for(largest: int) -> str:
    """What to set where PAD is asked for and an image has `largest` pixels, more than fit."""
    advice = "set --config.data.crop=-1 to resize the largest square of each image"
    if largest > _LARGEST_PADDED:
        return advice
    size = max(8, 1 << (largest - 1).bit_length())  # Networks of every method make 8, 16, 32, ...
    return f"{advice}, or --config.data.resolution={size} to pad"


def fit(image: Image.Image, crop: int, resolution: int) -> np.ndarray:
    """Cuts out the centred square and resizes it, or pads.

    Args:
      image: of mode "L" or "RGB".
      crop: side of the square in pixels (a smaller image gives its largest square), WHOLE or PAD.
      resolution: height and width R of the result.

    Returns:
      uint8 [R, R, 1 or 3].

    Raises:
      ValueError: if an image that is to be padded is larger than the resolution.
    """
    width, height = image.size
    if crop == PAD:
        if max(image.size) > resolution:
            raise ValueError(f"{width} x {height} pixels: {advice_for(max(image.size))}")
        canvas = Image.new(image.mode, (resolution, resolution))
        canvas.paste(image, ((resolution - width) // 2, (resolution - height) // 2))
        return np.asarray(canvas).reshape(resolution, resolution, -1)
    side = min(width, height) if crop == WHOLE else min(width, height, crop)
    if (width, height) != (side, side):
        left, upper = (width - side) // 2, (height - side) // 2
        image = image.crop((left, upper, left + side, upper + side))
    if side != resolution:
        # Pillow widens its bilinear filter when it makes an image smaller: the antialiasing.
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(resolution, resolution, -1)
