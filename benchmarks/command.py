"""What the commands of this folder share: flags, CPUs, workers, errors."""

import os
import statistics
import sys

from absl import flags
from ml_collections import config_flags

from benchmarks.worker import Worker, WorkerError
from refvae_jax.command_line import from_command_line
from refvae_jax.config_rules import check
from refvae_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, with :FORM.")
ROUNDS = flags.DEFINE_integer("rounds", 10, "Blocks of steps of each side.", 1)
STEPS = flags.DEFINE_integer("steps", 5, "Training steps in a block.", 1)
THREADS = flags.DEFINE_integer("threads", 0, "CPUs that both may use; 0 = all.", 0)


def available_cpus(wanted):
    """The CPUs both sides may use: `wanted` of those of this process, 0 for all."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cpus = cpus or list(range(os.cpu_count()))
    if wanted > len(cpus):
        raise UserError(f"--threads={wanted}, but this process has {len(cpus)} CPUs.")
    return cpus[: wanted or None]


def start(python, module, settings, cpus, missing=""):
    """A Worker that is ready; `missing` is advice for a module that it does not find.

    Raises:
      UserError: it cannot start.
    """
    try:
        return Worker(python, module, settings, cpus)
    except OSError as error:
        raise UserError(f"Cannot run {python}: {error.strerror}.") from error
    except WorkerError as error:
        message = str(error) if error.kind == "UserError" else f"{module}: {error}"
        if missing and error.kind == "ModuleNotFoundError":
            message = f"{error}: {missing}"
        raise UserError(message) from error


def round_ratio(theirs, ours):
    """(median, least, largest) over the rounds of their seconds over ours, one of each a round."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def run(argv, measure):
    """Parses the command line and calls measure(config); returns the exit status."""
    try:
        config, _ = from_command_line(argv, CONFIG)
        check(config)
        measure(config)
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2
    return 0
