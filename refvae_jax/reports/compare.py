"""The figures of several runs on the same data, side by side: the mixture paper's Figures 2, 3, 5.

    python -m refvae_jax compare runs/celeba_gmvae-s0 runs/celeba_mlvae-s0 --out=figures

Every still figure that all of the runs have is drawn from the same test images and the same
draws: swaps (Figures 2 and 3), interpolation and random samples (Figure 5), and the reference
paper's conditional synthesis (Figure 4).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from refvae_jax import config as configs
from refvae_jax.console import LOGGER
from refvae_jax.errors import exit_status
from refvae_jax.figures import draw, files, grids, layout
from refvae_jax.files import check_writable, user_path
from refvae_jax.reports.side_by_side import check_same_data, titles
from refvae_jax.training.run_folder import find_run


def compare(workdirs: Sequence[str | Path], out: Path) -> list[Path]:
    """Draws the figures of runs side by side.

    Args:
      workdirs: their folders.
      out: folder of the PNGs.

    Returns:
      The paths written.

    Raises:
      UserError: a folder without a run, or runs on different data.
    """
    runs = {path: configs.read(path / "config.json") for path in map(find_run, workdirs)}
    check_same_data(runs)
    check_writable(out / "any.png")  # Before the pictures, which take minutes.
    seed = next(iter(runs.values())).seed
    drawn = {
        title: grids.still_pictures(*draw.figure_inputs(runs[path], path), seed=seed)
        for path, title in titles(runs).items()
    }
    every = dict.fromkeys(name for stills in drawn.values() for name in stills)
    common = [name for name in every if all(name in stills for stills in drawn.values())]
    if left_out := every.keys() - common:
        LOGGER.info(
            f"left out, as the latents of some runs do not allow it: {', '.join(sorted(left_out))}"
        )
    for name in common:
        panels = {title: stills[name] for title, stills in drawn.items()}
        files.save_png(layout.beside(panels), out / f"{name}.png")
    return [out / f"{name}.png" for name in common]


def main(argv: list[str]) -> int:
    """Draws and names the files; returns the exit status."""
    parser = argparse.ArgumentParser("refvae compare", description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder")
    parser.add_argument(
        "--out", type=user_path, default=Path("figures"), help="folder of the pictures"
    )
    options = parser.parse_args(argv)

    def report() -> None:
        for path in compare(options.runs, options.out):
            LOGGER.info(f"wrote {path}")

    return exit_status(report, places={options.out: "choose another folder with --out"})
