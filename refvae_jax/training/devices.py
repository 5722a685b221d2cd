"""Devices: the mesh, where arrays live on it, and how the step is mapped over it.

Two ways, `config.parallel.map`:

- "jit" (default): the step is written for the global batch and the compiler splits it. The result
  does not depend on the number of devices, to rounding: batch norm, group posteriors and noise are
  those of the whole batch.
- "pmap": one replica per device. Gradients, running batch statistics and scalars are averaged;
  what is computed over a batch (batch norm, group posteriors, repulsion) is computed per replica,
  and each replica draws its own noise. Cheaper in communication; another objective if groups are
  small.

In both the state is one replicated global array, donated to the step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from refvae_jax.buckets import file_system, is_bucket
from refvae_jax.errors import UserError
from refvae_jax.files import cache_folder
from refvae_jax.methods.base import Method
from refvae_jax.training.step import in_a_row, make_update

AXIS = "batch"


def make_mesh(found: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-axis mesh of the devices, by default of all of all processes."""
    # By process, not as jax.make_mesh follows a TPU's topology: process p has the p-th part of each
    # batch, so in any other order the images, and with them their noise, would change places.
    devices = sorted(
        jax.devices() if found is None else found, key=lambda d: (d.process_index, d.id)
    )
    # Auto: under the default, Explicit, gathers over the batch would need shardings of their own.
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def platform_of(mesh: Mesh) -> str:
    """What a program for this mesh is compiled for: the networks choose their forms by it."""
    return mesh.devices.flat[0].platform


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of the state: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_divides(size: int, num_devices: int, field: str = "config.batch_size") -> None:
    """Raises UserError if so many images, which the field asks for, do not divide among devices."""
    if size % num_devices:
        near = max(size - size % num_devices, num_devices)
        raise UserError(
            f"{field} {size} does not divide among {num_devices} devices: "
            f"take a multiple, for example --{field}={near}."
        )


def map_update(
    method: Method,
    optimizers: dict[str, Any],
    seed: int,
    mesh: Mesh,
    how: str,
    accumulate_steps: int = 1,
    num_batches: int = 1,
) -> Any:
    """The jitted step(state, batch) -> (state, scalars), or several steps.

    Args:
      method, optimizers, seed: of `step.make_update`.
      mesh: of the devices.
      how: "jit" or "pmap".
      accumulate_steps: of `step.make_update`.
      num_batches: with more than one, a step for each of several batches, see `step.in_a_row`.
    """
    whole, parts = PartitionSpec(), batch_spec(num_batches)
    axis = AXIS if how == "pmap" else None
    update = make_update(method, optimizers, seed, axis, accumulate_steps)
    update = update if num_batches == 1 else in_a_row(update)
    if how == "pmap":  # jax.pmap itself, compiled ahead, takes no arrays of several processes.
        update = jax.shard_map(
            update, mesh=mesh, in_specs=(whole, parts), out_specs=whole, check_vma=False
        )
    else:
        update = traced_in(mesh, update)
    return jax.jit(
        update,
        in_shardings=(replicated(mesh), NamedSharding(mesh, parts)),
        out_shardings=replicated(mesh),
        donate_argnums=0,
    )


def traced_in(mesh: Mesh, function: Callable) -> Callable:
    """The function, which while it is traced can ask JAX for the mesh: `shares.py` does."""

    def in_mesh(*args: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args)

    return in_mesh


def batch_spec(num_batches: int = 1) -> PartitionSpec:
    """How a batch [B, ...] lies on the mesh, or several, [num_batches, B, ...]."""
    return PartitionSpec(AXIS) if num_batches == 1 else PartitionSpec(None, AXIS)


def put_batch(batch: Any, mesh: Mesh, num_batches: int = 1) -> Any:
    """Puts this process's part of a batch, [B / processes, ...] each, on its devices.

    Of several batches: [num_batches, B / processes, ...].
    """
    split = NamedSharding(mesh, batch_spec(num_batches))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split, x), batch)


def use_compilation_cache() -> None:
    """Keeps compiled programs on disk, so that the second start is quick.

    Raises:
      UserError: the user wants them in a bucket, and gcsfs is not installed.
    """
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen and is_bucket(chosen):
        file_system(chosen)  # Sets how long JAX, which goes through epath too, waits for an answer.
    if not chosen:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder("xla")))
        # By default JAX skips programs that compile in under a second: there are many of them.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
