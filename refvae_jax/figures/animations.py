"""Animations: loops through the codes of images, and along one latent.

    save_gif(walk_frames(model, images, moved="target", steps=12, seed=0), "figures/walk.gif", 12)

Models, images and codes are as in `codes.py`.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from refvae_jax.figures.codes import (
    Drawable,
    check_kept,
    decode_crossed,
    kept_and_moved,
)
from refvae_jax.figures.layout import grid


def animation_makers(
    model: Drawable, images: np.ndarray, *, seed: int
) -> dict[str, Callable[[], np.ndarray]]:
    """Every animation that the model's latents allow, {name: makes frames uint8 [T, H', W', 3]}.

    images: as for `still_makers`; up to 36 are walked through, the first 9 walk themselves.
    """
    walks = min(9, max(1, len(images) // 4))
    makers: dict[str, Callable[[], np.ndarray]] = {
        "interpolation": partial(
            interpolation_frames, model, images[: 4 * walks], steps=12, walks=walks
        )
    }
    for _, moved in kept_and_moved(model):
        makers[moved] = partial(walk_frames, model, images[:9], moved=moved, steps=12, seed=seed)
    return makers


def interpolation_frames(
    model: Drawable, images: np.ndarray, *, steps: int, walks: int = 1
) -> np.ndarray:
    """A loop through the images' mean codes, all latents moving at once: a -> b -> ... -> a.

    images: uint8 [n, H, W, C], n divisible by `walks`: that many loops of n / walks images each
    run side by side. steps: frames from one image to the next; the frame after the last would be
    the first. Returns frames uint8 [n / walks * steps, H', W', 3].
    """
    length = len(images) // walks
    path = {}
    for name, mean in model.means(images).items():
        loops = _closed_path(mean.reshape(walks, length, -1), steps)
        path[name] = loops.reshape(walks * length * steps, -1)
    decoded = model.decode(path)
    return _frames(decoded.reshape(walks, length * steps, *decoded.shape[1:]))


def walk_frames(
    model: Drawable, images: np.ndarray, *, moved: str, steps: int, seed: int, stops: int = 4
) -> np.ndarray:
    """A loop along the `moved` latent: each image keeps its other latents, all walk together.

    images: uint8 [n, H, W, C]. steps: frames from one of the `stops` draws from the prior to the
    next. Returns frames uint8 [stops * steps, H', W', 3]. Raises UserError unless `moved` is one of
    several latents.
    """
    check_kept(model, moved)
    drawn = model.prior_codes(stops, seed)[moved]
    path = {moved: _closed_path(drawn[None], steps)[0]}
    cells = decode_crossed(model, columns=path, rows=model.means(images), kept=moved)
    return _frames(cells)


def _closed_path(stops: np.ndarray, steps: int) -> np.ndarray:
    """Loops through stops [L, S, D], `steps` codes from one to the next: [L, S * steps, D]."""
    # Eased, so that the walk comes to rest at each stop instead of turning a sharp corner there.
    weight = (1 - np.cos(np.pi * np.arange(steps) / steps))[:, None] / 2  # [steps, 1]
    legs = (np.roll(stops, -1, axis=1) - stops)[:, :, None]
    path = stops[:, :, None] + weight * legs  # [L, S, steps, D]
    return path.reshape(len(stops), -1, stops.shape[-1])


def _frames(loops: np.ndarray) -> np.ndarray:
    """Loops side by side, uint8 [L, T, H, W, C], as frames [T, H', W', 3] near to a square."""
    walks, length = loops.shape[:2]
    columns = math.ceil(math.sqrt(walks))
    rows = math.ceil(walks / columns)
    cells = np.zeros((rows * columns, *loops.shape[1:]), np.uint8)
    cells[:walks] = loops
    cells = cells.reshape(rows, columns, *loops.shape[1:])
    empty = (np.arange(rows * columns) >= walks).reshape(rows, columns)
    # Smaller than the still pictures: the file grows with every pixel of every frame.
    return np.stack([grid(cells[:, :, t], empty=empty, max_size=480) for t in range(length)])
