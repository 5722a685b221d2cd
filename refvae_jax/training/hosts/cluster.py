"""Where the processes of a run are, from what the cluster sets in their environment."""

from collections.abc import Mapping
from unittest import mock

from jax._src.clusters import ClusterEnv
from jax._src.clusters.cloud_tpu_cluster import BaseTpuCluster

from refvae_jax.errors import UserError
from refvae_jax.training.hosts.roster import Place

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_TPU_HOSTS = ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
_TASKS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")


def find_place(environ: Mapping[str, str]) -> Place | None:
    """The place of this process, from its environment; None if it is the only one.

    Either the VARIABLES say it, or Slurm, Open MPI or the TPU pod does, as they do to a bare
    jax.distributed.initialize().

    Raises:
      UserError: there are others, but nothing says where.
    """
    if VARIABLES[0] in environ:
        address, num_processes, process_id = _by_hand(environ)
    elif _is_cluster(environ):
        address, num_processes, process_id = None, None, None
    else:
        return None
    try:
        # The name of a pod's first host may not be known yet. JAX would wait for it without a word;
        # `meeting` names whom it waits for.
        with mock.patch.object(BaseTpuCluster, "wait_for_coordinator"):
            address, num_processes, process_id, devices = (
                ClusterEnv.auto_detect_unset_distributed_params(
                    address, num_processes, process_id, None, None, initialization_timeout=0
                )
            )
        if address is None or num_processes is None or process_id is None:
            raise ValueError("nothing names their coordinator")
        host, _, port = address.rpartition(":")
        if not host:
            raise ValueError(f"the address of process 0, {address}, is not HOST:PORT")
        place = Place(host.strip("[]"), int(port), num_processes, process_id)
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise UserError(
            f"The other processes of this job cannot be found ({error}): in a Slurm job start "
            f"python with srun, elsewhere set {', '.join(VARIABLES)}; a TPU of one host needs "
            f"TPU_SKIP_MDS_QUERY=1."
        ) from error
    if place.num_processes == 1:
        return None
    return place if "JAX_LOCAL_DEVICE_IDS" in environ else place._replace(devices=devices)


def _by_hand(environ: Mapping[str, str]) -> tuple[str, int, int]:
    address, *numbers = VARIABLES
    try:
        num_processes, process_id = (int(environ[name]) for name in numbers)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{address} is set, so {' and '.join(numbers)} must be set to whole numbers too."
        ) from error
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"JAX_PROCESS_ID is {process_id}, but must be from 0 to {num_processes - 1}, one less "
            f"than JAX_NUM_PROCESSES."
        )
    return environ[address], num_processes, process_id


def _is_cluster(environ: Mapping[str, str]) -> bool:
    """Whether a cluster has started several processes.

    Where the environment does not name the hosts of a TPU, JAX asks the cloud, for a single host
    too.
    """
    many_tasks = any(int(environ.get(name, "1")) > 1 for name in _TASKS)
    tpu_hosts = [environ[name] for name in _TPU_HOSTS if name in environ]
    many_tpu_hosts = any("," in hosts for hosts in tpu_hosts)
    many_slices = int(environ.get("MEGASCALE_NUM_SLICES", "1")) > 1
    # JAX sets the first where it finds TPU chips, the second where it finds none.
    on_tpu = "TPU_ML_PLATFORM" in environ and "TPU_SKIP_MDS_QUERY" not in environ
    on_tpu = on_tpu and "tpu" in (environ.get("JAX_PLATFORMS") or "tpu")
    return many_tasks or many_tpu_hosts or many_slices or (on_tpu and not tpu_hosts)


def how_to_start(process_id: int, place: Place, environ: Mapping[str, str], command: str) -> str:
    """What to do so that process `process_id` of the run of `place` starts.

    Args:
      process_id: of the process.
      place: of this one.
      environ: of this one.
      command: that started this one.
    """
    if VARIABLES[0] not in environ:
        return "start the same command on every host of the cluster."
    values = (f"{place.host}:{place.port}", place.num_processes, process_id)
    settings = " ".join(f"{name}={value}" for name, value in zip(VARIABLES, values, strict=True))
    return f"on its host type `{settings} {command}`."
