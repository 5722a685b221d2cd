"""Grids, curves, and the files they are written to: arrays in, nothing of a model.

save_png(grid(images), "figures/images.png")     # images uint8 [R, C, H, W, 1 or 3]
save_gif(frames, "figures/walk.gif", fps=12)
"""

import contextlib
import os
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

BACKGROUND = 235  # light, so that black images keep their edges


def grid(images, *, empty=None, pad=2, max_size=1200):
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


def beside(pictures):
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


def save_png(image, path):
    """Writes image, uint8 [H, W, 3], to `path` atomically; creates the folder."""
    with _atomic(path) as temporary:
        imageio.imwrite(temporary, image, extension=".png")


def save_gif(frames, path, fps):
    """Writes frames, uint8 [T, H, W, 3], as a GIF that loops for ever, atomically.

    fps: frames a second, at most 50 (the format counts hundredths of a second). Equal frames in a
    row are stored once, shown for longer. Creates the folder.
    """
    with _atomic(path) as temporary:
        imageio.imwrite(temporary, frames, extension=".gif", duration=1000 / fps, loop=0)


def curve(rows, path, *, lines=None, x_label="epoch", y_label="score"):
    """Plots scores against epochs to a PNG, written atomically; creates the folder.

    rows: {series: (x list, y list)}. lines: {name: value}, levels such as chance.
    """
    from matplotlib.figure import Figure  # half a second, and only needed here

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in rows.items():
        axes.plot(x, y, marker="o", markersize=3, label=name)
    for index, (name, value) in enumerate((lines or {}).items()):
        style = ("--", ":", "-.")[index % 3]
        axes.axhline(value, color="0.35", linestyle=style, linewidth=1.2, label=f"{name} {value:g}")
    axes.margins(y=0.05)  # again: a line just inside the curves' margin would lie on the frame
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")  # beside the axes: it never hides a curve
    with _atomic(path) as temporary:
        figure.savefig(temporary, format="png")


@contextlib.contextmanager
def _atomic(path):
    """Yields a temporary path beside `path`, which takes its place only if all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
