"""Runs one mode in a locked workdir and turns disk errors into UserErrors."""

import contextlib
import os
from pathlib import Path

import jax
import ml_collections

from refvae_jax import config as configs
from refvae_jax import config_rules, console
from refvae_jax.console import LOGGER
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError, explain_disk_errors
from refvae_jax.files import cache_folder, locked
from refvae_jax.training import checkpoint, processes
from refvae_jax.training.allocator import keep_memory

MODES = ("train", "eval", "figures")


def check_same_run(config, workdir):
    """Raises UserError if the workdir holds checkpoints of another config."""
    path = workdir / "config.json"
    # Without a checkpoint nothing is lost by another config: the first may have been a typo.
    if path.exists() and checkpoint.steps(workdir):
        warning = configs.same_run(configs.read(path), config, workdir)
        if warning:
            LOGGER.warning(warning)


def use_compilation_cache():
    """Keeps compiled programs on disk, so that the second start is quick."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder("xla")))
        # JAX leaves out what compiled within a second; of that there is a lot.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@contextlib.contextmanager
def only_run(workdir):
    """Holds the workdir for this process.

    Raises:
      UserError: another process has it.
    """

    def refuse():
        raise UserError(f"Another run is using {workdir}: wait for it, or take another --workdir.")

    with locked(workdir / ".lock", refuse):
        yield


def run(config: ml_collections.ConfigDict, workdir: str | Path, mode: str = "train") -> None:
    """Trains (then evaluates and draws), or evaluates, or draws.

    Args:
      config: a ConfigDict of the schema of `config_rules.py`.
      workdir: folder of the run; made where it is missing.
      mode: one of MODES.

    Raises:
      UserError: for every error that users can fix.
    """
    config_rules.check(config)
    use_compilation_cache()
    processes.join(os.environ)
    if jax.default_backend() == "cpu":
        keep_memory()
    console.install(visible=processes.is_main())
    workdir = Path(workdir).expanduser().absolute()
    with explain_disk_errors(workdir), contextlib.ExitStack() as stack:
        with processes.all_or_none():
            if processes.is_main():
                claim(config, workdir, mode, stack)
            splits = open_splits(config) if mode == "train" else None
        if mode == "train":
            from refvae_jax.training.loop import train

            LOGGER.info(f"{config.method.name} on {config.data.name} in {workdir}")
            if not train(config, workdir, splits):
                return
        if not processes.is_main():
            return
        if mode in ("train", "eval"):
            from refvae_jax.evaluation.evaluate import evaluate

            evaluate(config, workdir, splits=splits)
        if mode in ("train", "figures"):
            from refvae_jax.figures.draw import draw

            draw(config, workdir, splits=splits)


def claim(config, workdir, mode, stack):
    """Locks the workdir, checks that it holds no other run, and writes the config beside it.

    Args:
      config, workdir, mode: of `run`.
      stack: contextlib.ExitStack that holds the lock.
    """
    if mode == "train":
        workdir.mkdir(parents=True, exist_ok=True)
    if workdir.exists():
        stack.enter_context(only_run(workdir))
        check_same_run(config, workdir)
    if mode == "train":
        configs.write(config, workdir / "config.json")
