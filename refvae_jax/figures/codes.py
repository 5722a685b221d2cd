"""Codes that the figures decode: means, crossed pairs, draws from a fitted aggregate.

Nothing here knows jax. Images are uint8 in 0..255, codes float arrays [N, D].
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from refvae_jax.errors import UserError
from refvae_jax.methods.base import COUNTERPART

Codes = Mapping[str, np.ndarray]  # {latent: [N, D]}


class Drawable(Protocol):
    """The part of `inference.Model` that the figures need."""

    latent_names: tuple[str, ...]

    def means(self, images: np.ndarray) -> Codes:
        """The posterior means of uint8 [N, H, W, C]."""
        ...

    def decode(self, codes: Codes) -> np.ndarray:
        """Images of codes, uint8 [N, H, W, C]."""
        ...

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """The decoded posterior means."""
        ...

    def prior_codes(self, n: int, seed: int) -> Codes:
        """n codes from the prior."""
        ...


def kept_and_moved(model: Drawable) -> list[tuple[str, str]]:
    """The model's pair of latents, [(what a swap keeps, what it exchanges)], or []."""
    return [pair for pair in COUNTERPART.items() if pair[0] in model.latent_names]


def check_kept(model: Drawable, kept: str) -> None:
    """Raises UserError unless `kept` is one of several latents."""
    names = ", ".join(model.latent_names)
    if len(model.latent_names) < 2:
        raise UserError(f"Swapping needs two latents, but this model has only {names}.")
    if kept not in model.latent_names:
        raise UserError(f"There is no latent {kept!r} to keep fixed; this model has {names}.")


def decode_crossed(model: Drawable, *, columns: Codes, rows: Codes, kept: str) -> np.ndarray:
    """Decodes every pair of a column's `kept` code and a row's other codes: [R, C, H, W, Ch]."""
    n_columns, n_rows = len(columns[kept]), len(rows[kept])
    codes = {
        name: np.tile(columns[name], (n_rows, 1))  # the same down a column
        if name == kept
        else np.repeat(rows[name], n_columns, axis=0)  # the same along a row
        for name in model.latent_names
    }
    images = model.decode(codes)
    return images.reshape(n_rows, n_columns, *images.shape[1:])


def aggregate_codes(codes: Codes, n: int, seed: int) -> Codes:
    """Draws codes from one full-covariance Gaussian fitted to all latents' codes jointly.

    The codes of a trained model need not fill N(0, I), nor be independent between the latents;
    this follows them where the prior does not.

    codes: {name: [N, D]} of the training images, posterior means or samples, N at least 2.
    Returns {name: float32 [n, D]}.
    """
    joint = np.concatenate(list(codes.values()), axis=1, dtype=np.float64)  # [N, sum D]
    covariance = np.atleast_2d(np.cov(joint, rowvar=False))
    rng = np.random.default_rng(seed)
    # A collapsed dimension makes the covariance singular: eigh can handle that, Cholesky cannot.
    drawn = rng.multivariate_normal(joint.mean(axis=0), covariance, n, method="eigh")
    ends = np.cumsum([c.shape[1] for c in codes.values()])[:-1]
    parts = np.split(drawn.astype(np.float32), ends, axis=1)
    return dict(zip(codes, parts, strict=True))
