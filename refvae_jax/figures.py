"""Images, grids and animations: the figures of the group-setting papers, drawn from a model.

    model = refvae_jax.load(workdir)
    save_png(swap_grid(model, images, kept="content"), "figures/swaps.png")
    save_gif(interpolation_frames(model, images, steps=12), "figures/interpolation.gif", fps=12)

A model is anything with the names of the inference contract (`latent_names`, `encode`, `decode`,
`reconstruct`); nothing here knows jax. Images are uint8 in 0..255, codes float arrays [N, D].
The paper of the figure numbers is the Gaussian-mixture VAE (GM-VAE).
"""

import contextlib
import math
import os
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from refvae_jax.errors import UserError

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


def swap_grid(model, images, *, kept):
    """Figure 1: the `kept` latent fixed down a column, every other latent fixed along a row.

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
    """Figure 5, left: two-way interpolation between the posterior means of two images.

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
    """Figure 5, right: decoded samples, row by row.

    latents: {name: [rows * columns, D]}, as `prior_codes` or `aggregate_codes` give them.
    Returns a picture uint8 [H', W', 3].
    """
    images = model.decode(latents)
    return grid(images.reshape(rows, -1, *images.shape[1:]))


def prior_codes(latent_dims, n, seed):
    """Draws codes from the prior N(0, I), as the paper does.

    latent_dims: {name: D}. Returns {name: float32 [n, D]}.
    """
    rng = np.random.default_rng(seed)
    return {k: rng.standard_normal((n, dim), dtype=np.float32) for k, dim in latent_dims.items()}


def aggregate_codes(codes, n, seed):
    """Draws codes from one full-covariance Gaussian fitted to all latents' codes jointly.

    The codes of a trained model need not fill N(0, I), nor be independent between the latents;
    this follows them where `prior_codes` does not.

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
    # Eased, so that the walk comes to rest at each image instead of turning a sharp corner there.
    weight = (1 - np.cos(np.pi * np.arange(steps) / steps))[:, None] / 2  # [steps, 1]
    path = {}
    for name, mean in _mean_codes(model, images).items():
        stops = mean.reshape(walks, length, 1, -1)
        legs = stops + weight * (np.roll(stops, -1, axis=1) - stops)  # [walks, length, steps, D]
        path[name] = legs.reshape(walks * length * steps, -1)
    decoded = model.decode(path).reshape(walks, length * steps, *images.shape[1:])

    columns = math.ceil(math.sqrt(walks))
    rows = math.ceil(walks / columns)
    cells = np.zeros((rows, columns, *decoded.shape[1:]), np.uint8)
    cells.reshape(-1, *decoded.shape[1:])[:walks] = decoded
    empty = (np.arange(rows * columns) >= walks).reshape(rows, columns)
    # Smaller than the still pictures: the file grows with every pixel of every frame.
    times = range(length * steps)
    return np.stack([grid(cells[:, :, t], empty=empty, max_size=480) for t in times])


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


def draw_group_figures(model, images, train_codes, folder, *, kept="content", seed):
    """Draws every figure of a two-latent model: Figures 1 and 5 and an animation.

    images: uint8 [N, H, W, C], test images; the first 10 are swapped, the first two interpolated,
    up to 36 walked through. N at least 2; neighbours should differ in content.
    train_codes: {name: [N', D]} of the training images, for the aggregate. Returns the paths:
    swaps.png, interpolation.png, samples_prior.png, samples_aggregate.png, interpolation.gif.
    """
    _check_kept(model, kept)
    if len(images) < 2:
        raise UserError(f"The figures need at least 2 test images, but there is {len(images)}.")
    folder = Path(folder)
    prior = prior_codes({name: c.shape[1] for name, c in train_codes.items()}, 100, seed)
    aggregate = aggregate_codes(train_codes, 100, seed)
    pictures = {
        "swaps.png": swap_grid(model, images[:10], kept=kept),
        "interpolation.png": interpolation_grid(model, images[0], images[1], n=10, kept=kept),
        "samples_prior.png": sample_grid(model, prior, rows=10),
        "samples_aggregate.png": sample_grid(model, aggregate, rows=10),
    }
    for name, picture in pictures.items():
        save_png(picture, folder / name)
    walks = min(9, max(1, len(images) // 4))
    frames = interpolation_frames(model, images[: 4 * walks], steps=12, walks=walks)
    save_gif(frames, folder / "interpolation.gif", fps=12)
    return [folder / name for name in (*pictures, "interpolation.gif")]


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
