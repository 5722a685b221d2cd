"""Pictures, animations and curves written to files, whole or not at all.

save_png(picture, "figures/images.png")          # uint8 [H, W, 3]
save_gif(frames, "figures/walk.gif", fps=12)     # uint8 [T, H, W, 3]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from refvae_jax.files import atomic


def save_png(image: np.ndarray, path: str | Path) -> None:
    """Writes image, uint8 [H, W, 3], to `path` atomically; creates the folder."""
    with atomic(path) as temporary:
        imageio.imwrite(temporary, image, extension=".png")


def save_gif(frames: np.ndarray, path: str | Path, fps: float) -> None:
    """Writes frames, uint8 [T, H, W, 3], as a GIF that loops forever, atomically.

    fps: frames per second, at most 50 (the format counts hundredths of a second). Equal frames in a
    row are stored once, shown for longer. Creates the folder.
    """
    with atomic(path) as temporary:
        imageio.imwrite(temporary, frames, extension=".gif", duration=1000 / fps, loop=0)


def curve(
    rows: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | Path,
) -> None:
    """Plots scores against epochs to a PNG, written atomically; creates the folder.

    rows: {series: (epochs, scores)}.
    """
    from matplotlib.figure import Figure  # half a second, and only needed here

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in rows.items():
        axes.plot(x, y, marker="o", markersize=3, label=name)
    axes.set(xlabel="epoch", ylabel="score")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")  # beside the axes: it never hides a curve
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
