"""The training step of a config, compiled for chips that need not be here, from shapes only."""

import functools
import importlib.util
import os
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from refvae_jax.cost.chips import Topology
from refvae_jax.cost.collectives import Collective, collectives
from refvae_jax.data.batches import batch_shapes
from refvae_jax.data.readers import presets
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS, independence
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import devices, setup

NUM_IMAGES = 50_000  # Of a training set; it enters no shape.
# libtpu neither asks the cloud which TPU this is nor complains that there is none.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # Compiling needs no chip, which one process would hold.
}
# An estimate needs the program, not fast machine code of it.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
ADVICE = "take fewer images per chip or --config.remat=True"  # Where the memory is too small.


class Program(NamedTuple):
    """What XLA says of one step on one device.

    Attributes:
      flops: operations, of which those of convolutions and matmuls are nearly all.
      traffic: bytes that its operations read and write.
      arguments: bytes of the state and of the device's share of the batch.
      temporaries: bytes beside the arguments at the peak.
      collectives: what it sends between devices.
      shapes: of the state and of the batch, which the program takes.
      compiled: the program itself.
    """

    flops: float
    traffic: float
    arguments: int
    temporaries: int
    collectives: tuple[Collective, ...]
    shapes: tuple[Any, Any]
    compiled: jax.stages.Compiled


def tpu_mesh(topology: Topology) -> Mesh:
    """A mesh of chips that libtpu can compile for.

    Raises:
      UserError: libtpu is not installed, or does not know the topology.
    """
    chip = topology.chip.title.removeprefix("TPU ")
    name = f"{chip}:{topology.shape}"
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"Programs for {name} are compiled by libtpu, which is not installed: pip install "
            f"'.[tpu]', or take --topology={chip}:{topology.num_chips} for an estimate without it."
        )
    for variable, value in _NO_TPU_HERE.items():
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies

    # A v4 chip has two cores, which work as one device unless they are asked to work alone.
    options = {"chip_config_name": "megacore"} if chip == "v4" else {}
    try:
        found = topologies.get_topology_desc(name, "tpu", **options).devices
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise UserError(f"libtpu knows no topology {name} ({reason}).") from error
    return devices.make_mesh(found)


def host_mesh(count: int) -> Mesh:
    """A mesh of this host's CPU, seen as so many devices; before JAX's backend starts."""
    jax.config.update("jax_num_cpu_devices", count)
    return devices.make_mesh(jax.devices("cpu"))


def lower(config: ConfigDict, mesh: Mesh, platform: str) -> tuple[Any, tuple[Any, Any]]:
    """The step of a config before it is compiled, and the shapes of the state and of the batch.

    Args:
      config: of the schema; its data are not opened.
      mesh: what to compile for.
      platform: whose forms of convolutions to take: the mesh's, or that of the chips that this
        host stands in for.

    Raises:
      UserError: the batch does not divide among the devices, the networks do not fit its images, or
        it is computed in parts.
    """
    parts, size = config.optimizer.accumulate_steps, config.batch_size
    if parts > 1:
        raise UserError(
            f"config.optimizer.accumulate_steps is {parts}, and of the parts of a batch XLA counts "
            f"one only: ask what one costs, --config.optimizer.accumulate_steps=1 "
            f"--batch_size={size // parts}, and take it {parts} times."
        )
    devices.check_divides(size, mesh.size, "batch_size")  # That of this command.
    side = config.data.resolution
    shape = (side, side, presets.channels(config.data.name))
    info = DataInfo(shape, max(NUM_IMAGES, config.batch_size), platform)
    method = METHODS[config.method.name](config, info)
    optimizers = setup.make_optimizers(config, method.players)
    state = jax.eval_shape(functools.partial(setup.initial_state, method, optimizers, config.seed))
    num_others = independence.num_others(config)
    batch = batch_shapes(method.supervision, config.batch_size, shape, num_others)
    return setup.lower_step(config, method, optimizers, mesh, state, batch), (state, batch)


def compile_step(config: ConfigDict, mesh: Mesh, platform: str) -> Program:
    """Compiles the step of a config; arguments and errors as of `lower`.

    Raises:
      UserError: the compiler refuses it, since the chip has too little memory.
    """
    lowered, shapes = lower(config, mesh, platform)
    stands_in = platform != devices.platform_of(mesh)
    try:
        compiled = lowered.compile(QUICK if stands_in else None)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(f"{str(error).splitlines()[0]} This does not fit: {ADVICE}.") from error
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return Program(
        flops=cost["flops"],
        traffic=cost["bytes accessed"],
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        collectives=tuple(collectives(compiled.as_text())),
        shapes=shapes,
        compiled=compiled,
    )


def plain_flops(config: ConfigDict, mesh: Mesh) -> float:
    """FLOPs of the step with plain convolutions on one device, not compiled.

    XLA counts what is in a loop once, and some forms for a CPU have loops.
    """
    lowered, _ = lower(config, mesh, "plain")
    return lowered.cost_analysis()["flops"]
