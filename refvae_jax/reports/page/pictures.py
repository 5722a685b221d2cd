"""Figures and animations of a run, as pictures that are part of the page.

picture = embed(path)   # picture.uri is "data:image/webp;base64,..."

Figures are small images enlarged by a whole factor. Here they are made small again, which loses
nothing, and the browser enlarges them: the page is a fraction of the size of the files.
"""

import base64
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageSequence

from refvae_jax.errors import UserError
from refvae_jax.figures.captions import ORDER, Caption, caption
from refvae_jax.files import is_dir


class Picture(NamedTuple):
    """A picture that needs no file."""

    caption: Caption
    uri: str
    still: str  # URI of its first frame if it moves, for those who asked for less motion; else "".
    width: int  # To show it at, in pixels, as of the file.
    height: int
    enlarged: bool  # From a smaller one: its pixels should stay squares.


def in_order(names: Iterable[str]) -> list[str]:
    """Names of figures, each once, in the order to show them; unknown ones last."""
    found = set(names)
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def embed_all(figures: Path) -> dict[str, Picture]:
    """{name of a file: its Picture} of the figures and animations in a folder, if it is there."""
    names = [path.name for path in figures.iterdir()] if is_dir(figures) else []
    shown = in_order(name for name in names if name.endswith((".png", ".gif")))
    return {name: embed(figures / name, caption(name, shown)) for name in shown}


def embed(path: Path, words: Caption) -> Picture:
    """The Picture of a PNG or GIF.

    Raises:
      UserError: the file is no picture.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        image = Image.open(content)
        pairs = [
            (frame.info.get("duration", 0), np.asarray(frame.convert("RGB")))
            for frame in ImageSequence.Iterator(image)
        ]
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        raise UserError(
            f"{path} is no picture that can be read: draw the figures of that run again, with "
            f"--mode=figures, or remove the file."
        ) from error
    frames = np.stack([pixels for _, pixels in pairs])  # [T, H, W, 3]
    factor = enlargement(frames)
    small = [Image.fromarray(pixels) for pixels in frames[:, ::factor, ::factor]]
    moves = len(small) > 1
    timing = {"save_all": True, "duration": [d for d, _ in pairs], "loop": 0} if moves else {}
    return Picture(
        caption=words,
        uri=_uri(small[0], append_images=small[1:], **timing),
        still=_uri(small[0]) if moves else "",
        width=frames.shape[2],
        height=frames.shape[1],
        enlarged=factor > 1,
    )


def enlargement(frames: np.ndarray) -> int:
    """The largest whole factor by which uint8 [T, H, W, 3] may have been enlarged."""
    count, height, width, channels = frames.shape
    # One axis at a time, which numpy does ten times as fast as several.
    across = (frames[:, 1:] != frames[:, :-1]).reshape(count, height - 1, width * channels)
    along = (frames[:, :, 1:] != frames[:, :, :-1]).reshape(count * height, width - 1, channels)
    rows, columns = across.any(2).any(0), along.any(0).any(1)
    edges = [*(np.flatnonzero(rows) + 1), *(np.flatnonzero(columns) + 1)]
    return math.gcd(height, width, *map(int, edges))


def _uri(image: Image.Image, **options: Any) -> str:
    """The picture as lossless WebP in a data URI."""
    content = io.BytesIO()
    image.save(content, "WEBP", lossless=True, method=2, **options)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
