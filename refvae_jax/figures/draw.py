"""Draws the papers' figures of a checkpoint into `figures/` of its run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from refvae_jax.console import LOGGER, parts
from refvae_jax.data.order import make_rng, place_in_group
from refvae_jax.data.splits import Splits
from refvae_jax.figures.animations import animation_makers
from refvae_jax.figures.codes import Codes, Drawable
from refvae_jax.figures.files import save_gif, save_png
from refvae_jax.figures.grids import still_makers
from refvae_jax.files import as_path, never_lost
from refvae_jax.inference import Model, open_trained, posterior_sample
from refvae_jax.training.run_folder import find_run

NUM_CODES = 10_000  # Training images, at most, whose codes the aggregate is fitted to.


def one_of_each(labels: np.ndarray) -> np.ndarray:
    """An order of the images in which neighbours differ in label: one of each, another of each.

    Members are drawn, since often the first image of every group shows the same pose.
    """
    place, _ = place_in_group(labels, make_rng(0, "figures"))
    return np.lexsort((labels, place))


def draw_figures(
    model: Drawable,
    images: np.ndarray,
    train_codes: Codes,
    folder: str | Path,
    *,
    seed: int,
    check_ours: Callable[[], None] = never_lost,
) -> list[Path]:
    """Writes every figure and animation into a folder, one after another; returns their paths.

    `check_ours`, see `draw`, is called before each.
    """
    stills = still_makers(model, images, train_codes, seed=seed)
    loops = animation_makers(model, images, seed=seed)
    folder = as_path(folder)
    with parts(len(stills) + len(loops), "drawing") as part_done:
        for name, make in stills.items():
            picture = make()
            check_ours()
            save_png(picture, folder / f"{name}.png")
            part_done()
        for name, make in loops.items():
            frames = make()
            check_ours()
            save_gif(frames, folder / f"{name}.gif", fps=12)
            part_done()
    names = [f"{name}.png" for name in stills] + [f"{name}.gif" for name in loops]
    return [folder / name for name in names]


def figure_inputs(
    config: ConfigDict, workdir: str | Path, step: str | int = "best", splits: Splits | None = None
) -> tuple[Model, np.ndarray, Codes]:
    """What the figures of a checkpoint are drawn from.

    Arguments as of `inference.open_trained`.

    Returns:
      model: the Model.
      images: uint8 [N, H, W, C], up to 100 test images, neighbours of different labels.
      codes: {latent: [N', D]}, posterior samples of up to NUM_CODES training images.
    """
    model, _, splits = open_trained(config, workdir, step, splits)
    codes = {
        name: posterior_sample(q, config.seed, name)
        for name, q in model.encode(splits.train.image[:NUM_CODES]).items()
    }
    return model, splits.test.image[one_of_each(splits.test.label)[:100]], codes


def draw(
    config: ConfigDict,
    workdir: str | Path,
    step: str | int = "best",
    splits: Splits | None = None,
    check_ours: Callable[[], None] = never_lost,
) -> None:
    """Draws every figure and animation of `grids.py` and `animations.py`; reports their paths.

    Args:
      config, workdir, step, splits: as of `inference.open_trained`.
      check_ours: raises if another run has taken the folder over; called before it is written to.
    """
    workdir = find_run(workdir)
    inputs = figure_inputs(config, workdir, step, splits)
    paths = draw_figures(*inputs, workdir / "figures", seed=config.seed, check_ours=check_ours)
    LOGGER.info("\n".join(f"wrote {path}" for path in paths))
