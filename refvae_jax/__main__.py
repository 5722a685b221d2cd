"""All commands but training: `python -m refvae_jax VERB ...`, once installed also `refvae VERB`.

Training, and the evaluation and figures of one run, are `launch.py`.
"""

import importlib
import os
import sys
from typing import NamedTuple

from refvae_jax import console
from refvae_jax.errors import (
    did_you_mean,
    exit_status,
    repeat_lost_interrupts,
    report_disk_errors_once,
)


class Verb(NamedTuple):
    """A module with a `main(argv) -> exit status`, imported when it is asked for."""

    module: str
    meaning: str


VERBS = {
    "cost": Verb("refvae_jax.cost.sheet", "predicts speed and cost on TPUs and GPUs, without any"),
    "data": Verb("refvae_jax.reports.data_sheet", "shows what a data set or a folder holds"),
    "fields": Verb("refvae_jax.fields", "lists every config field, its default and its meaning"),
    "sweep": Verb("refvae_jax.sweep", "trains a list of runs one after another"),
    "table": Verb("refvae_jax.reports.table", "makes one table of the scores of many runs"),
    "compare": Verb("refvae_jax.reports.compare", "draws the same test images by several runs"),
    "curve": Verb("refvae_jax.reports.curve", "scores and draws the checkpoints of one run"),
    "report": Verb("refvae_jax.reports.report", "writes one HTML page about one run or several"),
    "encode": Verb("refvae_jax.apply.encode", "writes the codes of image files, .npz or .csv"),
    "reconstruct": Verb("refvae_jax.apply.reconstruct", "shows image files reconstructed"),
    "swap": Verb("refvae_jax.apply.swap", "exchanges a latent between image files"),
    "resample": Verb("refvae_jax.apply.resample", "draws a latent of image files anew"),
    "interpolate": Verb("refvae_jax.apply.interpolate", "goes from image files to others"),
    "sample": Verb("refvae_jax.apply.sample", "draws images from the prior"),
    "export": Verb("refvae_jax.export.folder", "writes a model that needs jax and numpy alone"),
}


def usage() -> str:
    """How the command is called, and a line per verb."""
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.meaning}" for name, verb in VERBS.items()]
    return "\n".join(["usage: refvae VERB ...  (refvae VERB --help says more)", "", *lines])


def main(argv: list[str]) -> int:
    """Runs the verb argv[0] with the rest; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name, *rest = argv
    if name not in VERBS:
        print(f"error: There is no verb {name!r}.{did_you_mean(name, VERBS)}", file=sys.stderr)
        print(usage(), file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow only reads data here.
    console.install()
    try:
        # Addresses are checked while the rest is parsed, before a verb reports errors of its own.
        return exit_status(importlib.import_module(VERBS[name].module).main, rest)
    except KeyboardInterrupt:
        print(f"\ninterrupted; files that {name} has written are whole", file=sys.stderr)
        return 130


def run_command() -> int:
    """The console script `refvae`."""
    report_disk_errors_once()
    repeat_lost_interrupts()
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run_command())
