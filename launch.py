"""Trains, evaluates or draws: python launch.py --config=configs/quickstart.py.

See README.md. Exit status 0 when done or stopped by SIGTERM, 2 for errors that users can fix, 75 if
another process of the run is missing or lost (the same command resumes), 130 after ctrl-C.
"""

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow only reads data here.

from absl import app, flags, logging
from ml_collections import config_flags

from refvae_jax import command_line, console, run
from refvae_jax.console import LOGGER
from refvae_jax.errors import (
    UserError,
    explain_disk_errors,
    repeat_lost_interrupts,
    report_disk_errors_once,
)
from refvae_jax.training import processes

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, with :FORM.")
WORKDIR = flags.DEFINE_string(
    "workdir", "", "Or gs://BUCKET/FOLDER. Default: runs/NAME[-FORM][-FOLDER]-sSEED."
)
MODE = flags.DEFINE_enum("mode", "train", list(run.MODES), "train goes on with eval and figures.")


def stop(number: int, frame: FrameType | None) -> None:
    """Ends the program on a SIGTERM; while it trains, training/loop.py saves first instead."""
    LOGGER.info("\nstopped by SIGTERM; the same command resumes from the last checkpoint")
    sys.exit(0)


def main(argv: list[str]) -> int:
    """Parses the command line and runs the mode; returns the exit status."""
    logging.set_verbosity(logging.ERROR)
    console.install()
    report_disk_errors_once()
    repeat_lost_interrupts()
    app.define_help_flags()
    signal.signal(signal.SIGTERM, stop)
    try:
        with explain_disk_errors({}):
            config, lines = command_line.from_command_line(argv, CONFIG)
            flag = config_flags.get_config_filename(flags.FLAGS["config"])
            workdir = WORKDIR.value or command_line.default_workdir(flag, config)
            typed = shlex.join(["python", Path(argv[0]).name, *argv[1:]])
            run.run(config, workdir, MODE.value, lines, typed)
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from what was saved", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(processes.end_together(lambda: main(sys.argv)))
