"""Codes that the figures decode: means, crossed pairs, draws from a fitted aggregate.

A model is anything with the names of the inference contract (`latent_names`, `encode`, `decode`,
`reconstruct`, `prior_codes`); nothing here knows jax. Images are uint8 in 0..255, codes float
arrays [N, D].
"""

import numpy as np

from refvae_jax.errors import UserError
from refvae_jax.methods.base import COUNTERPART


def kept_and_moved(model):
    """The model's pair of latents, [(what a swap keeps, what it exchanges)], or []."""
    return [pair for pair in COUNTERPART.items() if pair[0] in model.latent_names]


def check_kept(model, kept):
    """Raises UserError unless `kept` is one of several latents."""
    names = ", ".join(model.latent_names)
    if len(model.latent_names) < 2:
        raise UserError(f"Swapping needs two latents, but this model has only {names}.")
    if kept not in model.latent_names:
        raise UserError(f"There is no latent {kept!r} to keep fixed; this model has {names}.")


def mean_codes(model, images):
    """The posterior means of uint8 [N, H, W, C]: {name: [N, D]}."""
    return {name: np.asarray(gaussian.mean) for name, gaussian in model.encode(images).items()}


def decode_crossed(model, *, columns, rows, kept):
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


def aggregate_codes(codes, n, seed):
    """Draws codes from one full-covariance Gaussian fitted to all latents' codes jointly.

    The codes of a trained model need not fill N(0, I), nor be independent between the latents;
    this follows them where the prior does not.

    codes: {name: [N, D]} of the training images, posterior means or samples, N at least 2.
    Returns {name: float32 [n, D]}.
    """
    joint = np.concatenate(list(codes.values()), axis=1, dtype=np.float64)  # [N, sum D]
    covariance = np.atleast_2d(np.cov(joint, rowvar=False))
    rng = np.random.default_rng(seed)
    # A collapsed dimension makes the covariance singular, which eigh bears and Cholesky does not.
    drawn = rng.multivariate_normal(joint.mean(axis=0), covariance, n, method="eigh")
    ends = np.cumsum([c.shape[1] for c in codes.values()])[:-1]
    parts = np.split(drawn.astype(np.float32), ends, axis=1)
    return dict(zip(codes, parts, strict=True))
