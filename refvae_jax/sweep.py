"""Trains a list of runs one after another, then prints their table.

    python -m refvae_jax.sweep configs/sweeps/reference_mnist_cpu.py
    python -m refvae_jax.sweep configs/sweeps/reference_mnist_cpu.py --only=rbvae --dry-run

The sweep file defines `get_runs()`, which returns the [Run] in the order in which they are trained.
Each is a `launch.py` of its own in the folder OUT/NAME. The same command goes on after whatever
interrupted it: runs that are trained and scored are skipped, one that is half trained resumes. A
run that fails does not keep the others from running, and one whose config was edited since it was
begun fails: take another --out then.

SIGTERM, ctrl-C and the loss of the terminal let the current run save before it ends; a second one
ends it at once.

Exit status 0 when all runs are done or SIGTERM or SIGHUP stopped them, 1 when some failed, 2 for
what the user can mend, 130 after ctrl-C.
"""

import argparse
import contextlib
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from refvae_jax import config as configs
from refvae_jax import config_rules
from refvae_jax.command_line import config_files, config_from_file, explain

# Nothing here may start a backend of JAX: on a TPU only one process may have it.
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError, did_you_mean, exit_status
from refvae_jax.reports import table
from refvae_jax.reports.finished_runs import read_run, read_runs

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch.py"


class Run(NamedTuple):
    """One training: the --config flag, the folder's name below OUT, {field: value} to override."""

    config: str
    name: str
    overrides: dict


class Stop:
    """What SIGTERM and ctrl-C ask of the running child: to save and end; twice, to end at once."""

    def __init__(self):
        self.signals = []
        self.child = None

    def __call__(self, number, frame):
        """Handles a signal."""
        self.signals.append(number)
        self.pass_on()

    def pass_on(self):
        """Tells the child, if there is one, what was asked so far."""
        if self.child and len(self.signals) > 1:
            self.child.kill()  # It loses what came after its last checkpoint, nothing else.
        elif self.child:
            self.child.terminate()


@contextlib.contextmanager
def stop_on_signals():
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


def load(path):
    """The [Run] of a sweep file.

    Raises:
      UserError: there is no such file, or it does not give runs of different names.
    """
    if not Path(path).is_file():
        known = sorted(str(file) for file in Path("configs/sweeps").glob("*.py"))
        raise UserError(f"There is no sweep file {path}.{did_you_mean(str(path), known)}")
    try:
        get_runs = runpy.run_path(str(path)).get("get_runs", list)
        runs = [Run(*run) for run in get_runs()]
    except Exception as error:
        raise UserError(f"The sweep file cannot be read: {explain(error)}") from error
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not runs:
        what = f"two runs named {twice[0]!r}" if twice else "no runs"
        raise UserError(
            f"{path} gives {what}: its get_runs() must return a list of Run, each with a name of "
            f"its own."
        )
    return runs


def select(runs, method):
    """The runs named METHOD or METHOD-...; all if method is "".

    Raises:
      UserError: there are none.
    """
    chosen = [run for run in runs if not method or f"{run.name}-".startswith(f"{method}-")]
    if not chosen:
        known = ", ".join(run.name for run in runs)
        raise UserError(f"--only={method} fits none of the runs {known}.")
    return chosen


def command(run, workdir):
    """The command line of a run, as a list."""
    fields = [f"--config.{field}={value}" for field, value in run.overrides.items()]
    flags = [f"--config={run.config}", f"--workdir={workdir}", *fields]
    return [sys.executable, str(LAUNCH), *flags]


def config_of(run):
    """The ConfigDict that launch.py will make of a run.

    Raises:
      UserError: there is no such config, form or field, or no such value.
    """
    path, _, form = run.config.partition(":")
    if not (ROOT / path).is_file():
        hint = did_you_mean(path, config_files(ROOT))
        raise UserError(f"Run {run.name}: there is no {path}.{hint}")
    try:
        config = config_from_file(ROOT / path, form)
        fields = configs.flatten(config)
        for field in run.overrides.keys() - fields.keys():
            hint = did_you_mean(field, fields)
            raise UserError(f"The config has no field {field!r}.{hint}")
        config.update_from_flattened_dict(run.overrides)
        config_rules.check(config)
    except UserError as error:
        raise UserError(f"Run {run.name}: {error}") from error
    except Exception as error:
        raise UserError(f"Run {run.name}: {explain(error)}") from error
    return config


def make_configs(runs):
    """{name: ConfigDict} of all runs: what is wrong with the last is told before the first."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # Configs import each other from there.
    return {run.name: config_of(run) for run in runs}


def scored_config(workdir):
    """The flat config that a run was scored with after its last step; None of others."""
    try:
        run = read_run(workdir)
    except UserError:  # No scores, or none that can be read: they are made anew.
        return None
    return run.config if run.steps == run.config["num_train_steps"] else None


def is_finished(config, workdir):
    """Whether the workdir holds the run of this config, trained and scored."""
    found = scored_config(workdir)
    return found is not None and not configs.differences(found, configs.flatten(config))


def train(run, workdir, stop):
    """Runs launch.py to its end, its output on the terminal; returns its exit status."""
    # A process group of its own: a ctrl-C of the terminal reaches the run through `stop` alone.
    stop.child = subprocess.Popen(command(run, workdir), cwd=ROOT, process_group=0)
    if stop.signals:  # They came before there was a child.
        stop.pass_on()
    try:
        return stop.child.wait()
    finally:
        stop.child = None


def train_all(runs, made, out):
    """Trains the runs that are not finished.

    Args:
      runs: [Run].
      made: {name: ConfigDict} of them.
      out: folder of their folders.

    Returns:
      ([name of a run that failed], the first signal that stopped the sweep or None)
    """
    failed = []
    with stop_on_signals() as stop:
        for number, run in enumerate(runs, 1):
            if stop.signals:
                break
            workdir = out / run.name
            done = is_finished(made[run.name], workdir)
            LOGGER.info(f"[{number}/{len(runs)}] {run.name}{': finished' if done else ''}")
            if not done:
                status = train(run, workdir, stop)
                if not stop.signals and (status or scored_config(workdir) is None):
                    LOGGER.info(f"{run.name} failed with exit status {status}")
                    failed.append(run.name)
        return failed, stop.signals[0] if stop.signals else None


def print_commands(runs, made, out):
    """Prints what would be done, see `train_all`."""
    for run in runs:
        workdir = out / run.name
        done = is_finished(made[run.name], workdir)
        LOGGER.info(f"{run.name}: finished" if done else shlex.join(command(run, workdir)))


def sweep(path, out, only, dry_run):
    """Does what the module's docstring says; returns the exit status."""
    runs = select(load(path), only)
    made = make_configs(runs)
    out = (out or Path("runs") / Path(path).stem).expanduser().absolute()
    if dry_run:
        print_commands(runs, made, out)
        return 0
    failed, stopped = train_all(runs, made, out)
    if stopped:
        LOGGER.info("\nstopped; the same command goes on from there")
        return 130 if stopped == signal.SIGINT else 0
    if failed:
        print(f"error: failed: {', '.join(failed)}; see above.", file=sys.stderr)
    finished = [out / run.name for run in runs if run.name not in failed]
    if finished:
        LOGGER.info("\n" + table.markdown(table.gather(read_runs(finished))))
    return 1 if failed else 0


def main(argv):
    """Parses the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="a file of configs/sweeps/")
    parser.add_argument("--out", type=Path, help="default: runs/<name of the file>")
    parser.add_argument("--only", default="", metavar="METHOD", help="the runs METHOD-...")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    options = parser.parse_args(argv)
    return exit_status(sweep, options.sweep, options.out, options.only, options.dry_run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
