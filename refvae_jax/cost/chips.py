"""Public peaks of accelerator chips, each with its source.

chip, shape, count = parse("v5e:4x4")    # 16 chips, for which libtpu can compile
chip, shape, count = parse("h100:8")     # a number: estimated from XLA's analysis on this host
"""

import math
import re
from typing import NamedTuple

from refvae_jax.errors import UserError, did_you_mean

_TPU = "https://cloud.google.com/tpu/docs/"
_NVIDIA = "https://www.nvidia.com/en-us/data-center/"


class Chip(NamedTuple):
    """Peaks of one chip.

    Attributes:
      title: the chip's name.
      platform: as a JAX device names it.
      flops: {dtype of the networks: FLOP/s}. A TPU multiplies float32 as bfloat16 and a GPU as
        TF32, unless JAX is told otherwise.
      memory_bandwidth: bytes/s.
      memory: bytes.
      link_bandwidth: bytes/s that one chip sends to the others, over all of its links.
      axes: of the torus that the chips form; 0 where every chip reaches every other by a switch.
      node: how many chips share these links; beyond it they have a network.
      network_bandwidth: bytes/s that one chip sends over the network, 0 where there is none.
      source: where the numbers are from.
    """

    title: str
    platform: str
    flops: dict[str, float]
    memory_bandwidth: float
    memory: float
    link_bandwidth: float
    axes: int
    node: int
    network_bandwidth: float
    source: str


def _tpu(title: str, peak: float, bandwidth: float, memory: int, link: float, axes: int) -> Chip:
    flops = dict.fromkeys(("float32", "bfloat16"), peak * 1e12)
    pod = 256 if axes == 2 else 4096
    source = _TPU + title.removeprefix("TPU ")
    return Chip(
        title, "tpu", flops, bandwidth * 1e9, memory * 1e9, link * 1e9, axes, pod, 0, source
    )


def _gpu(
    title: str, peak: float, bandwidth: float, memory: int, link: float, network: float
) -> Chip:
    flops = {"float32": peak / 2 * 1e12, "bfloat16": peak * 1e12}  # TF32 has half the rate.
    source = _NVIDIA + title.split()[0].lower()
    return Chip(
        title,
        "gpu",
        flops,
        bandwidth * 1e9,
        memory * 1e9,
        link * 1e9,
        0,
        8,
        network * 1e9,
        source,
    )


# TFLOP/s in bfloat16, GB/s and GB of memory; GB/s of the links in one direction. The network is
# that of NVIDIA's DGX, one adapter of 200 (A100) or 400 Gbit/s for each GPU.
CHIPS = {
    "v4": _tpu("TPU v4", 275, 1200, 32, 300, axes=3),
    "v5e": _tpu("TPU v5e", 197, 819, 16, 200, axes=2),
    "v5p": _tpu("TPU v5p", 459, 2765, 95, 600, axes=3),
    "v6e": _tpu("TPU v6e", 918, 1600, 32, 400, axes=2),
    "a100": _gpu("A100 SXM 80 GB", 312, 2039, 80, 300, network=25),
    "h100": _gpu("H100 SXM", 989, 3350, 80, 450, network=50),
    "h200": _gpu("H200 SXM", 989, 4800, 141, 450, network=50),
}


class Topology(NamedTuple):
    """Some chips, all alike.

    Attributes:
      chip: one of CHIPS.
      shape: "4x4" where the chips' places are given, "" where only their number is.
      num_chips: how many.
    """

    chip: Chip
    shape: str
    num_chips: int


def example(name: str) -> str:
    """A topology of several chips of this name, of CHIPS: v5e:2x2, v4:2x2x2, h100:8."""
    return f"{name}:{'x'.join(['2'] * CHIPS[name].axes) or 8}"


def parse(text: str) -> Topology:
    """The Topology of `CHIP:SHAPE`, as v5e:4x4 and v4:2x2x1, or of `CHIP:NUMBER`.

    Raises:
      UserError: there is no such chip, or what follows it is no shape and no number.
    """
    name, _, shape = text.partition(":")
    if name not in CHIPS:
        raise UserError(
            f"There is no chip {name!r} for --topology, only {', '.join(CHIPS)} and cpu, this host."
            f"{did_you_mean(name, CHIPS)}"
        )
    chip = CHIPS[name]
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        raise UserError(
            f"--topology={text} does not say how many chips: write {example(name)}"
            + (f", or only their number, {name}:4." if chip.axes else ".")
        )
    sides = [int(side) for side in shape.split("x")]
    if len(sides) == 1:
        return Topology(chip, "", sides[0])
    if len(sides) != chip.axes:
        raise UserError(
            f"--topology={text}: {chip.title} chips are placed along {chip.axes} axes, as in "
            f"{example(name)}."
            if chip.axes
            else f"--topology={text}: {chip.title} chips have no places, only a number: {name}:8."
        )
    return Topology(chip, shape, math.prod(sides))
