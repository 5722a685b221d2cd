"""A run in its workdir: the lock, the config beside it, the modes, and errors told in words."""

import contextlib
import errno
import fcntl
import os
import threading
from pathlib import Path

import jax

from refvae_jax import checkpoint, parallel
from refvae_jax import config as configs
from refvae_jax.allocator import keep_memory
from refvae_jax.errors import UserError
from refvae_jax.logs import say

MODES = ("train", "eval", "figures")

TPU_HOSTS = ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
PROCESS_VARIABLES = "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
)


def disk_trouble(error):
    """The system's words if the error is one of DISK_ERRORS, else "".

    Also where a library wraps it in an error of its own and leaves only the words.
    """
    words = {code: os.strerror(code) for code in DISK_ERRORS}
    full = [words[code] for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)]
    return words.get(getattr(error, "errno", None)) or next(
        (text for text in full if text in str(error)), ""
    )


@contextlib.contextmanager
def disk_errors_explained(workdir):
    """Turns "disk full", "read-only" and their kin into a UserError."""
    print_traceback = threading.excepthook

    def hook(thread):
        # A thread of Orbax's that cannot write also raises in the main thread, where it is told.
        if not disk_trouble(thread.exc_value):
            print_traceback(thread)

    threading.excepthook = hook
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        words = disk_trouble(error)
        if not words:
            raise
        raise UserError(
            f"Cannot write to {getattr(error, 'filename', None) or workdir}: {words}. Make room "
            f"there, or take another place with --workdir or --config.data.cache_dir; checkpoints "
            f"already saved are untouched."
        ) from error
    finally:
        threading.excepthook = print_traceback


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


def check_same_run(config, workdir):
    """Raises UserError if the workdir holds checkpoints of another config."""
    path = workdir / "config.json"
    # Without a checkpoint nothing is lost by another config: the first may have been a typo.
    if path.exists() and checkpoint.steps(workdir):
        warning = configs.same_run(configs.read(path), config, workdir)
        if warning:
            say(f"warning: {warning}")


def use_compilation_cache():
    """Keeps compiled programs on disk, so that the second start is quick."""
    if not jax.config.jax_compilation_cache_dir:
        root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(root / "refvae_jax" / "xla"))
        # JAX leaves out what compiled within a second; of that there is a lot.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def distributed_arguments(environ):
    """How to join the other processes of this run, from the environment; None if there are none.

    Either JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say it, or Slurm or the
    TPU pod does, which jax.distributed.initialize() understands without arguments. Where the
    environment does not name the hosts of a TPU, it asks the cloud, for a single host too.
    """
    if address := environ.get("JAX_COORDINATOR_ADDRESS"):
        try:
            number, index = (int(environ[f"JAX_{n}"]) for n in ("NUM_PROCESSES", "PROCESS_ID"))
        except (KeyError, ValueError) as error:
            raise UserError(
                "JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be "
                "set to whole numbers too."
            ) from error
        if not 0 <= index < number:
            raise UserError(
                f"JAX_PROCESS_ID is {index}, but must be from 0 to {number - 1}, one less than "
                f"JAX_NUM_PROCESSES."
            )
        return {"coordinator_address": address, "num_processes": number, "process_id": index}
    many_slurm_tasks = int(environ.get("SLURM_NTASKS", "1")) > 1
    tpu_hosts = [environ[name] for name in TPU_HOSTS if name in environ]
    many_tpu_hosts = any("," in hosts for hosts in tpu_hosts)
    # JAX sets the first where it finds TPU chips, the second where it finds none.
    on_tpu = "TPU_ML_PLATFORM" in environ and "TPU_SKIP_MDS_QUERY" not in environ
    on_tpu = on_tpu and "tpu" in environ.get("JAX_PLATFORMS", "tpu")
    return {} if many_slurm_tasks or many_tpu_hosts or (on_tpu and not tpu_hosts) else None


def join_processes(environ):
    """Makes this process one of the run's, as `distributed_arguments` has it.

    Raises:
      UserError: there are others, but nothing says where.
    """
    arguments = distributed_arguments(environ)
    if arguments is not None:
        try:
            # The others wait at the end for the first, which evaluates.
            jax.distributed.initialize(**arguments, shutdown_timeout_seconds=24 * 3600)
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(
                f"The other processes of this job cannot be found ({error}): in a Slurm job start "
                f"python with srun, elsewhere set {PROCESS_VARIABLES}; a TPU of one host needs "
                f"TPU_SKIP_MDS_QUERY=1."
            ) from error
        jax.devices()  # Every process must be there before the first may use its own devices.
    elif jax.process_count() > 1:  # A TPU knows its hosts by itself; saving needs more than that.
        raise UserError(
            f"These devices belong to {jax.process_count()} hosts: on each of them set "
            f"{PROCESS_VARIABLES}."
        )


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
    use_compilation_cache()
    keep_memory()
    join_processes(os.environ)
    workdir = Path(workdir).expanduser().absolute()
    main = jax.process_index() == 0
    with disk_errors_explained(workdir), contextlib.ExitStack() as stack:
        with parallel.all_or_none():
            if main and mode == "train":
                workdir.mkdir(parents=True, exist_ok=True)
            if main and workdir.exists():
                stack.enter_context(locked(workdir))
                check_same_run(config, workdir)
            if main and mode == "train":
                configs.write(config, workdir / "config.json")
        if mode == "train":
            from refvae_jax.train import train

            say(f"{config.method.name} on {config.data.name} in {workdir}")
            if not train(config, workdir):
                return
        if main:
            from refvae_jax import evaluate

            if mode in ("train", "eval"):
                evaluate.evaluate(config, workdir)
            if mode in ("train", "figures"):
                evaluate.draw(config, workdir)
