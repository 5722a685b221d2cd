"""A report of runs, one HTML page that opens anywhere.

    python -m refvae_jax report runs/quickstart-s0    # or example:digits, or an exported folder
    python -m refvae_jax report runs/mnist_gmvae-cpu-s0 runs/mnist_mlvae-cpu-s0 --out=both.html

What was trained on what, the scores, the figures and animations, the curves, and the command that
repeats it. Several runs, which must be on the same data, stand side by side. Every run ends with
such a page of its own, report.html in its folder.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from refvae_jax.console import LOGGER
from refvae_jax.errors import exit_status
from refvae_jax.files import atomic, check_writable, never_lost, user_path
from refvae_jax.reports.page.render import render
from refvae_jax.reports.page.shown_run import read_shown

FILE = "report.html"  # In the folder of a run.


def write_report(
    runs: Iterable[str | Path], out: Path, check_ours: Callable[[], None] = never_lost
) -> None:
    """Writes the page of runs.

    Args:
      runs: their folders, or folders of scored runs, `example:NAME` or exported folders.
      out: the file.
      check_ours: called before it is written; raises if another run has taken over its folder.

    Raises:
      UserError: a folder without a run, runs on different data, or files that cannot be read.
    """
    text = render(read_shown(runs))
    check_ours()
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    LOGGER.info(f"wrote {out}")


def main(argv: list[str]) -> int:
    """Writes the page; returns the exit status."""
    parser = argparse.ArgumentParser("refvae report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run's folder, one of runs, or example:NAME"
    )
    parser.add_argument("--out", type=user_path, default=Path(FILE), help="the page")
    options = parser.parse_args(argv)

    def report() -> None:
        check_writable(options.out)
        write_report(options.runs, options.out)

    return exit_status(report, places={options.out: "choose another file with --out"})
