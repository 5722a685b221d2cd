"""The papers' still figures: swaps, interpolations, conditional synthesis, samples.

    model = refvae_jax.load(workdir)
    save_png(swap_grid(model, images, kept="content"), "figures/swaps.png")

Models, images and codes are as in `codes.py`. Figure numbers are those of the two papers: the
mixture paper (GM-VAE), whose latents are content and style, and the reference paper (Rb-VAE), whose
latents are common and target.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refvae_jax.errors import UserError
from refvae_jax.figures.codes import (
    Codes,
    Drawable,
    aggregate_codes,
    check_kept,
    decode_crossed,
    kept_and_moved,
)
from refvae_jax.figures.layout import grid


def swap_grid(model: Drawable, images: np.ndarray, *, kept: str) -> np.ndarray:
    """GM-VAE Figure 1, Rb-VAE Figure 5: the `kept` latent fixed down a column, others along a row.

    The first row and column are the images, the second their reconstructions; cell (i, j) of the
    rest has the `kept` latent of image j, at the top, and the others of image i, at the left.

    images: uint8 [n, H, W, C]. Returns a picture uint8 [H', W', 3] of n + 2 by n + 2 cells, the
    upper left two by two of them empty. Raises UserError unless `kept` is one of several latents.
    """
    check_kept(model, kept)
    codes, recon = model.means(images), model.reconstruct(images)
    size = len(images) + 2
    cells = np.zeros((size, size, *images.shape[1:]), np.uint8)
    cells[0, 2:] = cells[2:, 0] = images
    cells[1, 2:] = cells[2:, 1] = recon
    cells[2:, 2:] = decode_crossed(model, columns=codes, rows=codes, kept=kept)
    empty = np.zeros((size, size), bool)
    empty[:2, :2] = True
    return grid(cells, empty=empty)


def interpolation_grid(
    model: Drawable, a: np.ndarray, b: np.ndarray, *, n: int, kept: str = "content"
) -> np.ndarray:
    """GM-VAE Figure 5, left: two-way interpolation between the posterior means of two images.

    The `kept` latent goes from a's to b's over the columns, so it is fixed down a column; the
    others go from a's to b's over the rows. Upper left is the reconstruction of a, lower right
    that of b; upper right has b's `kept` latent with the rest of a.

    a, b: uint8 [H, W, C]. n: cells per side, at least 2. Returns a picture uint8 [H', W', 3].
    Raises UserError unless `kept` is one of several latents.
    """
    check_kept(model, kept)
    weight = np.linspace(0.0, 1.0, n)[:, None]
    means = model.means(np.stack([a, b]))
    line = {name: (1 - weight) * m[0] + weight * m[1] for name, m in means.items()}  # [n, D]
    return grid(decode_crossed(model, columns=line, rows=line, kept=kept))


def sample_grid(model: Drawable, latents: Codes, *, rows: int) -> np.ndarray:
    """GM-VAE Figure 5, right: decoded samples, row by row.

    latents: {name: [rows * columns, D]}, as a model's `prior_codes` or `aggregate_codes` give them.
    Returns a picture uint8 [H', W', 3].
    """
    images = model.decode(latents)
    return grid(images.reshape(rows, -1, *images.shape[1:]))


def synthesis_grid(
    model: Drawable, images: np.ndarray, *, moved: str, n: int, seed: int
) -> np.ndarray:
    """Rb-VAE Figure 4, conditional synthesis: one row per image, its `moved` latent drawn anew.

    images: uint8 [N, H, W, C]. The first column is the image, the second its reconstruction, the n
    others keep every latent but `moved`, whose draws from the prior are the same in every row.
    Returns a picture uint8 [H', W', 3] of N by n + 2 cells. Raises UserError unless `moved` is one
    of several latents.
    """
    check_kept(model, moved)
    drawn = {moved: model.prior_codes(n, seed)[moved]}
    generated = decode_crossed(model, columns=drawn, rows=model.means(images), kept=moved)
    recon = model.reconstruct(images)
    return grid(np.concatenate([images[:, None], recon[:, None], generated], axis=1))


def crossed_sample_grid(
    model: Drawable, *, kept: str, rows: int, columns: int, seed: int
) -> np.ndarray:
    """Rb-VAE Figure 10: samples from the prior, one target per row across many common codes.

    Each column has one draw of the `kept` latent, each row one of the others. Returns a picture
    uint8 [H', W', 3]. Raises UserError unless `kept` is one of several latents.
    """
    check_kept(model, kept)
    drawn = model.prior_codes(rows + columns, seed)
    across = {kept: drawn[kept][:columns]}
    down = {name: codes[columns:] for name, codes in drawn.items()}
    return grid(decode_crossed(model, columns=across, rows=down, kept=kept))


def still_pictures(
    model: Drawable, images: np.ndarray, train_codes: Codes, *, seed: int
) -> dict[str, np.ndarray]:
    """What `still_makers` make, {name: picture uint8 [H', W', 3]}."""
    makers = still_makers(model, images, train_codes, seed=seed)
    return {name: make() for name, make in makers.items()}


def still_makers(
    model: Drawable, images: np.ndarray, train_codes: Codes, *, seed: int
) -> dict[str, Callable[[], np.ndarray]]:
    """Every still figure that the model's latents allow, {name: makes it, uint8 [H', W', 3]}.

    images: uint8 [N, H, W, C], test images; the first 10 are swapped, and the first of them and
    the one least like it interpolated. N at least 2; neighbours should differ in content.
    train_codes: {name: [N', D]} of the training images, for the aggregate. Raises UserError if
    there are too few images.
    """
    if len(images) < 2:
        raise UserError(f"The figures need at least 2 test images, but there is {len(images)}.")
    first, ends = images[:10], (images[0], least_like(images[0], images[1:10]))
    makers: dict[str, Callable[[], np.ndarray]] = {
        "samples_prior": lambda: sample_grid(model, model.prior_codes(100, seed), rows=10),
        "samples_aggregate": lambda: sample_grid(
            model, aggregate_codes(train_codes, 100, seed), rows=10
        ),
    }
    for kept, moved in kept_and_moved(model):
        makers |= {
            "swaps": partial(swap_grid, model, first, kept=kept),
            "interpolation": partial(interpolation_grid, model, *ends, n=10, kept=kept),
            "synthesis": partial(synthesis_grid, model, first, moved=moved, n=8, seed=seed),
            "samples_crossed": partial(
                crossed_sample_grid, model, kept=kept, rows=10, columns=10, seed=seed
            ),
        }
    return makers


def least_like(image: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The one of `others`, uint8 [N, H, W, C], whose pixels are farthest from those of `image`."""
    distance = np.square(others.astype(float) - image).mean(axis=(1, 2, 3))
    return others[distance.argmax()]
