"""What a model draws: swaps, interpolations, conditional synthesis, samples, animations.

    model = refvae_jax.load(workdir)
    save_png(swap_grid(model, images, kept="content"), "figures/swaps.png")
    save_gif(walk_frames(model, images, moved="target", steps=12, seed=0), "figures/walk.gif", 12)

A model is anything with the names of the inference contract (`latent_names`, `encode`, `decode`,
`reconstruct`, `prior_codes`); nothing here knows jax. Images are uint8 in 0..255, codes float
arrays [N, D]. Figure numbers are those of the two papers: the mixture paper (GM-VAE), whose latents
are content and style, and the reference paper (Rb-VAE), whose latents are common and target.
"""

import math
from pathlib import Path

import numpy as np

from refvae_jax.errors import UserError
from refvae_jax.figures import grid, save_gif, save_png
from refvae_jax.methods.base import OTHER


def swap_grid(model, images, *, kept):
    """GM-VAE Figure 1, Rb-VAE Figure 5: the `kept` latent fixed down a column, others along a row.

    The first row and column are the images, the second their reconstructions; cell (i, j) of the
    rest has the `kept` latent of image j, at the top, and the others of image i, at the left.

    images: uint8 [n, H, W, C]. Returns a picture uint8 [H', W', 3] of n + 2 by n + 2 cells, the
    upper left two by two of them empty. Raises UserError unless `kept` is one of several latents.
    """
    _check_kept(model, kept)
    codes, recon = _mean_codes(model, images), model.reconstruct(images)
    size = len(images) + 2
    cells = np.zeros((size, size, *images.shape[1:]), np.uint8)
    cells[0, 2:] = cells[2:, 0] = images
    cells[1, 2:] = cells[2:, 1] = recon
    cells[2:, 2:] = _decode_crossed(model, columns=codes, rows=codes, kept=kept)
    empty = np.zeros((size, size), bool)
    empty[:2, :2] = True
    return grid(cells, empty=empty)


def interpolation_grid(model, a, b, *, n, kept="content"):
    """GM-VAE Figure 5, left: two-way interpolation between the posterior means of two images.

    The `kept` latent goes from a's to b's over the columns, so it is fixed down a column; the
    others go from a's to b's over the rows. Upper left is the reconstruction of a, lower right
    that of b; upper right has b's `kept` latent with the rest of a.

    a, b: uint8 [H, W, C]. n: cells a side, at least 2. Returns a picture uint8 [H', W', 3].
    Raises UserError unless `kept` is one of several latents.
    """
    _check_kept(model, kept)
    weight = np.linspace(0.0, 1.0, n)[:, None]
    means = _mean_codes(model, np.stack([a, b]))
    line = {name: (1 - weight) * m[0] + weight * m[1] for name, m in means.items()}  # [n, D]
    return grid(_decode_crossed(model, columns=line, rows=line, kept=kept))


def sample_grid(model, latents, *, rows):
    """GM-VAE Figure 5, right: decoded samples, row by row.

    latents: {name: [rows * columns, D]}, as a model's `prior_codes` or `aggregate_codes` give them.
    Returns a picture uint8 [H', W', 3].
    """
    images = model.decode(latents)
    return grid(images.reshape(rows, -1, *images.shape[1:]))


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


def interpolation_frames(model, images, *, steps, walks=1):
    """A loop through the images' mean codes, all latents moving at once: a -> b -> ... -> a.

    images: uint8 [n, H, W, C], n divisible by `walks`: that many loops of n / walks images each
    run side by side. steps: frames from one image to the next; the frame after the last would be
    the first. Returns frames uint8 [n / walks * steps, H', W', 3].
    """
    length = len(images) // walks
    path = {}
    for name, mean in _mean_codes(model, images).items():
        loops = _closed_path(mean.reshape(walks, length, -1), steps)
        path[name] = loops.reshape(walks * length * steps, -1)
    decoded = model.decode(path)
    return _frames(decoded.reshape(walks, length * steps, *decoded.shape[1:]))


def synthesis_grid(model, images, *, moved, n, seed):
    """Rb-VAE Figure 4, conditional synthesis: one row an image, its `moved` latent drawn anew.

    images: uint8 [N, H, W, C]. The first column is the image, the second its reconstruction, the n
    others keep every latent but `moved`, whose draws from the prior are the same in every row.
    Returns a picture uint8 [H', W', 3] of N by n + 2 cells. Raises UserError unless `moved` is one
    of several latents.
    """
    _check_kept(model, moved)
    drawn = {moved: model.prior_codes(n, seed)[moved]}
    made = _decode_crossed(model, columns=drawn, rows=_mean_codes(model, images), kept=moved)
    recon = model.reconstruct(images)
    return grid(np.concatenate([images[:, None], recon[:, None], made], axis=1))


def crossed_sample_grid(model, *, kept, rows, columns, seed):
    """Rb-VAE Figure 10: samples from the prior, one target a row across many common codes.

    Each column has one draw of the `kept` latent, each row one of the others. Returns a picture
    uint8 [H', W', 3]. Raises UserError unless `kept` is one of several latents.
    """
    _check_kept(model, kept)
    drawn = model.prior_codes(rows + columns, seed)
    across = {kept: drawn[kept][:columns]}
    down = {name: codes[columns:] for name, codes in drawn.items()}
    return grid(_decode_crossed(model, columns=across, rows=down, kept=kept))


def walk_frames(model, images, *, moved, steps, seed, stops=4):
    """A loop along the `moved` latent: each image keeps its other latents, all walk together.

    images: uint8 [n, H, W, C]. steps: frames from one of the `stops` draws from the prior to the
    next. Returns frames uint8 [stops * steps, H', W', 3]. Raises UserError unless `moved` is one of
    several latents.
    """
    _check_kept(model, moved)
    drawn = model.prior_codes(stops, seed)[moved]
    path = {moved: _closed_path(drawn[None], steps)[0]}
    cells = _decode_crossed(model, columns=path, rows=_mean_codes(model, images), kept=moved)
    return _frames(cells)


def still_pictures(model, images, train_codes, *, seed):
    """Every still figure that the model's latents allow, {name: picture uint8 [H', W', 3]}.

    images: uint8 [N, H, W, C], test images; the first 10 are swapped, and the first of them and
    the one least like it interpolated. N at least 2; neighbours should differ in content.
    train_codes: {name: [N', D]} of the training images, for the aggregate. Raises UserError if
    there are too few images.
    """
    if len(images) < 2:
        raise UserError(f"The figures need at least 2 test images, but there is {len(images)}.")
    pictures = {
        "samples_prior": sample_grid(model, model.prior_codes(100, seed), rows=10),
        "samples_aggregate": sample_grid(model, aggregate_codes(train_codes, 100, seed), rows=10),
    }
    ends = images[0], least_like(images[0], images[1:10])
    for kept, moved in _kept_and_moved(model):
        pictures |= {
            "swaps": swap_grid(model, images[:10], kept=kept),
            "interpolation": interpolation_grid(model, *ends, n=10, kept=kept),
            "synthesis": synthesis_grid(model, images[:10], moved=moved, n=8, seed=seed),
            "samples_crossed": crossed_sample_grid(
                model, kept=kept, rows=10, columns=10, seed=seed
            ),
        }
    return pictures


def least_like(image, others):
    """The one of `others`, uint8 [N, H, W, C], whose pixels are farthest from those of `image`."""
    distance = np.square(others.astype(float) - image).mean(axis=(1, 2, 3))
    return others[distance.argmax()]


def animations(model, images, *, seed):
    """Every animation that the model's latents allow, {name: frames uint8 [T, H', W', 3]}.

    images: as for `still_pictures`; up to 36 are walked through, the first 9 walk themselves.
    """
    walks = min(9, max(1, len(images) // 4))
    loops = {
        "interpolation": interpolation_frames(model, images[: 4 * walks], steps=12, walks=walks)
    }
    for _, moved in _kept_and_moved(model):
        loops[moved] = walk_frames(model, images[:9], moved=moved, steps=12, seed=seed)
    return loops


def draw_figures(model, images, train_codes, folder, *, seed):
    """Writes the `still_pictures` and the `animations` into a folder; returns their paths."""
    stills = still_pictures(model, images, train_codes, seed=seed)
    loops = animations(model, images, seed=seed)
    for name, picture in stills.items():
        save_png(picture, Path(folder, f"{name}.png"))
    for name, frames in loops.items():
        save_gif(frames, Path(folder, f"{name}.gif"), fps=12)
    names = [f"{name}.png" for name in stills] + [f"{name}.gif" for name in loops]
    return [Path(folder, name) for name in names]


def _kept_and_moved(model):
    """The model's pair of latents, [(what a swap keeps, what it exchanges)], or []."""
    return [pair for pair in OTHER.items() if pair[0] in model.latent_names]


def _check_kept(model, kept):
    """Raises UserError unless `kept` is one of several latents."""
    names = ", ".join(model.latent_names)
    if len(model.latent_names) < 2:
        raise UserError(f"Swapping needs two latents, but this model has only {names}.")
    if kept not in model.latent_names:
        raise UserError(f"There is no latent {kept!r} to keep fixed; this model has {names}.")


def _mean_codes(model, images):
    """The posterior means of uint8 [N, H, W, C]: {name: [N, D]}."""
    return {name: np.asarray(gaussian.mean) for name, gaussian in model.encode(images).items()}


def _decode_crossed(model, *, columns, rows, kept):
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


def _closed_path(stops, steps):
    """Loops through stops [L, S, D], `steps` codes from one to the next: [L, S * steps, D]."""
    # Eased, so that the walk comes to rest at each stop instead of turning a sharp corner there.
    weight = (1 - np.cos(np.pi * np.arange(steps) / steps))[:, None] / 2  # [steps, 1]
    legs = (np.roll(stops, -1, axis=1) - stops)[:, :, None]
    path = stops[:, :, None] + weight * legs  # [L, S, steps, D]
    return path.reshape(len(stops), -1, stops.shape[-1])


def _frames(loops):
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
