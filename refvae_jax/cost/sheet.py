"""Prints what the training step of a config costs on TPUs, GPUs or this host.

    python -m refvae_jax cost --config=configs/celeba_gmvae.py --topology=v5e:4x4
    python -m refvae_jax cost --config=configs/celeba_gmvae.py --topology=h100:8 --batch_size=2048
    python -m refvae_jax cost --config=configs/quickstart.py --topology=cpu

A topology with a shape (v5e:4x4, v4:2x2x1) is compiled for by libtpu, without a TPU. One with a
number (h100:8, v5e:16) is estimated from the program that XLA makes on this host. On cpu the
prediction is compared with the measured step. No data are read. docs/cost.md has the formulae.
"""

import argparse
from collections import Counter

import jax
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from refvae_jax import config_rules
from refvae_jax.command_line import from_command_line
from refvae_jax.cost import chips, estimate, host, program
from refvae_jax.cost.collectives import KINDS
from refvae_jax.cost.program import Program
from refvae_jax.errors import exit_status
from refvae_jax.training import allocator

HOST = "cpu"


def sheet(config: ConfigDict, topology: str) -> list[str]:
    """The lines of the cost sheet.

    Args:
      config: of the schema of `config_rules.py`.
      topology: see this module's docstring.

    Raises:
      UserError: there is no such topology, or the step cannot be compiled for it.
    """
    if topology == HOST:
        return host_sheet(config)
    found = chips.parse(topology)
    if found.shape:
        mesh, how = program.tpu_mesh(found), "compiled by libtpu"
    else:
        mesh, how = program.host_mesh(found.num_chips), "estimated from XLA's program on this host"
    compiled = program.compile_step(config, mesh, found.chip.platform)
    return [
        *head(config, topology, f"{found.num_chips} x {found.chip.title}, {how}"),
        *cost_lines(compiled),
        *memory_lines(compiled, found),
        *roofline_lines(compiled, found, config.dtype),
        *prediction_lines(compiled, found, config),
        *more_lines(topology, config.batch_size),
        f"peaks of {found.chip.title}: {found.chip.source}",
    ]


def host_sheet(config: ConfigDict) -> list[str]:
    """The cost sheet of this host: the prediction beside the measured step."""
    allocator.keep_memory()  # As in training; before the backend starts its threads.
    mesh = program.host_mesh(1)
    compiled = program.compile_step(config, mesh, HOST)
    compiled = compiled._replace(flops=program.plain_flops(config, mesh))
    chip = host.measure_chip(config.dtype)
    predicted = max(estimate.roofline(compiled, chip, config.dtype))
    measured = host.measure_step(compiled, mesh)
    flops, bandwidth = chip.flops[config.dtype], chip.memory_bandwidth
    return [
        *head(config, HOST, "this host"),
        *cost_lines(compiled),
        f"measured peaks: {flops / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.1f} GB/s",
        *roofline_lines(compiled, chips.Topology(chip, "", 1), config.dtype),
        f"predicted step: {1e3 * predicted:,.2f} ms, {config.batch_size / predicted:,.0f} images/s",
        f"measured step:  {1e3 * measured:,.2f} ms, {config.batch_size / measured:,.0f} images/s",
        f"error of the prediction: {100 * (predicted / measured - 1):+.0f} %",
    ]


def head(config: ConfigDict, topology: str, where: str) -> list[str]:
    """What is priced."""
    mapped = "" if topology == HOST else f", mapped by {config.parallel.map}"
    return [
        f"{config.method.name} on {config.data.name}, {config.batch_size} images per step, "
        f"{config.dtype}{mapped}",
        f"{topology}: {where}, jax {jax.__version__}",
    ]


def cost_lines(compiled: Program) -> list[str]:
    """Lines about the program, per step and device."""
    lines = [
        "per step and device:",
        f"  {'FLOPs':<20}{compiled.flops / 1e9:>12,.3f} G",
        f"  {'memory traffic':<20}{compiled.traffic / 1e6:>12,.1f} MB",
        f"  {'arguments':<20}{compiled.arguments / 1e6:>12,.1f} MB",
        f"  {'temporaries':<20}{compiled.temporaries / 1e6:>12,.1f} MB",
    ]
    counts = Counter(kind for kind, _ in compiled.collectives)
    for kind in filter(counts.get, KINDS):
        total = sum(size for k, size in compiled.collectives if k == kind)
        lines.append(f"  {kind:<20}{total / 1e6:>12,.3f} MB in {counts[kind]}")
    return lines if counts else [*lines, "  no collectives"]


def memory_lines(compiled: Program, topology: chips.Topology) -> list[str]:
    """A line about whether the program fits on the chip; an estimate has more temporaries."""
    needed, there = (compiled.arguments + compiled.temporaries) / 1e9, topology.chip.memory / 1e9
    fits = "does not fit" if topology.shape else "may not fit"
    verdict = "" if needed <= there else f", so it {fits}: {program.ADVICE}"
    return [f"memory: {needed:,.2f} GB of the chip's {there:,.0f} GB{verdict}"]


def roofline_lines(compiled: Program, topology: chips.Topology, dtype: str) -> list[str]:
    """Lines about the time of the step by the chip's peaks."""
    compute, memory = estimate.roofline(compiled, topology.chip, dtype)
    links = estimate.collective_seconds(
        compiled.collectives, topology.num_chips, topology.chip, topology.num_chips
    )
    bound = "compute" if compute > memory else "memory"
    return [
        f"roofline: compute {1e3 * compute:,.3f} ms, memory {1e3 * memory:,.3f} ms, "
        f"so bound by {bound}; collectives {1e3 * links:,.3f} ms"
    ]


def prediction_lines(compiled: Program, topology: chips.Topology, config: ConfigDict) -> list[str]:
    """The table over the number of chips."""
    rows = estimate.predict(
        compiled,
        topology.chip,
        config.dtype,
        batch_size=config.batch_size,
        num_chips=topology.num_chips,
        num_images=config.batch_size * config.num_train_steps,
    )
    lines = [
        f"weak scaling, {config.batch_size // topology.num_chips} images per chip:",
        f"  {'chips':>5}{'batch':>9}{'images/s':>14}{'chip-hours':>12}{'efficiency':>12}",
    ]
    return lines + [
        f"  {row.chips:>5}{row.batch_size:>9,}{row.images_per_second:>14,.0f}"
        f"{row.chip_hours:>12,.3f}{100 * row.efficiency:>10,.1f} %"
        for row in rows
    ]


def more_lines(topology: str, batch_size: int) -> list[str]:
    """Of one chip, a line about how to ask for several."""
    if chips.parse(topology).num_chips > 1:
        return []
    several = chips.example(topology.partition(":")[0])
    images = batch_size * chips.parse(several).num_chips
    return [
        "a program for one chip does not show what several would send each other; for those: "
        f"--topology={several} --batch_size={images}"
    ]


def run(topology: str, batch_size: int | None, config_flags_given: list[str]) -> None:
    """Prints the cost sheet.

    Args:
      topology: see this module's docstring.
      batch_size: in place of the config's; the run then sees as many images as before.
      config_flags_given: --config=... and --config.FIELD=VALUE.
    """
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=values)
    config, lines = from_command_line(["refvae cost", *config_flags_given], flag, values)
    if batch_size is not None:
        images = config.num_train_steps * config.batch_size
        config.batch_size = batch_size
        config.num_train_steps = max(images // max(batch_size, 1), 1)
    config_rules.check(config)
    # This process compiles for other chips: JAX must not look for any here.
    jax.config.update("jax_platforms", "cpu")
    print("\n".join([*lines, *sheet(config, topology)]))


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        "refvae cost",
        usage="refvae cost --config=FILE[:FORM] [--topology=CHIP:SHAPE] [--batch_size=N] "
        "[--config.FIELD=VALUE ...]",
        description=(__doc__ or "").splitlines()[0],
        allow_abbrev=False,
    )
    parser.add_argument("--topology", default=HOST, help="as v5e:4x4, h100:8 or cpu, this host")
    parser.add_argument("--batch_size", type=int, help="in place of config.batch_size")
    options, rest = parser.parse_known_args(argv)
    logging.set_verbosity(logging.ERROR)
    return exit_status(run, options.topology, options.batch_size, rest)
