"""Several processes of one run: how they find each other, and what they must agree on.

join(os.environ)                 # before the first use of a device
with all_or_none(): ...          # if one process raises here, all raise
check_agreed(value, "advice")    # UserError unless all have the same value
"""

import contextlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from refvae_jax.errors import UserError

_TPU_HOSTS = ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
_VARIABLES = "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"


def is_main() -> bool:
    """Whether this is the process that writes and reports."""
    return jax.process_index() == 0


def distributed_arguments(environ: Mapping[str, str]) -> dict[str, Any] | None:
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
    tpu_hosts = [environ[name] for name in _TPU_HOSTS if name in environ]
    many_tpu_hosts = any("," in hosts for hosts in tpu_hosts)
    # JAX sets the first where it finds TPU chips, the second where it finds none.
    on_tpu = "TPU_ML_PLATFORM" in environ and "TPU_SKIP_MDS_QUERY" not in environ
    on_tpu = on_tpu and "tpu" in environ.get("JAX_PLATFORMS", "tpu")
    return {} if many_slurm_tasks or many_tpu_hosts or (on_tpu and not tpu_hosts) else None


def join(environ: Mapping[str, str]) -> None:
    """Makes this process one of the run's processes, see `distributed_arguments`.

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
                f"python with srun, elsewhere set {_VARIABLES}; a TPU of one host needs "
                f"TPU_SKIP_MDS_QUERY=1."
            ) from error
        jax.devices()  # Every process must be there before the first may use its own devices.
    elif jax.process_count() > 1:  # A TPU knows its hosts by itself; saving needs more than that.
        raise UserError(
            f"These devices belong to {jax.process_count()} hosts: on each of them set "
            f"{_VARIABLES}."
        )


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """If one process raises here, all raise, so none blocks."""
    error = None
    try:
        yield
    except Exception as met:
        error = met
    if jax.process_count() > 1 and not multihost_utils.process_allgather(error is None).all():
        raise error or UserError("Another process failed: its output says why.")
    if error:
        raise error


def any_process(asked: bool) -> bool:
    """Whether any process asks; all processes must call it at the same step."""
    return bool(multihost_utils.process_allgather(asked).any())


def check_agreed(value: Any, advice: str) -> None:
    """Raises UserError with this advice unless all processes have the same JSON-ready value."""
    mine = np.uint32(zlib.crc32(json.dumps(value, sort_keys=True).encode()))
    if jax.process_count() > 1 and (multihost_utils.process_allgather(mine) != mine).any():
        raise UserError(advice)
