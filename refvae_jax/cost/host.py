"""The peaks of this host, measured, and the time that a step takes on it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from refvae_jax.cost.chips import Chip
from refvae_jax.cost.program import Program
from refvae_jax.training import devices

MATRIX = 1536  # Rows of the matrices that are multiplied.
NUMBERS = 2**26  # That are read and written: 256 MB each way.
REPEATS = 5


def measure_chip(dtype: str) -> Chip:
    """This host as a Chip: the best rates of a matmul and of a pass over the memory."""
    matrix, numbers = jnp.ones((MATRIX, MATRIX), dtype), jnp.ones(NUMBERS, jnp.float32)
    multiply, add_one = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
    flops = 2 * MATRIX**3 / min(seconds_of(lambda: multiply(matrix, matrix)))
    bandwidth = 2 * numbers.nbytes / min(seconds_of(lambda: add_one(numbers)))
    return Chip(
        title="this host",
        platform="cpu",
        flops={dtype: flops},
        memory_bandwidth=bandwidth,
        memory=0,
        link_bandwidth=bandwidth,
        axes=0,
        node=1,
        network_bandwidth=0,
        source="measured",
    )


def measure_step(program: Program, mesh: Mesh) -> float:
    """Seconds of the compiled step: the median of REPEATS, on made numbers of its shapes."""
    rng = np.random.default_rng(0)

    def made(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        if np.issubdtype(shape.dtype, np.floating):
            return (0.02 * rng.random(shape.shape)).astype(shape.dtype)
        return rng.integers(0, 10, shape.shape).astype(shape.dtype)

    state, batch = jax.tree.map(made, program.shapes)
    state, batch = jax.device_put(state, devices.replicated(mesh)), devices.put_batch(batch, mesh)

    def step() -> Any:
        nonlocal state
        state, scalars = program.compiled(state, batch)
        return state, scalars

    return statistics.median(seconds_of(step))


def seconds_of(function: Callable[[], Any]) -> list[float]:
    """Seconds of each of REPEATS calls, after one that compiles."""
    jax.block_until_ready(function())
    found = []
    for _ in range(REPEATS):
        since = time.perf_counter()
        jax.block_until_ready(function())
        found.append(time.perf_counter() - since)
    return found
