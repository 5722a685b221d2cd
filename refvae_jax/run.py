"""Runs one mode in a locked workdir and turns disk errors into UserErrors."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from refvae_jax import bucket_lock, config_rules, console
from refvae_jax import config as configs
from refvae_jax.buckets import check_reachable, is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.data import cache
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import Places, UserError, explain_disk_errors
from refvae_jax.files import as_path, locked, make_dir, never_lost, user_path
from refvae_jax.training import allocator, checkpoint, processes
from refvae_jax.training.devices import use_compilation_cache
from refvae_jax.training.run_folder import (
    check_not_inside,
    copy_advice,
    find_run,
    has_checkpoints,
)

MODES = ("train", "eval", "figures")


def run(
    config: ConfigDict,
    workdir: str | Path,
    mode: str = "train",
    lines: Iterable[str] = (),
    command: str = "",
) -> None:
    """Trains (then evaluates and draws), or evaluates, or draws; then writes the report.

    Args:
      config: of the schema of `config_rules.py`.
      workdir: folder of the run; made if missing.
      mode: one of MODES.
      lines: to print first, by one of several processes.
      command: as typed, which the report shows; "" if called from Python.

    Raises:
      UserError: for every error that users can fix.
    """
    config_rules.check(config)
    use_compilation_cache()
    if allocator.only_cpu(jax.config.jax_platforms):  # type: ignore[attr-defined]
        allocator.keep_memory()  # Before the backend starts its threads.
    processes.join(os.environ, config, common_to_processes(config, workdir, mode))
    console.install(visible=processes.is_main())
    for line in lines:
        LOGGER.info(line)
    workdir = user_path(workdir)
    workdir = workdir if is_bucket(workdir) else workdir.absolute()
    check_ours = never_lost
    places = functools.partial(places_of, config, workdir, mode)
    with explain_disk_errors(places), contextlib.ExitStack() as stack:
        with processes.all_or_none():
            if processes.is_main():
                check_ours = stack.enter_context(claimed(config, workdir, mode))
        if mode == "train":
            processes.check_shared(workdir)
        with processes.all_or_none():
            splits = open_splits(config) if mode == "train" else None
        if splits is not None:
            from refvae_jax.training.loop import train

            LOGGER.info(f"{config.method.name} on {config.data.name} in {workdir}")
            if not train(config, workdir, splits, check_ours, command):
                return
        if not processes.is_main():
            return
        if mode in ("train", "eval"):
            from refvae_jax.evaluation.evaluate import evaluate

            evaluate(config, workdir, splits=splits, check_ours=check_ours)
        if mode in ("train", "figures"):
            from refvae_jax.figures.draw import draw

            draw(config, workdir, splits=splits, check_ours=check_ours)
        from refvae_jax.reports import report

        report.write_report([workdir], workdir / report.FILE, check_ours)


def common_to_processes(config: ConfigDict, workdir: str | Path, mode: str) -> dict[str, Any]:
    """{what: value} that the processes of a run must have in common; arguments as of `run`."""
    here = ("data.dir", "data.cache_dir")  # Hosts may keep the images elsewhere.
    fields = {f"config.{n}": v for n, v in configs.flatten(config).items() if n not in here}
    return {"--workdir": str(workdir), "--mode": mode} | fields


def places_of(config: ConfigDict, workdir: Path, mode: str) -> Places:
    """What to advise if the disk fails now, see `errors.explain_disk_errors`.

    Arguments as of `run`.
    """
    place = workdir
    if is_bucket(workdir):  # What fails on a disk is on its way there, or from there.
        place, advice = Path(tempfile.gettempdir()), "choose another folder with TMPDIR"
    elif has_checkpoints(workdir):  # Another folder would lack them.
        advice = copy_advice(workdir, "--workdir=COPY")
        if mode == "train":
            advice += "; saved checkpoints are untouched"
    else:
        advice = "choose another place with --workdir"
    data = config.data
    return {
        place: advice,
        cache.cache_root(data.cache_dir): "choose another place with --config.data.cache_dir",
        as_path(cache.data_dir(data.dir, data.name)): "choose another place with --config.data.dir",
    }


@contextlib.contextmanager
def claimed(config: ConfigDict, workdir: Path, mode: str) -> Iterator[Callable[[], None]]:
    """Locks the workdir, checks that it holds no other run and, to train, writes the config.

    Arguments as of `run`; gives what `only_run` gives.
    """
    if mode == "train":
        if is_bucket(workdir):
            check_reachable(workdir)
        check_not_inside(workdir)
        if workdir.exists() and not workdir.is_dir():
            raise UserError(f"--workdir={workdir} is a file: name a folder.")
        make_dir(workdir)
    else:
        find_run(workdir)
    with only_run(workdir) as check_ours:
        check_same_run(config, workdir)
        if mode == "train":
            configs.write(config, workdir / "config.json")
        yield check_ours


@contextlib.contextmanager
def only_run(workdir: Path) -> Iterator[Callable[[], None]]:
    """Holds the workdir for this process; gives a function that raises if it is no longer held.

    Raises:
      UserError: another process has it.
      OSError: nothing can be written there.
    """

    def refuse() -> None:
        raise UserError(
            f"Another run is using {workdir}: wait for it, or choose another --workdir."
        )

    if is_bucket(workdir):
        with bucket_lock.held(workdir / ".lock", refuse) as lease:
            yield lease.check
        return
    with locked(workdir / ".lock", refuse):
        yield never_lost


def check_same_run(config: ConfigDict, workdir: Path) -> None:
    """Raises UserError if the workdir holds checkpoints of another config."""
    path = workdir / "config.json"
    # Without a checkpoint nothing is lost by another config: the first may have been a typo.
    if path.exists() and checkpoint.steps(workdir):
        # A field that is newer than the run had its default.
        old = config_rules.with_defaults(configs.read(path))
        warning = configs.same_run(old, config, workdir)
        if warning:
            LOGGER.warning(warning)
