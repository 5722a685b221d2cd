"""A run in its workdir: the lock, the config beside it, the modes, and errors told in words."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import jax

from refvae_jax import config as configs
from refvae_jax.allocator import keep_memory
from refvae_jax.errors import UserError
from refvae_jax.logs import say

MODES = ("train", "eval", "figures")

DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
)


@contextlib.contextmanager
def disk_errors_explained(workdir):
    """Turns "disk full", "read-only" and their kin into a UserError.

    Also where a library wraps the system's error in one of its own and leaves only the words.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for code in DISK_ERRORS:
            words = os.strerror(code)
            if getattr(error, "errno", None) == code or words in str(error):
                where = getattr(error, "filename", None) or workdir
                raise UserError(
                    f"Cannot write to {where}: {words}. Make room there or take another "
                    f"--workdir; checkpoints already saved are untouched."
                ) from error
        raise


@contextlib.contextmanager
def locked(workdir):
    """Holds the workdir for this process; the system lets go of it however the process ends."""
    with open(workdir / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another run is using {workdir}: wait for it, or take another --workdir."
            ) from None
        yield


def claim(config, workdir):
    """Makes the workdir this config's, or checks that it was so before."""
    path = workdir / "config.json"
    if path.exists() and (warning := configs.same_run(configs.read(path), config, workdir)):
        say(f"warning: {warning}")
    configs.write(config, path)


def use_compilation_cache():
    """Keeps compiled programs on disk, so that the second start is quick."""
    if not jax.config.jax_compilation_cache_dir:
        root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(root / "refvae_jax" / "xla"))


def distributed_arguments(environ):
    """How to join the other processes of this run, from the environment; None if there are none.

    Either JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it, or Slurm or the
    TPU pod does, which jax.distributed.initialize() understands without arguments.
    """
    if address := environ.get("JAX_COORDINATOR_ADDRESS"):
        try:
            number, index = (int(environ[f"JAX_{n}"]) for n in ("NUM_PROCESSES", "PROCESS_ID"))
        except (KeyError, ValueError) as error:
            raise UserError(
                "JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be "
                "set to whole numbers too."
            ) from error
        return {"coordinator_address": address, "num_processes": number, "process_id": index}
    many_slurm_tasks = int(environ.get("SLURM_NTASKS", "1")) > 1
    many_tpu_hosts = "," in environ.get("TPU_WORKER_HOSTNAMES", "")
    return {} if many_slurm_tasks or many_tpu_hosts else None


def run(config, workdir, mode="train"):
    """Trains (then evaluates and draws), or evaluates, or draws.

    Args:
      config: a ConfigDict of the schema of configs/default.py.
      workdir: folder of the run; made where it is missing.
      mode: one of MODES.

    Raises:
      UserError: for everything that the user can mend.
    """
    configs.check(config)
    arguments = distributed_arguments(os.environ)
    if arguments is not None:
        jax.distributed.initialize(**arguments)
    use_compilation_cache()
    keep_memory()
    workdir = Path(workdir).absolute()
    main = jax.process_index() == 0
    with disk_errors_explained(workdir), contextlib.ExitStack() as stack:
        if main:
            workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(workdir))
            if mode == "train":
                claim(config, workdir)
        if mode == "train":
            from refvae_jax.train import train

            say(f"{config.method.name} on {config.data.name} in {workdir}")
            if not train(config, workdir):
                return
        if main:
            from refvae_jax import evaluate

            if mode in ("train", "eval"):
                evaluate.evaluate(workdir)
            if mode in ("train", "figures"):
                evaluate.draw(workdir)
