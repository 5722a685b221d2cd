"""From a program and a chip's peaks to time, images per second and chip-hours.

    step(n)       = max(FLOPs / peak, traffic / bandwidth) + sum of collectives(n)
    collective(n) = k (max(n) + hops(n) HOP),  k = 2 for an all-reduce, else 1
    max(n)        = (n - 1) / n bytes / link bandwidth

`bytes` are of what a device has when all is gathered, or before it is scattered.

Weak scaling: every chip keeps its share of the batch, so the batch grows with the number of chips.
What a device gathers grows with the batch, what it reduces does not. These are predictions and no
bounds: docs/cost.md says what makes them too high and what too low.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from refvae_jax.cost.chips import Chip
from refvae_jax.cost.collectives import Collective
from refvae_jax.cost.program import Program

HOP = 1e-6  # Seconds for a message to the next chip; Austin et al., "How to Scale Your Model".
COUNTS = (1, 4, 16, 64, 256)


class Row(NamedTuple):
    """A prediction for a number of chips; `efficiency` is images/s over those of as many alone."""

    chips: int
    batch_size: int
    images_per_second: float
    chip_hours: float
    efficiency: float


def roofline(program: Program, chip: Chip, dtype: str) -> tuple[float, float]:
    """Seconds of (the FLOPs at the chip's peak, the memory traffic at its bandwidth)."""
    return program.flops / chip.flops[dtype], program.traffic / chip.memory_bandwidth


def hops(chip: Chip, count: int) -> float:
    """How many chips a message passes to reach all: half of each side of a torus, or a tree."""
    if chip.axes:
        return chip.axes * count ** (1 / chip.axes) / 2
    return math.log2(count)


def collective_seconds(
    collectives: Iterable[Collective], compiled_for: int, chip: Chip, count: int
) -> float:
    """Seconds of all collectives on so many chips.

    Args:
      collectives: of a program.
      compiled_for: how many chips the program is for.
      chip: gives the links.
      count: of the chips.
    """
    if count == 1:
        return 0.0
    within = count <= chip.node or not chip.network_bandwidth
    bandwidth = chip.link_bandwidth if within else chip.network_bandwidth
    seconds = 0.0
    # From the bytes of a result to those of the whole: a device is left with its share of a sum.
    whole = {"all-gather": count / compiled_for, "reduce-scatter": compiled_for}
    for kind, num_bytes in collectives:
        sent = whole.get(kind, 1) * num_bytes * (count - 1) / count
        once = sent / bandwidth + hops(chip, count) * HOP
        seconds += 2 * once if kind == "all-reduce" else once
    return seconds


def predict(
    program: Program, chip: Chip, dtype: str, *, batch_size: int, num_chips: int, num_images: int
) -> list[Row]:
    """A Row for each of COUNTS, or for 1 only: a program for one chip has no collectives to price.

    Args:
      program: compiled for `num_chips` chips and `batch_size` images.
      chip, dtype: what it runs on, and the type of the networks.
      batch_size, num_chips: see `program`.
      num_images: of the whole run, batches times steps.
    """
    alone, share = max(roofline(program, chip, dtype)), batch_size / num_chips
    rows = []
    for count in COUNTS if num_chips > 1 else (1,):
        seconds = alone + collective_seconds(program.collectives, num_chips, chip, count)
        speed = share * count / seconds
        hours = num_images / speed * count / 3600
        rows.append(Row(count, round(share * count), speed, hours, alone / seconds))
    return rows
