"""Where a training step spends its time on a CPU: by layer and by product of a convolution.

python benchmarks/profile_step.py --config=configs/mnist_gmvae.py:cpu
python benchmarks/profile_step.py --config=configs/mnist_gmvae.py:cpu --operations=20

Steps of made images are traced by JAX's profiler, on one core, where no operation waits for
another. The time of an operation, without those it calls, is counted for the layer that XLA's
metadata names. GFLOP/s are those that the layer needs, not those of the way it is computed (twice
its multiplications for its output and for each gradient, however often a loss wants the gradient),
over the time; the rate of a large matmul is what the core can do.
"""

import collections
import os
import pathlib
import re
import sys
import tempfile
import time
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from absl import flags

from benchmarks import command
from benchmarks.command import STEPS
from benchmarks.our_step import compile_step, repeated, settings_of
from refvae_jax.training.allocator import keep_memory

ROWS = flags.DEFINE_integer("rows", 20, "Layers and products to print, the longest first.", 1)
OPERATIONS = flags.DEFINE_integer("operations", 0, "Single operations to print.", 0)
WARM_UP = 2  # Steps before the traced ones.
PRODUCTS = ("output", "input gradient", "kernel gradient")  # Scopes of conv/products.py.
OTHER = "loss, optimiser and the rest"


def self_times(events):
    """{name: time} of events (name, start, duration) of one thread, without the events inside."""
    total, open_events = collections.Counter(), []
    for name, start, duration in sorted(events, key=lambda e: (e[1], -e[2])):
        while open_events and open_events[-1][1] <= start:
            open_events.pop()
        if open_events:
            total[open_events[-1][0]] -= duration
        total[name] += duration
        open_events.append((name, start + duration))
    return total


def op_names(hlo):
    """{operation: op_name} of the text of a compiled program."""
    return dict(re.findall(r'%([\w.-]+) = .*metadata=\{.*?op_name="([^"]*)"', hlo))


def place(op_name, layers):
    """(layer, product) of an op_name such as jit(f)/transpose(jvp(Decoder))/Conv_0/mul.

    Args:
      op_name: names of JAX's transformations, modules and scopes.
      layers: paths of modules, such as Decoder/Conv_0.
    """
    path = re.sub(r"\b[\w.<>]+\(|\)", "", op_name.replace("jit(", "jit_("))
    found = [layer for layer in layers if f"/{layer}/" in f"/{path}/"]
    if not found:
        return OTHER, ""
    named = next((p for p in PRODUCTS if f"/{p.replace(' ', '_')}/" in path), None)
    return max(found, key=len), named or ("gradient" if "transpose(" in op_name else "output")


def flops_of(step):
    """{path of a layer: FLOPs of its output, in all its calls}; 0 of what is no matmul.

    Args:
      step: an OurStep.
    """
    import flax.linen as nn
    import jax

    from refvae_jax.networks.conv.layers import ConvDoubled, ConvTranspose

    flops, root = collections.Counter(), ""

    def note(call, arguments, options, context):
        nonlocal root
        module = context.module
        if not module.path:
            root = type(module).__name__
        y = call(*arguments, **options)
        kernel = module.variables.get("params", {}).get("kernel")
        has_kernel = context.method_name == "__call__" and hasattr(kernel, "size")
        flops["/".join((root, *module.path))] += (
            multiplications(module, kernel, arguments[0], y) * 2 if has_kernel else 0
        )
        return y

    def multiplications(module, kernel, x, y):
        if isinstance(module, ConvDoubled):  # Of the 36 taps on four pixels 16 differ.
            return x.size // x.shape[-1] * kernel.size * 16 // 9
        at = x if isinstance(module, ConvTranspose | nn.Dense) else y
        return at.size // at.shape[-1] * kernel.size

    with nn.intercept_methods(note):
        jax.eval_shape(step.update, step.state, step.put_batch())
    return flops


def traced(step, num_steps):
    """({operation: ns per step} of `num_steps` steps, CPU time of a step that is not traced)."""
    import jax
    from jax.profiler import ProfileData

    run = repeated(step.compiled, step.state, step.put_batch)
    run(WARM_UP)
    since = time.process_time_ns()
    run(num_steps)
    taken = (time.process_time_ns() - since) / num_steps
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run(num_steps)
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        profile = ProfileData.from_file(str(path))
    return fastest(line.events for plane in profile.planes for line in plane.lines), taken


def fastest(threads):
    """{operation: the least ns that any of the traced steps spent in it} of each thread's events.

    The least, because other programs' turns on the core are counted as well.
    """
    by_step = collections.defaultdict(collections.Counter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of jaxlib's own types.
        for events in threads:
            found = [(dict(e.stats), e.start_ns, e.duration_ns) for e in events]
            named = [
                ((stats["run_id"], stats["hlo_op"]), *when)
                for stats, *when in found
                if "hlo_op" in stats
            ]
            for (step, operation), ns in self_times(named).items():
                by_step[step][operation] += ns
    operations = set().union(*by_step.values())
    return {name: min(step[name] for step in by_step.values()) for name in operations}


def matmul_rate(size=1024, times=5):
    """GFLOP/s of a square float32 matmul, the fastest of some."""
    import jax
    import jax.numpy as jnp

    x, product, taken = jnp.ones((size, size)), jax.jit(jnp.matmul), []
    for _ in range(times + 1):
        since = time.process_time_ns()
        product(x, x).block_until_ready()
        taken.append(time.process_time_ns() - since)
    return 2 * size**3 / min(taken)


def rows_of(operations, names, flops):
    """[(layer, product, share, ms per step, GFLOP/s or None)], the longest first.

    Args:
      operations: {operation: ns per step}.
      names: {operation: op_name}.
      flops: {layer: FLOPs of its output}.
    """
    by_place = collections.Counter()
    for operation, duration in operations.items():
        by_place[place(names.get(operation, ""), flops)] += duration
    total = sum(by_place.values())
    rows = []
    for (layer, product), ns in by_place.most_common():
        count = flops.get(layer, 0) * (2 if product == "gradient" else 1)
        rows.append((layer, product, ns / total, ns / 1e6, count / ns if count else None))
    return rows


def measure(config):
    """Prints the profile."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, command.available_cpus(1))
    keep_memory()  # As a training run on a CPU does.
    import jax

    step = compile_step(settings_of(config))
    operations, taken = traced(step, STEPS.value)
    names = op_names(step.compiled.as_text())
    temporary = step.compiled.memory_analysis().temp_size_in_bytes
    print(f"jax {jax.__version__}: {taken / 1e6:.1f} ms of CPU time per step")
    print(f"temporary buffers: {temporary / 1e6:.0f} MB; matmul: {matmul_rate():.0f} GFLOP/s\n")
    print("  share      ms  GFLOP/s  layer, product")
    for layer, product, share, ms, rate in rows_of(operations, names, flops_of(step))[: ROWS.value]:
        shown = "" if rate is None else f"{rate:.1f}"
        print(f"{share:7.1%} {ms:7.1f} {shown:>8}  {layer} {product}")
    longest = sorted(operations.items(), key=lambda item: -item[1])
    for operation, ns in longest[: OPERATIONS.value]:
        print(f"{ns / 1e6:7.2f} ms  {operation}: {names.get(operation, '')}")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
