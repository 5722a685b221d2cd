"""Trains a list of runs one after another, then prints their table.

    python -m refvae_jax sweep configs/sweeps/reference_mnist_cpu.py
    python -m refvae_jax sweep configs/sweeps/reference_mnist_cpu.py --only=rbvae --dry-run

The sweep file defines `get_runs()`, which returns the [(config, name, overrides)] in the order in
which they are trained, see `sweep_file.SweepEntry`. Each is a `launch.py` of its own in the folder
OUT/NAME. The same command continues an interrupted sweep: runs that are trained and scored are
skipped, one that is half trained resumes. A run that fails does not stop the others. A run whose
config was edited since it began fails: choose another --out then.

SIGTERM, ctrl-C and the loss of the terminal let the current run save before it ends; a second one
ends it at once.

Exit status 0 when all runs are done or SIGTERM or SIGHUP stopped them, 1 when some failed, 2 for
errors that users can fix, 130 after ctrl-C.
"""

import argparse
import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ml_collections import ConfigDict

# Nothing here may start a backend of JAX: on a TPU only one process may have it.
from refvae_jax import config as configs
from refvae_jax import sweep_file
from refvae_jax.buckets import check_reachable, is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError, exit_status
from refvae_jax.files import user_path
from refvae_jax.reports import table
from refvae_jax.reports.finished_runs import read_run, read_runs
from refvae_jax.sweep_file import SweepEntry

LAUNCH = sweep_file.ROOT / "launch.py"


class Stop:
    """Passes SIGTERM and ctrl-C on to the running child: once to save and end, twice to kill it."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.child: subprocess.Popen | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        self.signals.append(number)
        self.pass_on()

    def pass_on(self) -> None:
        """Signals the child, if there is one."""
        if self.child and len(self.signals) > 1:
            self.child.kill()  # It loses what came after its last checkpoint, nothing else.
        elif self.child:
            self.child.terminate()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Gives a Stop that handles SIGTERM, ctrl-C and the loss of the terminal meanwhile."""
    stop = Stop()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    # What nohup or a shell's & had ignored stays so.
    handlers = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}
    for number in handlers:
        signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def command(entry: SweepEntry, workdir: Path) -> list[str]:
    """The command line of a run."""
    fields = [f"--config.{field}={value}" for field, value in entry.overrides.items()]
    flags = [f"--config={entry.config}", f"--workdir={workdir}", *fields]
    return [sys.executable, str(LAUNCH), *flags]


def scored_config(workdir: Path) -> dict[str, Any] | None:
    """The flat config that a run was scored with after its last step; None of others."""
    try:
        run = read_run(workdir)
    except UserError:  # No scores, or none that can be read: train or score again.
        return None
    return run.config if run.steps == run.config["num_train_steps"] else None


def is_finished(config: ConfigDict, workdir: Path) -> bool:
    """Whether the workdir holds the run of this config, trained and scored."""
    found = scored_config(workdir)
    return found is not None and not configs.differences(found, configs.flatten(config))


def train(entry: SweepEntry, workdir: Path, stop: Stop) -> int:
    """Runs launch.py to its end, its output on the terminal; returns its exit status."""
    # A process group of its own: a ctrl-C of the terminal reaches the run through `stop` alone.
    stop.child = subprocess.Popen(command(entry, workdir), cwd=sweep_file.ROOT, process_group=0)
    if stop.signals:  # They came before there was a child.
        stop.pass_on()
    try:
        return stop.child.wait()
    finally:
        stop.child = None


def train_all(
    entries: Sequence[SweepEntry], config_by_name: Mapping[str, ConfigDict], out: Path
) -> tuple[list[str], int | None]:
    """Trains the runs that are not finished.

    Args:
      entries: of the sweep file.
      config_by_name: {name: ConfigDict} of them.
      out: folder of their folders.

    Returns:
      ([name of a run that failed], the first signal that stopped the sweep or None)
    """
    failed = []
    with stop_on_signals() as stop:
        for number, entry in enumerate(entries, 1):
            if stop.signals:
                break
            workdir = out / entry.name
            done = is_finished(config_by_name[entry.name], workdir)
            LOGGER.info(f"[{number}/{len(entries)}] {entry.name}{': finished' if done else ''}")
            if not done:
                status = train(entry, workdir, stop)
                if not stop.signals and (status or scored_config(workdir) is None):
                    LOGGER.warning(
                        f"{entry.name} ended with exit status {status} before it was trained and "
                        f"scored"
                    )
                    failed.append(entry.name)
        return failed, stop.signals[0] if stop.signals else None


def print_commands(
    entries: Sequence[SweepEntry], config_by_name: Mapping[str, ConfigDict], out: Path
) -> None:
    """Prints what would be done; arguments as of `train_all`."""
    for entry in entries:
        workdir = out / entry.name
        done = is_finished(config_by_name[entry.name], workdir)
        LOGGER.info(f"{entry.name}: finished" if done else shlex.join(command(entry, workdir)))


def sweep(path: Path, out: Path | None, only: str, dry_run: bool) -> int:
    """Trains the runs of a sweep file and prints their table; returns the exit status.

    Args:
      path: the sweep file.
      out: folder of the runs' folders; None for runs/<name of the file>.
      only: train the runs named METHOD or METHOD-... only; "" for all.
      dry_run: print the commands, run nothing.

    Raises:
      UserError: the file, or the config of a run, is wrong, or the bucket is out of reach.
    """
    entries = sweep_file.select(sweep_file.load(path), only)
    config_by_name = sweep_file.make_configs(entries)
    out = out or Path("runs") / path.stem
    if is_bucket(out):
        check_reachable(out)
    else:
        out = out.absolute()
    if dry_run:
        print_commands(entries, config_by_name, out)
        return 0
    failed, stopped = train_all(entries, config_by_name, out)
    if stopped:
        LOGGER.info("\nstopped; the same command resumes from there")
        return 130 if stopped == signal.SIGINT else 0
    if failed:
        print(f"error: failed: {', '.join(failed)}; see above.", file=sys.stderr)
    finished = [out / entry.name for entry in entries if entry.name not in failed]
    if finished:
        LOGGER.info("\n" + table.markdown(table.gather(read_runs(finished))))
    return 1 if failed else 0


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    parser = argparse.ArgumentParser("refvae sweep", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweep", type=user_path, help="a file of configs/sweeps/")
    parser.add_argument("--out", type=user_path, help="default: runs/<name of the file>")
    parser.add_argument("--only", default="", metavar="METHOD", help="the runs METHOD-...")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    options = parser.parse_args(argv)
    return exit_status(sweep, options.sweep, options.out, options.only, options.dry_run)
