"""Images laid out as one picture: arrays in, an array out.

grid(images)                       # images uint8 [R, C, H, W, 1 or 3]
beside({"GM-VAE": a, "ML-VAE": b}) # pictures under their titles
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BACKGROUND = 235  # light, so that black images keep their edges


def grid(
    images: np.ndarray, *, empty: np.ndarray | None = None, pad: int = 2, max_size: int = 1200
) -> np.ndarray:
    """Images laid out as one picture, enlarged so that small images can be looked at.

    images: uint8 [R, C, H, W, 1 or 3]. empty: bool [R, C], cells left as background.
    pad: pixels between the cells and around them, before enlarging.
    max_size: the longer side is enlarged by the largest whole factor that stays within it.
    Returns uint8 [H', W', 3] in 0..255.
    """
    rows, columns, height, width, _ = images.shape
    step_y, step_x = height + pad, width + pad
    picture = np.full((rows * step_y + pad, columns * step_x + pad, 3), BACKGROUND, np.uint8)
    for row, column in np.ndindex(rows, columns):
        if empty is None or not empty[row, column]:
            y, x = pad + row * step_y, pad + column * step_x
            picture[y : y + height, x : x + width] = images[row, column]  # grey becomes RGB
    scale = max(1, max_size // max(picture.shape[:2]))
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def beside(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Pictures of the same height next to each other, each under its title.

    pictures: {title: uint8 [H, W, 3]}. Returns uint8 [H', W', 3].
    """
    height = next(iter(pictures.values())).shape[0]
    size = max(12, height // 30)  # Of the letters, in pixels.
    font = ImageFont.load_default(size=size)
    panels = []
    for title, picture in pictures.items():
        head = Image.new("RGB", (picture.shape[1], 2 * size), (BACKGROUND,) * 3)
        ImageDraw.Draw(head).text((size, size), title, fill="black", font=font, anchor="lm")
        panels.append(np.concatenate([np.asarray(head), picture]))
    return np.concatenate(panels, axis=1)
